"""Data-based relabelling (Rodriguez and Walker 2014): draws against centres and scales from the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from mixtures.bayes.memberships import Hard, overlap
from mixtures.bayes.permutations import cheapest, reorder
from mixtures.bayes.switching import Solution, assign_to
from mixtures.model.arrays import Array, Integers

_LEAST_SD = 1e-6  # of the range of the data: what is below may be the rounding of tied values


@dataclass(frozen=True, slots=True, eq=False)
class _Groups:
    """The observations allocated to each component at each draw, in sums.

    Attributes
    ----------
    counts : (s, k) array
    means, squares : (s, k, d) array
        Mean, and sum of squares about it; 0 where there are no observations.
    """

    counts: Array
    means: Array
    squares: Array

    @classmethod
    def of(cls, hard: Hard, x: Array) -> Self:
        """Sum up observations (n, d)."""
        terms = np.concatenate([np.ones((len(x), 1)), x, x**2], axis=1)
        sums = overlap(hard, terms).swapaxes(1, 2)
        counts, totals, squares = sums[..., 0], *np.split(sums[..., 1:], 2, axis=-1)
        means = totals / np.maximum(counts, 1)[..., None]
        return cls(counts, means, np.maximum(squares - counts[..., None] * means**2, 0))

    def reordered(self, permutations: Integers) -> Self:
        """Return the groups of each draw in the order of its permutation."""
        return type(self)(*(reorder(part, permutations) for part in (self.counts, self.means, self.squares)))

    def costs(self, centres: Array, scales: Array) -> Array:
        """Sum each group's squared distances from the centres, in units of the scales, as (s, k, k)."""
        off = (self.means[:, None] - centres[:, None]) ** 2
        sums = self.squares[:, None] + self.counts[:, None, :, None] * off
        return (sums / scales[:, None] ** 2).sum(axis=-1)

    def at(self, draw: int) -> Self:
        """Return the groups of one draw, (1, k)."""
        rows = slice(draw, draw + 1)
        return type(self)(self.counts[rows], self.means[rows], self.squares[rows])


def data_based(hard: Hard, x: Array, start: Integers) -> Solution:
    """Relabel by the distances of observations from the centres of the groups that they are allocated to.

    One pass over the draws finds centres and scales, running averages of the groups' means and standard
    deviations, each draw in the order that suits the averages so far. A second pass gives each draw the
    order of the smallest sum of squared standardised distances.

    Parameters
    ----------
    hard : Hard
    x : (n, d) array
        Observations.
    start : (s, k) array of int
        Order in which the draws come.
    """
    spread = np.ptp(x, axis=0)
    unit = np.where(spread > 0, spread, 1)
    groups = _Groups.of(hard, (x - x.mean(axis=0)) / unit).reordered(start)
    centres, scales = _centres(groups, (x.min(axis=0) - x.mean(axis=0)) / unit)
    solution = assign_to(groups.costs(centres, scales))
    composed = np.take_along_axis(start, solution.permutations, axis=-1)
    return Solution(composed, solution.costs, solution.gaps)


def _centres(groups: _Groups, least: Array) -> tuple[Array, Array]:
    """Centres and scales (k, d) of observations that start at `least` and range over 1 in each dimension."""
    n_draws, k, d = groups.means.shape
    centres = least + np.arange(1, k + 1)[:, None] / np.full((k, d), k + 1)
    scales = np.full((k, d), 1 / k)
    n_centres, n_scales = np.zeros((k, 1)), np.zeros((k, d))
    sds = np.sqrt(groups.squares / np.maximum(groups.counts - 1, 1)[..., None])
    for draw in range(n_draws):
        places = cheapest(groups.at(draw).costs(centres, scales))[0]
        has_mean, sd = (groups.counts[draw, places] > 0)[:, None], sds[draw, places]
        n_centres += has_mean
        centres += has_mean * (groups.means[draw, places] - centres) / np.maximum(n_centres, 1)
        has_sd = (sd > _LEAST_SD) & (groups.counts[draw, places] > 1)[:, None]
        n_scales += has_sd
        scales += has_sd * (sd - scales) / np.maximum(n_scales, 1)
    return centres, scales

"""Who belongs to which component at each draw, softly or wholly, and sums over draws or observations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mixtures.bayes.densities import responsibilities_at
from mixtures.bayes.draws import MixtureDraws
from mixtures.bayes.permutations import cheapest
from mixtures.model.arrays import Array, Integers

_BLOCK = 4_000_000  # responsibilities at once, 32 MB


class Memberships(Protocol):
    """Membership of n observations in k components at s draws."""

    @property
    def n_components(self) -> int:
        """Number of components, k."""

    @property
    def n_draws(self) -> int:
        """Number of draws, s."""

    def of(self, component: int) -> Array:
        """Membership of each observation in one component at each draw, (n, s)."""


@dataclass(frozen=True, slots=True, eq=False)
class Soft:
    """Responsibilities, (k, n, s)."""

    values: Array

    @property
    def n_components(self) -> int:
        """Number of components, k."""
        return self.values.shape[0]

    @property
    def n_observations(self) -> int:
        """Number of observations, n."""
        return self.values.shape[1]

    @property
    def n_draws(self) -> int:
        """Number of draws, s."""
        return self.values.shape[2]

    def of(self, component: int) -> Array:
        """Responsibility of one component for each observation at each draw, (n, s)."""
        return self.values[component]


@dataclass(frozen=True, slots=True, eq=False)
class Hard:
    """Allocations, (n, s): the component that each observation belongs to, from 0."""

    allocations: NDArray[np.integer]
    n_components: int

    @property
    def n_observations(self) -> int:
        """Number of observations, n."""
        return self.allocations.shape[0]

    @property
    def n_draws(self) -> int:
        """Number of draws, s."""
        return self.allocations.shape[1]

    def of(self, component: int) -> Array:
        """1 where an observation belongs to one component at a draw, else 0, (n, s)."""
        # Counts up to 2^24 are exact in single precision, and take half the memory and time.
        return (self.allocations == component).astype(np.float32)


def average(memberships: Memberships, permutations: Integers) -> Array:
    """Average over the draws, each in its own order of components (s, k), as (n, k)."""
    total: Array = np.zeros(1)
    for j in range(memberships.n_components):
        one = memberships.of(j)
        total = total + one @ (permutations == j).astype(one.dtype)
    return total / memberships.n_draws


def overlap(memberships: Memberships, scores: Array) -> Array:
    """Sum over the observations of their score in place j times their membership in component l, (s, k, k).

    Parameters
    ----------
    memberships : Memberships
    scores : (n, m) array
        With m places, (s, m, k) is returned.
    """
    return np.stack([memberships.of(j).T @ scores for j in range(memberships.n_components)], axis=-1)


def aligned_chains(memberships: Memberships, n_chains: int) -> Integers:
    """Put whole chains in the order of the first, by least squares between their average memberships.

    Parameters
    ----------
    memberships : Memberships
        Of chains of equal length, one after another.
    n_chains : int

    Returns
    -------
    (s, k) array of int
        For all draws of a chain the same permutation.
    """
    k, length = memberships.n_components, memberships.n_draws // n_chains
    averages = np.stack(
        [memberships.of(j).reshape(-1, n_chains, length).mean(axis=-1) for j in range(k)], axis=-1
    )
    differences = averages[:, :1, :, None] - averages[:, :, None, :]
    return np.repeat(cheapest((differences**2).sum(axis=0)), length, axis=0)


def responsibilities(draws: MixtureDraws, x: Array) -> Soft:
    """Return the responsibilities at each of s draws in one row."""
    values = np.empty((draws.n_components, len(x), *draws.shape))
    for rows, block in _blocks(draws, x):
        values[:, :, rows] = block
    return Soft(values)


def allocations(draws: MixtureDraws, x: Array) -> Hard:
    """Return the most probable component of each observation at each of s draws in one row."""
    blocks = [most_probable(Soft(block)).allocations for _, block in _blocks(draws, x)]
    return Hard(np.concatenate(blocks, axis=1), draws.n_components)


def most_probable(soft: Soft) -> Hard:
    """Allocate each observation to its most probable component at each draw, the first among equals."""
    # Component by component, each in one piece of memory: more than twice as fast as argmax over them.
    best = soft.of(0)
    found = np.zeros(best.shape, dtype=np.int16)
    for j in range(1, soft.n_components):
        np.copyto(found, np.int16(j), where=soft.of(j) > best)
        best = np.maximum(best, soft.of(j))
    return Hard(found, soft.n_components)


def _blocks(draws: MixtureDraws, x: Array) -> Iterator[tuple[slice, Array]]:
    """Responsibilities (k, n, draws of a block), block by block."""
    step = max(1, _BLOCK // (draws.n_components * len(x)))
    for start in range(0, len(draws.means), step):
        rows = slice(start, start + step)
        yield rows, responsibilities_at(draws.at(rows), x)

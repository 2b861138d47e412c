"""Doubt about which component an observation belongs to: overlap, or parameters not known well enough."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from mixtures.comparison.averages import Averages, average_draws
from mixtures.model.arrays import Array, as_floats
from mixtures.model.data import as_observations
from mixtures.model.fit import SUM_TOLERANCE, Draws, as_draws

#: A hard assignment is settled where at least this share of draws agree on it.
SETTLED = 0.95
#: An observation is in doubt where its most probable component has a smaller mean responsibility.
SURE = 0.9
_BLOCK = 200_000  # responsibilities held at once, in several arrays


class Source(StrEnum):
    """Where most of the doubt about an observation comes from."""

    NONE = "none"
    OVERLAP = "overlap"
    PARAMETERS = "parameters"


@dataclass(frozen=True, slots=True, eq=False)
class Doubt:
    """Doubt about the component of each observation, in nats, split by where it comes from.

    With H the entropy, and averages E over draws of the parameters,

        H(E[r_i]) = E[H(r_i)] + E[KL(r_i || E[r_i])]

    The first part stays however well the parameters are known; the second, the mutual information of
    component and parameters, vanishes as they become known. The first and the responsibilities of a
    draw's own components need no labels; the others mean something for draws with one order of them.

    Attributes
    ----------
    responsibilities : Averages of (n, k)
        E[r_ij].
    total, overlap, parameters : Averages of (n,)
        H(E[r_i]), E[H(r_i)] and their difference. The Monte Carlo errors of the first and the last are
        those of the first order; both are also too small by about (k - 1) / 2 over the effective
        number of draws, which is of a smaller order.
    stability : Averages of (n,)
        Share of draws whose most probable component is the one of E[r_i]: whether the hard assignment
        is settled, however sure it is.
    """

    responsibilities: Averages
    total: Averages
    overlap: Averages
    parameters: Averages
    stability: Averages

    @classmethod
    def of(cls, responsibilities: ArrayLike) -> Self:
        """Split the doubt at draws of responsibilities.

        Parameters
        ----------
        responsibilities : (c, s, n, k) array_like
            Of c chains of s draws, with one order of the components; independent draws, such as those
            of a bootstrap, are one chain.

        Raises
        ------
        ValueError
            If they are not finite, negative, do not sum to 1 within 1e-6, or there are none.
        """
        r = as_responsibilities(responsibilities)
        return cls(*_split(np.moveaxis(r.reshape(-1, *r.shape[2:]), -1, 0), len(r)))

    @classmethod
    def at(cls, draws: Draws, x: ArrayLike) -> Self:
        """Split the doubt about univariate observations (n,) or (n, 1) at draws of the parameters.

        Raises
        ------
        TypeError
            If draws are no `Draws`, or do not hold real numbers.
        ValueError
            If the draws are of several dimensions, or not mixtures of normals.
        """
        draws = as_univariate(draws)
        values = as_observations(x, n_dims=1)[:, 0]
        parts = [_split(r, len(draws.weights)) for r in responsibilities_at(draws, values)]
        return cls(*(_joined(part) for part in zip(*parts, strict=True)))

    def sources(self) -> list[Source]:
        """Say for each observation whether it is in doubt, and which part of the doubt is the larger.

        It is in doubt where its most probable component has a mean responsibility below `SURE`.
        """
        is_sure = self.responsibilities.values.max(axis=-1) >= SURE
        is_overlap = self.overlap.values >= self.parameters.values
        return [
            Source.NONE if sure else Source.OVERLAP if overlap else Source.PARAMETERS
            for sure, overlap in zip(is_sure, is_overlap, strict=True)
        ]


def as_responsibilities(responsibilities: ArrayLike) -> Array:
    """Return responsibilities (c, s, n, k), checked: finite, not negative, of some draw; with sums of 1."""
    r = as_floats("responsibilities", responsibilities, 4)
    if not r.size:
        raise ValueError(f"responsibilities must be of at least one draw; got shape {r.shape}")
    sums = r.sum(axis=-1, keepdims=True)
    if r.min() < 0 or np.abs(sums - 1).max() > SUM_TOLERANCE:
        raise ValueError("responsibilities must not be negative, and sum to 1 over components")
    r /= sums
    return r


def responsibilities_at(draws: Draws, x: Array) -> Iterator[Array]:
    """Responsibilities of univariate observations (n,) at every draw, block by block: (k, c s, b) each."""
    k = draws.weights.shape[-1]
    step = max(1, _BLOCK // draws.weights.size)
    for first in range(0, len(x), step):
        part = slice(first, first + step)
        yield responsibilities_in(slice(None), draws, x[part]).reshape(k, -1, len(x[part]))


def responsibilities_in(rows: slice, draws: Draws, x: Array) -> Array:
    """Responsibilities of univariate observations (n,) at some draws, all chains in one row; (k, s, n)."""
    k = draws.weights.shape[-1]
    weights, means, variances = (
        values.reshape(-1, k)[rows].T[..., None] for values in (draws.weights, draws.means, draws.variances)
    )
    with np.errstate(divide="ignore"):
        constants = np.log(weights) - 0.5 * np.log(variances)
    r: Array = (x - means) * np.sqrt(0.5 / variances)
    r *= -r
    r += constants
    r -= r.max(axis=0)
    np.exp(r, out=r)
    r /= r.sum(axis=0)
    return r


def as_univariate(draws: Draws) -> Draws:
    """Return draws (c, s, k) in float64 if each is a univariate mixture; further errors as of `as_draws`."""
    draws = as_draws(draws)
    if draws.weights.ndim != 3:
        raise ValueError(f"draws must be of chains, with weights (c, s, k); got {draws.weights.shape}")
    if draws.means.shape[-1] != 1:
        raise ValueError(f"draws must be of univariate mixtures; got {draws.means.shape[-1]} dimensions")
    return draws


def _split(r: Array, n_chains: int) -> tuple[Averages, ...]:
    """What a `Doubt` holds, in its order, from responsibilities (k, c s, n).

    Per draw, doubt by overlap is H(r), by parameters KL(r || E[r]); their sum averages to H(E[r]), and
    is its derivative by E[r], so that its spread is the first-order error of that.
    """
    from scipy.special import entr, rel_entr

    means = average_draws(np.moveaxis(r, 0, -1), n_chains)
    entropies = entr(r).sum(axis=0)
    divergences = rel_entr(r, means.values.T[:, None]).sum(axis=0)
    is_same = (r.argmax(axis=0) == means.values.argmax(axis=-1)).astype(np.float64)
    parts = (entropies + divergences, entropies, divergences, is_same)
    return means, *(average_draws(part, n_chains) for part in parts)


def _joined(parts: Sequence[Averages]) -> Averages:
    """Averages of all blocks of observations."""
    values = np.concatenate([part.values for part in parts])
    return Averages(values, np.concatenate([part.mcse for part in parts]), parts[0].n_batches)

"""Permutations of the components, one for each draw: the cheapest, the next cheapest, and how two sets agree.

A permutation p puts component p[j] of a draw in place j. Costs are (s, k, k): of putting, at each draw,
in place j (rows) component l (columns).
"""

from __future__ import annotations

import itertools
import math
from functools import cache

import numpy as np

from mixtures.model.arrays import Array, Integers, freeze

_MOST_DIGITS = 15  # that a whole number holds in as large a base
_FEW_COMPONENTS = 4  # whose 24 permutations are tried one by one: faster than a solver for each draw


def identities(n_draws: int, k: int) -> Integers:
    """Return for each draw the permutation that changes nothing, (s, k)."""
    return np.tile(np.arange(k), (n_draws, 1))


def cheapest(costs: Array) -> Integers:
    """Return the permutation of smallest total cost for each cost matrix, (s, k)."""
    return by_enumeration(costs) if costs.shape[-1] <= _FEW_COMPONENTS else by_assignment(costs)


def by_enumeration(costs: Array) -> Integers:
    """Cheapest permutation for each cost matrix (s, k, k), by the cost of every permutation."""
    return _all_permutations(costs.shape[-1])[_all_totals(costs).argmin(axis=0)]


def by_assignment(costs: Array) -> Integers:
    """Cheapest permutation for each cost matrix (s, k, k), by the Hungarian method."""
    from scipy.optimize import linear_sum_assignment

    return np.stack([linear_sum_assignment(matrix)[1] for matrix in costs])


def totals(costs: Array, permutations: Integers) -> Array:
    """Return the total cost of each draw's permutation, (s,)."""
    matched: Array = np.take_along_axis(costs, permutations[..., None], axis=2)[..., 0]
    return matched.sum(axis=1)


def two_cheapest(costs: Array) -> tuple[Integers, Array, Array]:
    """Return for each draw the cheapest permutation (s, k), its cost, and how much more the next one costs.

    That is infinite for one component, which has one permutation.

    Parameters
    ----------
    costs : (s, k, k) array
        Fastest with the draws of each entry in one piece of memory.
    """
    k = costs.shape[-1]
    if k > _FEW_COMPONENTS:
        permutations = by_assignment(costs)
        paid = totals(costs, permutations)
        return permutations, paid, _second_by_assignment(costs, permutations) - paid
    every = _all_totals(costs)
    first, paid = every.argmin(axis=0), every.min(axis=0)
    np.put_along_axis(every, first[None], math.inf, axis=0)
    return _all_permutations(k)[first], paid, every.min(axis=0) - paid


def _second_by_assignment(costs: Array, permutations: Integers) -> Array:
    """Cost of the cheapest permutation that differs from the given: without each of its matches in turn."""
    forbidden = 2 * costs.shape[-1] * (1 + np.abs(costs).max())  # dearer than any permutation without it
    draws, runners_up = np.arange(len(costs)), []
    for place in range(costs.shape[-1]):
        altered = costs.copy()
        altered[draws, place, permutations[:, place]] = forbidden
        runners_up.append(totals(altered, by_assignment(altered)))
    return np.min(runners_up, axis=0)


def modal(permutations: Integers) -> Integers:
    """Return the most frequent of the permutations (s, k), the first in lexicographic order among equals."""
    k = permutations.shape[-1]
    if k > _MOST_DIGITS:
        found, counts = np.unique(permutations, axis=0, return_counts=True)
        return found[counts.argmax()]
    numbers = permutations @ k ** np.arange(k)[::-1]  # read as digits, which sort faster than rows
    if k <= _FEW_COMPONENTS:
        return permutations[(numbers == np.bincount(numbers).argmax()).argmax()]
    found, counts = np.unique(numbers, return_counts=True)
    return permutations[(numbers == found[counts.argmax()]).argmax()]


def agreement(first: Integers, second: Integers) -> float:
    """Share of draws that two sets of permutations (s, k) order alike, up to one permutation for all."""
    places = np.take_along_axis(first.argsort(axis=-1), second, axis=-1)
    return float((places == modal(places)).all(axis=-1).mean())


def reorder(values: Array, permutations: Integers) -> Array:
    """Put the components of each draw in the order of its permutation.

    Parameters
    ----------
    values : (..., k, *rest) array
        Leading axes as those of `permutations`; any number of axes may follow the components'.
    permutations : (..., k) array of int
    """
    expanded = permutations.reshape(permutations.shape + (1,) * (values.ndim - permutations.ndim))
    return np.take_along_axis(values, expanded, axis=permutations.ndim - 1)


@cache
def _all_permutations(k: int) -> Integers:
    return freeze(np.array(list(itertools.permutations(range(k)))))


def _all_totals(costs: Array) -> Array:
    """Total cost of every permutation at every draw, (k!, s)."""
    every = _all_permutations(costs.shape[-1])
    return np.stack([sum(costs[:, i, j] for i, j in enumerate(places)) for places in every])

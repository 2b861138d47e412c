"""The published relabelling algorithms, on draws in one row.

Each minimises a sum over draws of the cost of the permutation that a draw is given. All but ordering
compare a draw with a reference, through a matrix of costs: of putting in place j component l. A method
either knows its reference (`assign_to`), or goes back and forth between the reference that suits the
draws in their present order and the order of the draws that suits it (`iterate`).

Definitions as in Papastamoulis (2016) and his R package label.switching 1.8.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mixtures.bayes.memberships import Hard, Soft, average, overlap
from mixtures.bayes.permutations import cheapest, totals, two_cheapest
from mixtures.model.arrays import Array, Integers

_MOST_ITERATIONS = 100
_SAME_COST = 1e-6  # change of the total cost that ends the iterations
_LEAST = 1e-6  # responsibilities are kept this far from 0 and 1, so that each has a logarithm


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """What a relabelling algorithm found for s draws.

    Attributes
    ----------
    permutations : (s, k) array of int
        Component ``permutations[s, j]`` of a draw takes place j.
    costs : (s,) array
        Cost of each draw's permutation; the objective is their sum.
    gaps : (s,) array
        By how much the next best permutation of a draw costs more.
    n_iterations : int
        Passes over the draws.
    is_converged : bool
        Whether the objective came to rest; always, where there is one pass.
    """

    permutations: Integers
    costs: Array
    gaps: Array
    n_iterations: int = 1
    is_converged: bool = True


def order(values: Array) -> Solution:
    """Order the components by the values (s, k) of one parameter.

    Sorting maximises sum_j j theta_(j) over permutations, so that its cost is -sum_j j theta_(j), and the
    next best permutation exchanges the two closest neighbours.
    """
    permutations = values.argsort(axis=-1, kind="stable")
    ordered = np.take_along_axis(values, permutations, axis=-1)
    closest = np.diff(ordered).min(axis=-1, initial=np.inf)
    return Solution(permutations, -(np.arange(values.shape[-1]) * ordered).sum(axis=-1), closest)


def assign_to(costs: Array) -> Solution:
    """Give each draw its cheapest permutation against a reference that is known, from costs (s, k, k)."""
    return Solution(*two_cheapest(costs))


def ecr(hard: Hard, pivot: Integers) -> Solution:
    """Equivalence classes representatives (Papastamoulis and Iliopoulos 2010).

    The cost is the number of observations whose allocation differs from the pivot's.

    Parameters
    ----------
    hard : Hard
    pivot : (n,) array of int
        Allocations in the order that all draws are to have.
    """
    return assign_to(_mismatches(hard, pivot))


def ecr_iterative_1(hard: Hard, start: Integers) -> Solution:
    """ECR whose pivot is each observation's most frequent allocation (Papastamoulis 2014, version 1)."""
    return iterate(lambda now: _mismatches(hard, average(hard, now).argmax(axis=1)), start)


def ecr_iterative_2(hard: Hard, soft: Soft, start: Integers) -> Solution:
    """ECR whose pivot is each observation's most probable allocation (Papastamoulis 2014, version 2).

    From responsibilities averaged over the draws. The pivot is not the one of fewest mismatches, so that
    the objective may rise.
    """
    return iterate(lambda now: _mismatches(hard, average(soft, now).argmax(axis=1)), start)


def stephens(soft: Soft, start: Integers) -> Solution:
    """Relabel by Kullback-Leibler divergence from the average responsibilities (Stephens 2000).

    The cost of a draw is sum_ij r_ij log(r_ij / q_ij), with q the average over relabelled draws.
    """
    kept = _off_the_edges(soft)
    negentropies = np.stack([_sums_of_logs(kept.of(j)) for j in range(kept.n_components)], axis=-1)
    return iterate(lambda now: negentropies[:, None] - overlap(kept, np.log(average(kept, now))), start)


def pra(parameters: Array, pivot: Array) -> Solution:
    """Pivotal reordering (Marin, Mengersen and Robert 2005): the largest inner product with a pivot.

    The inner product is of parameters in their own units, so that the result depends on these.

    Parameters
    ----------
    parameters : (s, k, p) array
        The p parameters of each component.
    pivot : (k, p) array
        Those of the pivot, in the order that all draws are to have.
    """
    return assign_to(-np.einsum("jp,slp->sjl", pivot, parameters))


def iterate(costs_given: Callable[[Integers], Array], start: Integers) -> Solution:
    """Alternate between the reference that suits the permutations and the permutations that suit it.

    Parameters
    ----------
    costs_given : callable
        From permutations (s, k) to costs (s, k, k) against the reference that suits them.
    start : (s, k) array of int
    """
    permutations, objective, n_iterations, is_converged = start, np.inf, 0, False
    while not is_converged and n_iterations < _MOST_ITERATIONS:
        costs = costs_given(permutations)
        permutations = cheapest(costs)
        paid = totals(costs, permutations)
        is_converged = bool(abs(objective - paid.sum()) <= _SAME_COST)
        objective = paid.sum()
        n_iterations += 1
    return Solution(*two_cheapest(costs), n_iterations, is_converged)


def _mismatches(hard: Hard, pivot: Integers) -> Array:
    """Observations of component l, of each draw, that the pivot allocates elsewhere than to place j."""
    is_in_place = (pivot[:, None] == np.arange(hard.n_components)).astype(np.float32)
    matches = overlap(hard, is_in_place).astype(np.float64)
    return matches.sum(axis=1, keepdims=True) - matches


def _off_the_edges(soft: Soft) -> Soft:
    values = np.clip(soft.values, _LEAST, 1 - _LEAST)
    values /= values.sum(axis=0)
    return Soft(values)


def _sums_of_logs(values: Array) -> Array:
    """Sum over the observations of r log r at each draw, from r (n, s)."""
    return sum((r * np.log(r) for r in values), np.zeros(values.shape[1]))

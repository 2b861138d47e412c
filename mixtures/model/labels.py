"""Permutations of components: which component of one mixture is which of another."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import cache

import numpy as np

from mixtures.model.arrays import Array, Integers, freeze, restore_frozen
from mixtures.model.mixture import NormalMixture

#: Gap below which the second-best permutation is nearly as good: its product of Bhattacharyya
#: coefficients is at least half of the best one's.
AMBIGUOUS_GAP = math.log(2)
_FEW_COMPONENTS = 4  # whose permutations are looked at one by one: faster than an assignment problem


@dataclass(frozen=True, slots=True, eq=False)
class Alignment:
    """Matching of an estimate's components to a reference's.

    Attributes
    ----------
    permutation : (k,) array of int
        Component ``permutation[j]`` of the estimate is matched to component j of the reference:
        ``estimate.permuted(permutation)`` is in the reference's order.
    cost : float
        Sum of the Bhattacharyya distances between matched components; 0 where they are the same.
    gap : float
        Cost of the second-best permutation less `cost`; infinite for one component.
    """

    permutation: Integers
    cost: float
    gap: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "permutation", freeze(np.array(self.permutation, dtype=np.int64)))

    __setstate__ = restore_frozen

    @property
    def is_ambiguous(self) -> bool:
        """Whether another permutation fits nearly as well (gap below log 2)."""
        return self.gap < AMBIGUOUS_GAP


def bhattacharyya_distances(reference: NormalMixture, estimate: NormalMixture) -> Array:
    """Bhattacharyya distance between every two component normals, weights left out.

    D(i, j) = 1/8 delta' S^-1 delta + 1/2 log(|S| / sqrt(|Sigma_i| |Sigma_j|)), with
    delta = mu_i - mu_j and S = (Sigma_i + Sigma_j) / 2 (Bhattacharyya 1943). It is unchanged by
    affine maps of the data and does not saturate as components move apart.

    Returns
    -------
    (k, m) array
        Rows: components of `reference`; columns: components of `estimate`.
    """
    if reference.n_dims == 1:
        gaps, average = reference.means - estimate.means.T, (reference.variances + estimate.variances.T) / 2
        geometric = np.sqrt(reference.variances * estimate.variances.T)
        return gaps**2 / (8 * average) + np.log(average / geometric) / 2
    delta = reference.means[:, None] - estimate.means[None]
    pooled = (reference.covariances[:, None] + estimate.covariances[None]) / 2
    quadratic = np.einsum("ijd,ijd->ij", delta, np.linalg.solve(pooled, delta[..., None])[..., 0])
    (k, m), d = quadratic.shape, reference.n_dims
    matrices = reference.covariances, estimate.covariances, pooled.reshape(k * m, d, d)
    log_dets = np.linalg.slogdet(np.concatenate(matrices))[1]
    of_reference, of_estimate, of_pooled = log_dets[:k], log_dets[k : k + m], log_dets[k + m :].reshape(k, m)
    return quadratic / 8 + (of_pooled - (of_reference[:, None] + of_estimate) / 2) / 2


def align(reference: NormalMixture, estimate: NormalMixture) -> Alignment:
    """Match the components of `estimate` to those of `reference`.

    The permutation minimises the sum of Bhattacharyya distances between matched component normals
    (the assignment problem). Weights play no part, so that an engine that swaps weights is seen.

    Parameters
    ----------
    reference, estimate : NormalMixture
        With the same numbers of components and dimensions.

    Returns
    -------
    Alignment

    Raises
    ------
    ValueError
        If the numbers of components or dimensions differ.
    """
    if reference.means.shape != estimate.means.shape:
        raise ValueError(
            "reference and estimate must have the same components and dimensions; "
            f"got (k, d) = {reference.means.shape} and {estimate.means.shape}"
        )
    costs = bhattacharyya_distances(reference, estimate)
    if 1 < len(costs) <= _FEW_COMPONENTS:
        orders = _permutations(len(costs))
        totals = costs[np.arange(len(costs)), orders].sum(axis=1)
        first, second = totals.argsort()[:2]
        return Alignment(orders[first], float(totals[first]), float(totals[second] - totals[first]))
    permutation, cost = _best_assignment(costs)
    return Alignment(permutation, cost, _second_best(costs, permutation) - cost)


@cache
def _permutations(k: int) -> Integers:
    return freeze(np.array(list(itertools.permutations(range(k)))))


def _best_assignment(costs: Array) -> tuple[Integers, float]:
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(costs)
    return columns, float(costs[rows, columns].sum())


def _second_best(costs: Array, best: Integers) -> float:
    """Cost of the best assignment that differs from `best`: forbid each of its matches in turn."""
    if len(best) == 1:
        return math.inf
    forbidden = 2 * len(best) * (1 + np.abs(costs).max())  # dearer than any assignment without it
    runners_up = []
    for row, column in enumerate(best):
        altered = costs.copy()
        altered[row, column] = forbidden
        runners_up.append(_best_assignment(altered)[1])
    return min(runners_up)

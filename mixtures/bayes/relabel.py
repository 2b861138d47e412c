"""Label switching: one order of the components for all posterior draws.

Under a prior that treats components alike, the posterior is the same for every order of them, and
a sampler may change from one order to another within a chain. Averages over draws mean something
only after each draw's components are put in one order. Under a prior that tells components apart,
or orders their means, the labels are part of the model, and a new order would change the posterior.
"""

from __future__ import annotations

import itertools
import math
from enum import StrEnum

import numpy as np

from mixtures.bayes.draws import MixtureDraws
from mixtures.model.arrays import Array, Integers

_MOST_PERMUTATIONS = 24  # k = 4; above, a solver of the assignment problem is faster than all of them


class Relabel(StrEnum):
    """How draws are relabelled.

    `REFERENCE`: each draw's components are assigned to those of the draw of highest posterior
    density; `ORDERING`: by increasing means; `NONE`: as sampled; `AUTO`: by reference where the prior
    is exchangeable, else none.
    """

    AUTO = "auto"
    REFERENCE = "reference"
    ORDERING = "ordering"
    NONE = "none"


def relabel(draws: MixtureDraws, method: Relabel, *, log_densities: Array) -> Integers:
    """Return the permutation of components that puts each draw in the common order.

    The reference is the draw of highest posterior density (a pivot: Marin, Mengersen & Robert 2005),
    its own components in order of their means. Each draw takes the permutation that minimises the
    sum of Bhattacharyya distances to it, the rule of `mixtures.align`.

    Parameters
    ----------
    draws : MixtureDraws
        (c, s, k).
    method : Relabel
        Any but `AUTO`, which needs the prior.
    log_densities : (c, s) array
        Log posterior density of each draw, up to a constant.

    Returns
    -------
    (c, s, k) array of int
        Component ``permutation[c, s, j]`` of a draw takes place j.

    Raises
    ------
    ValueError
        If `method` is none of these.
    """
    match method:
        case Relabel.ORDERING:
            return draws.means.argsort(axis=-1, kind="stable")
        case Relabel.NONE:
            return np.broadcast_to(np.arange(draws.n_components), draws.means.shape)
        case Relabel.REFERENCE:
            row = draws.in_one_row()
            known = np.where(np.isfinite(log_densities), log_densities, -np.inf).reshape(-1)
            pivot = row.at(known.argmax(keepdims=True))
            reference = pivot.reordered(pivot.means.argsort(axis=-1))
            return assign(reference, row).reshape(draws.means.shape)
    raise ValueError(f"method must be reference, ordering or none; got {method!r}")


def assign(reference: MixtureDraws, draws: MixtureDraws) -> Integers:
    """Return each draw's best permutation, (s, k), given the reference as a single draw, (1, k)."""
    best = by_enumeration if math.factorial(draws.n_components) <= _MOST_PERMUTATIONS else by_assignment
    return best(distances(reference, draws))


def distances(reference: MixtureDraws, draws: MixtureDraws) -> Array:
    """Bhattacharyya distances, (s, k, k), of the reference's components, in rows, to those of each draw.

    The univariate case of `mixtures.model.labels.bhattacharyya_distances`.
    """
    delta = reference.means[..., None] - draws.means[:, None]
    pooled = (reference.variances[..., None] + draws.variances[:, None]) / 2
    log_sds = np.log(reference.sds)[..., None] + np.log(draws.sds)[:, None]
    costs: Array = delta**2 / pooled / 8 + (np.log(pooled) - log_sds) / 2
    return costs


def by_enumeration(costs: Array) -> Integers:
    """Best permutation for each cost matrix (s, k, k), by the cost of every permutation."""
    k = costs.shape[-1]
    permutations = np.array(list(itertools.permutations(range(k))))
    totals = np.stack([sum(costs[:, i, j] for i, j in enumerate(places)) for places in permutations])
    return permutations[totals.argmin(axis=0)]


def by_assignment(costs: Array) -> Integers:
    """Best permutation for each cost matrix (s, k, k), by the Hungarian method."""
    from scipy.optimize import linear_sum_assignment

    return np.stack([linear_sum_assignment(matrix)[1] for matrix in costs])

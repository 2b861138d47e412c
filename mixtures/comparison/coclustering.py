"""Co-clustering: how probably two observations belong to the same component, whatever it is called."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from mixtures.comparison.averages import Averages, average, batches
from mixtures.comparison.doubt import as_responsibilities, as_univariate, responsibilities_in
from mixtures.model.arrays import Array
from mixtures.model.data import as_observations
from mixtures.model.fit import Draws

#: Matrices of pairs of so many observations take 128 MB each, of which there are about six.
MOST_OBSERVATIONS = 4000


def co_clustering(draws: Draws, x: ArrayLike) -> Averages:
    """Posterior probability that two observations belong to the same component, for all pairs.

    P(z_i = z_l | x) is the average over draws of sum_j r_ij r_lj: given the parameters, components of
    different observations are independent. The order of the components in a draw cancels, so that
    draws need no relabelling. On the diagonal the probability is 1.

    Parameters
    ----------
    draws : Draws
        Of c chains of s draws, relabelled or not; independent draws are one chain.
    x : (n,) or (n, 1) array_like
        Univariate observations, at most 4,000.

    Returns
    -------
    Averages of (n, n)

    Raises
    ------
    TypeError
        If draws are no `Draws`, or do not hold real numbers.
    ValueError
        If there are more observations, or the draws are of several dimensions or not mixtures of normals.
    """
    values = as_observations(x, n_dims=1)[:, 0]
    checked = as_univariate(draws)

    def block(rows: slice) -> Array:
        return responsibilities_in(rows, checked, values)

    return _paired(block, len(values), *checked.weights.shape[:2])


def co_clustering_of(responsibilities: ArrayLike) -> Averages:
    """Posterior probability that two observations belong to the same component, from responsibilities.

    As `co_clustering`, of mixtures in any number of dimensions, and of draws of any origin.

    Parameters
    ----------
    responsibilities : (c, s, n, k) array_like
        Of c chains of s draws, in any order of the components in each; independent draws, such as those
        of a bootstrap, are one chain. At most 4,000 observations.

    Returns
    -------
    Averages of (n, n)

    Raises
    ------
    ValueError
        If they are not finite, negative, do not sum to 1, there are none, or more observations.
    """
    r = as_responsibilities(responsibilities)
    n_chains, n_draws, n, k = r.shape
    draws = np.moveaxis(r.reshape(-1, n, k), -1, 0)  # (k, c s, n)
    return _paired(lambda rows: draws[:, rows], n, n_chains, n_draws)


def _paired(block: Callable[[slice], Array], n: int, n_chains: int, n_draws: int) -> Averages:
    """Average sum_j r_ij r_lj over draws, of which `block` gives the responsibilities (k, s, n) of some."""
    if n > MOST_OBSERVATIONS:
        raise ValueError(f"there must be at most {MOST_OBSERVATIONS} observations to be paired; got {n}")
    found = average(
        (rows.stop - rows.start, _products(block(rows)) / (rows.stop - rows.start))
        for rows in batches(n_chains, n_draws)
    )
    probabilities, errors = found.values.copy(), found.mcse.copy()
    np.fill_diagonal(probabilities, 1.0)
    np.fill_diagonal(errors, 0.0)
    return Averages(probabilities, errors, found.n_batches)


def _products(responsibilities: Array) -> Array:
    """Sum of r_ij r_lj over components and draws, (n, n), from (k, s, n)."""
    r = responsibilities.reshape(-1, responsibilities.shape[-1])
    return r.T @ r

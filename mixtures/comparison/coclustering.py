"""Co-clustering: how probably two observations belong to the same component, whatever it is called."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from mixtures.comparison.averages import Averages, average, batches
from mixtures.comparison.doubt import check_univariate, responsibilities_in
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
    ValueError
        If there are more observations, or the draws are of several dimensions or not finite.
    """
    values = as_observations(x, n_dims=1)[:, 0]
    if len(values) > MOST_OBSERVATIONS:
        raise ValueError(
            f"x must have at most {MOST_OBSERVATIONS} observations to be paired; got {len(values)}"
        )
    check_univariate(draws)
    found = average(_batches(draws, values))
    probabilities, errors = found.values.copy(), found.mcse.copy()
    np.fill_diagonal(probabilities, 1.0)
    np.fill_diagonal(errors, 0.0)
    return Averages(probabilities, errors, found.n_batches)


def _batches(draws: Draws, x: Array) -> Iterator[tuple[int, Array]]:
    """Size of each batch of draws, and its average of sum_j r_ij r_lj, (n, n)."""
    n_chains, n_draws, _ = draws.weights.shape
    for rows in batches(n_chains, n_draws):
        size = rows.stop - rows.start
        r = responsibilities_in(rows, draws, x).reshape(-1, len(x))
        yield size, r.T @ r / size

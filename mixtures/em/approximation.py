"""Draws from the normal approximation about a maximum of the likelihood."""

from __future__ import annotations

import numpy as np

from mixtures.em.information import curve
from mixtures.model.arrays import Array
from mixtures.model.fit import Draws
from mixtures.model.mixture import NormalMixture
from mixtures.model.spec import Covariance


def normal_draws(
    mixture: NormalMixture, x: Array, covariance: Covariance, *, n_draws: int, rng: np.random.Generator
) -> Draws:
    """Draw univariate mixtures from the normal approximation about a maximum.

    Log ratios of weights, means and log variances are normal about the maximum, with the inverse
    of the observed information as their covariance.

    Parameters
    ----------
    mixture : NormalMixture
        A maximum of the likelihood, univariate.
    x : (n, 1) array
        Observations.
    covariance : Covariance
    n_draws : int
    rng : numpy.random.Generator

    Returns
    -------
    Draws
        Of one chain; independent.

    Raises
    ------
    ValueError
        If the mixture is not univariate, or the Hessian is not negative definite there.
    """
    if mixture.n_dims != 1:
        raise ValueError(f"mixture must be univariate; got {mixture.n_dims} dimensions")
    k, information = mixture.n_components, -curve(mixture, x, covariance).hessian
    try:
        factor = np.linalg.cholesky(information)
    except np.linalg.LinAlgError:
        raise ValueError("mixture must be a strict maximum; got a Hessian not negative definite") from None
    steps = np.linalg.solve(factor.T, rng.standard_normal((len(factor), n_draws))).T
    ratios, shifts, log_ratios = np.split(steps, [k - 1, 2 * k - 1], axis=1)
    weights = mixture.weights * np.exp(np.pad(ratios, ((0, 0), (0, 1))))
    variances = mixture.variances[:, 0] * np.exp(log_ratios)  # one ratio for all where tied
    return Draws(
        (weights / weights.sum(axis=1, keepdims=True))[None],
        (mixture.means[:, 0] + mixture.sds[:, 0] * shifts)[None, ..., None],
        variances[None, ..., None],
    )

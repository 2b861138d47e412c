"""Draws from the normal approximation about a maximum of the likelihood."""

from __future__ import annotations

import numpy as np

from mixtures.em.information import Form, certify, information_at
from mixtures.model.arrays import Array
from mixtures.model.data import check_fittable
from mixtures.model.fit import Draws
from mixtures.model.mixture import NormalMixture
from mixtures.model.scale import Scale
from mixtures.model.spec import Covariance, MixtureSpec


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
        If the mixture is not univariate, the observations cannot be fitted (see `check_fittable`), or the
        mixture is not certified as a maximum for them.
    """
    if mixture.n_dims != 1:
        raise ValueError(f"mixture must be univariate; got {mixture.n_dims} dimensions")
    k = mixture.n_components
    of_local = _covariance_at(mixture, check_fittable(MixtureSpec(k, covariance), x), covariance)
    steps = rng.standard_normal((n_draws, len(of_local))) @ np.linalg.cholesky(of_local).T
    ratios, shifts, log_ratios = np.split(steps, [k - 1, 2 * k - 1], axis=1)
    weights = mixture.weights * np.exp(np.pad(ratios, ((0, 0), (0, 1))))
    variances = mixture.variances[:, 0] * np.exp(log_ratios)  # one ratio for all where tied
    return Draws(
        (weights / weights.sum(axis=1, keepdims=True))[None],
        (mixture.means[:, 0] + mixture.sds[:, 0] * shifts)[None, ..., None],
        variances[None, ..., None],
    )


def _covariance_at(mixture: NormalMixture, x: Array, covariance: Covariance) -> Array:
    """Covariance (p, p) in local coordinates, which have no units, at a certified maximum."""
    scale = Scale.of(x, covariance)
    at, z = scale.standardise_mixture(mixture), scale.standardise(x)
    certificate = certify(at, z, covariance)
    if not certificate.is_negative_definite:
        raise ValueError("mixture must be a strict maximum; got a Hessian not negative definite")
    if not certificate.is_maximum:
        gain = f"{certificate.newton_decrement:.2g} of log-likelihood still to gain"
        raise ValueError(f"mixture must be a strict maximum; got {gain}")
    of_local = information_at(at, z, covariance).covariance(Form.INFORMATION)
    if of_local is None:
        raise ValueError("mixture must be a strict maximum; got a singular Hessian")
    return of_local

"""Densities, log-likelihood and responsibilities: the definition, in readable numpy.

The formulas are those of ``docs/notation.md``. Everything is computed on the log scale, so that an
observation far from every component still has responsibilities.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mixtures.model.arrays import Array
from mixtures.model.data import as_observations
from mixtures.model.mixture import NormalMixture

_LOG_TWO_PI = math.log(2 * math.pi)


def log_sum_exp(terms: Array) -> Array:
    """Log of the sum of exponentials along the last axis, free of overflow; (..., k) to (...)."""
    top = terms.max(axis=-1)
    safe = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        return safe + np.log(np.exp(terms - safe[..., None]).sum(axis=-1))


def component_log_densities(mixture: NormalMixture, x: Array) -> Array:
    """Log density of each component, log N(x_i; mu_j, Sigma_j).

    Parameters
    ----------
    mixture : NormalMixture
        With k components in d dimensions.
    x : (n, d) array
        Observations.

    Returns
    -------
    (n, k) array
    """
    n, d = x.shape
    if d == 1:
        z = (x[:, 0] - mixture.means) / mixture.sds
        return (-0.5 * (_LOG_TWO_PI + np.log(mixture.variances) + z * z)).T
    log_densities = np.empty((mixture.n_components, n)).T  # so that sums over components add whole columns
    factors = np.linalg.cholesky(mixture.covariances)
    for j, (mean, factor) in enumerate(zip(mixture.means, factors, strict=True)):
        z = np.linalg.solve(factor, (x - mean).T).T
        log_det = 2 * np.log(factor.diagonal()).sum()
        log_densities[:, j] = -0.5 * (d * _LOG_TWO_PI + log_det + np.einsum("nd,nd->n", z, z))
    return log_densities


def joint_log_densities(mixture: NormalMixture, x: Array) -> Array:
    """Log of P(C_j) N(x_i; mu_j, Sigma_j), (n, k): the terms whose sum over j is the density of x_i."""
    with np.errstate(divide="ignore"):
        return np.log(mixture.weights) + component_log_densities(mixture, x)


def log_density(mixture: NormalMixture, x: ArrayLike) -> Array:
    """Log density of the mixture at each observation, log sum_j P(C_j) N(x_i; mu_j, Sigma_j).

    Parameters
    ----------
    mixture : NormalMixture
    x : (n,) or (n, d) array_like
        Observations; (n,) is taken as univariate.

    Returns
    -------
    (n,) array

    Raises
    ------
    TypeError, ValueError
        If `x` does not hold finite numbers with as many columns as the mixture has dimensions.
    """
    return log_sum_exp(joint_log_densities(mixture, as_observations(x, mixture.n_dims)))


def log_likelihood(mixture: NormalMixture, x: ArrayLike) -> float:
    """Total log-likelihood of the observations, sum_i log P(X = x_i): never the mean.

    Parameters and errors are those of `log_density`.
    """
    return float(log_density(mixture, x).sum())


@dataclass(frozen=True, slots=True, eq=False)
class SoftAssignments:
    """Density and soft assignment of observations, on the log scale.

    Attributes
    ----------
    log_densities : (n,) array
        Log density of the mixture at each observation.
    log_responsibilities : (n, k) array
        Log of each responsibility: exact where the responsibility itself underflows to 0.
    """

    log_densities: Array
    log_responsibilities: Array


def soft_assignments(mixture: NormalMixture, x: ArrayLike) -> SoftAssignments:
    """Density and soft assignment of each observation, by Bayes' rule.

    Parameters and errors are those of `log_density`.
    """
    joint = joint_log_densities(mixture, as_observations(x, mixture.n_dims))
    top = joint.max(axis=1)
    joint -= top[:, None]  # far out, where densities are tiny, their ratios keep their digits
    over_top = np.log(np.exp(joint).sum(axis=1))
    return SoftAssignments(top + over_top, joint - over_top[:, None])


def log_responsibilities(mixture: NormalMixture, x: ArrayLike) -> Array:
    """Log of each responsibility, (n, k): exact where the responsibility itself underflows to 0.

    Parameters and errors are those of `log_density`.
    """
    return soft_assignments(mixture, x).log_responsibilities


def responsibilities(mixture: NormalMixture, x: ArrayLike) -> Array:
    """Soft assignment P(C_j | x_i) of each observation to each component, by Bayes' rule; (n, k).

    Each row sums to 1. Parameters and errors are those of `log_density`.
    """
    return np.exp(log_responsibilities(mixture, x))

"""The two steps of EM (Dempster, Laird & Rubin 1977) for a mixture of normals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixtures.model.arrays import Array
from mixtures.model.density import joint_log_densities, log_sum_exp
from mixtures.model.mixture import NormalMixture
from mixtures.model.spec import Covariance

_EMPTY = 1e-300  # keeps 0 / 0 out of a component that nobody belongs to; the loop then drops the run


@dataclass(frozen=True, slots=True, eq=False)
class Expectation:
    """What the E-step finds at given parameters.

    Attributes
    ----------
    log_likelihood : float
        Total log-likelihood of those parameters.
    responsibilities : (n, k) array
    """

    log_likelihood: float
    responsibilities: Array


def e_step(mixture: NormalMixture, x: Array) -> Expectation:
    """Soft assignment of every observation by Bayes' rule, r_ij = P(C_j | x_i), and the log-likelihood."""
    joint = joint_log_densities(mixture, x)
    log_density = log_sum_exp(joint)
    return Expectation(float(log_density.sum()), np.exp(joint - log_density[:, None]))


def m_step(covariance: Covariance, x: Array, responsibilities: Array) -> NormalMixture:
    """Maximum-likelihood estimate of each component, observations weighted by responsibilities.

    N_j = sum_i r_ij;  w_j = N_j / n;  mu_j = sum_i r_ij x_i / N_j;
    Sigma_j = sum_i r_ij (x_i - mu_j)(x_i - mu_j)' / N_j, restricted to the covariance structure.
    """
    counts = responsibilities.sum(axis=0) + _EMPTY
    means = (responsibilities.T @ x) / counts[:, None]
    scatters = _scatters(x, means, responsibilities)
    return NormalMixture.unchecked(counts / counts.sum(), means, _structured(covariance, scatters, counts))


def _scatters(x: Array, means: Array, responsibilities: Array) -> Array:
    """Scatter of the observations about each mean, sum_i r_ij (x_i - mu_j)(x_i - mu_j)'; (k, d, d)."""
    k, d = means.shape
    scatters = np.empty((k, d, d))
    for j in range(k):
        centred = x - means[j]
        scatters[j] = (centred * responsibilities[:, j, None]).T @ centred
    return scatters


def _structured(covariance: Covariance, scatters: Array, counts: Array) -> Array:
    """Maximum-likelihood covariances (k, d, d) of the given structure."""
    d = scatters.shape[1]
    if covariance == Covariance.TIED:
        return np.broadcast_to(scatters.sum(axis=0) / counts.sum(), scatters.shape).copy()
    covariances = scatters / counts[:, None, None]
    if covariance == Covariance.FULL:
        return covariances
    if covariance == Covariance.DIAGONAL:
        return covariances * np.eye(d)
    mean_variances: Array = np.trace(covariances, axis1=1, axis2=2) / d
    return mean_variances[:, None, None] * np.eye(d)

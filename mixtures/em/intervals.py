"""Standard errors and Wald intervals by the delta method, from a covariance in local coordinates.

The coordinates are those of `information`. With L_j the Cholesky factor of Sigma_j in the data's units,

    dw_j / da_l = w_j (delta_jl - w_l),  dmu_j / dm_j = L_j,  dSigma_j / dS_a = L_j B_a L_j',

and log r_ij has the gradient s_ij - sum_l r_il s_il, with s_ij the score of observation i as if component
j were known to be its own.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from mixtures.em.information import basis_of, complete_scores, layout_of
from mixtures.model.arrays import Array
from mixtures.model.density import log_responsibilities, log_sum_exp
from mixtures.model.fit import Intervals, Parameters
from mixtures.model.mixture import NormalMixture
from mixtures.model.spec import Covariance

_NUMBERS_AT_ONCE = 1 << 21  # of scores, while responsibilities are gone through


def normal_quantile(level: float) -> float:
    """Number of standard errors to each side of an interval of a nominal level."""
    return NormalDist().inv_cdf((1 + level) / 2)


def standard_errors(mixture: NormalMixture, covariance: Covariance, of_local: Array) -> Parameters:
    """Standard errors of weights, means and variances, in the units of each parameter.

    Parameters
    ----------
    mixture : NormalMixture
        The estimate, in the units that the standard errors are to have.
    covariance : Covariance
        Structure of its covariances.
    of_local : (p, p) array
        Covariance of the estimate in local coordinates, which have no units.
    """
    k, d = mixture.means.shape
    factors, basis = np.linalg.cholesky(mixture.covariances), basis_of(covariance, d)
    weights = mixture.weights[:, None] * (np.eye(k) - mixture.weights)[:, :-1]
    means, variances = np.empty((k, d)), np.empty((k, d))
    for j, places in enumerate(layout_of(k, d, covariance)):
        own = of_local[np.ix_(places, places)]
        changes = np.einsum("cd,ade,ce->ca", factors[j], basis, factors[j])
        means[j] = _errors(factors[j], own[:d, :d])
        variances[j] = _errors(changes, own[d:, d:])
    return Parameters(_errors(weights, of_local[: k - 1, : k - 1]), means, variances)


def _errors(derivatives: Array, covariance: Array) -> Array:
    """Root of the diagonal of D V D'."""
    variances = np.einsum("ap,pq,aq->a", derivatives, covariance, derivatives)
    return np.sqrt(np.maximum(variances, 0))


def wald_intervals(mixture: NormalMixture, errors: Parameters, level: float) -> Intervals:
    """Intervals on the scale that suits each parameter: weights by logits, variances by logarithms.

    Means have theirs on their own scale. The standard errors on the other scales follow by the delta
    method, so that the ends depend neither on units nor on the order of components.
    """
    z = normal_quantile(level)
    weights, spread = mixture.weights, mixture.weights * (1 - mixture.weights)
    half = np.divide(z * errors.weights, spread, out=np.zeros_like(weights), where=spread > 0)
    with np.errstate(divide="ignore"):
        logits = np.log(weights) - np.log1p(-weights)
    with np.errstate(over="ignore"):
        factors = np.exp(z * errors.variances / mixture.variances)
    return Intervals(
        level,
        errors,
        Parameters(logistic(logits - half), mixture.means - z * errors.means, mixture.variances / factors),
        Parameters(logistic(logits + half), mixture.means + z * errors.means, mixture.variances * factors),
    )


def responsibility_intervals(
    mixture: NormalMixture, x: Array, covariance: Covariance, of_local: Array, level: float
) -> Array:
    """Wald intervals of each responsibility, made on the logit scale.

    Parameters
    ----------
    mixture : NormalMixture
        The estimate, in the units of `x`.
    x : (n, d) array
        Observations.
    covariance : Covariance
    of_local : (p, p) array
        Covariance of the estimate in local coordinates.
    level : float

    Returns
    -------
    (n, k, 2) array
        Lower and upper ends.
    """
    z, ends = normal_quantile(level), np.ones((len(x), mixture.n_components, 2))
    n_at_once = max(_NUMBERS_AT_ONCE // (mixture.n_components * max(len(of_local), 1)), 1)
    for first in range(0, len(x) if mixture.n_components > 1 else 0, n_at_once):
        rows = slice(first, first + n_at_once)
        scores, logs = complete_scores(mixture, x[rows], covariance), log_responsibilities(mixture, x[rows])
        for j in range(mixture.n_components):
            others = np.arange(mixture.n_components) != j
            log_others = log_sum_exp(logs[:, others])
            shares = np.exp(logs[:, others] - log_others[:, None])  # of the others, if it is not j's
            gradients = scores[:, j] - np.einsum("nl,nlp->np", shares, scores[:, others])
            half = z * np.sqrt(np.maximum(np.einsum("np,np->n", gradients @ of_local, gradients), 0))
            logits = logs[:, j] - log_others
            ends[rows, j, 0], ends[rows, j, 1] = logistic(logits - half), logistic(logits + half)
    return ends


def logistic(logits: Array) -> Array:
    """Probability with the given log odds, free of overflow."""
    return np.exp(-np.logaddexp(0.0, -logits))

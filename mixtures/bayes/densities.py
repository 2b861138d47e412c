"""The mixture's densities at many posterior draws at once, in blocks that bound the memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mixtures.bayes.draws import MixtureDraws
from mixtures.model.arrays import Array
from mixtures.model.density import log_sum_exp
from mixtures.model.prior import Prior

_NEXT_TO_UNDERFLOW = 1e-280  # a mean above it has lost nothing to responsibilities below 1e-308
_BLOCK = 100_000  # numbers in an array: it stays in the cache, 6 times faster than blocks of 16 MB


@dataclass(frozen=True, slots=True, eq=False)
class SoftAssignments:
    """Responsibilities averaged over the posterior.

    Attributes
    ----------
    log_responsibilities : (n, k) array
        Log of E[r_ij(theta) | x], which is not the responsibility at the posterior mean.
    intervals : (n, k, 2) array
        Equal-tailed intervals of each r_ij(theta).
    """

    log_responsibilities: Array
    intervals: Array

    @property
    def responsibilities(self) -> Array:
        """E[r_ij(theta) | x], (n, k)."""
        return np.exp(self.log_responsibilities)


def joint_log_densities(draws: MixtureDraws, x: Array) -> Array:
    """Log of P(C_j) N(x_i; mu_j, sigma_j^2) at each draw, (s, n, k).

    Parameters
    ----------
    draws : MixtureDraws
        In one row, (s, k).
    x : (n,) array
        Observations.
    """
    # Laid out (k, n, s), so that a sum over components adds whole blocks.
    weights, means, sds = (
        np.ascontiguousarray(values.T)[:, None] for values in (draws.weights, draws.means, draws.sds)
    )
    with np.errstate(divide="ignore"):
        constant = np.log(weights) - np.log(sds) - 0.5 * np.log(2 * np.pi)
    return (constant - ((x[:, None] - means) / (np.sqrt(2) * sds)) ** 2).transpose(2, 1, 0)


def log_densities(draws: MixtureDraws, x: Array) -> Array:
    """Log density of the mixture at each draw and observation, (s, n); arguments as above."""
    values = np.empty((*draws.shape, len(x)))
    for rows in _blocks(len(values), draws.n_components * len(x)):
        values[rows] = log_sum_exp(joint_log_densities(draws.at(rows), x))
    return values


def log_likelihoods(draws: MixtureDraws, x: Array) -> Array:
    """Total log-likelihood at each draw, (s,); arguments as above."""
    totals = np.empty(draws.shape)
    for rows in _blocks(len(totals), draws.n_components * len(x)):
        totals[rows] = log_sum_exp(joint_log_densities(draws.at(rows), x)).sum(axis=1)
    return totals


def log_prior_densities(prior: Prior, draws: MixtureDraws) -> Array:
    """Log prior density at each draw: `Prior.log_density`, of draws whose means are in order where it is."""
    with np.errstate(divide="ignore", invalid="ignore"):  # at weights and sds that underflowed to 0
        by_component = prior.means.log_density(draws.means) + prior.sds.log_density(draws.sds)
        return prior.weights.log_density(draws.weights) + by_component.sum(axis=-1)


def log_likelihoods_from(
    log_posteriors: Array, log_priors: Array, prior: Prior, draws: MixtureDraws, x: Array
) -> Array:
    """Total log-likelihood at each draw, from the sampler's own log density: n times fewer terms.

    That density is the posterior's, of the free variables; less the prior and the Jacobian it is the
    log-likelihood up to a constant, which one draw computed from the data gives.

    Parameters
    ----------
    log_posteriors : (c, s) array
        Log posterior density of the sampler's free variables, not normalised.
    log_priors : (c, s) array
        Log prior density of weights, means and sds.
    prior : Prior
        That they were drawn under.
    draws : MixtureDraws
        (c, s, k), as sampled.
    x : (n,) array
        Observations.
    """
    with np.errstate(invalid="ignore"):
        values = (log_posteriors - log_priors - _log_jacobians(prior, draws)).reshape(-1)
    row, is_known = draws.in_one_row(), np.isfinite(values)
    one = int(is_known.argmax())
    values += log_likelihoods(row.at(slice(one, one + 1)), x) - values[one]
    rest = np.flatnonzero(~is_known)  # a weight or sd that underflowed to 0 has no finite prior or Jacobian
    values[rest] = log_likelihoods(row.at(rest), x)
    return values.reshape(log_posteriors.shape)


def _log_jacobians(prior: Prior, draws: MixtureDraws) -> Array:
    """Log Jacobian of weights, means and sds by the sampler's free variables, up to a constant."""
    with np.errstate(divide="ignore"):
        values: Array = np.log(draws.weights).sum(axis=-1) + np.log(draws.sds).sum(axis=-1)
        if prior.ordered:  # the free variables are the logarithms of the steps between the means
            values = values + np.log(np.diff(draws.means)).sum(axis=-1)
    return values


def soft_assignments(draws: MixtureDraws, x: Array, *, level: float) -> SoftAssignments:
    """Average responsibilities over the draws, with equal-tailed intervals; arguments as above."""
    k, tails = draws.n_components, np.array([(1 - level) / 2, (1 + level) / 2])
    means, intervals = np.empty((len(x), k)), np.empty((len(x), k, 2))
    for rows in _blocks(len(x), draws.weights.size):
        by_draw = responsibilities_at(draws, x[rows])
        means[rows] = by_draw.mean(axis=-1).T
        by_draw.sort(axis=-1)
        intervals[rows] = quantiles_of_sorted(by_draw, tails).swapaxes(0, 1)
    return SoftAssignments(_logarithms(means, draws, x), intervals)


def responsibilities_at(draws: MixtureDraws, x: Array) -> Array:
    """Responsibility of each component for each observation at each draw, (k, n, s)."""
    from mixtures.bayes.responsibilities import responsibilities  # loads numba; settings need it not

    means, inverses = (np.ascontiguousarray(values.T) for values in (draws.means, 1 / draws.sds))
    with np.errstate(divide="ignore"):
        constants = np.ascontiguousarray((np.log(draws.weights) - np.log(draws.sds)).T)
    return responsibilities(np.ascontiguousarray(x), constants, means, inverses)


def quantiles_of_sorted(values: Array, probabilities: Array) -> Array:
    """Quantiles, linearly interpolated, of values sorted along the last axis.

    To sort and to interpolate is several times faster than `numpy.quantile`, which selects.
    """
    places = probabilities * (values.shape[-1] - 1)
    below = np.floor(places).astype(np.int64)
    above = np.minimum(below + 1, values.shape[-1] - 1)
    quantiles: Array = values[..., below] + (places - below) * (values[..., above] - values[..., below])
    return quantiles


def _logarithms(means: Array, draws: MixtureDraws, x: Array) -> Array:
    """Log of mean responsibilities (n, k), from logarithms throughout where they are next to underflow."""
    with np.errstate(divide="ignore"):
        logs = np.log(means)
    tiny = np.flatnonzero((means < _NEXT_TO_UNDERFLOW).any(axis=1))
    for rows in _blocks(len(tiny), draws.weights.size):
        joint = joint_log_densities(draws, x[tiny[rows]])
        by_draw = np.moveaxis(joint - log_sum_exp(joint)[..., None], 0, -1)
        logs[tiny[rows]] = log_sum_exp(by_draw) - np.log(by_draw.shape[-1])
    return logs


def _blocks(n_rows: int, width: int) -> Iterator[slice]:
    step = max(1, _BLOCK // width)
    return (slice(start, start + step) for start in range(0, n_rows, step))

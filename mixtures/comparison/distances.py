"""Distances between densities, which need no labels: Hellinger, Kullback-Leibler, Bayes error."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np

from mixtures.model.arrays import Array, freeze
from mixtures.model.density import joint_log_densities, log_sum_exp
from mixtures.model.mixture import NormalMixture

_REACH = (
    0.0,
    0.5,
    1.0,
    1.5,
    2.0,
    3.0,
    4.0,
    6.0,
    9.0,
    14.0,
    38.0,
)  # panel ends, in sds; beyond 38 nothing is left
_POINTS_PER_PANEL = 12
_QUASI_POINTS = 2**13  # Hellinger distances in several dimensions are then good to about 0.002

#: A study compares thousands of fits with one truth. Mixtures do not change, so that the answers for
#: the same object are kept; a few of them, because a truth may be drawn anew for each data set.
_of_truths = lru_cache(maxsize=8)
_legendre_rule = cache(np.polynomial.legendre.leggauss)


@dataclass(frozen=True, slots=True)
class DensityDistances:
    """How far a mixture q is from the truth p, by their densities.

    Attributes
    ----------
    hellinger : float
        Hellinger distance, sqrt(1 - integral of sqrt(p q)), in [0, 1].
    kl : float
        Kullback-Leibler divergence, integral of p log(p / q), not negative.
    """

    hellinger: float
    kl: float


@dataclass(frozen=True, slots=True, eq=False)
class _Nodes:
    """Points and logarithms of weights with which sums stand for integrals over space."""

    x: Array
    log_weights: Array


def density_distances(p: NormalMixture, q: NormalMixture) -> DensityDistances:
    """Distances of the density of q from that of the truth p, by the definitions of `DensityDistances`.

    By Gauss-Legendre quadrature for d = 1 (error of the Hellinger distance below 1e-8, or near a
    distance of 0 the root of rounding error), by quasi-Monte Carlo sums from the half-and-half mixture
    of p and q otherwise (error about 0.002).
    """
    nodes = _nodes(p, q)
    log_p, log_q = _log_density(p, nodes.x), _log_density(q, nodes.x)
    affinity = float(np.exp((log_p + log_q) / 2 + nodes.log_weights).sum())
    shares = np.exp(log_p + nodes.log_weights)
    with np.errstate(invalid="ignore"):
        terms = np.where(shares > 0, shares * (log_p - log_q), 0.0)
    return DensityDistances(
        hellinger=math.sqrt(min(max(1 - affinity, 0.0), 1.0)), kl=max(float(terms.sum()), 0.0)
    )


@_of_truths
def bayes_error(mixture: NormalMixture) -> float:
    """Error rate of the best possible hard assignment, 1 - integral of max_j w_j N(x; mu_j, Sigma_j)."""
    nodes = _nodes(mixture, mixture)
    best = joint_log_densities(mixture, nodes.x).max(axis=1)
    return min(max(1 - float(np.exp(best + nodes.log_weights).sum()), 0.0), 1.0)


def separation(mixture: NormalMixture) -> float:
    """Smallest |mu_i - mu_j| / sqrt((v_i + v_j) / 2) over pairs of univariate components; infinite for k = 1.

    In several dimensions, the same with the Mahalanobis distance by the average of the two covariances.
    """
    smallest = math.inf
    for i in range(mixture.n_components):
        for j in range(i):
            delta = mixture.means[i] - mixture.means[j]
            pooled = (mixture.covariances[i] + mixture.covariances[j]) / 2
            smallest = min(smallest, math.sqrt(float(delta @ np.linalg.solve(pooled, delta))))
    return smallest


def _log_density(mixture: NormalMixture, x: Array) -> Array:
    """Log density at nodes, (n,)."""
    # component after component in memory: sums over the few of them then run along whole columns
    return log_sum_exp(np.asfortranarray(joint_log_densities(mixture, x)))


def _nodes(p: NormalMixture, q: NormalMixture) -> _Nodes:
    return _panels(p, q) if p.n_dims == 1 else _quasi_random(p, q)


def _panels(p: NormalMixture, q: NormalMixture) -> _Nodes:
    """Gauss-Legendre nodes on panels that end at so many sds from each mean, and where components cross."""
    reach = np.array([*(-r for r in reversed(_REACH[1:])), *_REACH])
    ends = np.unique(np.concatenate([*((m.means + m.sds * reach).ravel() for m in (p, q)), _crossings(p)]))
    points, weights = _legendre_rule(_POINTS_PER_PANEL)
    half = np.diff(ends)[:, None] / 2
    middle = (ends[:-1] + ends[1:])[:, None] / 2
    return _Nodes((middle + half * points).reshape(-1, 1), np.log(half * weights).ravel())


@_of_truths
def _crossings(mixture: NormalMixture) -> Array:
    """Points where the weighted densities of two univariate components are equal: a x^2 + b x + c = 0."""
    w, v = mixture.weights, mixture.variances[:, 0]
    origin = mixture.means[0, 0]  # means far from 0 keep their digits
    m = mixture.means[:, 0] - origin
    roots: list[float] = []
    for i in range(len(w)):
        for j in range(i):
            if w[i] == 0 or w[j] == 0:
                continue
            a = 1 / v[j] - 1 / v[i]
            b = 2 * (m[i] / v[i] - m[j] / v[j])
            c = m[j] ** 2 / v[j] - m[i] ** 2 / v[i] + 2 * math.log(w[i] / w[j]) + math.log(v[j] / v[i])
            roots.extend(root.real for root in np.roots([a, b, c]) if abs(root.imag) < 1e-12)
    return freeze(origin + np.array(roots))


def _quasi_random(p: NormalMixture, q: NormalMixture) -> _Nodes:
    """Points of the half-and-half mixture of p and q, from a Sobol sequence, weighted by 1 / density."""
    from scipy.stats import norm
    from scipy.stats.qmc import Sobol

    uniform = Sobol(p.n_dims + 1, scramble=False).random(_QUASI_POINTS) + 0.5 / _QUASI_POINTS
    weights = np.concatenate([p.weights, q.weights]) / 2
    means = np.concatenate([p.means, q.means])
    factors = np.linalg.cholesky(np.concatenate([p.covariances, q.covariances]))
    chosen = np.minimum(np.searchsorted(np.cumsum(weights), uniform[:, 0]), len(weights) - 1)
    x = means[chosen] + np.einsum("nde,ne->nd", factors[chosen], norm.ppf(uniform[:, 1:]))
    log_densities = np.logaddexp(_log_density(p, x), _log_density(q, x)) - math.log(2)
    return _Nodes(x, -log_densities - math.log(len(x)))

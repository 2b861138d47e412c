"""Distances between densities, which need no labels: Hellinger, Kullback-Leibler, Bayes error."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mixtures.model.arrays import Array
from mixtures.model.density import joint_log_densities, log_density
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


@dataclass(frozen=True, slots=True, eq=False)
class _Nodes:
    """Points and logarithms of weights with which sums stand for integrals over space."""

    x: Array
    log_weights: Array


def hellinger_distance(p: NormalMixture, q: NormalMixture) -> float:
    """Hellinger distance between two mixtures, sqrt(1 - integral of sqrt(p q)), in [0, 1].

    By Gauss-Legendre quadrature for d = 1 (error below 1e-8, or near a distance of 0 the root of
    rounding error), by quasi-Monte Carlo sums from the half-and-half mixture of p and q otherwise
    (error about 0.002).
    """
    nodes = _nodes(p, q)
    halves = (log_density(p, nodes.x) + log_density(q, nodes.x)) / 2
    return math.sqrt(min(max(1 - float(np.exp(halves + nodes.log_weights).sum()), 0.0), 1.0))


def kl_divergence(p: NormalMixture, q: NormalMixture) -> float:
    """Kullback-Leibler divergence of q from the truth p, integral of p log(p / q), not negative.

    Computed as `hellinger_distance` is.
    """
    nodes = _nodes(p, q)
    log_p, log_q = log_density(p, nodes.x), log_density(q, nodes.x)
    shares = np.exp(log_p + nodes.log_weights)
    with np.errstate(invalid="ignore"):
        terms = np.where(shares > 0, shares * (log_p - log_q), 0.0)
    return max(float(terms.sum()), 0.0)


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


def _nodes(p: NormalMixture, q: NormalMixture) -> _Nodes:
    return _panels(p, q) if p.n_dims == 1 else _quasi_random(p, q)


def _panels(p: NormalMixture, q: NormalMixture) -> _Nodes:
    """Gauss-Legendre nodes on panels that end at so many sds from each mean, and where components cross."""
    reach = np.array([*(-r for r in reversed(_REACH[1:])), *_REACH])
    ends = np.unique(
        np.concatenate([(m.means[:, :1] + m.sds[:, :1] * reach).ravel() for m in (p, q)] + [_crossings(p)])
    )
    points, weights = np.polynomial.legendre.leggauss(_POINTS_PER_PANEL)
    half = np.diff(ends)[:, None] / 2
    middle = (ends[:-1] + ends[1:])[:, None] / 2
    return _Nodes((middle + half * points).reshape(-1, 1), np.log(half * weights).ravel())


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
    return origin + np.array(roots)


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
    log_densities = np.logaddexp(log_density(p, x), log_density(q, x)) - math.log(2)
    return _Nodes(x, -log_densities - math.log(len(x)))

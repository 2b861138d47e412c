"""Distances between densities, which need no labels: Hellinger, Kullback-Leibler, Bayes error."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np

from mixtures.model.arrays import Array, freeze
from mixtures.model.compiled import compiled
from mixtures.model.density import joint_log_densities
from mixtures.model.exponential import log_of_sum
from mixtures.model.kernel import UNWEIGHTED, Data, Theta, assign_block, empty_block
from mixtures.model.mixture import NormalMixture

# Panel ends, in sds from each mean; beyond 38 nothing is left.
_REACH = np.array([0.5, 1, 1.5, 2, 3, 4, 6, 9, 14, 38])
_ENDS = np.concatenate([-_REACH[::-1], [0], _REACH])
_POINTS_PER_PANEL = 12
_LOG_2 = math.log(2)
_QUASI_POINTS = 2**13  # Hellinger distances in several dimensions are then good to about 0.002

#: A study compares thousands of fits with one truth. Mixtures do not change, so that the answers for
#: the same object are kept; a few of them, because a truth may be drawn anew for each data set.
_of_truths = lru_cache(maxsize=8)


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
    affinity, divergence = _integrals(nodes.x, nodes.log_weights, _theta_of_truth(p), _theta(q))
    return DensityDistances(hellinger=math.sqrt(min(max(1 - affinity, 0.0), 1.0)), kl=max(divergence, 0.0))


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


def _theta(mixture: NormalMixture) -> Theta:
    """Parameters as the kernel takes them."""
    with np.errstate(divide="ignore"):
        log_weights = np.log(mixture.weights)
    return Theta(
        log_weights, mixture.means.copy(), np.linalg.cholesky(mixture.covariances), mixture.n_dims > 1
    )


_theta_of_truth = _of_truths(_theta)


@compiled
def _integrals(x: Array, log_weights: Array, p: Theta, q: Theta) -> tuple[float, float]:
    """Integrals of sqrt(p q) and of p log(p / q), as sums over nodes."""
    log_p, log_q = _log_densities(x, p), _log_densities(x, q)
    affinity, divergence = 0.0, 0.0
    for i in range(len(x)):
        affinity += math.exp((log_p[i] + log_q[i]) / 2 + log_weights[i])
        share = math.exp(log_p[i] + log_weights[i])
        if share > 0:
            divergence += share * (log_p[i] - log_q[i])
    return affinity, divergence


@compiled
def _log_densities(x: Array, theta: Theta) -> Array:
    """Log density of a mixture at nodes (m, d), as the kernel computes it."""
    log_densities = np.empty(len(x))
    block = empty_block(*theta.means.shape)
    for start in range(0, len(x), len(block.top)):
        m = min(len(block.top), len(x) - start)
        assign_block(Data(x, UNWEIGHTED), start, m, theta, block)
        for i in range(m):  # `total` is what the joint densities over the largest were multiplied by
            log_densities[start + i] = block.top[i] * _LOG_2 + log_of_sum(1 / block.total[i])
    return log_densities


def _nodes(p: NormalMixture, q: NormalMixture) -> _Nodes:
    return _panels(p, q) if p.n_dims == 1 else _quasi_random(p, q)


def _panels(p: NormalMixture, q: NormalMixture) -> _Nodes:
    """Gauss-Legendre nodes on panels that end at so many sds from each mean, and where components cross."""
    ends = np.sort(np.concatenate([_ends_of_truth(p), _ends(q)]))
    points, log_weights = _legendre_rule(_POINTS_PER_PANEL)
    half = np.diff(ends)[:, None] / 2
    middle = (ends[:-1] + ends[1:])[:, None] / 2
    with np.errstate(divide="ignore"):  # a panel of no width counts for nothing
        return _Nodes((middle + half * points).reshape(-1, 1), (np.log(half) + log_weights).ravel())


@cache
def _legendre_rule(n_points: int) -> tuple[Array, Array]:
    """Nodes on [-1, 1], and the logarithms of their weights."""
    points, weights = np.polynomial.legendre.leggauss(n_points)
    return points, np.log(weights)


def _ends(mixture: NormalMixture) -> Array:
    """Where panels end because of the means and standard deviations of a mixture."""
    return (mixture.means + mixture.sds * _ENDS).ravel()


@_of_truths
def _ends_of_truth(mixture: NormalMixture) -> Array:
    return freeze(np.concatenate([_ends(mixture), _crossings(mixture)]))


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
    log_densities = np.logaddexp(_log_densities(x, _theta(p)), _log_densities(x, _theta(q))) - math.log(2)
    return _Nodes(x, -log_densities - math.log(len(x)))

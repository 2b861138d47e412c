"""Duller second implementations: plain loops, brute force, finite differences, dense grids.

They are slow and short, and share nothing with the package but its value type.
"""

import itertools
import math

import numpy as np

from mixtures.model.mixture import NormalMixture

STRUCTURES = ("full", "diagonal", "spherical", "tied")


def random_covariances(rng, k, d, covariance="full"):
    """Draw k covariances (k, d, d) of a structure, well conditioned."""
    if covariance == "spherical":
        return rng.uniform(0.5, 2.0, size=(k, 1, 1)) * np.eye(d)
    if covariance == "diagonal":
        return rng.uniform(0.5, 2.0, size=(k, d, 1)) * np.eye(d)
    roots = rng.normal(size=(1 if covariance == "tied" else k, d, d))
    full = roots @ roots.transpose(0, 2, 1) / d + 0.5 * np.eye(d)
    return np.repeat(full, k, axis=0) if covariance == "tied" else full


def random_mixture(rng, k, d, covariance="full", spread=2.5):
    """Draw a mixture of a structure, its means `spread` apart or so."""
    weights = rng.dirichlet(np.full(k, 5.0))
    return NormalMixture(weights, spread * rng.normal(size=(k, d)), random_covariances(rng, k, d, covariance))


def two_components(rng, d, covariance, separation=3.0):
    """Two components of a structure, the given Mahalanobis distance apart, with weights .4 and .6."""
    shape = random_covariances(rng, 1, d, covariance)[0]
    direction = np.linalg.cholesky(shape) @ np.full(d, separation / math.sqrt(d))
    return NormalMixture([0.4, 0.6], [np.zeros(d), direction], [shape, shape])


def normal_density(x, mean, covariance):
    """Density of one normal at one point, by the formula in the textbook."""
    delta = x - mean
    exponent = -0.5 * delta @ np.linalg.inv(covariance) @ delta
    return math.exp(exponent) / math.sqrt((2 * math.pi) ** len(mean) * np.linalg.det(covariance))


def loop_responsibilities(mixture, x):
    """Soft assignments by Bayes' rule, one observation and component at a time."""
    result = np.zeros((len(x), mixture.n_components))
    for i, point in enumerate(x):
        terms = [
            w * normal_density(point, mean, covariance)
            for w, mean, covariance in zip(mixture.weights, mixture.means, mixture.covariances, strict=True)
        ]
        for j, term in enumerate(terms):
            result[i, j] = term / math.fsum(terms)
    return result


def loop_log_likelihood(mixture, x):
    """Total log-likelihood, naively."""
    total = 0.0
    for point in x:
        total += math.log(
            math.fsum(
                w * normal_density(point, mean, covariance)
                for w, mean, covariance in zip(
                    mixture.weights, mixture.means, mixture.covariances, strict=True
                )
            )
        )
    return total


def loop_m_step(covariance, x, r):
    """Weights, means and covariances by weighted sums, one term at a time."""
    n, d = x.shape
    k = r.shape[1]
    counts = [math.fsum(r[i, j] for i in range(n)) for j in range(k)]
    means = np.array(
        [[math.fsum(r[i, j] * x[i, a] for i in range(n)) / counts[j] for a in range(d)] for j in range(k)]
    )
    scatters = np.zeros((k, d, d))
    for j, a, b in itertools.product(range(k), range(d), range(d)):
        scatters[j, a, b] = math.fsum(
            r[i, j] * (x[i, a] - means[j, a]) * (x[i, b] - means[j, b]) for i in range(n)
        )
    covariances = np.zeros((k, d, d))
    for j in range(k):
        if covariance == "full":
            covariances[j] = scatters[j] / counts[j]
        elif covariance == "diagonal":
            covariances[j] = np.diag([scatters[j, a, a] / counts[j] for a in range(d)])
        elif covariance == "spherical":
            covariances[j] = np.eye(d) * sum(scatters[j, a, a] for a in range(d)) / (d * counts[j])
        else:
            covariances[j] = sum(scatters) / n
    return np.array(counts) / n, means, covariances


def brute_force_assignments(costs):
    """Return every permutation with its cost, cheapest first."""
    k = len(costs)
    return sorted(
        (sum(costs[j, permutation[j]] for j in range(k)), permutation)
        for permutation in itertools.permutations(range(k))
    )


def displaced(mixture, theta, covariance):
    """Return the mixture at local coordinates theta = (a, m, S) around `mixture`.

    Weights proportional to w exp(a) with the last a = 0, means mu + L m, covariances L (I + S) L';
    S lists its lower triangle by rows, off-diagonal entries halved on either side.
    """
    k, d = mixture.means.shape
    a, theta = np.append(theta[: k - 1], 0.0), theta[k - 1 :]
    m, theta = theta[: k * d].reshape(k, d), theta[k * d :]
    if covariance == "tied":
        theta = np.tile(theta, k)
    spreads = theta.reshape(k, -1)
    weights = mixture.weights * np.exp(a)
    factors = np.linalg.cholesky(mixture.covariances)
    means, covariances = [], []
    for j in range(k):
        s = np.zeros((d, d))
        if covariance == "spherical":
            s = spreads[j, 0] * np.eye(d)
        elif covariance == "diagonal":
            s = np.diag(spreads[j])
        else:
            pairs = [(row, column) for row in range(d) for column in range(row + 1)]
            for value, (row, column) in zip(spreads[j], pairs, strict=True):
                s[row, column] += value / 2
                s[column, row] += value / 2
        means.append(mixture.means[j] + factors[j] @ m[j])
        covariances.append(factors[j] @ (np.eye(d) + s) @ factors[j].T)
    return NormalMixture(weights / weights.sum(), means, covariances)


def numerical_gradient(function, p, h=1e-3):
    """Gradient at 0 by central differences, extrapolated once (error h^4)."""

    def at(step):
        return np.array([(function(step * e) - function(-step * e)) / (2 * step) for e in np.eye(p)])

    return (4 * at(h) - at(2 * h)) / 3


def numerical_hessian(function, p, h=5e-4):
    """Hessian at 0 by central differences, extrapolated once (error h^4)."""

    def at(step):
        hessian = np.zeros((p, p))
        steps = step * np.eye(p)
        for i in range(p):
            for j in range(i + 1):
                corners = (
                    function(steps[i] + steps[j])
                    - function(steps[i] - steps[j])
                    - function(steps[j] - steps[i])
                    + function(-steps[i] - steps[j])
                )
                hessian[i, j] = hessian[j, i] = corners / (4 * step**2)
        return hessian

    return (4 * at(h) - at(2 * h)) / 3


def grid_1d(*mixtures, n=200_001, reach=15.0):
    """Points and spacing of an even grid that covers univariate mixtures, for the trapezoid rule."""
    low = min((m.means[:, 0] - reach * m.sds[:, 0]).min() for m in mixtures)
    high = max((m.means[:, 0] + reach * m.sds[:, 0]).max() for m in mixtures)
    points = np.linspace(low, high, n)
    return points, points[1] - points[0]


def density_1d(mixture, points):
    """Density of a univariate mixture at points (m,), naively."""
    return sum(
        w * np.exp(-((points - mean) ** 2) / (2 * v)) / np.sqrt(2 * np.pi * v)
        for w, mean, v in zip(mixture.weights, mixture.means[:, 0], mixture.variances[:, 0], strict=True)
    )


def wilson_by_roots(events, n, z):
    """Proportions p0 with |p - p0| = z sqrt(p0 (1 - p0) / n), from the quadratic itself."""
    p = events / n
    return tuple(sorted(np.roots([1 + z**2 / n, -(2 * p + z**2 / n), p**2]).real))

"""Where theta begins. Data come standardised, so that 0 and 1 are their centre and scale."""

from __future__ import annotations

import math
from enum import StrEnum

import numpy as np

from mixtures.em.coordinates import TIED, Shape, empty_theta, n_spreads, pack, size_of, theta_is_full
from mixtures.em.mapping import pool, take_root
from mixtures.model.arrays import Array, Integers
from mixtures.model.compiled import compiled
from mixtures.model.kernel import as_data

_SMALLEST_SD = 1 / 20  # as narrow as a component can be that is small and not yet a sliver
_SMALLEST_POOLED_SD = 1e-3  # less and there are as many clusters as distinct points
_LLOYD_ITERATIONS = 10  # a start need not be a solution of k-means, only near one


class Start(StrEnum):
    """How a start is drawn."""

    RANDOM_PARAMETERS = "random_parameters"
    RANDOM_RESPONSIBILITIES = "random_responsibilities"
    KMEANS = "kmeans++"
    QUANTILES = "quantiles"


def draw_start(start: Start, x: Array, shape: Shape, rng: np.random.Generator) -> Array:
    """Draw the vector of a start of the given kind for standardised observations (n, d)."""
    match start:
        case Start.RANDOM_PARAMETERS:
            return random_vectors(x, shape, 1, rng)[0]
        case Start.RANDOM_RESPONSIBILITIES:
            shares = rng.standard_exponential((len(x), shape.k))  # over their sum uniform on the simplex
            return from_responsibilities(as_data(x).x, shape, shares / shares.sum(axis=1, keepdims=True))
        case Start.KMEANS:
            return kmeans_plus_plus(x, shape, rng)
        case Start.QUANTILES:
            return quantiles(x, shape)


def random_vectors(x: Array, shape: Shape, n: int, rng: np.random.Generator) -> Array:
    """Draw n vectors: means uniform over the data's range, random weights, and spherical components.

    Standard deviations lie between 1/20 of the data's own and all of it, uniform on the log scale.

    Returns
    -------
    (n, size) array
    """
    k, d, structure = shape
    gammas = rng.standard_gamma(2.0, size=(n, k))  # over their sum they are Dirichlet(2)
    weights = np.log(gammas / gammas.sum(axis=1, keepdims=True))
    low = x.min(axis=0)
    means = low + (x.max(axis=0) - low) * rng.random((n, k, d))
    n_spheres = 1 if structure == TIED else k
    log_sds = math.log(_SMALLEST_SD) * rng.random((n, n_spheres))
    spreads = log_sds[..., None] * _diagonal_places(shape)
    return np.hstack([weights, means.reshape(n, -1), spreads.reshape(n, -1)])


def _diagonal_places(shape: Shape) -> Array:
    """Which coordinates of a covariance are log standard deviations, (n_spreads,)."""
    if not theta_is_full(shape):
        return np.ones(n_spreads(shape))
    rows, columns = np.tril_indices(shape.d)
    return (rows == columns).astype(float)


def condense(x: Array, n: int, rng: np.random.Generator) -> Array:
    """Stand-ins (m, d) for many observations, all of the same weight.

    Univariate data become the means of n groups of neighbours whose sizes differ by one at most; in several
    dimensions, where neighbours are far apart, 20 n observations are drawn instead.
    """
    n_observations, d = x.shape
    if n_observations <= (n if d == 1 else 20 * n):
        return x
    if d > 1:
        return x[rng.choice(n_observations, size=20 * n, replace=False)]
    ends = np.arange(n + 1) * n_observations // n
    return (np.add.reduceat(np.sort(x[:, 0]), ends[:-1]) / np.diff(ends))[:, None]


@compiled
def from_responsibilities(x: Array, shape: Shape, responsibilities: Array) -> Array:
    """Vector of what the M-step makes of soft assignments (n, k); NaN where a covariance is singular."""
    k, d = shape.k, shape.d
    theta, scatters, weights = empty_theta(shape), np.zeros((k, d, d)), np.empty(k)
    for j in range(k):
        shares = responsibilities[:, j] / responsibilities[:, j].sum()
        weights[j] = responsibilities[:, j].sum() / len(x)
        theta.log_weights[j] = math.log(weights[j])
        for a in range(d):
            theta.means[j, a] = (shares * x[:, a]).sum()
        _add_scatter(x, shares, theta.means[j], scatters[j])
    if shape.structure == TIED:
        pool(scatters, weights)
    is_sound = True
    for j in range(k):
        is_sound = take_root(scatters[j], shape) and is_sound
    theta.factors[:] = scatters
    vector = np.full(size_of(shape), np.nan)
    if is_sound:
        pack(theta, shape, vector)
    return vector


@compiled
def _add_scatter(x: Array, shares: Array, centre: Array, scatter: Array) -> None:
    """Add the scatter of shares of the observations about a centre, of which only the lower triangle."""
    for i in range(len(x)):
        for a in range(x.shape[1]):
            for b in range(a + 1):
                scatter[a, b] += shares[i] * (x[i, a] - centre[a]) * (x[i, b] - centre[b])


def kmeans_plus_plus(x: Array, shape: Shape, rng: np.random.Generator) -> Array:
    """Centres by k-means++ (Arthur & Vassilvitskii 2007) and a few steps of k-means."""
    centres, groups = x[rng.integers(len(x), size=shape.k)], np.empty(len(x), dtype=np.int64)
    observations = as_data(x).x
    k_means(observations, centres, rng.random(shape.k), groups)
    return from_clusters(observations, shape, groups, centres)


@compiled
def k_means(x: Array, centres: Array, uniform: Array, groups: Integers) -> None:
    """Replace all centres but the first by observations far from those before, then take steps of k-means.

    Centre j is the observation at which the running sum of squared distances passes its share
    ``uniform[j]``. `groups` is filled with the nearest centre of each observation.
    """
    distances = np.full(len(x), np.inf)
    for j in range(1, len(centres)):
        for i in range(len(x)):
            distances[i] = min(distances[i], _squared_distance(x, i, centres, j - 1))
        running = np.cumsum(distances)
        centres[j] = x[min(np.searchsorted(running, uniform[j] * running[-1]), len(x) - 1)]
    groups[:] = -1
    for _ in range(_LLOYD_ITERATIONS):
        if not _group(x, centres, groups):
            return
        _average(x, groups, centres)
    _group(x, centres, groups)


@compiled
def _group(x: Array, centres: Array, groups: Integers) -> bool:
    """Fill in the nearest centre of each observation; whether one of them changed."""
    is_changed = False
    for i in range(len(x)):
        nearest, smallest = 0, np.inf
        for j in range(len(centres)):
            distance = _squared_distance(x, i, centres, j)
            if distance < smallest:
                nearest, smallest = j, distance
        is_changed = is_changed or nearest != groups[i]
        groups[i] = nearest
    return is_changed


@compiled
def _squared_distance(x: Array, i: int, centres: Array, j: int) -> float:
    total = 0.0
    for a in range(x.shape[1]):
        total += (x[i, a] - centres[j, a]) ** 2
    return total


@compiled
def _average(x: Array, groups: Integers, centres: Array) -> None:
    """Replace the centre of each group that is not empty by its mean."""
    counts, sums = np.zeros(len(centres)), np.zeros_like(centres)
    for i in range(len(x)):
        counts[groups[i]] += 1
        for a in range(x.shape[1]):
            sums[groups[i], a] += x[i, a]
    for j in range(len(centres)):
        if counts[j] > 0:
            centres[j] = sums[j] / counts[j]


def quantiles(x: Array, shape: Shape) -> Array:
    """Cut the sorted observations, univariate, into k groups of equal size; nothing is random."""
    groups, centres = np.arange(len(x)) * shape.k // len(x), np.zeros((shape.k, 1))
    observations = as_data(np.sort(x, axis=0)).x
    _average(observations, groups, centres)
    return from_clusters(observations, shape, groups, centres)


@compiled
def from_clusters(x: Array, shape: Shape, groups: Integers, centres: Array) -> Array:
    """Vector of components around centres, each with the pooled covariance within clusters.

    Pooled since a cluster may hold a single point.
    """
    k, d = shape.k, shape.d
    theta, pooled = empty_theta(shape), np.zeros((d, d))
    sizes = np.ones(k)  # an empty cluster still gets a weight
    for j in range(k):
        is_own = groups == j
        sizes[j] += is_own.sum()
        _add_scatter(x, is_own / len(x), centres[j], pooled)
    is_sound = take_root(pooled, shape)
    for a in range(d):
        is_sound = is_sound and pooled[a, a] > _SMALLEST_POOLED_SD
    for j in range(k):
        theta.log_weights[j] = math.log(sizes[j] / (len(x) + k))
        theta.means[j] = centres[j]
        theta.factors[j] = pooled if is_sound else np.eye(d) / k
    vector = np.empty(size_of(shape))
    pack(theta, shape, vector)
    return vector

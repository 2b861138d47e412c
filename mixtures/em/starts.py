"""Where theta begins. Data come standardised, so that 0 and 1 are their centre and scale."""

from __future__ import annotations

from enum import StrEnum

import numpy as np

from mixtures.em.coordinates import TIED, Shape, n_spreads, shape_of, theta_is_full, to_mixture
from mixtures.em.steps import m_step
from mixtures.model.arrays import Array, Integers
from mixtures.model.compiled import compiled
from mixtures.model.kernel import UNWEIGHTED, as_data
from mixtures.model.mixture import NormalMixture
from mixtures.model.spec import Covariance, MixtureSpec

_SMALLEST_SD = 1 / 20  # as narrow as a component can be that is small and not yet a sliver
_LLOYD_ITERATIONS = 10  # a start need not be a solution of k-means, only near one


class Start(StrEnum):
    """How a start is drawn."""

    RANDOM_PARAMETERS = "random_parameters"
    RANDOM_RESPONSIBILITIES = "random_responsibilities"
    KMEANS = "kmeans++"
    QUANTILES = "quantiles"


def draw_start(
    start: Start, x: Array, k: int, covariance: Covariance, rng: np.random.Generator
) -> NormalMixture:
    """Draw a start of the given kind for standardised observations (n, d)."""
    match start:
        case Start.RANDOM_PARAMETERS:
            return random_parameters(x, k, covariance, rng)
        case Start.RANDOM_RESPONSIBILITIES:
            return random_responsibilities(x, k, covariance, rng)
        case Start.KMEANS:
            return kmeans_plus_plus(x, k, covariance, rng)
        case Start.QUANTILES:
            return quantiles(x, k, covariance)


def random_parameters(x: Array, k: int, covariance: Covariance, rng: np.random.Generator) -> NormalMixture:
    """Draw one of `random_vectors`, as a mixture."""
    shape = shape_of(MixtureSpec(k, covariance), x.shape[1])
    return to_mixture(random_vectors(x, shape, 1, rng)[0], shape)


def random_vectors(x: Array, shape: Shape, n: int, rng: np.random.Generator) -> Array:
    """Draw n vectors: means uniform over the data's range, random weights, and spherical components.

    Standard deviations lie between 1/20 of the data's own and all of it, uniform on the log scale.

    Returns
    -------
    (n, size) array
    """
    k, d, structure = shape
    weights = np.log(rng.dirichlet(np.full(k, 2.0), size=n))
    means = rng.uniform(x.min(axis=0), x.max(axis=0), size=(n, k, d))
    n_spheres = 1 if structure == TIED else k
    log_sds = rng.uniform(np.log(_SMALLEST_SD), 0.0, size=(n, n_spheres))
    spreads = log_sds[..., None] * _diagonal_places(shape)
    return np.hstack([weights, means.reshape(n, -1), spreads.reshape(n, -1)])


def _diagonal_places(shape: Shape) -> Array:
    """Which coordinates of a covariance are log standard deviations, (n_spreads,)."""
    if not theta_is_full(shape):
        return np.ones(n_spreads(shape))
    rows, columns = np.tril_indices(shape.d)
    return (rows == columns).astype(float)


def condense(x: Array, n: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Stand-ins (m, d) for many observations, and how many of them each stands for, (m,).

    Univariate data become the means of n groups of neighbours, of equal size; in several dimensions,
    where neighbours are far apart, 20 n observations are drawn instead.
    """
    n_observations, d = x.shape
    if d > 1:
        if n_observations <= 20 * n:
            return x, UNWEIGHTED
        return x[rng.choice(n_observations, size=20 * n, replace=False)], UNWEIGHTED
    if n_observations <= n:
        return x, UNWEIGHTED
    ends = np.arange(n + 1) * n_observations // n
    counts = np.diff(ends).astype(float)
    return (np.add.reduceat(np.sort(x[:, 0]), ends[:-1]) / counts)[:, None], counts


def random_responsibilities(
    x: Array, k: int, covariance: Covariance, rng: np.random.Generator
) -> NormalMixture:
    """Soft assignments uniform over the simplex, and the parameters that the M-step makes of them."""
    return m_step(covariance, x, rng.dirichlet(np.ones(k), size=len(x)))


def kmeans_plus_plus(x: Array, k: int, covariance: Covariance, rng: np.random.Generator) -> NormalMixture:
    """Centres by k-means++ (Arthur & Vassilvitskii 2007) and a few steps of k-means.

    All components begin with the pooled covariance within clusters, since a cluster may hold a single point.
    """
    centres, groups = x[rng.integers(len(x), size=k)], np.empty(len(x), dtype=np.int64)
    k_means(as_data(x).x, centres, rng.random(k), groups)
    return _from_clusters(x, groups, centres, covariance)


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
    for _ in range(_LLOYD_ITERATIONS):
        _group(x, centres, groups)
        counts, sums = np.zeros(len(centres)), np.zeros_like(centres)
        for i in range(len(x)):
            counts[groups[i]] += 1
            for a in range(x.shape[1]):
                sums[groups[i], a] += x[i, a]
        for j in range(len(centres)):
            if counts[j] > 0:
                centres[j] = sums[j] / counts[j]
    _group(x, centres, groups)


@compiled
def _group(x: Array, centres: Array, groups: Integers) -> None:
    """Fill in the nearest centre of each observation."""
    for i in range(len(x)):
        smallest = np.inf
        for j in range(len(centres)):
            distance = _squared_distance(x, i, centres, j)
            if distance < smallest:
                groups[i], smallest = j, distance


@compiled
def _squared_distance(x: Array, i: int, centres: Array, j: int) -> float:
    total = 0.0
    for a in range(x.shape[1]):
        total += (x[i, a] - centres[j, a]) ** 2
    return total


def quantiles(x: Array, k: int, covariance: Covariance) -> NormalMixture:
    """Cut the sorted observations, univariate, into k groups of equal size; nothing is random."""
    groups = np.empty(len(x), dtype=np.int64)
    groups[np.argsort(x[:, 0], kind="stable")] = np.arange(len(x)) * k // len(x)
    centres = np.array([x[groups == j].mean(axis=0) for j in range(k)])
    return _from_clusters(x, groups, centres, covariance)


def _from_clusters(x: Array, groups: np.ndarray, centres: Array, covariance: Covariance) -> NormalMixture:
    k, d = centres.shape
    sizes = np.bincount(groups, minlength=k) + 1.0  # an empty cluster still gets a weight
    within = x - centres[groups]
    pooled = m_step(covariance, within, np.ones((len(x), 1))).covariances[0]
    if np.linalg.eigvalsh(pooled)[0] < 1e-6:  # as many clusters as distinct points
        pooled = np.eye(d) / k**2
    return NormalMixture.unchecked(sizes / sizes.sum(), centres, np.repeat(pooled[None], k, axis=0))

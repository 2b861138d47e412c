"""Where theta begins. Data come standardised, so that 0 and 1 are their centre and scale."""

from __future__ import annotations

from enum import StrEnum

import numpy as np

from mixtures.em.steps import m_step
from mixtures.model.arrays import Array
from mixtures.model.mixture import NormalMixture
from mixtures.model.spec import Covariance

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
    """Means uniform over the data's range, sds from 1/20 of the data's own to all of it, random weights."""
    d = x.shape[1]
    means = rng.uniform(x.min(axis=0), x.max(axis=0), size=(k, d))
    sds = np.exp(rng.uniform(np.log(_SMALLEST_SD), 0.0, size=k))
    if covariance == Covariance.TIED:
        sds[:] = sds[0]
    return NormalMixture.unchecked(rng.dirichlet(np.full(k, 2.0)), means, _spheres(sds**2, d))


def random_responsibilities(
    x: Array, k: int, covariance: Covariance, rng: np.random.Generator
) -> NormalMixture:
    """Soft assignments uniform over the simplex, and the parameters that the M-step makes of them."""
    return m_step(covariance, x, rng.dirichlet(np.ones(k), size=len(x)))


def kmeans_plus_plus(x: Array, k: int, covariance: Covariance, rng: np.random.Generator) -> NormalMixture:
    """Centres by k-means++ (Arthur & Vassilvitskii 2007) and a few steps of k-means.

    All components begin with the pooled covariance within clusters, since a cluster may hold a single point.
    """
    centres = _spread_out(x, k, rng)
    for _ in range(_LLOYD_ITERATIONS):
        nearest = _squared_distances(x, centres).argmin(axis=1)
        centres = np.array(
            [x[nearest == j].mean(axis=0) if (nearest == j).any() else centres[j] for j in range(k)]
        )
    return _from_clusters(x, _squared_distances(x, centres).argmin(axis=1), centres, covariance)


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


def _spread_out(x: Array, k: int, rng: np.random.Generator) -> Array:
    """Draw k observations, each in proportion to its squared distance from those before."""
    chosen = [int(rng.integers(len(x)))]
    while len(chosen) < k:
        distances = _squared_distances(x, x[chosen]).min(axis=1)
        total = distances.sum()
        chosen.append(int(rng.choice(len(x), p=distances / total if total > 0 else None)))
    return x[chosen]


def _squared_distances(x: Array, centres: Array) -> Array:
    return np.square(x[:, None] - centres).sum(axis=2)


def _spheres(variances: Array, d: int) -> Array:
    return variances[:, None, None] * np.eye(d)

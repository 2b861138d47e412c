"""Where chains begin: complete-data estimates of random soft assignments."""

from __future__ import annotations

import numpy as np

from mixtures.model.arrays import Array
from mixtures.model.mixture import NormalMixture

# Standardised units: the data have mean 0 and standard deviation 1.
_WIDTHS = (0.2, 1.0)  # of the soft assignments, from nearly hard to nearly even
_SMALLEST_SD = 0.1  # a random group may be one point
_MEAN_JITTER = 0.5  # in component sds: many posterior sds for all but the smallest data
_LOG_SD_JITTER = 0.3


def random_start(z: Array, n_components: int, rng: np.random.Generator) -> NormalMixture:
    """Draw an over-dispersed start for one chain.

    Every observation is assigned softly to k of the observations, drawn at random, by a normal
    kernel of random width. Weights, means and variances are estimated as if these assignments were
    known; means and sds are then jittered, so that starts differ even where assignments hardly do,
    as for one component.

    Parameters
    ----------
    z : (n,) array
        Standardised observations.
    n_components : int
        Number of components k, at most n.
    rng : numpy.random.Generator

    Returns
    -------
    NormalMixture
        In standardised units, components in no order.
    """
    weights, means, sds = _complete_data_estimate(z, _random_assignments(z, n_components, rng))
    means = means + _MEAN_JITTER * sds * rng.standard_normal(n_components)
    sds = sds * np.exp(_LOG_SD_JITTER * rng.standard_normal(n_components))
    return NormalMixture.univariate(weights, means, sds**2)


def _random_assignments(z: Array, k: int, rng: np.random.Generator) -> Array:
    centres = rng.choice(z, size=k, replace=False)
    width = np.exp(rng.uniform(*np.log(_WIDTHS)))
    exponents = -0.5 * ((z[:, None] - centres) / width) ** 2
    kernel = np.exp(exponents - exponents.max(axis=1, keepdims=True))
    assignments: Array = kernel / kernel.sum(axis=1, keepdims=True)
    return assignments


def _complete_data_estimate(z: Array, r: Array) -> tuple[Array, Array, Array]:
    counts = r.sum(axis=0)
    means = r.T @ z / counts
    variances = (r * (z[:, None] - means) ** 2).sum(axis=0) / counts
    weights = (counts + 1) / (len(z) + len(counts))  # the mean under a flat Dirichlet: never 0
    return weights, means, np.sqrt(variances + _SMALLEST_SD**2)

"""Responsibilities at many draws at once, in compiled code."""

from __future__ import annotations

import math

import numpy as np

from mixtures.model.arrays import Array
from mixtures.model.compiled import compiled
from mixtures.model.exponential import power_of_two

_LOG2_E = 1 / math.log(2)


@compiled
def responsibilities(x: Array, constants: Array, means: Array, inverses: Array) -> Array:
    """Responsibility of each component for each observation at each draw.

    Parameters
    ----------
    x : (n,) array
        Observations.
    constants : (k, s) array
        log w_j - log sigma_j at each draw.
    means, inverses : (k, s) array
        mu_j and 1 / sigma_j at each draw.

    Returns
    -------
    (k, n, s) array
    """
    k, s = means.shape
    least = power_of_two(-np.inf)  # not 0, as it should be here
    result = np.empty((k, len(x), s))
    top, total = np.empty(s), np.empty(s)
    for i in range(len(x)):
        top[:] = -np.inf
        total[:] = 0.0
        for j in range(k):
            exponents, constant, mean, inverse = result[j, i], constants[j], means[j], inverses[j]
            for h in range(s):
                z = (x[i] - mean[h]) * inverse[h]
                exponents[h] = constant[h] - 0.5 * z * z
                top[h] = max(top[h], exponents[h])
        for j in range(k):
            shares = result[j, i]
            for h in range(s):
                shares[h] = power_of_two((shares[h] - top[h]) * _LOG2_E) - least
                total[h] += shares[h]
        for j in range(k):
            shares = result[j, i]
            for h in range(s):
                shares[h] /= total[h]
    return result

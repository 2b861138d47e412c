"""Mixtures as points of PyMC's unconstrained variables, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from mixtures.model.arrays import Array
from mixtures.model.mixture import NormalMixture

#: Places of the transformed free variables in a point, by PyMC's name for each.
type Places = Mapping[str, slice]


def unconstrained(mixture: NormalMixture, names: Iterable[str]) -> Array:
    """Return a mixture, in standardised units, as a point (p,) of the variables of these names.

    For an ordered prior its means must increase.
    """
    log_weights, means, log_sds = np.log(mixture.weights), mixture.means[:, 0], np.log(mixture.sds[:, 0])
    transforms: dict[str, Callable[[], Array]] = {
        "weights_simplex__": lambda: (log_weights - log_weights.mean())[:-1],
        "standard_means": lambda: means,
        "standard_means_ordered__": lambda: np.append(means[:1], np.log(np.diff(means))),
        "standard_sds_log__": lambda: log_sds,
        "standard_variances_log__": lambda: 2 * log_sds,
    }
    return np.concatenate([transforms[name]() for name in names])


def constrained(point: Array, places: Places) -> NormalMixture:
    """Return the mixture, in standardised units, at a point (p,)."""
    log_weights, means, log_sds = np.zeros(1), np.empty(0), np.empty(0)
    for name, place in places.items():
        values = point[place]
        match name:
            case "weights_simplex__":
                log_weights = np.append(values, -values.sum())
            case "standard_means":
                means = values
            case "standard_means_ordered__":
                means = np.cumsum(np.append(values[:1], np.exp(values[1:])))
            case "standard_sds_log__":
                log_sds = values
            case "standard_variances_log__":
                log_sds = values / 2
    weights = np.exp(log_weights - log_weights.max())
    return NormalMixture.univariate(weights / weights.sum(), means, np.exp(2 * log_sds))

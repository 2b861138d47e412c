"""The data's own location and scale: both engines work in standardised units and report in the data's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from mixtures.model.arrays import Array, freeze
from mixtures.model.mixture import NormalMixture
from mixtures.model.spec import Covariance


@dataclass(frozen=True, slots=True, eq=False)
class Scale:
    """Map between the data's units and standardised ones, z = (x - location) / unit.

    Attributes
    ----------
    location : (d,) array
        Mean of the data.
    unit : (d,) array
        Standard deviation of the data in each dimension; for spherical covariances, which allow no
        other map, one common value.
    """

    location: Array
    unit: Array

    @classmethod
    def of(cls, x: Array, covariance: Covariance = Covariance.FULL) -> Self:
        """Return the scale of observations (n, d), none of whose columns is constant."""
        first = x[0]  # about a data point, so that data far from zero keep their digits
        location = first + (x - first).mean(axis=0)
        unit = np.sqrt(np.square(x - location).mean(axis=0))
        if covariance == Covariance.SPHERICAL:
            unit = np.full_like(unit, np.sqrt(np.square(unit).mean()))
        return cls(freeze(location), freeze(unit))

    def standardise(self, x: Array) -> Array:
        """Return observations (n, d) in standardised units."""
        return (x - self.location) / self.unit

    def standardise_mixture(self, mixture: NormalMixture) -> NormalMixture:
        """Return the mixture of the standardised variable."""
        outer = np.outer(self.unit, self.unit)
        return NormalMixture.unchecked(
            mixture.weights, (mixture.means - self.location) / self.unit, mixture.covariances / outer
        )

    def restore_mixture(self, mixture: NormalMixture) -> NormalMixture:
        """Return a mixture of the standardised variable in the data's units."""
        outer = np.outer(self.unit, self.unit)
        return NormalMixture.unchecked(
            mixture.weights, self.location + mixture.means * self.unit, mixture.covariances * outer
        )

    def log_jacobian(self, n: int) -> float:
        """Log-likelihood of n observations in the data's units less that in standardised units."""
        return float(-n * np.log(self.unit).sum())

"""The data's own location and scale: both engines work in standardised units and report in the data's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from mixtures.model.arrays import Array, freeze, restore_frozen
from mixtures.model.mixture import NormalMixture
from mixtures.model.spec import Covariance


@dataclass(frozen=True, slots=True, eq=False)
class Scale:
    """Affine map between the data's units and standardised ones, x = location + factor z.

    The map is the largest under which the covariance structure keeps its form: whitening for full
    and tied covariances, each dimension's own scale for diagonal, one scale for spherical.

    Attributes
    ----------
    location : (d,) array
        Mean of the data.
    factor : (d, d) array
        Lower triangular, with positive diagonal; for d = 1 the standard deviation of the data.
    """

    location: Array
    factor: Array

    __setstate__ = restore_frozen

    @classmethod
    def of(cls, x: Array, covariance: Covariance = Covariance.FULL) -> Self:
        """Return the scale of observations (n, d) that vary in each dimension."""
        location = x[0] + (x - x[0]).mean(axis=0)  # about a data point, so that far data keep their digits
        centred = x - location
        sds = np.sqrt(np.square(centred).mean(axis=0))
        if covariance == Covariance.SPHERICAL:
            factor = np.sqrt(np.square(sds).mean()) * np.eye(len(sds))
        elif covariance == Covariance.DIAGONAL or len(sds) == 1:
            factor = np.diag(sds)
        else:
            triangle = np.linalg.qr(centred / sds, mode="r").T / np.sqrt(len(x))  # never squares the data
            factor = sds[:, None] * triangle * np.sign(triangle.diagonal())
        return cls(freeze(location), freeze(factor))

    @property
    def unit(self) -> Array:
        """Length of each dimension's unit, (d,): for d = 1 the standard deviation of the data."""
        return self.factor.diagonal()

    def standardise(self, x: Array) -> Array:
        """Return observations (n, d) in standardised units."""
        centred = x - self.location
        return (
            centred / self.factor[0] if len(self.factor) == 1 else np.linalg.solve(self.factor, centred.T).T
        )

    def standardise_mixture(self, mixture: NormalMixture) -> NormalMixture:
        """Return the mixture of the standardised variable."""
        half = np.linalg.solve(self.factor, mixture.covariances)
        return NormalMixture.unchecked(
            mixture.weights,
            self.standardise(mixture.means),
            _symmetric(np.linalg.solve(self.factor, half.mT)),
        )

    def restore_mixture(self, mixture: NormalMixture) -> NormalMixture:
        """Return a mixture of the standardised variable in the data's units."""
        return NormalMixture.unchecked(
            mixture.weights,
            self.location + mixture.means @ self.factor.T,
            _symmetric(self.factor @ mixture.covariances @ self.factor.T),
        )

    def log_jacobian(self, n: int) -> float:
        """Log-likelihood of n observations in the data's units less that in standardised units."""
        return float(-n * np.log(self.unit).sum())


def _symmetric(matrices: Array) -> Array:
    return (matrices + matrices.mT) / 2

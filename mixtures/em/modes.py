"""Which maxima of the likelihood mean something: the rule for spurious ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from mixtures.model.arrays import Array
from mixtures.model.data import rounding_unit
from mixtures.model.mixture import NormalMixture
from mixtures.model.scale import Scale

#: A component with fewer effective observations than this, per dimension, may be a sliver.
SLIVER_COUNT = 10
#: ... and is one where its smallest whitened sd is below this share of the largest component's.
SLIVER_RATIO = 1 / 20
#: Standard deviation of the error of rounding to a unit, in units: what is narrower is not seen.
ROUNDING_SD = 12**-0.5


@dataclass(frozen=True, slots=True, eq=False)
class SliverRule:
    """The rule that tells a sliver of a component from a real one, for one data set.

    A sliver has an effective count below 10 d and, in whitened coordinates, a smallest sd under 1/20
    of the largest component's; or an sd below that of the data's own rounding.

    Attributes
    ----------
    n_observations : int
    scale : Scale
        From the standardised units of the mixtures to the data's.
    rounding_unit : (d,) array
        In the data's units.
    """

    n_observations: int
    scale: Scale
    rounding_unit: Array

    @classmethod
    def of(cls, x: Array, scale: Scale) -> Self:
        """Return the rule for observations (n, d) in the data's units."""
        return cls(len(x), scale, rounding_unit(x))

    def find(self, mixture: NormalMixture) -> int | None:
        """Return the first component of a standardised mixture that is a sliver, or None."""
        slivers = np.flatnonzero(self.are_slivers(mixture.weights, mixture.covariances))
        return int(slivers[0]) if len(slivers) else None

    def are_slivers(self, weights: Array, covariances: Array) -> NDArray[np.bool_]:
        """Say of each component of standardised mixtures whether it is a sliver.

        One normal alone has a bounded likelihood and no spurious maximum.

        Parameters
        ----------
        weights : (..., k) array
        covariances : (..., k, d, d) array

        Returns
        -------
        (..., k) array of bool
        """
        if weights.shape[-1] == 1:
            return np.zeros(weights.shape, dtype=bool)
        are_thin = self._are_thin(weights, covariances)
        return are_thin | self._are_within_rounding(covariances) if self.rounding_unit.any() else are_thin

    def describe(self, mixture: NormalMixture) -> str:
        """Say which component of a spurious mixture is a sliver, and by what."""
        j = self.find(mixture) or 0
        sd = self.scale.restore_mixture(mixture).sds[j].min()
        what = f"component {j + 1}, with {mixture.weights[j] * self.n_observations:.1f} observations"
        if self._are_within_rounding(mixture.covariances)[j]:
            return f"{what}, has an sd of {sd:.3g}, less than the rounding of the data alone"
        return f"{what} and an sd of {sd:.3g}, is a sliver on a few close observations"

    def _are_thin(self, weights: Array, covariances: Array) -> NDArray[np.bool_]:
        d = covariances.shape[-1]
        is_small = weights * self.n_observations < SLIVER_COUNT * d
        if not is_small.any():
            return is_small
        variances = covariances[..., 0, 0] if d == 1 else np.linalg.eigvalsh(covariances)[..., 0]
        return is_small & (variances < SLIVER_RATIO**2 * variances.max(axis=-1, keepdims=True))

    def _are_within_rounding(self, covariances: Array) -> NDArray[np.bool_]:
        factor, narrowest = self.scale.factor, (self.rounding_unit * ROUNDING_SD) ** 2
        variances = np.einsum("ab,...bc,ac->...a", factor, covariances, factor, optimize=len(factor) > 1)
        return (variances < narrowest).any(axis=-1)

"""Which maxima of the likelihood mean something: the rule for spurious ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from mixtures.model.arrays import Array
from mixtures.model.mixture import NormalMixture
from mixtures.model.scale import Scale

#: A component with fewer effective observations than this, per dimension, may be a sliver.
SLIVER_COUNT = 10
#: ... and is one where its smallest whitened sd is below this share of the largest component's.
SLIVER_RATIO = 1 / 20


@dataclass(frozen=True, slots=True, eq=False)
class SliverRule:
    """The rule that tells a sliver of a component from a real one, for one data set.

    A sliver has an effective count below 10 d and, in whitened coordinates, a smallest sd under 1/20
    of the largest component's; or an sd below the data's own rounding unit.

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
        """Return the first component of a standardised mixture that is a sliver, or None.

        One normal alone has a bounded likelihood and no spurious maximum.
        """
        if mixture.n_components == 1:
            return None
        smallest = np.sqrt(np.linalg.eigvalsh(mixture.covariances)[:, 0])
        is_small = mixture.weights * self.n_observations < SLIVER_COUNT * mixture.n_dims
        is_thin = smallest < SLIVER_RATIO * smallest.max()
        is_within_rounding = (self.scale.restore_mixture(mixture).sds < self.rounding_unit).any(axis=1)
        slivers = np.flatnonzero((is_small & is_thin) | is_within_rounding)
        return int(slivers[0]) if len(slivers) else None


def rounding_unit(x: Array) -> Array:
    """Return the unit that each column of observations is rounded to, (d,).

    It is the smallest difference between two values of a column that has ties, and 0 for a column
    without ties, which shows no sign of rounding.
    """
    return np.array([_unit_of(np.unique(column), len(column)) for column in x.T])


def _unit_of(values: Array, n: int) -> float:
    return float(np.diff(values).min()) if len(values) < n else 0.0

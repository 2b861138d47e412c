"""Many univariate mixtures in three arrays: what a sampler of their posterior returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from mixtures.model.arrays import Array, Integers, freeze


@dataclass(frozen=True, slots=True, eq=False)
class MixtureDraws:
    """Draws of a univariate mixture of k normals, in the units of the data. Arrays are read-only.

    In memory the draws of one component follow each other, the axis of components being short: sums
    over it add whole blocks, and the draws of a single parameter lie in one piece.

    Attributes
    ----------
    weights, means, sds : (..., k) array
        Of c chains of s draws, (c, s, k), or of s draws in one row, (s, k).
    """

    weights: Array
    means: Array
    sds: Array

    def __post_init__(self) -> None:
        self.__setstate__(self.__getstate__())

    def __getstate__(self) -> tuple[Array, Array, Array]:
        return self.weights, self.means, self.sds

    def __setstate__(self, state: tuple[Array, Array, Array]) -> None:
        for name, values in zip(self.__slots__, state, strict=True):
            object.__setattr__(self, name, freeze(_component_by_component(values)))

    @property
    def n_components(self) -> int:
        """Number of components, k."""
        return int(self.means.shape[-1])

    @property
    def shape(self) -> tuple[int, ...]:
        """Numbers of chains and draws, (c, s), or of draws, (s,)."""
        return self.means.shape[:-1]

    @property
    def variances(self) -> Array:
        """Variances of the components, (..., k)."""
        return self.sds**2

    def in_one_row(self) -> Self:
        """Return the draws of all chains one after another, (s, k)."""
        return type(self)(*(values.reshape(-1, self.n_components) for values in self.__getstate__()))

    def at(self, rows: slice | Integers) -> Self:
        """Return some of the draws, by their place on the first axis."""
        return type(self)(*(values[rows] for values in self.__getstate__()))

    def reordered(self, permutations: Integers) -> Self:
        """Return each draw with its components in the order of its own permutation, (..., k)."""
        own = np.arange(self.weights[..., 0].size).reshape(self.shape)
        places = np.moveaxis(permutations, -1, 0) * own.size + own
        taken = (np.moveaxis(values, -1, 0).take(places) for values in self.__getstate__())
        return type(self)(*(np.moveaxis(values, 0, -1) for values in taken))


def _component_by_component(values: Array) -> Array:
    """Values (..., k) as they are, with those of each component in one piece of memory."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(values, -1, 0)), 0, -1)

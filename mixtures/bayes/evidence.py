"""What relabelling may look at: the parameters of the draws, and what they say of the observations."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from mixtures.bayes import memberships
from mixtures.bayes.densities import log_likelihoods
from mixtures.bayes.draws import MixtureDraws
from mixtures.bayes.memberships import Hard, Memberships, Soft
from mixtures.model.arrays import Array, Integers, as_floats, as_regular
from mixtures.model.data import as_observations
from mixtures.model.fit import SUM_TOLERANCE, Draws, as_draws


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """Posterior draws and the observations, or memberships, that they belong to.

    Attributes
    ----------
    dimensions : tuple of MixtureDraws
        Draws of each dimension's means and sds, with the common weights, in one row: d of (s, k).
    shape : tuple of int
        Numbers of chains and draws, (c, s), or of draws, (s,), as they came.
    x : (n, d) array or None
        Observations.
    soft : Soft or None
        Responsibilities, where they were given.
    hard : Hard or None
        Allocations, where they were given.
    log_densities : (s,) array or None
        Log posterior density of each draw, up to a constant.
    start : (s, k) array of int or None
        Permutations that iterative methods start from.
    """

    dimensions: tuple[MixtureDraws, ...]
    shape: tuple[int, ...]
    x: Array | None = None
    soft: Soft | None = None
    hard: Hard | None = None
    log_densities: Array | None = None
    start: Integers | None = None

    @classmethod
    def of(cls, draws: MixtureDraws, x: Array, log_densities: Array) -> Self:
        """Take univariate draws (c, s, k) of a sampler as they are, with observations (n,)."""
        return cls((draws.in_one_row(),), draws.shape, x[:, None], log_densities=log_densities.reshape(-1))

    @classmethod
    def checked(cls, draws: Draws | MixtureDraws) -> Self:
        """Take draws from a user.

        Raises
        ------
        TypeError
            If they are none, or do not hold real numbers.
        ValueError
            If an sd is not positive, or as of `mixtures.model.fit.as_draws`.
        """
        if isinstance(draws, MixtureDraws):
            if (draws.sds <= 0).any():
                raise ValueError(f"sds must be positive; got {draws.sds.min()}")
            draws = Draws(draws.weights, draws.means[..., None], draws.variances[..., None])
        elif not isinstance(draws, Draws):
            raise TypeError(f"draws must be Draws or MixtureDraws; got {type(draws).__name__}")
        draws = as_draws(draws)
        dimensions = (
            MixtureDraws(draws.weights, means, np.sqrt(variances)).in_one_row()
            for means, variances in zip(
                np.moveaxis(draws.means, -1, 0), np.moveaxis(draws.variances, -1, 0), strict=True
            )
        )
        return cls(tuple(dimensions), draws.weights.shape[:-1])

    @property
    def n_chains(self) -> int:
        """Number of chains, 1 for draws in one row."""
        return self.shape[0] if len(self.shape) > 1 else 1

    @property
    def n_components(self) -> int:
        """Number of components, k."""
        return self.dimensions[0].n_components

    @property
    def parameters(self) -> Array:
        """Means, variances and weight of each component, (s, k, 2 d + 1)."""
        means = [draws.means for draws in self.dimensions]
        variances = [draws.variances for draws in self.dimensions]
        return np.stack([*means, *variances, self.dimensions[0].weights], axis=-1)

    def with_x(self, x: ArrayLike | None) -> Self:
        """Add observations (n,) or (n, d)."""
        if x is None:
            return self
        values = as_observations(x)
        if values.shape[1] != len(self.dimensions):
            raise ValueError(
                f"x must have as many columns as the means, {len(self.dimensions)}; got {values.shape[1]}"
            )
        return replace(self, x=values)

    def with_responsibilities(self, values: ArrayLike | None) -> Self:
        """Add responsibilities, (c, s, n, k) or (s, n, k)."""
        if values is None:
            return self
        given = as_floats("responsibilities", values)
        if given.shape[:-2] != self.shape or given.shape[-1] != self.n_components:
            expected = self._shape_with("n", self.n_components)
            raise ValueError(f"responsibilities must have shape {expected}; got {given.shape}")
        if (given < 0).any() or (np.abs(given.sum(axis=-1) - 1) > SUM_TOLERANCE).any():
            raise ValueError("responsibilities must not be negative, and sum to 1 over the components")
        rows = given.reshape(-1, *given.shape[-2:])
        return replace(self, soft=Soft(np.ascontiguousarray(rows.transpose(2, 1, 0))))

    def with_allocations(self, values: ArrayLike | None) -> Self:
        """Add allocations, (c, s, n) or (s, n), of components from 0 to k - 1."""
        if values is None:
            return self
        given = as_regular("allocations", values)
        if given.dtype.kind not in "iu":
            raise TypeError(f"allocations must hold whole numbers; got {given.dtype}")
        if given.shape[:-1] != self.shape:
            raise ValueError(f"allocations must have shape {self._shape_with('n')}; got {given.shape}")
        if given.size and not 0 <= given.min() <= given.max() < self.n_components:
            raise ValueError(
                f"allocations must lie between 0 and {self.n_components - 1}; "
                f"got {given.min()} to {given.max()}"
            )
        rows = given.reshape(-1, given.shape[-1]).T.astype(np.int16)
        return replace(self, hard=Hard(np.ascontiguousarray(rows), self.n_components))

    def with_log_densities(self, values: ArrayLike | None) -> Self:
        """Add log posterior densities, (c, s) or (s,): -inf where a draw is impossible."""
        if values is None:
            return self
        given = as_regular("log_densities", values)
        if given.dtype.kind not in "fiu":
            raise TypeError(f"log_densities must hold real numbers; got {given.dtype}")
        if given.shape != self.shape:
            raise ValueError(f"log_densities must have shape {self.shape}, as the draws; got {given.shape}")
        if not (given < math.inf).all():
            raise ValueError("log_densities must be numbers below infinity; got nan or inf")
        if not np.isfinite(given).any():
            raise ValueError("log_densities must be finite for some draw; got -inf for all")
        return replace(self, log_densities=given.astype(np.float64).reshape(-1))

    def check_counts(self) -> None:
        """Raise a ValueError unless whatever was given has the same number of observations."""
        x = {} if self.x is None else {"x": len(self.x)}
        soft = {} if self.soft is None else {"responsibilities": self.soft.n_observations}
        hard = {} if self.hard is None else {"allocations": self.hard.n_observations}
        counts = x | soft | hard
        if len(set(counts.values())) > 1:
            given = ", ".join(f"{n} in {name}" for name, n in counts.items())
            raise ValueError(f"observations must be the same in all that is given; got {given}")

    def start_of(self, found: Memberships) -> Integers:
        """Return the permutations to start from, by default each chain in the order that suits the first."""
        return memberships.aligned_chains(found, self.n_chains) if self.start is None else self.start

    def responsibilities(self) -> Soft:
        """Return responsibilities: the given, or those of univariate draws at the observations."""
        if self.soft is not None:
            return self._with_enough_observations(self.soft)
        draws, x = self._univariate("responsibilities")
        return self._with_enough_observations(memberships.responsibilities(draws, x))

    def allocations(self) -> Hard:
        """Return allocations: the given, or each observation's most probable component at a draw."""
        if self.hard is not None:
            return self._with_enough_observations(self.hard)
        if self.soft is not None:
            return self._with_enough_observations(memberships.most_probable(self.soft))
        draws, x = self._univariate("allocations or responsibilities")
        return self._with_enough_observations(memberships.allocations(draws, x))

    def observations(self) -> Array:
        """Return the observations (n, d)."""
        if self.x is None:
            raise ValueError("x must be given for this method; got none")
        return self.x

    def pivot(self) -> int:
        """Return the place of the draw of highest posterior density, else of highest likelihood.

        A sampler's density is not finite where a weight or sd underflows: such a draw is no pivot.
        """
        if self.log_densities is not None:
            found = np.isfinite(self.log_densities)
            return int(np.where(found, self.log_densities, -math.inf).argmax())
        draws, x = self._univariate("log_densities")
        return int(log_likelihoods(draws, x).argmax())

    def _univariate(self, instead: str) -> tuple[MixtureDraws, Array]:
        """Return univariate draws and observations, from which what was not given can be computed."""
        if self.x is None or len(self.dimensions) > 1:
            got = "neither" if self.x is None else f"x and draws of {len(self.dimensions)} dimensions"
            raise ValueError(f"{instead}, or x of univariate draws, must be given for this method; got {got}")
        return self.dimensions[0], self.x[:, 0]

    def _with_enough_observations[M: (Soft, Hard)](self, found: M) -> M:
        if found.n_observations < self.n_components:
            raise ValueError(
                "this method must have at least as many observations as components, "
                f"{self.n_components}, to tell these apart; got {found.n_observations}"
            )
        return found

    def _shape_with(self, *last: object) -> str:
        return f"({', '.join(map(str, (*self.shape, *last)))})"

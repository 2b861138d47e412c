"""What an engine gives back, whichever engine it is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import ArrayLike

from mixtures.model.arrays import Array, Integers, as_floats, freeze, freeze_arrays, restore_frozen
from mixtures.model.mixture import NormalMixture
from mixtures.model.spec import MixtureSpec

#: What weights of a draw, or responsibilities of an observation, may miss 1 by: rounding to single precision.
SUM_TOLERANCE = 1e-6


class Status(StrEnum):
    """How a fit ended. Failure is data: every fit has a status, and every status keeps its row."""

    CONVERGED = "converged"
    NOT_CONVERGED = "not_converged"
    SPURIOUS = "spurious"
    DEGENERATE = "degenerate"
    DIVERGENT = "divergent"
    NOT_MIXED = "not_mixed"
    ERROR = "error"
    TIMEOUT = "timeout"
    WORKER_LOST = "worker_lost"


@dataclass(frozen=True, slots=True, eq=False)
class Parameters:
    """One number for each reported parameter: a standard error, or an end of an interval.

    Attributes
    ----------
    weights : (k,) array
    means, variances : (k, d) array
    """

    weights: Array
    means: Array
    variances: Array

    def __post_init__(self) -> None:
        freeze_arrays(self)

    __setstate__ = restore_frozen

    def permuted(self, permutation: Integers) -> Self:
        """Return the values with component ``permutation[j]`` in place j."""
        return type(self)(self.weights[permutation], self.means[permutation], self.variances[permutation])


@dataclass(frozen=True, slots=True, eq=False)
class Intervals:
    """Uncertainty of the reported parameters.

    Attributes
    ----------
    level : float
        Nominal coverage, such as 0.95.
    standard_errors, lower, upper : Parameters
        Standard errors and interval ends, in the units of each parameter.
    """

    level: float
    standard_errors: Parameters
    lower: Parameters
    upper: Parameters

    def permuted(self, permutation: Integers) -> Self:
        """Return the intervals with component ``permutation[j]`` in place j."""
        return type(self)(
            self.level,
            self.standard_errors.permuted(permutation),
            self.lower.permuted(permutation),
            self.upper.permuted(permutation),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Draws:
    """Posterior draws in plain arrays: c chains of s draws.

    Attributes
    ----------
    weights : (c, s, k) array
    means, variances : (c, s, k, d) array
    """

    weights: Array
    means: Array
    variances: Array

    def __post_init__(self) -> None:
        freeze_arrays(self)

    __setstate__ = restore_frozen

    def permuted(self, permutation: Integers) -> Self:
        """Return the draws with component ``permutation[j]`` in place j."""
        return type(self)(
            self.weights[..., permutation], self.means[:, :, permutation], self.variances[:, :, permutation]
        )


def as_draws(draws: Draws) -> Draws:
    """Return draws (c, s, k), or (s, k) in one row, in float64 if each is a mixture of normals.

    Raises
    ------
    TypeError
        If they are no draws, or do not hold real numbers.
    ValueError
        If shapes disagree, there are none, a value is not finite, a weight is negative, the weights of a
        draw do not sum to 1 within 1e-6, or a variance is not positive.
    """
    if not isinstance(draws, Draws):
        raise TypeError(f"draws must be Draws; got {type(draws).__name__}")
    weights, means, variances = (
        freeze(as_floats(name, getattr(draws, name))) for name in ("weights", "means", "variances")
    )
    if not (means.ndim in {3, 4} and means.shape == variances.shape == (*weights.shape, means.shape[-1])):
        raise ValueError(
            "weights, means and variances must have shapes (c, s, k), (c, s, k, d) and (c, s, k, d); "
            f"got {weights.shape}, {means.shape} and {variances.shape}"
        )
    if not means.size:
        raise ValueError(f"draws must not be empty; got means of shape {means.shape}")
    if (weights < 0).any():
        raise ValueError(f"weights must not be negative; got {weights.min()}")
    sums = weights.sum(axis=-1)
    furthest = sums.flat[np.abs(sums - 1).argmax()]
    if abs(furthest - 1) > SUM_TOLERANCE:
        raise ValueError(f"weights must sum to 1 within {SUM_TOLERANCE:g} at each draw; got {furthest:.10g}")
    if (variances <= 0).any():
        raise ValueError(f"variances must be positive; got {variances.min()}")
    return Draws(weights, means, variances)


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One number by which an engine says how well it worked, such as the largest R-hat."""

    name: str
    value: float


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """Result of fitting a mixture of normals with either engine.

    Attributes
    ----------
    method : str
        Name of the engine as configured.
    spec : MixtureSpec
        The model that was fitted.
    status : Status
        How the fit ended.
    estimate : NormalMixture or None
        Maximum-likelihood estimate or posterior mean; None where there is none.
    log_responsibilities : (n, k) array or None
        Logarithms of the soft assignments: at the estimate (EM), or averaged over the posterior (NUTS).
    log_likelihood : float
        Total log-likelihood of `estimate`; NaN without one.
    message : str
        What the status means for this fit, in words; empty where nothing needs saying.
    warnings : tuple of str
        What a reader of the result should know although the fit succeeded.
    intervals : Intervals or None
        Uncertainty of the parameters, where the engine gives it.
    responsibility_intervals : (n, k, 2) array or None
        Lower and upper ends for each soft assignment, where the engine gives them.
    draws : Draws or None
        Posterior draws, relabelled.
    diagnostics : tuple of Diagnostic
        How well the engine worked, in the engine's own quantities.
    details : object
        The engine's own account, opaque to everyone else.
    """

    method: str
    spec: MixtureSpec
    status: Status
    estimate: NormalMixture | None = None
    log_responsibilities: Array | None = None
    log_likelihood: float = float("nan")
    message: str = ""
    warnings: tuple[str, ...] = ()
    intervals: Intervals | None = None
    responsibility_intervals: Array | None = None
    draws: Draws | None = None
    diagnostics: tuple[Diagnostic, ...] = ()
    details: Any = None

    def __post_init__(self) -> None:
        freeze_arrays(self)

    __setstate__ = restore_frozen

    @property
    def responsibilities(self) -> Array | None:
        """Soft assignment of each observation to each component, (n, k)."""
        return None if self.log_responsibilities is None else np.exp(self.log_responsibilities)

    @property
    def assignments(self) -> Integers | None:
        """Hard assignment of each observation to its most probable component, (n,)."""
        return None if self.log_responsibilities is None else self.log_responsibilities.argmax(axis=1)

    def permuted(self, permutation: ArrayLike) -> Self:
        """Return the same fit with component ``permutation[j]`` in place j; `details` stay as they were."""
        if self.estimate is None:
            return self
        order = np.asarray(permutation)
        return replace(
            self,
            estimate=self.estimate.permuted(order),
            log_responsibilities=_reordered(self.log_responsibilities, order),
            intervals=None if self.intervals is None else self.intervals.permuted(order),
            responsibility_intervals=_reordered(self.responsibility_intervals, order),
            draws=None if self.draws is None else self.draws.permuted(order),
        )


def _reordered(array: Array | None, order: Integers) -> Array | None:
    return None if array is None else array[:, order]


class Fitter(Protocol):
    """An engine: frozen settings with one method that matters, fit. Neither labels nor truth can reach it."""

    @property
    def name(self) -> str:
        """Name of the method, as tables show it."""
        ...

    def check(self, spec: MixtureSpec, n_dims: int) -> None:
        """Raise a ValueError if the engine, as set, cannot fit the model to data of `n_dims` columns."""
        ...

    def prepare(self, spec: MixtureSpec) -> None:
        """Do what is needed once per process before the first fit, such as compiling a sampler."""
        ...

    def fit(self, spec: MixtureSpec, x: ArrayLike, rng: np.random.Generator | int) -> Fit:
        """Fit the model to observations (n,) or (n, d); failure is a status, bad input an error."""
        ...

"""Families of prior distributions for weights, means and standard deviations, in plain numpy."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from mixtures.model.arrays import Array, freeze, restore_frozen


@dataclass(frozen=True, slots=True, eq=False)
class Normal:
    """Normal prior of each mean: `location` and `scale` (a standard deviation), one for all or one each."""

    location: Array
    scale: Array

    def __post_init__(self) -> None:
        _set(self, location=_hyper("location", self.location), scale=_positive("scale", self.scale))

    __setstate__ = restore_frozen

    def log_density(self, values: Array) -> Array:
        """Log density of each value, (k,)."""
        z = (values - self.location) / self.scale
        return -0.5 * z**2 - np.log(self.scale) - 0.5 * math.log(2 * math.pi)

    def sample(self, k: int, rng: np.random.Generator) -> Array:
        """One value for each of k components."""
        return self.location + self.scale * rng.standard_normal(k)


@dataclass(frozen=True, slots=True, eq=False)
class LogNormal:
    """Log-normal prior of each standard deviation: mean and standard deviation of its logarithm.

    Zero-avoiding: the density vanishes at 0 faster than any power, so that tied observations cannot
    make the posterior improper.
    """

    location: Array
    scale: Array
    is_zero_avoiding: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _set(self, location=_hyper("location", self.location), scale=_positive("scale", self.scale))

    __setstate__ = restore_frozen

    def log_density(self, values: Array) -> Array:
        """Log density of each standard deviation, (k,)."""
        return Normal(self.location, self.scale).log_density(np.log(values)) - np.log(values)

    def sample(self, k: int, rng: np.random.Generator) -> Array:
        """One standard deviation for each of k components."""
        return np.exp(self.location + self.scale * rng.standard_normal(k))


@dataclass(frozen=True, slots=True, eq=False)
class HalfNormal:
    """Half-normal prior of each standard deviation, with the scale of the normal that is folded.

    Its density at 0 is positive: with tied observations the posterior is improper (a component alone
    on m tied points contributes sigma^-(m - 1)).
    """

    scale: Array
    is_zero_avoiding: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _set(self, scale=_positive("scale", self.scale))

    __setstate__ = restore_frozen

    def log_density(self, values: Array) -> Array:
        """Log density of each standard deviation, (k,)."""
        return Normal(np.zeros(()), self.scale).log_density(values) + math.log(2)

    def sample(self, k: int, rng: np.random.Generator) -> Array:
        """One standard deviation for each of k components."""
        return np.abs(self.scale * rng.standard_normal(k))


@dataclass(frozen=True, slots=True, eq=False)
class InverseGamma:
    """Inverse-gamma prior of each variance: `shape` (no unit) and `scale` (squared units of the data).

    Zero-avoiding. Its log density is given for the standard deviation, like that of every other
    prior of spread.
    """

    shape: Array
    scale: Array
    is_zero_avoiding: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _set(self, shape=_positive("shape", self.shape), scale=_positive("scale", self.scale))

    __setstate__ = restore_frozen

    def log_density(self, values: Array) -> Array:
        """Log density of each standard deviation, (k,)."""
        from scipy.special import gammaln

        variances = values**2
        log_density = (
            self.shape * np.log(self.scale)
            - gammaln(self.shape)
            - (self.shape + 1) * np.log(variances)
            - self.scale / variances
        )
        return log_density + np.log(2 * values)

    def sample(self, k: int, rng: np.random.Generator) -> Array:
        """One standard deviation for each of k components."""
        return np.sqrt(self.scale / rng.gamma(self.shape, size=k))


@dataclass(frozen=True, slots=True, eq=False)
class Dirichlet:
    """Dirichlet prior of the weights: `concentration`, one for all components or one each."""

    concentration: Array

    def __post_init__(self) -> None:
        _set(self, concentration=_positive("concentration", self.concentration))

    __setstate__ = restore_frozen

    def log_density(self, weights: Array) -> Array:
        """Log density of weights (..., k) with respect to the first k - 1 of them."""
        from scipy.special import gammaln

        a = np.broadcast_to(self.concentration, weights.shape[-1:])
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = np.where(a == 1, 0.0, (a - 1) * np.log(weights))
        log_density: Array = gammaln(a.sum()) - gammaln(a).sum() + terms.sum(axis=-1)
        return log_density

    def sample(self, k: int, rng: np.random.Generator) -> Array:
        """One set of k weights."""
        return rng.dirichlet(np.broadcast_to(self.concentration, k))


def _set(instance: object, **arrays: Array) -> None:
    for name, array in arrays.items():
        object.__setattr__(instance, name, array)


def _hyper(name: str, value: ArrayLike) -> Array:
    raw = np.asarray(value)
    if raw.dtype.kind not in "fiu":
        raise TypeError(f"{name} must be a number or k numbers; got {value!r}")
    if raw.ndim > 1 or not raw.size or not np.isfinite(raw).all():
        raise ValueError(f"{name} must be a finite number or k finite numbers; got {value!r}")
    return freeze(np.array(raw, dtype=np.float64))


def _positive(name: str, value: ArrayLike) -> Array:
    array = _hyper(name, value)
    if (array <= 0).any():
        raise ValueError(f"{name} must be positive; got {array.tolist()}")
    return array

"""Observations: what engines are given, and data drawn from a mixture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mixtures.model.arrays import Array, Integers, as_count, as_floats, as_regular, freeze, restore_frozen
from mixtures.model.mixture import NormalMixture
from mixtures.model.spec import Covariance, MixtureSpec

UNLABELLED = -1
_SMALLEST_RATIO = (
    1e-6  # of singular values: below it, a covariance in the data's units cannot hold its inverse
)
_SMALLEST_SPREAD = 1e-100  # and its inverse: squares of the data must neither underflow nor overflow

#: What pandas finds in a column that it would turn into numbers, although they are none.


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Observations and, where they are known, the components that they came from.

    Parameters
    ----------
    x : (n,) or (n, d) array_like
        Observations; kept as (n, d), read-only.
    labels : (n,) array_like of int, optional
        Component of each observation, counted from 0; -1 where it is not known.

    Raises
    ------
    TypeError
        If `x` does not hold numbers, or `labels` whole numbers.
    ValueError
        If `x` is empty or not finite, or `labels` has another length or values below -1.
    """

    x: Array
    labels: Integers | None = None

    def __post_init__(self) -> None:
        x = as_observations(self.x)
        object.__setattr__(self, "x", freeze(x))
        if self.labels is not None:
            object.__setattr__(self, "labels", freeze(_as_labels(self.labels, len(x))))

    __setstate__ = restore_frozen

    @property
    def n_observations(self) -> int:
        """Number of observations, n."""
        return len(self.x)


def as_observations(x: ArrayLike, n_dims: int | None = None) -> Array:
    """Return observations as a float64 array (n, d), (n,) taken as univariate.

    Raises
    ------
    TypeError
        If `x` does not hold real numbers.
    ValueError
        If `x` is empty, has more than two axes, is not finite, or has not `n_dims` columns.
    """
    array = as_floats("x", x)
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2:
        raise ValueError(f"x must have one or two axes; got shape {array.shape}")
    if array.size == 0:
        raise ValueError(f"x must hold at least one observation; got shape {np.shape(x)}")
    if n_dims is not None and array.shape[1] != n_dims:
        raise ValueError(f"x must have {n_dims} columns, as the mixture has dimensions; got {array.shape[1]}")
    return array


def check_fittable(spec: MixtureSpec, x: ArrayLike) -> Array:
    """Return `x` as (n, d) if a mixture of `spec` can be fitted to it.

    Raises
    ------
    TypeError
        If `spec` is not a `MixtureSpec`, or `x` does not hold numbers.
    ValueError
        If there are fewer than two observations or fewer than components, a column is constant, the
        data spread over less than 1e-100 or more than 1e100, or columns are linearly dependent where
        the covariances are full or tied.
    """
    if not isinstance(spec, MixtureSpec):
        raise TypeError(f"spec must be a MixtureSpec; got {type(spec).__name__}")
    array = as_observations(x)
    n, d = array.shape
    if n < max(2, spec.n_components):
        raise ValueError(
            f"x must hold at least 2 observations and as many as components ({spec.n_components}); got {n}"
        )
    constant = np.flatnonzero(array.min(axis=0) == array.max(axis=0))
    if len(constant):
        raise ValueError(f"x must vary; got the constant {array[0, constant[0]]} in column {constant[0]}")
    _check_spread(array)
    if d > 1 and spec.covariance in (Covariance.FULL, Covariance.TIED):
        _check_rank(array, spec)
    return array


def rounding_unit(x: Array) -> Array:
    """Return the unit that each column of observations (n, d) is rounded to, (d,).

    It is the smallest difference between two values of a column that has ties, and 0 for a column
    without ties, which shows no sign of rounding. Values that differ by rounding error are tied.
    """
    return np.array([_unit_of(np.sort(column)) for column in x.T])


def simulate(mixture: NormalMixture, n: int, rng: np.random.Generator | int) -> Dataset:
    """Draw n independent observations from a mixture, with the component that each came from.

    Parameters
    ----------
    mixture : NormalMixture
    n : int
        Number of observations, at least 1.
    rng : numpy.random.Generator or int
        Source of randomness, or the seed of one.

    Returns
    -------
    Dataset
        With labels.

    Raises
    ------
    TypeError
        If `n` is not a whole number, or `rng` neither a Generator nor an int.
    ValueError
        If `n` is below 1.
    """
    n, rng = as_count("n", n), as_generator(rng)
    labels = rng.choice(mixture.n_components, size=n, p=mixture.weights)
    noise = rng.standard_normal((n, mixture.n_dims))
    factors = np.linalg.cholesky(mixture.covariances)
    return Dataset(mixture.means[labels] + np.einsum("nde,ne->nd", factors[labels], noise), labels)


def as_generator(rng: np.random.Generator | int) -> np.random.Generator:
    """Return `rng` itself, or the Generator that a seed makes; TypeError for anything else."""
    if isinstance(rng, np.random.Generator):
        return rng
    if isinstance(rng, int | np.integer) and not isinstance(rng, bool):
        return np.random.default_rng(as_count("a seed", rng, least=0))
    raise TypeError(f"rng must be a numpy.random.Generator or an int; got {type(rng).__name__}")


def _as_labels(labels: ArrayLike, n: int) -> Integers:
    array = as_regular("labels", labels)
    if array.dtype.kind not in "iu":
        raise TypeError(f"labels must be whole numbers; got {array.dtype}")
    if array.shape != (n,):
        raise ValueError(
            f"labels must have one entry for each of the {n} observations; got shape {array.shape}"
        )
    if array.min() < UNLABELLED:
        raise ValueError(f"labels must be at least {UNLABELLED}; got {array.min()}")
    return np.array(array, dtype=np.int64)


def _unit_of(values: Array) -> float:
    gaps = np.diff(values)
    is_gap = gaps > 8 * np.spacing(np.abs(values).max())
    return float(gaps[is_gap].min()) if is_gap.any() and not is_gap.all() else 0.0


def _check_spread(x: Array) -> None:
    with np.errstate(over="ignore"):
        spread = x.max(axis=0) - x.min(axis=0)
    wrong = np.flatnonzero(~((spread > _SMALLEST_SPREAD) & (spread < 1 / _SMALLEST_SPREAD)))
    if len(wrong):
        raise ValueError(
            f"x must spread over {_SMALLEST_SPREAD:g} to {1 / _SMALLEST_SPREAD:g}; "
            f"got {spread[wrong[0]]:g} in column {wrong[0]}"
        )


def _check_rank(x: Array, spec: MixtureSpec) -> None:
    centred = x - x.mean(axis=0)
    singular = np.linalg.svd(centred / centred.std(axis=0), compute_uv=False)
    rank = int((singular > _SMALLEST_RATIO * singular[0]).sum())
    if rank < x.shape[1]:
        raise ValueError(
            f"x must have linearly independent columns for {spec.covariance} covariances, to "
            f"{_SMALLEST_RATIO:g} of their spread; got rank {rank} of {x.shape[1]} "
            "(diagonal or spherical covariances do without)"
        )

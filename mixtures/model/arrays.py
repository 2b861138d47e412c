"""Arrays at the public door: numbers in, read-only float64 out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

type Array = NDArray[np.float64]
type Integers = NDArray[np.int64]


def as_regular(name: str, values: ArrayLike) -> NDArray[Any]:
    """Return `values`, of any kind, as an array; a ValueError if some are masked or rows differ in length."""
    if np.ma.isMaskedArray(values) and np.ma.getmaskarray(values).any():
        raise ValueError(f"{name} must have no missing values; got a masked array")
    try:
        return np.asarray(values)
    except ValueError:
        raise ValueError(f"{name} must be a regular array; got rows of unequal length") from None


def as_floats(name: str, values: ArrayLike, ndim: int | None = None) -> Array:
    """Return a float64 copy of `values`, with `ndim` axes where that is given.

    Raises
    ------
    TypeError
        If `values` does not hold real numbers.
    ValueError
        If the number of axes differs or a value is not finite.
    """
    raw = as_regular(name, values)
    if raw.dtype.kind not in "fiu" and raw.size:
        raise TypeError(f"{name} must hold real numbers; got {_kind(raw)}")
    array = np.array(raw, dtype=np.float64)
    if ndim is not None and array.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} axes; got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite; got {_first_not_finite(array)}")
    return array


def as_count(name: str, value: object, least: int = 1) -> int:
    """Return a whole number as an int.

    Raises
    ------
    TypeError
        If `value` is not a whole number.
    ValueError
        If it is below `least`.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be a whole number; got {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}; got {value}")
    return int(value)


def as_number(name: str, value: object) -> float:
    """Return a number, NumPy's included, as a float; a TypeError if it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"{name} must be a number; got {value!r}")
    return float(value)


def as_fraction(name: str, value: object) -> float:
    """Return a number strictly between 0 and 1 as a float; a TypeError or a ValueError if it is none."""
    fraction = as_number(name, value)
    if not 0 < fraction < 1:
        raise ValueError(f"{name} must lie between 0 and 1; got {value}")
    return fraction


def freeze[T: np.generic](array: NDArray[T]) -> NDArray[T]:
    """Mark `array` read-only and return it."""
    array.setflags(write=False)
    return array


def freeze_arrays(instance: Any) -> None:
    """Replace every array among a dataclass's fields that can be written to by a read-only copy."""
    for field in fields(instance):
        value = getattr(instance, field.name)
        if isinstance(value, np.ndarray) and value.flags.writeable:
            object.__setattr__(instance, field.name, freeze(value.copy()))


def restore_frozen(instance: Any, state: Sequence[Any]) -> None:
    """Set the fields of a frozen dataclass from a pickle, its arrays read-only again: a `__setstate__`."""
    for field, value in zip(fields(instance), state, strict=True):
        object.__setattr__(instance, field.name, value)
    freeze_arrays(instance)


def _kind(raw: NDArray[Any]) -> str:
    if raw.dtype.kind == "b":
        return "booleans"
    if raw.dtype.kind == "O":
        others = (type(value).__name__ for value in raw.flat if not isinstance(value, int | float))
        return next(others, "an array of Python objects")
    return {"U": "text", "S": "bytes", "c": "complex numbers", "M": "dates"}.get(
        raw.dtype.kind, str(raw.dtype)
    )


def _first_not_finite(array: Array) -> str:
    index = np.argwhere(~np.isfinite(array))[0]
    return f"{array[tuple(index)]} at position {', '.join(map(str, index))}"

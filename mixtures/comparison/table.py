"""Performance from anybody's table of estimates and standard errors: tidy rows of measures."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixtures.comparison.performance import (
    Measure,
    Theory,
    check_theory,
    failure_rate,
    monte_carlo_interval,
    replicates_needed,
)
from mixtures.comparison.replicates import (
    MEASURES,
    UNCERTAINTY,
    Replicates,
    compare_replicates,
    measure_replicates,
)

if TYPE_CHECKING:
    import pandas as pd

_NAMES = ("estimate", "truth", *UNCERTAINTY, "method", "replicate")
_MEASURES = ("failure_rate", *MEASURES, "relative_precision")


class _Row(NamedTuple):
    """One measure, after the values of its group."""

    method: Hashable
    versus: Hashable
    measure: str
    value: float
    mcse: float
    n_replicates: int
    lower: float
    upper: float
    n_needed: int | None


@dataclass(frozen=True, slots=True)
class _Request:
    """What is asked of a table: the arguments of `measure_performance`."""

    by: list[str]
    versus: Hashable | None
    theory: Theory
    level: float
    wanted: dict[str, float]
    without_intervals: list[dict[str, Hashable]]

    def check(self) -> None:
        """Raise a ValueError for what no table could answer."""
        check_theory(self.theory)
        if not 0 < self.level < 1:
            raise ValueError(f"level must lie between 0 and 1; got {self.level}")
        if set(self.by) & {*_NAMES, *_Row._fields}:
            names = ", ".join(dict.fromkeys((*_NAMES, *_Row._fields)))
            raise ValueError(f"by must name further columns than {names}; got {', '.join(self.by)}")
        for name in self.wanted:
            if name not in _MEASURES:
                raise ValueError(f"wanted must name measures, {', '.join(_MEASURES)}; got {name!r}")
        for part in self.without_intervals:
            if not part or not part.keys() <= {*self.by, "method"}:
                names = ", ".join(["method", *self.by])
                raise ValueError(f"without_intervals must give values of {names}; got {part}")


def measure_performance(
    table: pd.DataFrame | Mapping[str, ArrayLike],
    *,
    truth: float | None = None,
    by: str | Sequence[str] = (),
    versus: Hashable | None = None,
    theory: Theory = "robust",
    level: float = 0.95,
    wanted: Mapping[str, float] | None = None,
    without_intervals: Mapping[str, Hashable] | Sequence[Mapping[str, Hashable]] = (),
) -> pd.DataFrame:
    """Measure the performance of methods from a table of estimates, whoever made them.

    A row of the table is one method on one replicate. A row without an estimate counts as a failure and
    for nothing else; one without a standard error keeps its estimate; one without an interval, where the
    table has columns for them, is a miss in `coverage`, beside which `coverage_given_interval` stands.

    Parameters
    ----------
    table : DataFrame or mapping of str to (r,) array
        Columns: `estimate`, missing where there is none; `truth`, unless it is a constant; and, where
        there are any, `standard_error`, `lower` and `upper` (ends of an interval), `method`, and
        `replicate`, by which methods are paired, and which may not come twice for a method in a group:
        a parameter or condition is then missing in `by`.
    truth : float, optional
        The truth, where every row has the same.
    by : str or sequence of str
        Further columns, such as a condition and a parameter; each combination of their values is measured
        by itself.
    versus : hashable, optional
        A method, as its column names it, that every other is compared with on the replicates where both
        have an estimate: paired differences in bias, MSE and coverage, and the relative precision
        against it.
    theory : {"robust", "normal"}
        Of the Monte Carlo errors of measures that rest on variances.
    level : float
        Of the Monte Carlo intervals: Wilson's for proportions, Tango's for paired differences of
        proportions, otherwise by Student's t, on the log scale for what is positive.
    wanted : mapping of str to float, optional
        Monte Carlo errors to plan for, by measure: `n_needed` says how many replicates give them.
    without_intervals : mapping of str to hashable, or sequence of them
        Where a method gives none by its nature, rather than refusing them, and so is not measured by them:
        each a value of `method`, of columns of `by`, or both, as in ``[{"method": "B"}]``. It speaks of the
        rows that pandas finds equal: ``"2020-01-01"`` names that day in a column of dates.

    Returns
    -------
    DataFrame
        One row a measure: the columns of `by`, `method`, `versus` (empty unless paired), `measure`,
        `value`, its Monte Carlo error `mcse`, `n_replicates` (that it uses), the ends `lower` and `upper` of
        its Monte Carlo interval, and `n_needed`. What one replicate, or none, leaves unknown is missing.

    Raises
    ------
    TypeError
        If a column that must hold numbers does not, or `without_intervals` is not as above.
    ValueError
        If a column is missing, its numbers are not what its name says, or methods cannot be paired.

    References
    ----------
    Morris, T. P., White, I. R. and Crowther, M. J. (2019). Using simulation studies to evaluate
    statistical methods. Statistics in Medicine 38, 2074-2102.
    """
    columns, parts = [by] if isinstance(by, str) else list(by), _as_parts(without_intervals)
    request = _Request(columns, versus, theory, level, dict(wanted or {}), parts)
    request.check()
    frame = _checked(table, truth, request.by)
    if "replicate" in frame:
        _check_replicates(frame, request.by)
    if versus is not None:
        _check_pairs(frame, versus)
    return _measured(frame, request)


def _measured(frame: pd.DataFrame, request: _Request) -> pd.DataFrame:
    """Measure every method of every group, and every method against `versus`."""
    import pandas as pd

    theory, versus, is_without = request.theory, request.versus, _are_without(frame, request)
    rows: list[tuple[Any, ...]] = []
    for group, cell in _groups(frame, request.by):
        own = {
            method: one.drop(columns=["lower", "upper"], errors="ignore")
            if is_without[one.index].all()
            else one
            for (method,), one in _groups(cell, ["method"])
        }
        for method, one in own.items():
            measures: dict[str, Measure] = {"failure_rate": failure_rate(one["estimate"].isna())}
            measures |= measure_replicates(Replicates.of(one), theory)
            rows += [(*group, *_row(method, "", name, measures[name], request)) for name in measures]
            if versus is not None and versus != method and versus in own:
                measures = compare_replicates(*_paired(one, own[versus]), theory)
                rows += [(*group, *_row(method, versus, name, measures[name], request)) for name in measures]
    return pd.DataFrame(rows, columns=[*request.by, *_Row._fields]).astype({"n_needed": "Int64"})


def _as_parts(without_intervals: object) -> list[dict[str, Hashable]]:
    from pandas.api.types import is_list_like

    given = [without_intervals] if isinstance(without_intervals, Mapping) else without_intervals
    if not isinstance(given, Sequence) or not all(isinstance(part, Mapping) for part in given):
        rule = "be a mapping such as {'method': 'B'}, or a sequence of them"
        raise TypeError(f"without_intervals must {rule}; got {without_intervals!r}")
    for part in given:
        if any(is_list_like(value) for value in part.values()):
            raise TypeError(f"without_intervals must give one value of each column; got {part}")
    return [dict(part) for part in given]


def _are_without(frame: pd.DataFrame, request: _Request) -> NDArray[np.bool_]:
    """Say of each row whether its method gives no intervals by its nature."""
    are = np.zeros(len(frame), dtype=bool)
    for part in request.without_intervals:
        equal = [(frame[name] == value).to_numpy(bool, na_value=False) for name, value in part.items()]
        is_named = np.logical_and.reduce(equal)
        if not is_named.any():
            raise ValueError(f"without_intervals must give values of rows of the table; got {part}")
        are |= is_named
    return are


def _row(method: Hashable, versus: Hashable, name: str, measure: Measure, request: _Request) -> _Row:
    ends = monte_carlo_interval(measure, request.level) if measure.n else (math.nan, math.nan)
    needed = replicates_needed(measure, request.wanted[name]) if name in request.wanted else None
    return _Row(method, versus, name, measure.value, measure.mcse, measure.n, *ends, needed)


def _paired(one: pd.DataFrame, other: pd.DataFrame) -> tuple[Replicates, Replicates]:
    """Replicates where both methods have an estimate, in the same order."""
    a, b = (rows[rows["estimate"].notna()].set_index("replicate") for rows in (one, other))
    common = a.index.intersection(b.index)
    return Replicates.of(a.loc[common]), Replicates.of(b.loc[common])


def _groups(frame: pd.DataFrame, by: list[str]) -> Iterator[tuple[tuple[Any, ...], pd.DataFrame]]:
    """Rows by the values of some columns, in the order of their first appearance."""
    if not by:
        yield (), frame
        return
    yield from frame.groupby(by, sort=False, dropna=False)


def _checked(
    table: pd.DataFrame | Mapping[str, ArrayLike], truth: float | None, by: list[str]
) -> pd.DataFrame:
    """Columns of the table that are used, the numbers among them as floats and as they must be."""
    import pandas as pd

    given = pd.DataFrame(dict(table)).reset_index(drop=True)
    if ("truth" in given) == (truth is not None):
        raise ValueError("truth must be either a column of the table or a constant")
    if truth is not None:
        given["truth"] = float(truth)
    for name in ("estimate", *by):
        if name not in given:
            raise ValueError(f"table must have a column {name}; got {', '.join(map(str, given))}")
    if ("lower" in given) != ("upper" in given):
        raise ValueError("table must have both lower and upper, or neither")
    if given.empty:
        raise ValueError("table must have at least one row")
    if "method" not in given:
        given["method"] = ""
    for name in ("estimate", "truth", *UNCERTAINTY):
        if name in given:
            given[name] = _as_numbers(name, given[name])
    _check_numbers(given)
    return given


def _as_numbers(name: str, column: pd.Series[Any]) -> pd.Series[Any]:
    from pandas.api.types import is_float_dtype, is_integer_dtype, is_object_dtype

    if is_object_dtype(column):
        column = column.where(column.notna(), math.nan).infer_objects()
    if is_float_dtype(column) or is_integer_dtype(column) or column.isna().all():
        return column.astype(float)
    is_number = [isinstance(value, Real) and not isinstance(value, bool) for value in column]
    row = int(np.argmin(is_number))
    raise TypeError(f"{name} must hold numbers; got {column.iloc[row]!r} in row {row}")


def _check_numbers(given: pd.DataFrame) -> None:
    """Raise a ValueError, naming the first wrong row, where numbers are not what their column says."""
    _require(given, "method", given["method"].notna(), "not be missing")
    _require(given, "estimate", ~np.isinf(given["estimate"]), "be finite or missing")
    _require(given, "truth", np.isfinite(given["truth"]), "be finite")
    if "standard_error" in given:
        error = given["standard_error"]
        is_right = error.isna() | ((error >= 0) & np.isfinite(error))
        _require(given, "standard_error", is_right, "be finite and not negative, or missing")
    if "lower" in given:
        _require(given, "lower", ~(given["lower"] > given["upper"]), "not exceed upper")


def _require(given: pd.DataFrame, name: str, is_right: pd.Series[bool], rule: str) -> None:
    if not is_right.all():
        row = int(np.argmin(is_right.to_numpy()))
        raise ValueError(f"{name} must {rule}; got {given[name].iloc[row]} in row {row}")


def _check_replicates(frame: pd.DataFrame, by: list[str]) -> None:
    """Raise a ValueError where rows that are not replicates of one another would be pooled."""
    _require(frame, "replicate", frame["replicate"].notna(), "not be missing")
    is_repeated = frame.duplicated([*by, "method", "replicate"])
    rule = "name a row of its method once in each group (name in by whatever else tells rows apart)"
    _require(frame, "replicate", ~is_repeated, rule)


def _check_pairs(frame: pd.DataFrame, versus: Hashable) -> None:
    if versus not in set(frame["method"]):
        raise ValueError(f"versus must be one of the table's methods; got {versus!r}")
    if "replicate" not in frame:
        raise ValueError("table must have a column replicate, by which methods are paired")

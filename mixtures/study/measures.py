"""From the rows of one condition to measures: accounting, recovery, differences, calibration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from mixtures.comparison.performance import (
    Measure,
    failure_rate,
    mean,
    paired_difference,
    paired_proportions,
    proportion,
)
from mixtures.comparison.reliability import ReliabilityBin
from mixtures.comparison.replicates import (
    UNCERTAINTY,
    Replicates,
    compare_replicates,
    measure_replicates,
)
from mixtures.model.arrays import Array
from mixtures.model.fit import Status
from mixtures.study.catalogue import Catalogue
from mixtures.study.claim import BADLY_WRONG, FIT_MEASURES, PAIR_MEASURES, PARAMETER_PAIR_MEASURES
from mixtures.study.conditions import ORACLE, Condition
from mixtures.study.design import Method, Study
from mixtures.study.shares import lower_likelihood
from mixtures.study.tables import Tables, read

if TYPE_CHECKING:
    import pandas as pd

_ORACLE_MEASURES = ("log_score", "brier", "error_rate", "adjusted_rand_index", "calibration_error")


@dataclass(frozen=True, slots=True)
class Account:
    """What became of the fits of one method in one condition.

    Attributes
    ----------
    n_planned, n_attempted, n_estimates : int
        Fits that the study file, or its rule `until` so far, asks for; rows stored; those of them with
        an estimate.
    statuses : dict of str to int
        Fits by status.
    n_ambiguous : int
        Fits whose alignment to the truth has a runner-up nearly as good.
    n_warned : int
        Fits that carry a warning.
    n_spurious : int or None
        Fits where a higher, spurious maximum was set aside; None where the engine has no such rule.
    """

    condition: Condition
    method: str
    n_planned: int
    n_attempted: int
    n_estimates: int
    statuses: dict[str, int]
    n_ambiguous: int
    n_warned: int
    n_spurious: int | None


@dataclass(frozen=True, slots=True)
class ParameterSummary:
    """Performance of one method on one parameter in one condition.

    Attributes
    ----------
    truth : float or None
        None where truths are drawn from a prior.
    measures : dict of str to Measure
        By name, over every fit with an estimate.
    converged : dict of str to Measure
        The same over converged fits only.
    without_spurious : dict of str to Measure
        The same over fits where no higher, spurious maximum was set aside.
    """

    condition: Condition
    method: str
    parameter: str
    component: int
    axis: int
    truth: float | None
    measures: dict[str, Measure]
    converged: dict[str, Measure]
    without_spurious: dict[str, Measure]


@dataclass(frozen=True, slots=True)
class FitSummary:
    """Measures of one method in one condition that are one number a fit.

    Over every fit, the converged, and those where no higher, spurious maximum was set aside.
    `method` is "oracle" for the scores of the soft assignments at the true parameters, on the
    replicates of the first method. Where some scores are infinite, and so their mean, the mean of the
    others has the measure's name followed by "_finite".
    """

    condition: Condition
    method: str
    measures: dict[str, Measure]
    converged: dict[str, Measure]
    without_spurious: dict[str, Measure]


@dataclass(frozen=True, slots=True)
class PairSummary:
    """Two methods on the same data: distance of their soft assignments, and paired differences.

    `lower_likelihood` holds, by the name of either method, the share of data sets on which its likelihood
    is the lower. Differences are `method` minus `versus`; those in bias, MSE and coverage have the key
    (measure, parameter, component, axis). The relative precision is that of `method` against `versus`,
    by (parameter, component, axis).
    """

    condition: Condition
    method: str
    versus: str
    distances: dict[str, Measure]
    lower_likelihood: dict[str, Measure]
    differences: dict[str, Measure]
    parameter_differences: dict[tuple[str, str, int, int], Measure]
    relative_precision: dict[tuple[str, int, int], Measure]


@dataclass(frozen=True, slots=True)
class CalibrationCurve:
    """Soft assignments of one method in one condition, in bins over replicates, empty bins left out."""

    condition: Condition
    method: str
    bins: list[ReliabilityBin]


@dataclass(frozen=True, slots=True)
class DiagnosticSummary:
    """How well one method worked in one condition, by one of its diagnostics: over all its fits.

    `n` counts the fits where the diagnostic is known.
    """

    condition: Condition
    method: str
    name: str
    n: int
    smallest: float
    median: float
    largest: float


def account_for(
    study: Study, condition: Condition, method: Method, rows: Tables, asked: int | None = None
) -> Account:
    """Account for the fits of one method in one condition, of which a rule asks for `asked` replicates."""
    fits = rows.fits[rows.fits["method"] == method.name]
    return Account(
        condition,
        method.name,
        study.replicates_of(method, asked),
        len(fits),
        int(fits["has_estimate"].sum()),
        dict(Counter(fits["status"])),
        int((fits["is_ambiguous"] == True).sum()),  # noqa: E712  missing for fits without an estimate
        int((fits["warnings"] != "").sum()),
        _count_spurious(method, rows),
    )


def _count_spurious(method: Method, rows: Tables) -> int | None:
    return int((own > 0).sum()) if len(own := _spurious(method, rows)["value"]) else None


def _spurious_replicates(method: Method, rows: Tables) -> set[int]:
    """Replicates in which the method set a higher, spurious maximum aside."""
    own = _spurious(method, rows)
    return set(own.loc[own["value"] > 0, "replicate"])


def _spurious(method: Method, rows: Tables) -> pd.DataFrame:
    return rows.spurious[rows.spurious["method"] == method.name]


def measure_parameters(
    study: Study, condition: Condition, rows: Tables, with_intervals: Collection[str]
) -> Iterator[ParameterSummary]:
    """Measure every method on every parameter of one condition.

    A method `with_intervals` misses the truth wherever it gave none; the others are not measured by them.
    """
    fits = rows.fits[["method", "replicate", "status"]].set_index(["method", "replicate"])["status"]
    for method in study.method:
        own = _of_method(rows.parameters, method.name, with_intervals)
        spurious = _spurious_replicates(method, rows)
        for (parameter, component, axis), cell in parameters_of(own):
            statuses = fits.loc[method.name].loc[cell["replicate"]].to_numpy()
            is_constant = condition.truth.prior is None
            truth = float(cell["truth"].iloc[0]) if is_constant else None
            converged = cell[statuses == Status.CONVERGED]
            yield ParameterSummary(
                condition,
                method.name,
                parameter,
                component,
                axis,
                truth,
                _measure_parameter(cell, truth),
                _measure_parameter(converged, truth),
                _measure_parameter(cell[~cell["replicate"].isin(spurious)], truth),
            )


def parameters_of(own: pd.DataFrame) -> Iterator[tuple[tuple[str, int, int], pd.DataFrame]]:
    """Yield the rows of one method by parameter, component and axis."""
    for place, rows in own.groupby(["parameter", "component", "axis"]).indices.items():
        parameter, component, axis = cast("tuple[str, int, int]", place)
        yield (parameter, int(component), int(axis)), own.iloc[rows]


def _of_method(parameters: pd.DataFrame, method: str, with_intervals: Collection[str]) -> pd.DataFrame:
    """Rows of one method, with columns for its uncertainty if it states any."""
    is_stated = method in with_intervals
    with_own = parameters if is_stated else parameters.drop(columns=[*UNCERTAINTY], errors="ignore")
    return with_own[with_own["method"] == method]


def _measure_parameter(cell: pd.DataFrame, truth: float | None) -> dict[str, Measure]:
    measures = measure_replicates(Replicates.of(cell))
    if truth is None:
        del measures["relative_bias"]
    return measures


def measure_fits(study: Study, condition: Condition, rows: Tables) -> Iterator[FitSummary]:
    """Measure every method, and the oracle, on one condition."""
    for method in study.method:
        own = rows.fits[rows.fits["method"] == method.name]
        _, *parts = _parts(method, own, rows)
        yield FitSummary(
            condition, method.name, average_fits(own), *(_average(part, FIT_MEASURES) for part in parts)
        )
    first = study.method[0]
    own = rows.fits[rows.fits["method"] == first.name]
    yield FitSummary(condition, ORACLE, *map(_average_oracle, _parts(first, own, rows)))


def average_fits(fits: pd.DataFrame) -> dict[str, Measure]:
    """Measure fits of one method by name: those that are one number a fit, and the rates of failure."""
    return _average(fits, FIT_MEASURES) | {
        "failure_rate": failure_rate(~fits["has_estimate"].to_numpy(dtype=bool)),
        "not_converged_rate": proportion(fits["status"] != Status.CONVERGED),
    }


def _parts(method: Method, fits: pd.DataFrame, rows: Tables) -> tuple[pd.DataFrame, ...]:
    """All fits of a method, the converged ones, and those where no spurious maximum was set aside."""
    is_spurious = fits["replicate"].isin(_spurious_replicates(method, rows))
    return fits, fits[fits["status"] == Status.CONVERGED], fits[~is_spurious]


def _average(fits: pd.DataFrame, names: Iterable[str]) -> dict[str, Measure]:
    measures: dict[str, Measure] = {}
    for name in names:
        if name == BADLY_WRONG and name in fits:
            measures[name] = proportion(fits[name])
        elif name in fits:
            measures |= _with_finite(name, fits[name].to_numpy(dtype=float))
    return measures


def _with_finite(name: str, values: Array) -> dict[str, Measure]:
    """The mean of values or differences and, where some are infinite, that of the others."""
    is_infinite = np.isinf(values)
    found = {name: mean(values)}
    return found | {f"{name}_finite": mean(values[~is_infinite])} if is_infinite.any() else found


def _average_oracle(fits: pd.DataFrame) -> dict[str, Measure]:
    scores = _average(fits, (f"oracle_{name}" for name in _ORACLE_MEASURES))
    named = {name.removeprefix("oracle_"): measure for name, measure in scores.items()}
    return named | _average(fits, ("bayes_error",))


def measure_pairs(
    study: Study, condition: Condition, rows: Tables, with_intervals: Collection[str]
) -> Iterator[PairSummary]:
    """Measure every two methods against each other on one condition."""
    names = [method.name for method in study.method]
    for i, versus in enumerate(names):
        for method in names[i + 1 :]:
            both = {method, versus}  # in either order, which follows the file's when they were compared
            own = rows.pairs[rows.pairs["method"].isin(both) & rows.pairs["versus"].isin(both)]
            found = dict(_compare_parameters(rows.parameters, method, versus, with_intervals))
            yield PairSummary(
                condition,
                method,
                versus,
                {name: mean(own[name].to_numpy()) for name in PAIR_MEASURES},
                {
                    one: lower_likelihood(rows.fits, one, other)
                    for one, other in ((method, versus), (versus, method))
                },
                _fit_differences(rows.fits, method, versus),
                {
                    (name, *place): measures[name]
                    for place, measures in found.items()
                    for name in measures.keys() - PARAMETER_PAIR_MEASURES
                },
                {place: measures["relative_precision"] for place, measures in found.items()},
            )


def _fit_differences(fits: pd.DataFrame, method: str, versus: str) -> dict[str, Measure]:
    by_replicate = fits.set_index("replicate")
    a, b = by_replicate[by_replicate["method"] == method], by_replicate[by_replicate["method"] == versus]
    common = a.index.intersection(b.index)
    a, b = a.loc[common], b.loc[common]
    differences: dict[str, Measure] = {}
    for name in FIT_MEASURES:
        if name == BADLY_WRONG and name in fits:
            differences[name] = paired_proportions(a[name], b[name])
        elif name in fits:
            x, y = a[name].to_numpy(dtype=float), b[name].to_numpy(dtype=float)
            with np.errstate(invalid="ignore"):  # of two infinite scores the difference is missing
                differences[name] = paired_difference(x, y)
            is_infinite = np.isinf(x) | np.isinf(y)
            if is_infinite.any():
                differences[f"{name}_finite"] = paired_difference(x[~is_infinite], y[~is_infinite])
    return differences


def _compare_parameters(
    parameters: pd.DataFrame, method: str, versus: str, with_intervals: Collection[str]
) -> Iterator[tuple[tuple[str, int, int], dict[str, Measure]]]:
    """Compare two methods on each parameter, on the replicates where both have an estimate."""
    keys = ["parameter", "component", "axis", "replicate"]
    a, b = (_of_method(parameters, name, with_intervals).set_index(keys) for name in (method, versus))
    common = a.index.intersection(b.index, sort=False)
    a, b = a.loc[common], b.loc[common]
    for group, cell in a.groupby(level=keys[:3], sort=False):
        parameter, component, axis = cast("tuple[str, int, int]", group)
        measures = compare_replicates(Replicates.of(cell), Replicates.of(b.loc[cell.index]))
        yield (parameter, int(component), int(axis)), measures


def measure_calibration(
    study: Study, condition: Condition, catalogue: Catalogue
) -> Iterator[CalibrationCurve]:
    """Add the bins of soft assignments over the replicates of one condition, read method by method."""
    for method in (*(one.name for one in study.method), ORACLE):
        own = read(catalogue, study, condition, "reliability", method=method)
        if len(own):
            bins = own["bin"].to_numpy()
            columns = [own[name].to_numpy() for name in ("count", "assigned", "belonging")]
            yield CalibrationCurve(
                condition,
                method,
                [
                    ReliabilityBin.of(index, *(values[bins == index] for values in columns))
                    for index in np.unique(bins).tolist()
                ],
            )
            del bins, columns
        del own  # before that of the next method is read


def summarise_diagnostics(
    study: Study, condition: Condition, catalogue: Catalogue
) -> Iterator[DiagnosticSummary]:
    """Summarise the engines' diagnostics on one condition."""
    for method in study.method:
        own = read(catalogue, study, condition, "diagnostics", method=method.name)
        for name, rows in own.groupby("name").indices.items():
            known = own["value"].iloc[rows].dropna().to_numpy()
            if len(known):
                ends = (float(np.quantile(known, q)) for q in (0.0, 0.5, 1.0))
                yield DiagnosticSummary(condition, method.name, str(name), len(known), *ends)
        del own  # before that of the next method is read

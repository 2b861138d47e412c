"""From stored rows to measures: accounting, recovery, differences, calibration and verdicts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np

from mixtures.comparison.performance import (
    Measure,
    bias,
    coverage,
    empirical_se,
    interval_width,
    mean,
    model_se,
    mse,
    paired_difference,
    proportion,
    ratio_of_sums,
    relative_bias,
    rmse,
)
from mixtures.model.fit import Status
from mixtures.study.claim import FIT_MEASURES, PAIR_MEASURES, Claim
from mixtures.study.design import Condition, Method, Study
from mixtures.study.replicate import ORACLE
from mixtures.study.store import Store
from mixtures.study.verdict import Judgement, Verdict, judge, overall

if TYPE_CHECKING:
    import pandas as pd

_MISSING = Measure(math.nan, math.nan, 0)
_ORACLE_MEASURES = ("log_score", "brier", "error_rate", "adjusted_rand_index", "calibration_error")


@dataclass(frozen=True, slots=True)
class Account:
    """What became of the fits of one method in one condition.

    Attributes
    ----------
    n_planned, n_attempted, n_estimates : int
        Fits that the study file asks for; rows stored; those of them with an estimate.
    statuses : dict of str to int
        Fits by status.
    n_ambiguous : int
        Fits whose alignment to the truth has a runner-up nearly as good.
    n_warned : int
        Fits that carry a warning.
    """

    condition: Condition
    method: str
    n_planned: int
    n_attempted: int
    n_estimates: int
    statuses: dict[str, int]
    n_ambiguous: int
    n_warned: int


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
    """

    condition: Condition
    method: str
    parameter: str
    component: int
    axis: int
    truth: float | None
    measures: dict[str, Measure]
    converged: dict[str, Measure]


@dataclass(frozen=True, slots=True)
class FitSummary:
    """Measures of one method in one condition that are one number a fit.

    `method` is "oracle" for the scores of the soft assignments at the true parameters, on the
    replicates of the first method.
    """

    condition: Condition
    method: str
    measures: dict[str, Measure]


@dataclass(frozen=True, slots=True)
class PairSummary:
    """Two methods on the same data: distance of their soft assignments, and paired differences.

    Differences are `method` minus `versus`; those of errors and squared errors have the key
    (measure, parameter, component, axis).
    """

    condition: Condition
    method: str
    versus: str
    distances: dict[str, Measure]
    differences: dict[str, Measure]
    parameter_differences: dict[tuple[str, str, int, int], Measure]


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """Soft assignments in one bin, over replicates: mean assigned and share that belonged."""

    condition: Condition
    method: str
    bin: int
    count: int
    assigned: float
    belonging: Measure


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


@dataclass(frozen=True, slots=True)
class JudgedClaim:
    """A claim with its verdict.

    Attributes
    ----------
    judgements : list of (str, Judgement)
        What was judged, in words, and how.
    is_post_hoc : bool
        Whether fits were stored before the claim was made.
    """

    claim: Claim
    verdict: Verdict
    judgements: list[tuple[str, Judgement]]
    is_post_hoc: bool


@dataclass(frozen=True, slots=True)
class Summary:
    """Everything that a report says of a study, in numbers."""

    study: Study
    manifest: dict[str, Any]
    claims: list[JudgedClaim]
    accounts: list[Account]
    parameters: list[ParameterSummary]
    fits: list[FitSummary]
    pairs: list[PairSummary]
    calibration: list[CalibrationBin]
    diagnostics: list[DiagnosticSummary]


@dataclass(frozen=True, slots=True, eq=False)
class Tables:
    """Rows of one condition, those of each method under its name."""

    fits: pd.DataFrame
    parameters: pd.DataFrame
    pairs: pd.DataFrame
    reliability: pd.DataFrame
    diagnostics: pd.DataFrame

    @classmethod
    def of(cls, store: Store, study: Study) -> Self:
        """Read the rows of a study's conditions and methods, and name the methods."""
        names = {method.key: method.name for method in study.method} | {ORACLE: ORACLE}
        frames, done = [], store.done()
        for kind in (field.name for field in fields(cls)):
            frame = _of_fits(store.read(kind), done)
            frame["method"] = frame["method"].map(names)
            if kind == "pairs":
                frame["versus"] = frame["versus"].map(names)
            frames.append(frame)
        return cls(*frames)

    def within(self, condition: Condition) -> Self:
        """Return the rows of one condition."""
        frames = (getattr(self, field.name) for field in fields(self))
        return type(self)(*(frame[frame["condition"] == condition.key] for frame in frames))


def summarise(store: Store) -> Summary:
    """Summarise the stored rows of a study.

    Raises
    ------
    ValueError
        If the results cannot be read.
    """
    study, manifest = store.study(), store.manifest()
    tables = Tables.of(store, study)
    summary = Summary(study, manifest, [], [], [], [], [], [], [])
    for condition in study.conditions:
        rows = tables.within(condition)
        summary.accounts.extend(_account(study, condition, method, rows) for method in study.method)
        summary.parameters.extend(_parameters(study, condition, rows))
        summary.fits.extend(_fits(study, condition, rows))
        summary.pairs.extend(_pairs(study, condition, rows))
        summary.calibration.extend(_calibration(condition, rows))
        summary.diagnostics.extend(_diagnostics(condition, rows))
    summary.claims.extend(_judge_claims(study, summary, manifest.get("claims", {})))
    return summary


def _of_fits(frame: pd.DataFrame, done: set[tuple[str, int, str]]) -> pd.DataFrame:
    """Leave out rows whose fit is not there: storing it was interrupted, and it will be run again."""
    replicates = {key[:2] for key in done}
    keep = np.ones(len(frame), dtype=bool)
    for column in {"method", "versus"} & set(frame.columns):
        keys = zip(frame["condition"], frame["replicate"], frame[column], strict=True)
        keep &= np.array(
            [key[:2] in replicates if key[2] == ORACLE else key in done for key in keys], dtype=bool
        )
    return frame[keep]


def _account(study: Study, condition: Condition, method: Method, rows: Tables) -> Account:
    fits = rows.fits[rows.fits["method"] == method.name]
    return Account(
        condition,
        method.name,
        study.replicates_of(method),
        len(fits),
        int(fits["has_estimate"].sum()),
        dict(Counter(fits["status"])),
        int((fits["is_ambiguous"] == True).sum()),  # noqa: E712  missing for fits without an estimate
        int((fits["warnings"] != "").sum()),
    )


def _parameters(study: Study, condition: Condition, rows: Tables) -> Iterator[ParameterSummary]:
    fits = rows.fits.set_index(["method", "replicate"])["status"]
    for method in study.method:
        own = rows.parameters[rows.parameters["method"] == method.name]
        for place, cell in own.groupby(["parameter", "component", "axis"], sort=False):
            parameter, component, axis = cast("tuple[str, int, int]", place)
            statuses = fits.loc[method.name].loc[cell["replicate"]].to_numpy()
            is_constant = condition.truth.prior is None
            truth = float(cell["truth"].iloc[0]) if is_constant else None
            converged = cell[statuses == Status.CONVERGED]
            yield ParameterSummary(
                condition,
                method.name,
                parameter,
                int(component),
                int(axis),
                truth,
                _measure_parameter(cell, truth),
                _measure_parameter(converged, truth),
            )


def _measure_parameter(cell: pd.DataFrame, truth: float | None) -> dict[str, Measure]:
    errors = (cell["estimate"] - cell["truth"]).to_numpy()
    measures = {
        "bias": bias(errors),
        "empirical_se": empirical_se(errors),
        "mse": mse(errors),
        "rmse": rmse(errors),
    }
    if truth is not None:
        measures["relative_bias"] = relative_bias(errors, truth)
    has_interval = cell["lower"].notna().to_numpy()
    if not has_interval.any():
        return measures
    lower, upper = cell["lower"].to_numpy(), cell["upper"].to_numpy()
    given = cell[has_interval]
    return measures | {
        "coverage": coverage(lower, upper, cell["truth"].to_numpy()),
        "coverage_given_interval": coverage(given["lower"], given["upper"], given["truth"]),
        "model_se": model_se(cell["standard_error"].to_numpy()),
        "interval_width": interval_width(lower, upper),
    }


def _fits(study: Study, condition: Condition, rows: Tables) -> Iterator[FitSummary]:
    for method in study.method:
        own = rows.fits[rows.fits["method"] == method.name]
        measures = {name: mean(own[name].to_numpy(dtype=float)) for name in FIT_MEASURES if name in own}
        measures["failure_rate"] = proportion(own["status"] != Status.CONVERGED)
        yield FitSummary(condition, method.name, measures)
    first = rows.fits[rows.fits["method"] == study.method[0].name]
    oracle = {name: mean(first[f"oracle_{name}"].to_numpy(dtype=float)) for name in _ORACLE_MEASURES}
    yield FitSummary(
        condition, ORACLE, oracle | {"bayes_error": mean(first["bayes_error"].to_numpy(dtype=float))}
    )


def _pairs(study: Study, condition: Condition, rows: Tables) -> Iterator[PairSummary]:
    names = [method.name for method in study.method]
    for i, versus in enumerate(names):
        for method in names[i + 1 :]:
            both = {method, versus}  # in either order, which follows the file's when they were compared
            own = rows.pairs[rows.pairs["method"].isin(both) & rows.pairs["versus"].isin(both)]
            distances = {name: mean(own[name].to_numpy()) for name in PAIR_MEASURES}
            yield PairSummary(
                condition,
                method,
                versus,
                distances,
                _fit_differences(rows.fits, method, versus),
                dict(_parameter_differences(rows.parameters, method, versus)),
            )


def _fit_differences(fits: pd.DataFrame, method: str, versus: str) -> dict[str, Measure]:
    by_replicate = fits.set_index("replicate")
    a, b = by_replicate[by_replicate["method"] == method], by_replicate[by_replicate["method"] == versus]
    common = a.index.intersection(b.index)
    a, b = a.loc[common], b.loc[common]
    return {
        name: paired_difference(a[name].to_numpy(dtype=float), b[name].to_numpy(dtype=float))
        for name in FIT_MEASURES
        if name in fits
    }


def _parameter_differences(
    parameters: pd.DataFrame, method: str, versus: str
) -> Iterable[tuple[tuple[str, str, int, int], Measure]]:
    keys = ["parameter", "component", "axis", "replicate"]
    a = parameters[parameters["method"] == method].set_index(keys)
    b = parameters[parameters["method"] == versus].set_index(keys)
    joined = a.merge(b, left_index=True, right_index=True, suffixes=("_a", "_b"))
    for group, cell in joined.groupby(keys[:3], sort=False):
        parameter, component, axis = cast("tuple[str, int, int]", group)
        place = (parameter, int(component), int(axis))
        error_a, error_b = (cell[f"estimate_{side}"] - cell[f"truth_{side}"] for side in "ab")
        yield ("bias", *place), paired_difference(error_a, error_b)
        yield ("mse", *place), paired_difference(error_a**2, error_b**2)
        covers = [
            (cell[f"lower_{side}"] <= cell[f"truth_{side}"])
            & (cell[f"truth_{side}"] <= cell[f"upper_{side}"])
            for side in "ab"
        ]
        if all(cell[f"lower_{side}"].notna().any() for side in "ab"):
            yield ("coverage", *place), paired_difference(*(cover.to_numpy(dtype=float) for cover in covers))


def _calibration(condition: Condition, rows: Tables) -> Iterator[CalibrationBin]:
    for group, cell in rows.reliability.groupby(["method", "bin"]):
        method, index = cast("tuple[str, int]", group)
        yield CalibrationBin(
            condition,
            method,
            int(index),
            int(cell["count"].sum()),
            float(cell["assigned"].sum() / cell["count"].sum()),
            ratio_of_sums(cell["belonging"].to_numpy(), cell["count"].to_numpy()),
        )


def _diagnostics(condition: Condition, rows: Tables) -> Iterator[DiagnosticSummary]:
    for group, cell in rows.diagnostics.groupby(["method", "name"], sort=False):
        method, name = cast("tuple[str, str]", group)
        known = cell["value"].dropna().to_numpy()
        if len(known):
            smallest, median, largest = (float(np.quantile(known, q)) for q in (0.0, 0.5, 1.0))
            yield DiagnosticSummary(condition, method, name, len(known), smallest, median, largest)


def _judge_claims(study: Study, summary: Summary, made: dict[str, Any]) -> Iterator[JudgedClaim]:
    found = {claim.id: list(_find(study, summary, claim)) for claim in study.claim}
    n_judgements = max(sum(len(measures) for measures in found.values()), 1)
    for claim in study.claim:
        judgements = [(place, judge(claim, measure, n_judgements)) for place, measure in found[claim.id]]
        is_post_hoc = made.get(claim.id, {}).get("fits_before", 0) > 0
        yield JudgedClaim(claim, overall([judgement for _, judgement in judgements]), judgements, is_post_hoc)


def _find(study: Study, summary: Summary, claim: Claim) -> Iterator[tuple[str, Measure]]:
    """The measures that a claim is about, one for each condition and component, missing ones among them."""
    for condition in study.conditions_of(claim):
        if claim.parameter is None:
            yield condition.name, _find_number(summary, claim, condition)
            continue
        found = dict(_find_parameters(summary, claim, condition))
        components = range(1, study.components + 1) if claim.component is None else [claim.component]
        for j in components:
            places = [place for place in found if place[0] == j] or [(j, 1)]
            for place in places:
                name = f"{condition.name}, {parameter_name(claim.parameter, *place)}"
                yield name, found.get(place, _MISSING)


def _find_number(summary: Summary, claim: Claim, condition: Condition) -> Measure:
    if claim.versus is None:
        cell = next(c for c in summary.fits if c.condition == condition and c.method == claim.method)
        return cell.measures.get(claim.measure, _MISSING)
    pair, sign = _find_pair(summary, claim, condition)
    if claim.measure in PAIR_MEASURES:
        return pair.distances[claim.measure]
    return _signed(sign, pair.differences.get(claim.measure, _MISSING))


def _find_parameters(
    summary: Summary, claim: Claim, condition: Condition
) -> Iterator[tuple[tuple[int, int], Measure]]:
    if claim.versus is None:
        for one in summary.parameters:
            if (one.condition, one.method, one.parameter) == (condition, claim.method, claim.parameter):
                yield (one.component, one.axis), one.measures.get(claim.measure, _MISSING)
        return
    pair, sign = _find_pair(summary, claim, condition)
    for (measure, parameter, component, axis), difference in pair.parameter_differences.items():
        if (measure, parameter) == (claim.measure, claim.parameter):
            yield (component, axis), _signed(sign, difference)


def _find_pair(summary: Summary, claim: Claim, condition: Condition) -> tuple[PairSummary, int]:
    """The two methods of a claim, and -1 where the claim has them in the other order."""
    both = {claim.method, claim.versus}
    pair = next(
        one for one in summary.pairs if one.condition == condition and {one.method, one.versus} == both
    )
    return pair, 1 if pair.method == claim.method else -1


def _signed(sign: int, measure: Measure) -> Measure:
    return Measure(sign * measure.value, measure.mcse, measure.n)


def parameter_name(parameter: str, component: int, axis: int) -> str:
    """How tables call a parameter: "mean 2", or "mean 2, axis 3"."""
    return f"{parameter.removesuffix('s')} {component}" + (f", axis {axis}" if axis > 1 else "")

"""Everything that a report says of a study, in numbers, and the verdicts on its claims."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from mixtures.comparison.performance import Measure, reversed_precision
from mixtures.study.catalogue import Catalogue
from mixtures.study.claim import LOWER_LIKELIHOOD, PAIR_MEASURES, PARAMETER_PAIR_MEASURES, UNIFORMITY, Claim
from mixtures.study.conditions import Condition
from mixtures.study.design import Study
from mixtures.study.measures import (
    Account,
    CalibrationCurve,
    DiagnosticSummary,
    FitSummary,
    PairSummary,
    ParameterSummary,
    account_for,
    measure_calibration,
    measure_fits,
    measure_pairs,
    measure_parameters,
    summarise_diagnostics,
)
from mixtures.study.shares import mark_badly_wrong
from mixtures.study.stopping import Stop, stop_of
from mixtures.study.store import Store
from mixtures.study.tables import Tables, methods_with_intervals
from mixtures.study.uniformity import (
    RankAccount,
    RankSummary,
    account_for_ranks,
    adjusted,
    measure_ranks,
    smallest,
)
from mixtures.study.verdict import Judgement, Verdict, judge, overall

_MISSING = Measure(math.nan, math.nan, 0)


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
    calibration: list[CalibrationCurve]
    rank_accounts: list[RankAccount]
    ranks: list[RankSummary]
    diagnostics: list[DiagnosticSummary]
    stops: list[Stop]


def summarise(store: Store) -> Summary:
    """Summarise the stored rows of a study.

    Raises
    ------
    ValueError
        If the results cannot be read.
    """
    study, manifest = store.study(), store.manifest()
    catalogue = Catalogue(store)
    with_intervals = methods_with_intervals(study)
    summary = Summary(study, manifest, [], [], [], [], [], [], [], [], [], [])
    ranks: list[RankSummary] = []
    for condition in study.conditions:
        rows = mark_badly_wrong(condition, Tables.of(catalogue, study, condition))
        asked = None
        if study.until is not None:
            summary.stops.append(stop_of(study, condition, rows))
            asked = summary.stops[-1].n_asked
        summary.accounts.extend(account_for(study, condition, method, rows, asked) for method in study.method)
        summary.parameters.extend(measure_parameters(study, condition, rows, with_intervals))
        summary.fits.extend(measure_fits(study, condition, rows))
        summary.pairs.extend(measure_pairs(study, condition, rows, with_intervals))
        summary.rank_accounts.extend(account_for_ranks(study, condition, rows))
        ranks.extend(measure_ranks(condition, rows))
        del rows
        summary.diagnostics.extend(summarise_diagnostics(study, condition, catalogue))
        summary.calibration.extend(measure_calibration(study, condition, catalogue))
    summary.ranks.extend(adjusted(ranks))
    summary.claims.extend(_judge_claims(study, summary, manifest.get("claims", {})))
    return summary


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
    if claim.measure == UNIFORMITY:
        places = (condition, claim.method)
        return smallest([one for one in summary.ranks if (one.condition, one.method) == places])
    if claim.versus is None:
        cell = next(c for c in summary.fits if c.condition == condition and c.method == claim.method)
        return cell.measures.get(claim.measure, _MISSING)
    pair, sign = _find_pair(summary, claim, condition)
    if claim.measure == LOWER_LIKELIHOOD:
        return pair.lower_likelihood[claim.method]
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
    if claim.measure in PARAMETER_PAIR_MEASURES:
        for (parameter, component, axis), precision in pair.relative_precision.items():
            if parameter == claim.parameter:
                yield (component, axis), precision if sign > 0 else reversed_precision(precision)
        return
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
    return replace(measure, value=sign * measure.value)


def parameter_name(parameter: str, component: int, axis: int) -> str:
    """How tables call a parameter: "mean 2", or "mean 2, axis 3"."""
    return f"{parameter.removesuffix('s')} {component}" + (f", axis {axis}" if axis > 1 else "")

"""One replicate: draw the truth and the data, fit every method, compare. A failure is a row."""

from __future__ import annotations

import hashlib
import math
import os
import platform
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from mixtures.comparison.assignments import AssignmentScores
from mixtures.comparison.ranks import points_of, rank_fit
from mixtures.comparison.recovery import Oracle, Recovery, agree, recover
from mixtures.model.arrays import Array
from mixtures.model.data import Dataset, simulate
from mixtures.model.fit import Fit, Fitter, Status
from mixtures.model.mixture import NormalMixture
from mixtures.model.spec import MixtureSpec
from mixtures.study.claim import PARAMETERS
from mixtures.study.conditions import ORACLE, Condition
from mixtures.study.limits import TimeLimit, TimeUpError, within
from mixtures.study.outcomes import STOPS, Failed, message_of
from mixtures.study.rows import (
    DiagnosticRow,
    ExampleRow,
    FitRow,
    PairRow,
    ParameterRow,
    RankRow,
    ReliabilityRow,
    Rows,
)
from mixtures.study.seeds import stream

_N_EXAMPLES = 1  # replicates of each condition whose soft assignments are kept one by one, for the figures
MOST_EXAMPLES = 5000  # observations of these


@dataclass(frozen=True, slots=True, eq=False)
class Replicate:
    """A data set of a condition, with the mixture that generated it.

    Attributes
    ----------
    seed : int
        The study's root seed.
    condition : Condition
    index : int
        Counted from 0.
    truth : NormalMixture
    dataset : Dataset
    oracle : Oracle
        What knowing the truth makes of the data: every fit is compared with it.
    """

    seed: int
    condition: Condition
    index: int
    truth: NormalMixture
    dataset: Dataset
    oracle: Oracle


@dataclass(frozen=True, slots=True, eq=False)
class Attempt:
    """A fit, however it went, with the seconds it took and the exception that ended it, if one did."""

    fit: Fit
    seconds: float
    error_type: str = ""
    error: BaseException | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Unready:
    """In place of an engine that could not be made ready: what it raised."""

    name: str
    error: BaseException


def generate(seed: int, condition: Condition, index: int) -> Replicate:
    """Draw a replicate: the same for every method, whenever and wherever it is asked for."""
    if condition.truth.prior is None:
        truth = condition.truth.as_mixture()
    else:
        rng = stream(seed, condition.key, index, "truth")
        truth = condition.truth.as_prior().sample(condition.spec.n_components, rng)
    data_rng = stream(seed, condition.key, index, "data")
    dataset = simulate(truth, condition.n, data_rng)
    return Replicate(seed, condition, index, truth, dataset, Oracle.of(truth, dataset))


def attempt(
    engine: Fitter | Unready, key: str, replicate: Replicate, seed: int, limit: TimeLimit | None = None
) -> Attempt:
    """Fit one method; whatever it raises makes its status `error`, and too long a time `timeout`."""
    spec, x = replicate.condition.spec, replicate.dataset.x
    if isinstance(engine, Unready):
        return _failed(engine.name, spec, engine.error, 0.0)
    rng = stream(seed, replicate.condition.key, replicate.index, key)
    began = time.perf_counter()
    try:
        fit = within(limit, lambda: engine.fit(spec, x, rng))
        return Attempt(fit, time.perf_counter() - began)
    except STOPS:
        raise
    except TimeUpError:
        fit = Fit(engine.name, spec, Status.TIMEOUT, message=say_time_is_up(limit))
        return Attempt(fit, time.perf_counter() - began)
    except BaseException as error:  # noqa: BLE001  failure is data: any exception, or panic, is a row
        return _failed(engine.name, spec, error, time.perf_counter() - began)


def say_time_is_up(limit: TimeLimit | None) -> str:
    """Say that a fit took longer than it may."""
    return "" if limit is None else f"the fit must end within {limit.seconds:g} seconds; it was stopped"


def _failed(method: str, spec: MixtureSpec, error: BaseException, seconds: float) -> Attempt:
    fit = Fit(method, spec, Status.ERROR, message=message_of(error))
    return Attempt(fit, seconds, type(error).__name__, error)


def record_failure(
    rows: Rows,
    key: str,
    condition: Condition,
    index: int,
    *,
    seed: int,
    status: Status,
    failed: Failed,
    seconds: float = math.nan,
    data_hash: str = "",
) -> None:
    """Add the row of a fit that was never done, for want of data or of a worker that outlives it."""
    rows.fits.append(
        FitRow(
            condition=condition.key,
            replicate=index,
            method=key,
            status=status.value,
            has_estimate=False,
            message=failed.message,
            warnings="",
            error_type=failed.error_type,
            seconds=seconds,
            data_hash=data_hash,
            seed=str(seed),
            host=platform.node(),
            worker=os.getpid(),
        )
    )


def record(rows: Rows, key: str, replicate: Replicate, attempted: Attempt) -> Attempt:
    """Add the rows of one fit, and return the fit as they have it.

    A comparison that fails is an error of the fit, ranks that fail a warning.
    """
    try:
        recovery = _recovery(replicate, attempted.fit)
    except Exception as error:  # noqa: BLE001  as for an engine: nothing may lose the replicate
        lost = Fit(
            attempted.fit.method,
            attempted.fit.spec,
            Status.ERROR,
            message=f"in the comparison: {message_of(error)}",
        )
        attempted, recovery = Attempt(lost, attempted.seconds, type(error).__name__, error), None
    fit, condition = _rank(rows, key, replicate, attempted.fit), replicate.condition
    rows.fits.append(
        FitRow(
            condition=condition.key,
            replicate=replicate.index,
            method=key,
            status=fit.status.value,
            has_estimate=fit.estimate is not None,
            message=fit.message,
            warnings="; ".join(fit.warnings),
            error_type=attempted.error_type,
            seconds=attempted.seconds,
            data_hash=hash_of(replicate.dataset.x),
            seed=str(replicate.seed),
            host=platform.node(),
            worker=os.getpid(),
            **({} if recovery is None else _measures(recovery)),
        )
    )
    rows.diagnostics.extend(_diagnostics(key, replicate, fit))
    if recovery is not None:
        rows.parameters.extend(_parameters(key, replicate, recovery))
        rows.reliability.extend(_reliability(key, replicate, recovery.scores))
        if replicate.index < _N_EXAMPLES and recovery.fit.responsibilities is not None:
            rows.examples.extend(_examples(key, replicate, recovery.fit.responsibilities))
    return replace(attempted, fit=fit)


def record_oracle(rows: Rows, replicate: Replicate) -> None:
    """Add the soft assignments at the true parameters: in bins, and one by one for an example."""
    oracle = replicate.oracle
    rows.reliability.extend(_reliability(ORACLE, replicate, oracle.scores))
    if replicate.index < _N_EXAMPLES:
        rows.examples.extend(_examples(ORACLE, replicate, np.exp(oracle.log_responsibilities)))


def record_pair(rows: Rows, keys: tuple[str, str], replicate: Replicate, fits: tuple[Fit, Fit]) -> None:
    """Add the distance between the soft assignments of two fits, the second against the first."""
    if any(fit.estimate is None for fit in fits):
        return
    try:
        agreement = agree(*fits)
    except Exception:  # noqa: BLE001  a fit that cannot be compared has a row of its own that says so
        return
    distance = agreement.distance
    rows.pairs.append(
        PairRow(
            condition=replicate.condition.key,
            replicate=replicate.index,
            method=keys[1],
            versus=keys[0],
            is_ambiguous=agreement.alignment.is_ambiguous,
            soft_assignment_distance=distance.total_variation,
            kl=distance.kl,
            largest_difference=distance.largest,
            hard_assignment_disagreement=distance.disagreement,
        )
    )


def hash_of(x: Array) -> str:
    """Hash of observations, bit for bit; 16 hexadecimal digits."""
    return hashlib.sha256(x.astype("<f8").tobytes()).hexdigest()[:16]


def _recovery(replicate: Replicate, fit: Fit) -> Recovery | None:
    return None if fit.estimate is None else recover(replicate.oracle, fit)


def _rank(rows: Rows, key: str, replicate: Replicate, fit: Fit) -> Fit:
    """Rank a truth from a prior among a fit's draws, if it has any; where that fails, a warning says why."""
    prior = replicate.condition.truth.prior
    if prior is None or fit.draws is None:
        return fit
    condition = replicate.condition
    rng = stream(replicate.seed, condition.key, replicate.index, f"ranks/{key}")
    points, label_rule = points_of(condition.truth.as_prior()), condition.label_rule
    try:
        ranking = rank_fit(
            replicate.truth, replicate.dataset.x, fit, points=points, rng=rng, label_rule=label_rule
        )
    except Exception as error:  # noqa: BLE001  the fit stands, whatever its draws are
        return replace(fit, warnings=(*fit.warnings, f"not ranked: {message_of(error)}"))
    columns = (part.tolist() for part in (ranking.ranks, ranking.truth, ranking.mean, ranking.sd))
    for name, rank, truth, mean, sd in zip(ranking.names, *columns, strict=True):
        rows.ranks.append(
            RankRow(
                condition=condition.key,
                replicate=replicate.index,
                method=key,
                quantity=name,
                rank=rank,
                n_draws=ranking.n_draws,
                truth=truth,
                mean=mean,
                sd=sd,
            )
        )
    return fit


def _measures(recovery: Recovery) -> dict[str, Any]:
    oracle, soft = recovery.to_oracle, recovery.soft_intervals
    return {
        "log_likelihood": recovery.fit.log_likelihood,
        "is_ambiguous": recovery.alignment.is_ambiguous,
        "alignment_gap": recovery.alignment.gap,
        "hellinger": recovery.hellinger,
        "kl": recovery.kl,
        "total_variation": oracle.total_variation,
        "oracle_kl": oracle.kl,
        "largest_difference": oracle.largest,
        "oracle_disagreement": oracle.disagreement,
        "bayes_error": recovery.bayes_error,
        **({} if soft is None else {"soft_coverage": soft.coverage, "soft_interval_width": soft.width}),
        **_scores("", recovery.scores),
        **_scores("oracle_", recovery.oracle_scores),
    }


def _scores(prefix: str, scores: AssignmentScores | None) -> dict[str, Any]:
    if scores is None:
        return {}
    named: dict[str, Any] = {
        f"{prefix}log_score": scores.log_score,
        f"{prefix}brier": scores.brier,
        f"{prefix}error_rate": scores.error_rate,
        f"{prefix}adjusted_rand_index": scores.adjusted_rand_index,
        f"{prefix}calibration_error": scores.calibration_error,
    }
    return named if prefix else named | {"n_infinite": scores.n_infinite}


def _diagnostics(key: str, replicate: Replicate, fit: Fit) -> Iterable[DiagnosticRow]:
    for diagnostic in fit.diagnostics:
        yield DiagnosticRow(
            condition=replicate.condition.key,
            replicate=replicate.index,
            method=key,
            name=diagnostic.name,
            value=diagnostic.value if math.isfinite(diagnostic.value) else None,
        )


def _parameters(key: str, replicate: Replicate, recovery: Recovery) -> Iterable[ParameterRow]:
    fit, given = recovery.fit, recovery.fit.intervals
    ends = (None, None, None) if given is None else (given.standard_errors, given.lower, given.upper)
    for name in PARAMETERS:
        values: Array = getattr(fit.estimate, name)
        columns = (
            [None] * values.size if part is None else getattr(part, name).ravel().tolist()
            for part in (replicate.truth, fit.estimate, *ends)
        )
        # (k, d), or for weights, which have no axis, (k, 1)
        places = product(range(len(values)), range(values.size // len(values)))
        for (j, axis), truth, estimate, se, lower, upper in zip(places, *columns, strict=True):
            yield ParameterRow(
                condition=replicate.condition.key,
                replicate=replicate.index,
                method=key,
                parameter=name,
                component=j + 1,
                axis=axis + 1,
                truth=truth,
                estimate=estimate,
                standard_error=se,
                lower=lower,
                upper=upper,
            )


def _reliability(key: str, replicate: Replicate, scores: AssignmentScores | None) -> Iterable[ReliabilityRow]:
    if scores is None:
        return
    bins = scores.reliability
    columns = bins.counts.tolist(), bins.assigned.tolist(), bins.belonging.tolist()
    for index, (count, assigned, belonging) in enumerate(zip(*columns, strict=True)):
        if count:
            yield ReliabilityRow(
                condition=replicate.condition.key,
                replicate=replicate.index,
                method=key,
                bin=index + 1,
                count=count,
                assigned=assigned,
                belonging=belonging,
            )


def _examples(key: str, replicate: Replicate, soft: Array) -> Iterable[ExampleRow]:
    x, labels = replicate.dataset.x, replicate.dataset.labels
    for i in range(min(len(x), MOST_EXAMPLES)):
        for j in range(soft.shape[1]):
            yield ExampleRow(
                condition=replicate.condition.key,
                replicate=replicate.index,
                method=key,
                observation=i,
                component=j + 1,
                x=float(x[i, 0]),
                label=-1 if labels is None else int(labels[i]) + 1,
                responsibility=float(soft[i, j]),
            )

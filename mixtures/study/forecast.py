"""What a pilot says of the whole study: its time, its size, and the Monte Carlo errors that it will reach."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mixtures.comparison.performance import Measure
from mixtures.study.conditions import Condition
from mixtures.study.costs import extrapolate, guess
from mixtures.study.design import Method
from mixtures.study.expectation import Expectation, expect
from mixtures.study.pilot import Pilot, Trial
from mixtures.study.plan import Plan

_FIXED_SHARE = 0.95  # of the bytes of a part of one replicate, those that it would take whatever it held
_MOST_JOBS = 100_000  # cut into tasks to see how many there are: a second or so


@dataclass(frozen=True, slots=True)
class MethodForecast:
    """What one method will take in one condition, and what it will be worth.

    Attributes
    ----------
    n_tried, n_planned : int
        Replicates of the pilot, and of the study.
    seconds : float
        Of a fit.
    is_scaled : bool
        Whether the condition was not tried, and its seconds are those of the others, scaled.
    expectations : list of Expectation
    """

    condition: Condition
    method: str
    n_tried: int
    n_planned: int
    seconds: float
    is_scaled: bool
    expectations: list[Expectation]


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a study will take, and what it will be worth.

    Attributes
    ----------
    n_workers : int
    starting_seconds : float
        For workers to start and compile.
    work_seconds : float
        Of all workers together.
    processor_share : float
        Share of the time in which the workers of the pilot had a processor; in a run they may have more.
    n_parts, n_bytes : int
        Parts, of several files each, and the size of all.
    bytes_of_replicate : float
        Of all methods, on average over the study.
    methods : list of MethodForecast
    problems : list of str
    """

    n_workers: int
    starting_seconds: float
    work_seconds: float
    processor_share: float
    n_parts: int
    n_bytes: int
    bytes_of_replicate: float
    methods: list[MethodForecast]
    problems: list[str]

    @property
    def seconds(self) -> float:
        """From the beginning of a run to its last row."""
        return self.starting_seconds + self.work_seconds / self.n_workers


def foresee(pilot: Pilot) -> Forecast:
    """Foresee what a whole study will take, from a pilot of it.

    Parameters
    ----------
    pilot : Pilot

    Raises
    ------
    ValueError
        If nothing could be tried.
    """
    study = pilot.study
    if not pilot.trials:
        raise ValueError(f"a replicate must be tried; got {'; '.join(pilot.problems) or 'no time for one'}")
    n_parts, costs = _parts_of(pilot), _costs_of(pilot)
    seconds, n_bytes = n_parts * costs.seconds_of_part, n_parts * costs.bytes_of_part
    methods = []
    for condition in study.conditions:
        cost = costs.of[condition.key]
        planned = [study.replicates_of(method) for method in study.method]
        seconds += cost.other_seconds * max(planned)
        n_bytes += cost.n_example_bytes + cost.n_bytes * sum(planned) / len(planned)
        for method in study.method:
            methods.append(_of_method(pilot, condition, method, cost))
            seconds += methods[-1].seconds * methods[-1].n_planned
    n_replicates = len(study.conditions) * max(map(study.replicates_of, study.method))
    return Forecast(
        pilot.n_workers,
        pilot.starting_seconds,
        seconds,
        pilot.processor_share,
        n_parts,
        round(n_bytes),
        n_bytes / n_replicates,
        methods,
        pilot.problems,
    )


@dataclass(frozen=True, slots=True)
class _Cost:
    """What a replicate of one condition costs."""

    seconds: dict[str, float]
    other_seconds: float
    n_bytes: float
    n_example_bytes: float


@dataclass(frozen=True, slots=True)
class _Costs:
    """What parts cost, however many replicates they hold, and replicates by the key of their condition."""

    seconds_of_part: float
    bytes_of_part: float
    of: dict[str, _Cost]


def _costs_of(pilot: Pilot) -> _Costs:
    tried = [(one, trials) for one in pilot.study.conditions if (trials := pilot.trials_of(one))]
    several = [trials for _, trials in tried if trials[-1].n_replicates > trials[0].n_replicates]
    if several:
        of_parts = [_beyond_replicates(trials[0], trials[-1]) for trials in several]
    else:
        of_parts = [(0.0, _FIXED_SHARE * trials[-1].n_bytes) for _, trials in tried]
    seconds, n_bytes = np.median(of_parts, axis=0).tolist()
    of = {}
    for condition, trials in tried:
        last = trials[-1]
        of[condition.key] = _Cost(
            _fit_seconds(trials),
            max(last.other_seconds - seconds, 0.0) / last.n_replicates,
            max(last.n_bytes - n_bytes, 0.0) / last.n_replicates,
            max(one.n_example_bytes for one in pilot.trials if one.condition == condition),
        )
    return _Costs(seconds, n_bytes, of | dict(_scaled(pilot, of)))


def _beyond_replicates(few: Trial, many: Trial) -> tuple[float, float]:
    """Seconds and bytes that a part costs however many replicates it holds, from two of one condition."""
    n = many.n_replicates - few.n_replicates
    seconds, n_bytes = max(many.other_seconds - few.other_seconds, 0.0), max(many.n_bytes - few.n_bytes, 0)
    return (
        max(few.other_seconds - seconds / n * few.n_replicates, 0.0),
        max(few.n_bytes - n_bytes / n * few.n_replicates, 0.0),
    )


def _fit_seconds(trials: Sequence[Trial]) -> dict[str, float]:
    """Mean seconds of a fit by method."""
    total: dict[str, float] = defaultdict(float)
    n: dict[str, int] = defaultdict(int)
    for trial in trials:
        for name, seconds in trial.fit_seconds.items():
            total[name] += seconds * trial.n_replicates
            n[name] += trial.n_replicates
    return {name: total[name] / n[name] for name in total}


def _scaled(pilot: Pilot, tried: Mapping[str, _Cost]) -> Iterator[tuple[str, _Cost]]:
    """Costs of the conditions that were not tried: those of the others, fits by what they should take."""
    known = list(tried.values())
    conditions, names = pilot.study.conditions, [method.name for method in pilot.study.method]
    measured = np.array(
        [
            [tried[at.key].seconds.get(name, 0.0) if at.key in tried else 0.0 for name in names]
            for at in conditions
        ]
    )
    seconds = extrapolate(guess(pilot.study), (measured > 0).astype(float), measured)
    for condition, of_each in zip(conditions, seconds.tolist(), strict=True):
        if condition.key not in tried:
            yield (
                condition.key,
                _Cost(
                    dict(zip(names, of_each, strict=True)),
                    float(np.mean([cost.other_seconds for cost in known])),
                    float(np.mean([cost.n_bytes for cost in known])),
                    max(cost.n_example_bytes for cost in known),
                ),
            )


def _parts_of(pilot: Pilot) -> int:
    """Number of parts of a run, one for each task, as it would be cut with the costs that were found."""
    study, n_parts, n_jobs = pilot.study, 0, 0
    for task in Plan.fresh(study).tasks(pilot.n_workers, pilot.costs):
        n_parts, n_jobs = n_parts + 1, n_jobs + len(task.jobs)
        if n_jobs >= _MOST_JOBS:
            break
    n_all = len(study.conditions) * max(map(study.replicates_of, study.method))
    return math.ceil(n_parts * n_all / n_jobs)


def _of_method(pilot: Pilot, condition: Condition, method: Method, cost: _Cost) -> MethodForecast:
    n_tried, expectations = _expectations(pilot, condition, method)
    return MethodForecast(
        condition,
        method.name,
        n_tried,
        pilot.study.replicates_of(method),
        cost.seconds.get(method.name, math.nan),
        is_scaled=not pilot.trials_of(condition),
        expectations=expectations,
    )


def _expectations(pilot: Pilot, condition: Condition, method: Method) -> tuple[int, list[Expectation]]:
    """Replicates that were tried, and what their measures let one expect."""
    here = (condition, method.name)
    fits = next(one for one in pilot.fits if (one.condition, one.method) == here)
    found: dict[str, list[Measure]] = {name: [measure] for name, measure in fits.measures.items()}
    for one in pilot.parameters:
        if (one.condition, one.method) == here:
            for name, measure in one.measures.items():
                found.setdefault(f"{name} of {one.parameter}", []).append(measure)
    n_tried = fits.measures["failure_rate"].n
    return n_tried, [expect(name, of_each, method, n_tried) for name, of_each in found.items()]

"""A pilot of a study: a few replicates of each condition, timed, weighed and measured, and thrown away."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import combinations, cycle, islice
from tempfile import TemporaryDirectory

from mixtures.model.arrays import as_count
from mixtures.study.catalogue import Catalogue
from mixtures.study.conditions import Condition
from mixtures.study.costs import Costs
from mixtures.study.design import Study
from mixtures.study.executors import pool_of
from mixtures.study.measures import FitSummary, ParameterSummary, measure_fits, measure_parameters
from mixtures.study.outcomes import Outcome
from mixtures.study.parts import Part
from mixtures.study.plan import Job, Task
from mixtures.study.runner import check, work
from mixtures.study.shares import mark_badly_wrong
from mixtures.study.store import Store
from mixtures.study.tables import Tables, methods_with_intervals
from mixtures.study.workers import n_processors

SECONDS = 30.0  # long enough to know most studies by, and short enough to wait for
REPLICATES = 50


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """Some replicates of one condition, tried.

    Attributes
    ----------
    condition : Condition
    n_replicates : int
    seconds : float
        All that they took: data, fits, comparisons, encoding.
    processor_seconds : float
        Those of them in which the worker had a processor.
    fit_seconds : dict of str to float
        Mean seconds of a fit by method.
    n_bytes, n_example_bytes : int
        Size of the rows as they are stored, but for the exemplary observations of the first replicate,
        and of these.
    worker : int
        The process that did them.
    is_first : bool
        Whether it had done nothing before: its engines had to be compiled or loaded.
    """

    condition: Condition
    n_replicates: int
    seconds: float
    processor_seconds: float
    fit_seconds: dict[str, float]
    n_bytes: int
    n_example_bytes: int
    worker: int
    is_first: bool

    @property
    def other_seconds(self) -> float:
        """Seconds that went into anything but fits."""
        return max(self.seconds - self.n_replicates * sum(self.fit_seconds.values()), 0.0)


@dataclass(slots=True, eq=False)
class Pilot:
    """What a pilot found.

    Attributes
    ----------
    study : Study
    n_workers : int
    trials : list of Trial
    starting_seconds : float
        Until the workers worked at full speed: to start, to import, to compile.
    parameters, fits : list
        Measures over the replicates that were tried.
    problems : list of str
        What ended whole tasks.
    costs : Costs
        By which a run would size its tasks.
    """

    study: Study
    n_workers: int
    trials: list[Trial] = field(default_factory=list)
    starting_seconds: float = 0.0
    parameters: list[ParameterSummary] = field(default_factory=list)
    fits: list[FitSummary] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    costs: Costs = field(init=False)

    def __post_init__(self) -> None:
        self.costs = Costs(self.study)

    @property
    def processor_share(self) -> float:
        """Share of the time in which workers that had got going had a processor: 1 on an idle machine."""
        trials = [trial for trial in self.trials if not trial.is_first] or self.trials
        return sum(trial.processor_seconds for trial in trials) / sum(trial.seconds for trial in trials)

    def trials_of(self, condition: Condition) -> list[Trial]:
        """Return the trials of a condition, without the first of a worker if there are others."""
        own = [trial for trial in self.trials if trial.condition == condition]
        return [trial for trial in own if not trial.is_first] or own


def try_study(
    study: Study,
    *,
    replicates: int = REPLICATES,
    n_workers: int | None = None,
    seconds: float = SECONDS,
    on_trial: Callable[[Trial], None] | None = None,
) -> Pilot:
    """Try a few replicates of each condition of a study, of which nothing is kept.

    One replicate of each comes first, then another, then as many as there is time for.

    Parameters
    ----------
    study : Study
    replicates : int
        Replicates of each condition to try at most.
    n_workers : int, optional
        Number of processes; by default one for each processor, as in a run.
    seconds : float
        So long after the first trial, which may have had to compile, nothing more is begun.
    on_trial : callable, optional
        Called with each `Trial` as it is done.

    Raises
    ------
    ValueError
        If the study is wrong.
    """
    check(study)
    pilot = Pilot(study, as_count("n_workers", n_processors() if n_workers is None else n_workers))
    most = min(as_count("replicates", replicates), max(map(study.replicates_of, study.method)))
    began, clock = time.perf_counter(), _Clock(seconds)
    with TemporaryDirectory(prefix="mixtures-") as folder, closing(pool_of(pilot.n_workers)) as pool:
        store = Store.prepare(folder, study.to_toml())
        for indices in _blocks(pilot, most, clock):
            for outcome in pool.run(_taker(pilot, indices, clock), try_out):
                clock.start()
                _note(pilot, store, outcome, time.perf_counter() - began, on_trial)
        pilot.starting_seconds += _warming_seconds(pilot)
        _measure(pilot, store)
    return pilot


def try_out(task: Task) -> tuple[int, float, Part]:
    """Do a task, and say which process did, and in what time of its processor: what workers run."""
    began = time.process_time()
    part = work(task)
    return os.getpid(), time.process_time() - began, part


@dataclass(slots=True)
class _Clock:
    """The seconds that a pilot has, once it has started."""

    seconds: float
    ends: float = math.inf

    def start(self) -> None:
        """Start, unless it has started."""
        if math.isinf(self.ends):
            self.ends = time.perf_counter() + self.seconds

    @property
    def left(self) -> float:
        """Seconds that are left, 0 when none is."""
        return max(self.ends - time.perf_counter(), 0.0)


def _blocks(pilot: Pilot, most: int, clock: _Clock) -> Iterator[range]:
    """Yield the replicates to try together, the last as many as can be done in time."""
    yield range(1)
    if most > 1:
        yield range(1, 2)
    if most > 2:
        replicate = sum(
            trials[-1].seconds / trials[-1].n_replicates
            for condition in pilot.study.conditions
            if (trials := pilot.trials_of(condition))
        )
        yield range(2, min(most, 2 + int(clock.left * pilot.n_workers / max(replicate, 1e-9))))


def _taker(pilot: Pilot, indices: range, clock: _Clock) -> Callable[[], Task | None]:
    """Return what gives the next task, as long as there is time; at first, one for every worker at least."""
    tasks = [task for condition in pilot.study.conditions if (task := _task(pilot.study, condition, indices))]
    n = len(tasks) if pilot.trials else max(len(tasks), 2 * pilot.n_workers)
    waiting = islice(cycle(tasks), n)
    return lambda: next(waiting, None) if clock.left > 0 else None


def _task(study: Study, condition: Condition, indices: range) -> Task | None:
    jobs = []
    for index in indices:
        names = tuple(method.name for method in study.method if index < study.replicates_of(method))
        if names:
            jobs.append(Job(index, names, tuple(combinations(names, 2))))
    return Task(study.seed, condition, tuple(study.method), tuple(jobs)) if jobs else None


def _note(
    pilot: Pilot,
    store: Store,
    outcome: Outcome[Task, tuple[int, float, Part]],
    elapsed: float,
    on_trial: Callable[[Trial], None] | None,
) -> None:
    """Take a trial down, and store its rows for the measures."""
    task, result = outcome.task, outcome.result
    if not isinstance(result, tuple):
        pilot.problems.append(f"{task.condition.name}: {result.message}")
        return
    worker, processor_seconds, part = result
    if not pilot.trials:
        pilot.starting_seconds = elapsed - outcome.seconds
    names = {method.key: method.name for method in pilot.study.method}
    counts = dict.fromkeys(names, 0)
    for (_, key, _), n in part.statuses.items():
        counts[key] += n
    n_example_bytes = sum(len(content) for (kind, _), content in part.files.items() if kind == "examples")
    trial = Trial(
        task.condition,
        len(task.jobs),
        outcome.seconds,
        processor_seconds,
        {names[key]: seconds / counts[key] for (_, key), seconds in part.seconds.items()},
        sum(map(len, part.files.values())) - n_example_bytes,
        n_example_bytes,
        worker,
        worker not in {before.worker for before in pilot.trials},
    )
    pilot.trials.append(trial)
    if not trial.is_first:
        pilot.costs.learn(part, outcome.seconds)
    store.write(part)
    if on_trial is not None:
        on_trial(trial)


def _warming_seconds(pilot: Pilot) -> float:
    """Seconds that the slowest worker's first trial took beyond a later one of the condition."""
    excess = [0.0]
    for trial in pilot.trials:
        later = [
            one.seconds / one.n_replicates for one in pilot.trials_of(trial.condition) if not one.is_first
        ]
        if trial.is_first and later:
            excess.append(trial.seconds / trial.n_replicates - min(later))
    return max(excess)


def _measure(pilot: Pilot, store: Store) -> None:
    study = pilot.study
    catalogue = Catalogue(store)
    with_intervals = methods_with_intervals(study)
    for condition in study.conditions:
        rows = mark_badly_wrong(condition, Tables.of(catalogue, study, condition, ("fits", "parameters")))
        pilot.parameters.extend(measure_parameters(study, condition, rows, with_intervals))
        pilot.fits.extend(measure_fits(study, condition, rows))

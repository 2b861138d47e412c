"""Run a study: what is missing is generated, fitted and compared, in parallel, and stored as it is done."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

from mixtures.model.arrays import as_count
from mixtures.model.fit import Fit, Status
from mixtures.study.conditions import Condition
from mixtures.study.design import Method, Study, read_text
from mixtures.study.executors import Lost, run_tasks
from mixtures.study.methods import batch_size, build, check_claim
from mixtures.study.replicate import Attempt, attempt, generate, record, record_oracle, record_pair
from mixtures.study.rows import Rows
from mixtures.study.store import Store


@dataclass(frozen=True, slots=True)
class Job:
    """What is missing of one replicate: fits, and pairs of fits, by the names of their methods."""

    replicate: int
    fits: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Task:
    """Some replicates of one condition, for one worker."""

    seed: int
    condition: Condition
    methods: tuple[Method, ...]
    jobs: tuple[Job, ...]

    @property
    def n_fits(self) -> int:
        """Number of fits that the task will store."""
        return sum(len(job.fits) for job in self.jobs)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come.

    Attributes
    ----------
    n_done, n_total : int
        Fits stored in this run, and fits that were missing when it began.
    n_stored : int
        Fits that were stored before.
    statuses : Counter
        Fits stored in this run by status.
    """

    n_done: int
    n_total: int
    n_stored: int
    statuses: Counter[str]


def run(
    study: Study | str | Path,
    folder: str | Path,
    *,
    replicates: int | None = None,
    n_workers: int | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Store:
    """Run a study, or what is missing of it.

    Parameters
    ----------
    study : Study, str or Path
        A study, or the path of its file.
    folder : str or Path
        Results folder; new, empty, or with results of the same study.
    replicates : int, optional
        Run this many replicates of each method at most.
    n_workers : int, optional
        Number of processes; by default one for each processor. With 1 everything runs in this one.
    on_progress : callable, optional
        Called with a `Progress` at the beginning and whenever results were stored.

    Returns
    -------
    Store
        The results.

    Raises
    ------
    ValueError
        If the study is wrong or differs from the one in the folder, or the folder cannot be written.
    OSError
        If the disk fails while results are stored; what was stored is kept.
    """
    text = study.to_toml() if isinstance(study, Study) else read_text(study)
    parsed = study if isinstance(study, Study) else Study.from_toml(text, str(study))
    try:
        _check(parsed)
    except ValueError as error:
        raise error if isinstance(study, Study) else ValueError(f"{study}: {error}") from None
    n_workers = as_count("n_workers", os.cpu_count() if n_workers is None else n_workers)
    most = None if replicates is None else as_count("replicates", replicates)
    store = Store.prepare(folder, text)
    stored = store.done()
    tasks = plan(parsed, store, most)
    statuses: Counter[str] = Counter()
    n_done, n_total = 0, sum(task.n_fits for task in tasks)
    report = on_progress or _ignore
    report(Progress(0, n_total, len(stored), Counter()))
    for rows in _do(tasks, n_workers):
        store.write(rows)
        n_done += len(rows.fits)
        statuses.update(row.status for row in rows.fits)
        report(Progress(n_done, n_total, len(stored), Counter(statuses)))
    return store


def plan(study: Study, store: Store, most: int | None = None) -> list[Task]:
    """Return the tasks that remain: replicates in order, every condition in turn."""
    done, paired = store.done(), store.has_pair()
    tasks = []
    for condition in study.conditions:
        jobs = [job for job in _jobs(study, condition, most, done, paired) if job.fits or job.pairs]
        tasks += list(_tasks(study, condition, jobs))
    return sorted(tasks, key=lambda task: task.jobs[0].replicate)


def _check(study: Study) -> None:
    """Raise, before anything is written, where a setting is wrong or a method cannot do what it is for."""
    for claim in study.claim:
        check_claim(claim, study.method)
    for method in study.method:
        engine = build(method)
        for condition in study.conditions:
            try:
                engine.check(condition.spec, condition.truth.n_dims)
            except ValueError as error:
                raise ValueError(f"method {method.name!r}, {condition.name}: {error}") from None


def _do(tasks: list[Task], n_workers: int) -> Iterator[Rows]:
    """Do tasks. One whose worker dies is done again fit by fit, so that only the deadly fit is lost."""
    broken = []
    for task, result in run_tasks(tasks, work, n_workers):
        if isinstance(result, Lost):
            broken.append(task)
        else:
            yield result
    lost: set[tuple[str, int, str]] = set()
    fits = [single for task in broken for single in _single_fits(task)]
    for task, result in run_tasks(fits, work, n_workers):
        if isinstance(result, Lost):
            lost.update((task.condition.key, job.replicate, name) for job in task.jobs for name in job.fits)
        yield _as_lost(task, result) if isinstance(result, Lost) else result
    pairs = [single for task in broken for single in _single_pairs(task, lost)]
    yield from (rows for _, rows in run_tasks(pairs, work, n_workers) if not isinstance(rows, Lost))


def _single_fits(task: Task) -> Iterator[Task]:
    for job in task.jobs:
        for name in job.fits:
            yield replace(task, jobs=(Job(job.replicate, (name,), ()),))


def _single_pairs(task: Task, lost: set[tuple[str, int, str]]) -> Iterator[Task]:
    for job in task.jobs:
        for pair in job.pairs:
            if not any((task.condition.key, job.replicate, name) in lost for name in pair):
                yield replace(task, jobs=(Job(job.replicate, (), (pair,)),))


def work(task: Task) -> Rows:
    """Do a task: the function that workers run."""
    rows = Rows.empty()
    engines = {method.name: build(method) for method in task.methods}
    keys = {method.name: method.key for method in task.methods}
    for name in {name for job in task.jobs for name in _needed(job)}:
        engines[name].prepare(task.condition.spec)
    for job in task.jobs:
        replicate = generate(task.seed, task.condition, job.replicate)
        attempts: dict[str, Attempt] = {
            name: attempt(engines[name], keys[name], replicate, task.seed) for name in _needed(job)
        }
        for name in job.fits:
            record(rows, keys[name], replicate, attempts[name])
        for first, second in job.pairs:
            fits: tuple[Fit, Fit] = attempts[first].fit, attempts[second].fit
            record_pair(rows, (keys[first], keys[second]), replicate, fits)
        record_oracle(rows, replicate)
    return rows


def _needed(job: Job) -> list[str]:
    """Methods to fit: those missing, and those stored already that a missing pair needs again."""
    return list(dict.fromkeys([*job.fits, *(name for pair in job.pairs for name in pair)]))


def _jobs(
    study: Study,
    condition: Condition,
    most: int | None,
    done: set[tuple[str, int, str]],
    paired: set[tuple[str, int, str, str]],
) -> Iterator[Job]:
    planned = {method.name: study.replicates_of(method, most) for method in study.method}
    keys = {method.name: method.key for method in study.method}
    for index in range(max(planned.values())):
        names = [name for name, n in planned.items() if index < n]
        fits = tuple(name for name in names if (condition.key, index, keys[name]) not in done)
        pairs = tuple(
            (first, second)
            for first, second in combinations(names, 2)
            if (second in fits or first in fits)
            and (condition.key, index, keys[second], keys[first]) not in paired
        )
        yield Job(index, fits, pairs)


def _tasks(study: Study, condition: Condition, jobs: list[Job]) -> Iterator[Task]:
    """Cut the jobs of a condition into tasks; those that fit the same methods go together."""
    engines = {method.name: method.engine for method in study.method}
    while jobs:
        size = min(batch_size(engines[name]) for name in _needed(jobs[0]))
        alike = [job for job in jobs if job.fits == jobs[0].fits][:size]
        jobs = [job for job in jobs if job not in alike]
        yield Task(study.seed, condition, tuple(study.method), tuple(alike))


def _ignore(_: Progress) -> None:
    """Show no progress."""


def _as_lost(task: Task, lost: Lost) -> Rows:
    rows = Rows.empty()
    keys = {method.name: method.key for method in task.methods}
    for job in task.jobs:
        replicate = generate(task.seed, task.condition, job.replicate)
        for name in job.fits:
            fit = Fit(name, task.condition.spec, Status.WORKER_LOST, message=lost.reason)
            record(rows, keys[name], replicate, Attempt(fit, float("nan")))
    return rows

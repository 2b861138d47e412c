"""Run a study: what is missing is generated, fitted and compared, in parallel, and stored as it is done."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from mixtures.model.arrays import as_count
from mixtures.model.fit import Fit, Status
from mixtures.study.design import Study, read_text
from mixtures.study.executors import Lost, run_tasks
from mixtures.study.methods import build, check_claim
from mixtures.study.plan import Job, Plan, Task
from mixtures.study.replicate import Attempt, attempt, generate, record, record_oracle, record_pair
from mixtures.study.rows import Rows
from mixtures.study.store import Part, Store


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
    plan = Plan.of(parsed, store, most)
    statuses: Counter[str] = Counter()
    n_total, n_stored = plan.n_fits, len(plan.stored)
    report = on_progress or _ignore
    report(Progress(0, n_total, n_stored, Counter()))
    for part in _do(plan.tasks(n_workers), n_workers):
        store.write(part)
        for (_, _, status), n in part.statuses.items():
            statuses[status] += n
        report(Progress(statuses.total(), n_total, n_stored, Counter(statuses)))
    return store


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


def _do(tasks: Iterable[Task], n_workers: int) -> Iterator[Part]:
    """Do tasks. One whose worker dies is halved down to single replicates, which are done fit by fit."""
    broken = []
    for task, result in run_tasks(tasks, work, n_workers):
        if isinstance(result, Lost):
            broken.append(task)
        else:
            yield result
    if broken:
        yield from _do_fits([task for task in broken if len(task.jobs) == 1], n_workers)
        yield from _do([half for task in broken if len(task.jobs) > 1 for half in task.halves()], n_workers)


def _do_fits(tasks: list[Task], n_workers: int) -> Iterator[Part]:
    """Do tasks fit by fit, so that only the deadly fit is lost; then the pairs of those that are left."""
    lost: set[tuple[str, int, str]] = set()
    fits = [single for task in tasks for single in _single_fits(task)]
    for task, result in run_tasks(fits, work, n_workers):
        if isinstance(result, Lost):
            lost.update((task.condition.key, job.replicate, name) for job in task.jobs for name in job.fits)
        yield _as_lost(task, result) if isinstance(result, Lost) else result
    pairs = [single for task in tasks for single in _single_pairs(task, lost)]
    yield from (part for _, part in run_tasks(pairs, work, n_workers) if not isinstance(part, Lost))


def _single_fits(task: Task) -> Iterator[Task]:
    for job in task.jobs:
        for name in job.fits:
            yield replace(task, jobs=(Job(job.replicate, (name,), ()),))


def _single_pairs(task: Task, lost: set[tuple[str, int, str]]) -> Iterator[Task]:
    for job in task.jobs:
        for pair in job.pairs:
            if not any((task.condition.key, job.replicate, name) in lost for name in pair):
                yield replace(task, jobs=(Job(job.replicate, (), (pair,)),))


def work(task: Task) -> Part:
    """Do a task: the function that workers run."""
    rows = Rows.empty()
    engines = {method.name: build(method) for method in task.methods}
    keys = {method.name: method.key for method in task.methods}
    for name in {name for job in task.jobs for name in job.needed}:
        engines[name].prepare(task.condition.spec)
    for job in task.jobs:
        replicate = generate(task.seed, task.condition, job.replicate)
        attempts: dict[str, Attempt] = {
            name: attempt(engines[name], keys[name], replicate, task.seed) for name in job.needed
        }
        for name in job.fits:
            record(rows, keys[name], replicate, attempts[name])
        for first, second in job.pairs:
            fits: tuple[Fit, Fit] = attempts[first].fit, attempts[second].fit
            record_pair(rows, (keys[first], keys[second]), replicate, fits)
        record_oracle(rows, replicate)
    return Part.of(rows)


def _ignore(_: Progress) -> None:
    """Show no progress."""


def _as_lost(task: Task, lost: Lost) -> Part:
    rows = Rows.empty()
    keys = {method.name: method.key for method in task.methods}
    for job in task.jobs:
        replicate = generate(task.seed, task.condition, job.replicate)
        for name in job.fits:
            fit = Fit(name, task.condition.spec, Status.WORKER_LOST, message=lost.reason)
            record(rows, keys[name], replicate, Attempt(fit, float("nan")))
    return Part.of(rows)

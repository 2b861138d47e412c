"""Run a study: what is missing is generated, fitted and compared, in parallel, and stored as it is done."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from mixtures.model.arrays import as_count, as_number
from mixtures.model.fit import Fit, Fitter, Status
from mixtures.model.spec import MixtureSpec
from mixtures.study.claim import one_of
from mixtures.study.costs import Costs
from mixtures.study.design import Method, Study, read_text
from mixtures.study.executors import Pool, n_at_once, pool_of
from mixtures.study.interrupts import noticing_interrupts
from mixtures.study.limits import TimeLimit
from mixtures.study.methods import build, check_claim, check_until
from mixtures.study.outcomes import STOPS, Failed, Lost
from mixtures.study.parts import Part
from mixtures.study.plan import Job, Plan, Task
from mixtures.study.progress import Progress, Tracker
from mixtures.study.replicate import (
    Attempt,
    Unready,
    attempt,
    generate,
    hash_of,
    record,
    record_failure,
    record_oracle,
    record_pair,
    say_time_is_up,
)
from mixtures.study.rescue import Queue
from mixtures.study.rows import Rows
from mixtures.study.shards import Shard
from mixtures.study.stopping import Stop, look
from mixtures.study.store import Store

#: How fits end that may be done again.
AGAIN = (Status.ERROR.value, Status.TIMEOUT.value, Status.WORKER_LOST.value)
_PREPARING = threading.Lock()  # engines share what they compile
_MOST_TO_HASH = 10**7  # numbers, 80 MB


def run(
    study: Study | str | Path,
    folder: str | Path,
    *,
    replicates: int | None = None,
    n_workers: int | None = None,
    executor: Executor | None = None,
    time_limit: float | None = None,
    memory_limit: float | None = None,
    shard: Shard | None = None,
    again: Collection[str] = (),
    on_progress: Callable[[Progress], None] | None = None,
) -> Store:
    """Run a study, or what is missing of it.

    Parameters
    ----------
    study : Study, str or Path
        A study, or the path of its file.
    folder : str or Path
        Results folder; new, empty, or with results of the same study: a path, or the URI of a folder in
        an object store.
    replicates : int, optional
        Run this many replicates of each method at most.
    n_workers : int, optional
        Number of processes; by default one for each processor. With 1 everything runs in this one, unless
        memory is limited.
        Of an executor that is given, the number of tasks that it can do at a time.
    executor : concurrent.futures.Executor, optional
        Who does the work, in place of processes of the run's own; it is not shut down.
    time_limit : float, optional
        Seconds that each fit may take; one that takes longer is stopped and has the status `timeout`.
    memory_limit : float, optional
        Megabytes that each worker may hold; one that holds more is ended, as if it had died.
    shard : Shard, optional
        Do only the replicates of one shard. Shards may run at once on one folder, on machines that know
        nothing of each other.
    again : collection of str
        Statuses of fits without an estimate, `error`, `timeout` or `worker_lost`: those that ended so
        before are done again, and count as they end now if there is an estimate.
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
    WorkersFailedError
        If workers cannot be started, or the executor fails; what was stored is kept.
    """
    text = study.to_toml() if isinstance(study, Study) else read_text(study)
    parsed = Study.from_toml(text, "study" if isinstance(study, Study) else str(study))
    try:
        check(parsed)
    except ValueError as error:
        raise error if isinstance(study, Study) else ValueError(f"{study}: {error}") from None
    n_workers = as_count("n_workers", n_at_once(executor) if n_workers is None else n_workers)
    most = None if replicates is None else as_count("replicates", replicates)
    if parsed.until is not None and shard is not None:
        raise ValueError("until must not be used with a shard, which cannot know what the others have found")
    pool = pool_of(n_workers, executor, _as_limit("memory_limit", memory_limit))
    time_limit = _as_limit("time_limit", time_limit)
    for status in again:
        one_of("again", status, AGAIN)
    store = Store.prepare(folder, text, shard=shard)
    costs = Costs(parsed)
    tracker, report = Tracker(parsed, str(folder), costs), on_progress or _ignore
    with closing(pool), noticing_interrupts() as check_interrupts:
        for plan in _plans(parsed, store, most, shard, again):
            report(tracker.expect(plan))
            for part in _do(plan, pool, costs, time_limit):
                check_interrupts()
                store.write(part)
                report(tracker.add(part))
        check_interrupts()
    return store


def _as_limit(name: str, value: float | None) -> float | None:
    if value is not None and not 0 < as_number(name, value) < math.inf:
        raise ValueError(f"{name} must be a positive number or None; got {value}")
    return value


def _plans(
    study: Study, store: Store, most: int | None, shard: Shard | None, again: Collection[str]
) -> Iterator[Plan]:
    """Yield what is to be done: all at once or, by the rule `until`, as far as each condition's next look."""
    keys = [condition.key for condition in study.conditions]
    if study.until is None:
        yield Plan.of(study, store, {} if most is None else dict.fromkeys(keys, most), shard, again)
        return
    stops: list[Stop] = []
    asked: dict[str, int] = {}
    plan: Plan | None = None
    while True:
        stops = list(look(study, store, most, stops))
        before, asked = asked, {stop.condition.key: stop.n_asked for stop in stops}
        if asked == before:  # every condition is over, or what is missing could not be stored
            return
        if plan is None:
            plan = Plan.of(study, store, asked, again=again)
            stops = [] if again else stops  # they are of the rows as they were
        else:
            plan = plan.grown(asked)
        yield plan


def check(study: Study) -> None:
    """Raise, before anything is written, where a setting is wrong or a method cannot do what it is for."""
    for claim in study.claim:
        check_claim(claim, study.method)
    if study.until is not None:
        check_until(study.until, study.method)
    for method in study.method:
        engine = build(method)
        for condition in study.conditions:
            try:
                engine.check(condition.spec, condition.truth.n_dims)
            except ValueError as error:
                raise ValueError(f"method {method.name!r}, {condition.name}: {error}") from None


def _do(plan: Plan, pool: Pool, costs: Costs, seconds: float | None) -> Iterator[Part]:
    """Do what is planned, each fit in so many seconds, and what fails as a whole again in pieces."""
    limit = None
    if seconds is not None:
        limit = TimeLimit(seconds, pool.ends_workers, last_words=pool.last_words)
    tasks = plan.tasks(pool.n_workers, costs)
    queue = Queue((replace(task, time_limit=limit) for task in tasks), pool.n_tries, _give_up)
    for outcome in pool.run(queue.take, work):
        if isinstance(outcome.result, Part):
            costs.learn(outcome.result, outcome.seconds)
        yield from queue.settle(outcome.task, outcome.result)


def work(task: Task) -> Part:
    """Do a task: the function that workers run."""
    rows = Rows.empty()
    engines = _prepare(task)
    keys = {method.name: method.key for method in task.methods}
    for job in task.jobs:
        try:
            replicate = generate(task.seed, task.condition, job.replicate)
        except STOPS:
            raise
        except BaseException as error:  # noqa: BLE001  without data there is no fit, but a row that says so
            _record_failures(rows, task, job, Failed.of(error))
            continue
        attempts: dict[str, Attempt] = {
            name: attempt(engines[name], keys[name], replicate, task.seed, task.time_limit)
            for name in job.needed
        }
        recorded = {
            name: record(rows if name in job.fits else Rows.empty(), keys[name], replicate, attempted)
            for name, attempted in attempts.items()
        }
        for first, second in job.pairs:
            fits: tuple[Fit, Fit] = recorded[first].fit, recorded[second].fit
            record_pair(rows, (keys[first], keys[second]), replicate, fits)
        record_oracle(rows, replicate)
    return Part.of(rows)


def _prepare(task: Task) -> dict[str, Fitter | Unready]:
    """The engines that a task needs, ready to fit."""
    needed = {name for job in task.jobs for name in job.needed}
    return {one.name: prepare(one, task.condition.spec) for one in task.methods if one.name in needed}


def prepare(method: Method, spec: MixtureSpec) -> Fitter | Unready:
    """Build an engine, ready to fit a model; one that cannot be made ready fails at every fit."""
    try:
        engine = build(method)
        with _PREPARING:
            engine.prepare(spec)
    except STOPS:
        raise
    except BaseException as error:  # noqa: BLE001  failure is data
        return Unready(method.name, error)
    return engine


def _give_up(task: Task, failure: Failed | Lost) -> Part:
    """Return the row of a fit that was tried by itself, and failed for reasons not its engine's."""
    rows = Rows.empty()
    for job in task.jobs:
        _record_failures(rows, task, job, failure, _hash_of(task, job))
    return Part.of(rows)


def _record_failures(rows: Rows, task: Task, job: Job, failure: Failed | Lost, data_hash: str = "") -> None:
    status, failed, seconds = _say(task, failure)
    for method in task.methods:
        if method.name in job.fits:
            record_failure(
                rows,
                method.key,
                task.condition,
                job.replicate,
                seed=task.seed,
                status=status,
                failed=failed,
                seconds=seconds,
                data_hash=data_hash,
            )


def _say(task: Task, failure: Failed | Lost) -> tuple[Status, Failed, float]:
    """Return the status, message and seconds of a fit that was not done."""
    if isinstance(failure, Failed):
        return Status.ERROR, failure, math.nan
    limit = task.time_limit
    if failure.is_timeout and limit is not None:
        return Status.TIMEOUT, Failed("", say_time_is_up(limit)), limit.seconds + limit.grace
    return Status.WORKER_LOST, Failed("", failure.message), math.nan


def _hash_of(task: Task, job: Job) -> str:
    """Hash of a replicate's data, or nothing where making them might be what failed."""
    if task.condition.n * task.condition.truth.n_dims > _MOST_TO_HASH:
        return ""
    try:
        return hash_of(generate(task.seed, task.condition, job.replicate).dataset.x)
    except Exception:  # noqa: BLE001  the row says already what is wrong
        return ""


def _ignore(_: Progress) -> None:
    """Show no progress."""

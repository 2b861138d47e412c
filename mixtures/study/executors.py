"""Who does the work: this process, worker processes on this machine, or any executor."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any, Protocol

from mixtures.study.cluster import check_versions, is_dask, n_threads, reason_of
from mixtures.study.outcomes import Lost, Outcome, WorkersFailedError, call, message_of, ready
from mixtures.study.workers import TASKS_AT_A_WORKER, Workers

type _ReasonOf = Callable[[BaseException], str | None]


class Pool(Protocol):
    """Those who do the work.

    Attributes
    ----------
    n_workers : int
        Number of tasks under way at a time.
    n_tries : int
        How often a single fit is begun at most, if its workers die.
    ends_workers : bool
        Whether a worker may end itself, because another takes its place.
    """

    n_workers: int
    n_tries: int
    ends_workers: bool

    def run[T, R](self, take: Callable[[], T | None], work: Callable[[T], R]) -> Iterator[Outcome[T, R]]:
        """Do tasks, and yield how each ended as it does; see `Workers.run`."""

    def close(self) -> None:
        """Stop."""


def pool_of(n_workers: int, executor: Executor | None = None, megabytes: float | None = None) -> Pool:
    """Return those who do the work: an executor, if given, worker processes, or for one, this process.

    Raises
    ------
    ValueError
        If memory is limited that is an executor's, or the workers of a Dask cluster have other versions
        than this process.
    """
    if megabytes is not None and executor is not None:
        raise ValueError(
            f"memory_limit must be left out: an executor has limits of its own; got {megabytes:g}"
        )
    if executor is not None and is_dask(executor):
        check_versions(executor)
        return Borrowed(executor, n_workers, reason_of)
    if executor is not None:
        return Borrowed(executor, n_workers)
    return ThisProcess() if n_workers == 1 and megabytes is None else Workers(n_workers, megabytes)


def n_at_once(executor: Executor | None) -> int | None:
    """Number of tasks that are done at a time where nothing else is said."""
    if executor is not None and is_dask(executor):
        return n_threads(executor)
    return getattr(executor, "_max_workers", None) or os.cpu_count()  # those of the standard library


class ThisProcess:
    """One task after another, here: what kills a task kills the run."""

    n_workers = 1
    n_tries = 1
    ends_workers = False

    def run[T, R](self, take: Callable[[], T | None], work: Callable[[T], R]) -> Iterator[Outcome[T, R]]:
        """Do tasks; see `Workers.run`."""
        while (task := take()) is not None:
            yield Outcome(task, *call(work, task))

    def close(self) -> None:
        """Need not stop anything."""


class Borrowed:
    """Somebody else's executor, which is left as it was found.

    Parameters
    ----------
    executor : concurrent.futures.Executor
    n_workers : int
        Number of tasks that it can do at a time.
    reason_of : callable, optional
        Says how the workers of a task died, where that is what an error of the executor means; any other
        error is the executor's end, as the calls that it is given raise nothing.
    """

    n_tries = 1

    def __init__(
        self,
        executor: Executor,
        n_workers: int,
        reason_of: _ReasonOf | None = None,
    ) -> None:
        self.n_workers = n_workers
        self.ends_workers = reason_of is not None
        self._executor, self._reason_of = executor, reason_of
        self._pending: dict[Future[Any], Any] = {}

    def run[T, R](self, take: Callable[[], T | None], work: Callable[[T], R]) -> Iterator[Outcome[T, R]]:
        """Do tasks; see `Workers.run`."""
        ended: SimpleQueue[Future[Any]] = SimpleQueue()
        try:
            with _is_the_end():
                self._executor.submit(ready, work).result()
            while True:
                while len(self._pending) < TASKS_AT_A_WORKER * self.n_workers:
                    if (task := take()) is None:
                        break
                    with _is_the_end():
                        future = self._executor.submit(call, work, task)
                    self._pending[future] = task
                    future.add_done_callback(ended.put)
                if not self._pending:
                    return
                yield self._settle(ended.get())
        finally:
            self.close()

    def close(self) -> None:
        """Call off what has not begun."""
        for future in self._pending:
            future.cancel()
        self._pending.clear()

    def _settle(self, future: Future[Any]) -> Outcome[Any, Any]:
        task = self._pending.pop(future)
        error = None if future.cancelled() else future.exception()
        if error is not None and self._reason_of is not None and (reason := self._reason_of(error)):
            return Outcome(task, Lost(f"the worker died: {reason}"), math.nan)
        with _is_the_end():
            return Outcome(task, *future.result())


@contextmanager
def _is_the_end() -> Iterator[None]:
    """Make an error of whatever an executor raises, as the calls that it is given raise nothing."""
    try:
        yield
    except Exception as error:
        raise WorkersFailedError(
            f"the executor must do what it is given; got {type(error).__name__}: {message_of(error)}"
        ) from error

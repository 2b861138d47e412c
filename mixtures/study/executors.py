"""Who does the work: this process, worker processes on this machine, or any executor."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from mixtures.study.cluster import (
    check_versions,
    is_dask,
    loss_of,
    n_threads,
    shares_process,
    tell_time_is_up,
)
from mixtures.study.outcomes import Lost, Outcome, WorkersFailedError, call, message_of, ready
from mixtures.study.workers import TASKS_AT_A_WORKER, Workers, n_processors

_SECONDS_BETWEEN_LOOKS = 10.0
_SECONDS_WITHOUT_WORKERS = 300.0  # those of a queueing system may be long in coming


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
    last_words : callable or None
        What it calls before.
    """

    n_workers: int
    n_tries: int
    ends_workers: bool
    last_words: Callable[[], None] | None

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
        may_end = not shares_process(executor)
        cluster = Cluster(partial(loss_of, executor), partial(n_threads, executor), may_end, tell_time_is_up)
        return Borrowed(executor, n_workers, cluster)
    if executor is not None:
        return Borrowed(executor, n_workers)
    return ThisProcess() if n_workers == 1 and megabytes is None else Workers(n_workers, megabytes)


def n_at_once(executor: Executor | None) -> int:
    """Number of tasks that are done at a time where nothing else is said."""
    if executor is not None and is_dask(executor):
        return n_threads(executor)
    return getattr(executor, "_max_workers", None) or n_processors()  # of those of the standard library


class ThisProcess:
    """One task after another, here: what kills a task kills the run."""

    n_workers = 1
    n_tries = 1
    ends_workers = False
    last_words: Callable[[], None] | None = None

    def run[T, R](self, take: Callable[[], T | None], work: Callable[[T], R]) -> Iterator[Outcome[T, R]]:
        """Do tasks; see `Workers.run`."""
        while (task := take()) is not None:
            yield Outcome(task, *call(work, task))

    def close(self) -> None:
        """Need not stop anything."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """What is known of an executor whose workers come and go.

    Attributes
    ----------
    loss_of : callable
        Gives the loss of a task whose workers died, where that is what an error of the executor means.
    n_workers : callable
        Gives the number of workers that are there.
    ends_workers : bool
        Whether a worker may end itself.
    last_words : callable
        What such a worker calls before, which `loss_of` then knows.
    """

    loss_of: Callable[[BaseException], Lost | None]
    n_workers: Callable[[], int]
    ends_workers: bool
    last_words: Callable[[], None] | None = None


class Borrowed:
    """Somebody else's executor, which is left as it was found.

    Parameters
    ----------
    executor : concurrent.futures.Executor
    n_workers : int
        Number of tasks that it can do at a time.
    cluster : Cluster, optional
        Without one any error of the executor is its end, as the calls that it is given raise nothing.
    """

    n_tries = 1

    def __init__(
        self,
        executor: Executor,
        n_workers: int,
        cluster: Cluster | None = None,
    ) -> None:
        self.n_workers = n_workers
        self.ends_workers = cluster is not None and cluster.ends_workers
        self.last_words = None if cluster is None else cluster.last_words
        self._executor, self._cluster = executor, cluster
        self._pending: dict[Future[Any], Any] = {}

    def run[T, R](self, take: Callable[[], T | None], work: Callable[[T], R]) -> Iterator[Outcome[T, R]]:
        """Do tasks; see `Workers.run`."""
        ended: SimpleQueue[Future[Any]] = SimpleQueue()
        try:
            with _is_the_end():
                self._executor.submit(ready, work).add_done_callback(ended.put)
            is_ready = self._next(ended)
            with _is_the_end():
                is_ready.result()
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
                yield self._settle(self._next(ended))
        finally:
            self.close()

    def close(self) -> None:
        """Call off what has not begun."""
        for future in self._pending:
            future.cancel()
        self._pending.clear()

    def _next(self, ended: SimpleQueue[Future[Any]]) -> Future[Any]:
        """Wait for what ends next, as long as there is a worker, or one may come."""
        last_seen = time.monotonic()
        while True:
            try:
                return ended.get(timeout=_SECONDS_BETWEEN_LOOKS)
            except Empty:
                if self._has_workers():
                    last_seen = time.monotonic()
                elif time.monotonic() - last_seen > _SECONDS_WITHOUT_WORKERS:
                    raise WorkersFailedError(
                        f"the cluster must have workers; it had none for {_SECONDS_WITHOUT_WORKERS:g} seconds"
                    ) from None

    def _has_workers(self) -> bool:
        with _is_the_end():
            return self._cluster is None or self._cluster.n_workers() > 0

    def _settle(self, future: Future[Any]) -> Outcome[Any, Any]:
        task = self._pending.pop(future)
        error = None if future.cancelled() else future.exception()
        if error is not None and self._cluster is not None and (loss := self._cluster.loss_of(error)):
            return Outcome(task, loss, math.nan)
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

"""Worker processes on this machine, each of which is replaced when it dies."""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, Final

from mixtures.study.interrupts import deferring_interrupts, ignoring_interrupts
from mixtures.study.limits import MEMORY_EXIT, TIME_EXIT, limit_memory
from mixtures.study.outcomes import Lost, Outcome, WorkersFailedError, call, ready

#: One thread each for linear algebra inside a worker: the workers already fill the cores. A worker does
#: not look for modules in the current folder, and is not dropped for having loaded a compiled sampler.
_WORKER_ENVIRONMENT = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"),
    "PYTHONSAFEPATH": "1",
    "LOKY_MAX_MEMORY_LEAK_SIZE": "1e15",
}
_SECONDS_BETWEEN_LOOKS = 1.0  # for the parent
_FEEDER_SECONDS = 1.0  # it needs milliseconds
TASKS_AT_A_WORKER = 2  # one under way, and one at hand
_MOST_FAILED_STARTS = 3  # in a row
_STARTING: Final = object()
_ENDS_OF_FILE = ("EOFError", "OSError: got end of file")  # the death of a process, as seen from here


@dataclass(slots=True, eq=False)
class _Worker:
    """An executor of one process, so that its death is nobody else's.

    Attributes
    ----------
    executor : loky.ProcessPoolExecutor
    process : loky's Process
    pending : dict
        What is in flight, by its future; `_STARTING` for the import of the work.
    first : object
        A task that it was started for, until it has it.
    suspects : deque
        Tasks that were in flight when a process died: they are done one at a time.
    is_alone : bool
        Whether the one task in flight was a suspect.
    """

    executor: Any = None
    process: Any = None
    pending: dict[Future[Any], Any] = field(default_factory=dict)
    first: Any = None
    suspects: deque[Any] = field(default_factory=deque)
    is_alone: bool = False


def n_processors() -> int:
    """Number of processors that this process may use."""
    from loky import cpu_count

    n: int = cpu_count()
    return n


class Workers:
    """Worker processes on this machine.

    They are started as there are tasks for them and no other is idle, and replaced when they die. Of the
    tasks that one had, the one that it died of is found by doing each alone, and comes back as `Lost`; the
    others are none the worse.

    Parameters
    ----------
    n_workers : int
        Number of processes.
    megabytes : float, optional
        Memory of each: a process that holds more ends itself.
    """

    n_tries = 3
    ends_workers = True
    last_words: Callable[[], None] | None = None  # its exit code says it

    def __init__(self, n_workers: int, megabytes: float | None = None) -> None:
        self.n_workers = n_workers
        self._megabytes = megabytes
        self._workers: list[_Worker] = []
        self._n_failed_starts = 0
        self._ended: SimpleQueue[tuple[_Worker, Future[Any]]] = SimpleQueue()

    def run[T, R](self, take: Callable[[], T | None], work: Callable[[T], R]) -> Iterator[Outcome[T, R]]:
        """Do tasks, and yield how each ended as it does.

        Parameters
        ----------
        take : callable
            Gives the next task, or None where there is none for now; called as workers become free.
        work : callable
            Defined at the top of an importable module.

        Raises
        ------
        WorkersFailedError
            If workers die, one after another, before they can do anything.
        """
        try:
            while True:
                self._staff(take, work)
                self._fill(take, work)
                if not any(worker.pending for worker in self._workers):
                    return
                yield from self._settle(*self._ended.get(), work)
        finally:
            if any(worker.pending for worker in self._workers):
                self.close()

    def close(self) -> None:
        """Stop the workers, and whatever they do."""
        with ignoring_interrupts():
            workers, self._workers = self._workers, []
            for worker in workers:
                if worker.executor is not None:  # Ctrl-C came before it had one
                    _stop(worker.executor, kill=bool(worker.pending))

    def _staff[T](self, take: Callable[[], T | None], work: Callable[[T], Any]) -> None:
        """Start workers, as long as there are tasks for them."""
        while len(self._workers) < self.n_workers and all(worker.pending for worker in self._workers):
            if (task := take()) is None:
                return
            self._workers.append(worker := _Worker(first=task))
            self._start(worker, work)

    def _start(self, worker: _Worker, work: Callable[..., Any]) -> None:
        with deferring_interrupts():  # half a pool leaks semaphores
            from loky import ProcessPoolExecutor

            worker.executor = ProcessPoolExecutor(
                1,
                initializer=_start_worker,
                initargs=(os.getpid(), self._megabytes),
                env=_WORKER_ENVIRONMENT,
            )
        self._submit(worker, _STARTING, ready, work)
        worker.process = next(iter(worker.executor._processes.values()), None)
        # Held here too, the end that results are written to would keep one that is cut short from ending.
        worker.executor._result_queue._writer.close()

    def _fill[T](self, take: Callable[[], T | None], work: Callable[[T], Any]) -> None:
        """Give every worker something to do."""
        for worker in self._workers:
            if worker.suspects:
                if not worker.pending:
                    worker.is_alone = True
                    task = worker.suspects.popleft()
                    self._submit(worker, task, call, work, task)
                continue
            while not worker.is_alone and len(worker.pending) < TASKS_AT_A_WORKER:
                if _STARTING in worker.pending.values():
                    break
                task, worker.first = take() if worker.first is None else worker.first, None
                if task is None:
                    break
                self._submit(worker, task, call, work, task)

    def _submit(self, worker: _Worker, task: Any, function: Callable[..., Any], *arguments: Any) -> None:
        """Hand in a call; to an executor that has just broken, as a future that says so."""
        from loky.process_executor import BrokenProcessPool

        future: Future[Any]
        with deferring_interrupts():
            try:
                future = worker.executor.submit(function, *arguments)
            except BrokenProcessPool as error:
                future = Future()
                future.set_exception(error)
            worker.pending[future] = task
        future.add_done_callback(lambda done: self._ended.put((worker, done)))

    def _settle(self, worker: _Worker, future: Future[Any], work: Callable[..., Any]) -> Iterator[Any]:
        """Yield what a future that has ended brings."""
        from loky.process_executor import BrokenProcessPool

        if future not in worker.pending:  # it was in flight when its worker died
            return
        if isinstance(error := future.exception(), BrokenProcessPool):
            yield from self._replace(worker, error, work)
            return
        task, worker.is_alone = worker.pending.pop(future), False
        if task is _STARTING:
            future.result()
            self._n_failed_starts = 0
        else:
            yield Outcome(task, *future.result())

    def _replace(self, worker: _Worker, error: BaseException, work: Callable[..., Any]) -> Iterator[Any]:
        """Replace a worker that died; yield what it had done, and the task that it died of."""
        ended = [(future, task) for future, task in worker.pending.items() if _has_result(future)]
        tasks = [task for future, task in worker.pending.items() if not _has_result(future)]
        worker.pending.clear()
        worker.is_alone = False
        with deferring_interrupts():
            _stop(worker.executor, kill=True)
        exit_code = getattr(worker.process, "exitcode", None)
        reason, is_timeout = self._reason(exit_code, error), exit_code == TIME_EXIT
        if _STARTING in tasks:
            tasks.remove(_STARTING)
            self._count_failed_start(reason)
        self._start(worker, work)
        for future, task in ended:
            yield Outcome(task, *future.result())
        if len(tasks) == 1:
            yield Outcome(tasks[0], Lost(f"the worker died: {reason}", is_timeout), math.nan)
        else:
            worker.suspects.extend(tasks)

    def _count_failed_start(self, reason: str) -> None:
        self._n_failed_starts += 1
        if self._n_failed_starts == _MOST_FAILED_STARTS:
            raise WorkersFailedError(
                "workers must be able to start; "
                f"{_MOST_FAILED_STARTS} in a row could not, the last one for: {reason}. "
                "To see more, run in one process (--workers 1, n_workers=1)"
            )

    def _reason(self, exit_code: int | None, error: BaseException) -> str:
        """Say what a process died of: by its last words, or by how it ended."""
        words = str(error.__cause__ or "").strip().strip('"').rstrip().rsplit("\n", 1)[-1]
        if words and not words.startswith(_ENDS_OF_FILE):
            return words
        if exit_code == MEMORY_EXIT:
            return f"its memory was beyond the limit of {self._megabytes:g} MB"
        if exit_code is None:
            return str(error).splitlines()[0]
        names = {known.value: known.name for known in signal.Signals}  # real-time signals have none
        return f"{names.get(-exit_code, 'exit code')} {f'({exit_code})' if exit_code < 0 else exit_code}"


def _has_result(future: Future[Any]) -> bool:
    return future.done() and future.exception() is None


def _stop(executor: Any, *, kill: bool) -> None:
    """Stop a worker and wait for the threads of its executor.

    loky leaves the thread that feeds its queue running as a daemon. That thread frees the queue's
    semaphores, and one that the end of the process cuts short is reported as leaked.
    """
    feeder = getattr(getattr(executor, "_call_queue", None), "_thread", None)
    executor.shutdown(kill_workers=kill)
    if feeder is not None:
        feeder.join(_FEEDER_SECONDS)


def _start_worker(parent: int, megabytes: float | None) -> None:
    """Leave Ctrl-C to the coordinator, which stops the workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.update(_WORKER_ENVIRONMENT)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    if megabytes is not None:
        limit_memory(megabytes)


def _end_with(parent: int) -> None:
    """End this process once its parent is gone: one that was killed cannot stop its workers."""
    while os.getppid() == parent:
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    os._exit(1)

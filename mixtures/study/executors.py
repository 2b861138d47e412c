"""Who does the work: this process, or worker processes on this machine."""

from __future__ import annotations

import itertools
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

#: One thread each for linear algebra inside a worker: the workers already fill the cores.
_WORKER_ENVIRONMENT = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
)
_IDLE_SECONDS = 3600  # a worker that is dropped loses its compiled sampler
_FEEDER_SECONDS = 1.0  # it needs milliseconds; one of a caller's own queue would never end


@dataclass(frozen=True, slots=True)
class Lost:
    """What comes back for a task whose worker died, twice."""

    reason: str


def run_tasks[T, R](
    tasks: Iterable[T], work: Callable[[T], R], n_workers: int
) -> Iterator[tuple[T, R | Lost]]:
    """Do tasks and yield each with its result as it is done.

    With one worker the tasks run in this process, one after another. A task whose worker dies is
    tried once more, alone, and then given up. KeyboardInterrupt stops the workers and is raised.

    Parameters
    ----------
    tasks : iterable
        Taken up as workers become free.
    work : callable
        Defined at the top of an importable module.
    n_workers : int
        Number of processes.
    """
    if n_workers == 1:
        for task in tasks:
            yield task, work(task)
    else:
        yield from _in_processes(iter(tasks), work, n_workers)


def _in_processes[T, R](
    tasks: Iterator[T], work: Callable[[T], R], n_workers: int
) -> Iterator[tuple[T, R | Lost]]:
    from loky.process_executor import BrokenProcessPool

    executor = _executor(n_workers)
    pending: dict[Future[R], T] = {}
    try:
        while True:
            for task in itertools.islice(tasks, 2 * n_workers - len(pending)):  # a window: little is in
                pending[_submit(executor, work, task)] = task  # flight when a worker dies
            if not pending:
                return
            done, _ = wait(pending, return_when=FIRST_COMPLETED)
            suspects = []
            for future in done:
                task = pending.pop(future)
                if isinstance(future.exception(), BrokenProcessPool):
                    suspects.append(task)
                else:
                    yield task, future.result()
            if suspects:  # the pool is gone, and with it everything in flight
                suspects += pending.values()
                pending.clear()
                _stop(executor, kill=True)
                yield from ((task, _alone(task, work)) for task in suspects)
                executor = _executor(n_workers)
    finally:
        _stop(executor, kill=bool(pending))


def _submit[T, R](executor: Any, work: Callable[[T], R], task: T) -> Future[R]:
    """Hand in a task; to a pool that has just broken, as a future that says so."""
    from loky.process_executor import BrokenProcessPool

    try:
        with _ignoring_interrupts():
            future: Future[R] = executor.submit(work, task)
    except BrokenProcessPool as error:
        future = Future()
        future.set_exception(error)
    return future


def _alone[T, R](task: T, work: Callable[[T], R]) -> R | Lost:
    from loky.process_executor import BrokenProcessPool

    executor = _executor(1)
    try:
        return _submit(executor, work, task).result()
    except BrokenProcessPool as error:
        return Lost(f"the worker died: {str(error).splitlines()[0]}")
    finally:
        _stop(executor, kill=True)


def _executor(n_workers: int) -> Any:
    from loky import ProcessPoolExecutor

    with _ignoring_interrupts():  # half a pool leaks semaphores
        return ProcessPoolExecutor(
            n_workers, timeout=_IDLE_SECONDS, initializer=_start_worker, env=_WORKER_ENVIRONMENT
        )


def _stop(executor: Any, *, kill: bool) -> None:
    """Stop the workers and wait for the executor's threads.

    loky leaves the thread that feeds its queue running as a daemon. That thread frees the queue's
    semaphores, and one that the end of the process cuts short is reported as leaked.
    """
    with _ignoring_interrupts():
        executor.shutdown(kill_workers=kill)
        for thread in threading.enumerate():
            if thread.name == "QueueFeederThread":
                thread.join(_FEEDER_SECONDS)


@contextmanager
def _ignoring_interrupts() -> Iterator[None]:
    """Ignore Ctrl-C for the moments in which workers are started, which inherit that, or stopped."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread has handlers to set
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)


def _start_worker() -> None:
    """Leave Ctrl-C to the coordinator, which stops the workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.update(_WORKER_ENVIRONMENT)

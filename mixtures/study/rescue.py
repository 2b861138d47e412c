"""Tasks that failed as a whole, done again in pieces, so that nothing is lost but what cannot be done."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

from mixtures.study.outcomes import Failed, Lost
from mixtures.study.plan import Job, Task


@dataclass(slots=True)
class _Split:
    """A replicate that is done fit by fit: the fits under way, those given up, and the pairs to come."""

    task: Task
    left: set[str]
    lost: set[str]


class Queue:
    """What is to be done next: pieces of tasks that failed, and then the tasks of a plan.

    A task is cut in two until the replicate is found that it failed of; that is done fit by fit, and
    then its pairs; and a fit that kills its worker is tried a few times.

    Parameters
    ----------
    tasks : iterator of Task
    n_tries : int
        How often a fit of its own is begun, if its workers die of it.
    """

    def __init__(self, tasks: Iterator[Task], n_tries: int) -> None:
        self._tasks, self._n_tries = tasks, n_tries
        self._pieces: deque[Task] = deque()
        self._splits: dict[tuple[str, int], _Split] = {}

    def take(self) -> Task | None:
        """Return the next task, or None where there is none for now."""
        return self._pieces.popleft() if self._pieces else next(self._tasks, None)

    def put_back(self, task: Task, failure: Failed | Lost) -> bool:
        """Take back a task that failed; return whether there is nothing more to try."""
        job = task.jobs[0]
        if len(task.jobs) > 1:
            self._pieces.extendleft(reversed(task.halves()))
        elif job.fits and (len(job.fits) > 1 or job.pairs):
            self._splits[_place(task)] = _Split(task, set(job.fits), set())
            self._pieces.extendleft(reversed([_piece(task, fits=(name,)) for name in job.fits]))
        elif job.fits and _may_end_otherwise(failure) and task.n_losses + 1 < self._n_tries:
            self._pieces.appendleft(replace(task, n_losses=task.n_losses + 1))
        else:
            self._note(task, is_lost=True)
            return bool(job.fits)
        return False

    def settle(self, task: Task) -> None:
        """Note that a task was done."""
        self._note(task, is_lost=False)

    def _note(self, task: Task, *, is_lost: bool) -> None:
        """Note the end of a fit of its own; once all those of a replicate have ended, its pairs come."""
        split = self._splits.get(_place(task))
        if split is None or not task.jobs[0].fits:
            return
        names = task.jobs[0].fits
        split.left.difference_update(names)
        if is_lost:
            split.lost.update(names)
        if not split.left:
            del self._splits[_place(task)]
            pairs = [pair for pair in split.task.jobs[0].pairs if split.lost.isdisjoint(pair)]
            self._pieces.extendleft(reversed([_piece(split.task, pairs=(pair,)) for pair in pairs]))


def _may_end_otherwise(failure: Failed | Lost) -> bool:
    return isinstance(failure, Lost) and not failure.is_timeout


def _place(task: Task) -> tuple[str, int]:
    return task.condition.key, task.jobs[0].replicate


def _piece(task: Task, fits: tuple[str, ...] = (), pairs: tuple[tuple[str, str], ...] = ()) -> Task:
    return replace(task, jobs=(Job(task.jobs[0].replicate, fits, pairs),))

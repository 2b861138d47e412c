"""Tasks that failed as a whole, done again in pieces, so that nothing is lost but what cannot be done."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from mixtures.study.outcomes import Failed, Lost
from mixtures.study.parts import Part
from mixtures.study.plan import Job, Task


@dataclass(slots=True, eq=False)
class _Split:
    """A replicate whose fits are tried one by one, to find those that cannot be done.

    Attributes
    ----------
    task : Task
    left : set of str
        Fits that are still to be tried.
    lost : set of str
        Fits given up.
    parts : list of Part
        What the others made. They are done once more, together and with their pairs, as a part is stored
        whole or not at all; should that fail, these are stored.
    """

    task: Task
    left: set[str]
    lost: set[str] = field(default_factory=set)
    parts: list[Part] = field(default_factory=list)


class Queue:
    """What is to be done next: pieces of tasks that failed, and then the tasks of a plan.

    A task that fails is cut in two until the replicate is found that it failed of. Of that each fit is
    tried by itself, a few times if it kills its worker; and then those that can be done are done together.

    Parameters
    ----------
    tasks : iterator of Task
    n_tries : int
        How often a fit by itself is begun, if its workers die of it.
    give_up : callable
        Makes the part of a task of one fit that cannot be done.
    """

    def __init__(
        self, tasks: Iterator[Task], n_tries: int, give_up: Callable[[Task, Failed | Lost], Part]
    ) -> None:
        self._tasks, self._n_tries, self._give_up = tasks, n_tries, give_up
        self._pieces: deque[Task] = deque()
        self._splits: dict[tuple[str, int], _Split] = {}

    def take(self) -> Task | None:
        """Return the next task, or None where there is none for now."""
        return self._pieces.popleft() if self._pieces else next(self._tasks, None)

    def settle(self, task: Task, result: Part | Failed | Lost) -> list[Part]:
        """Return what is to be stored now that a task has ended, which may be nothing yet."""
        if isinstance(result, Part):
            return self._done(task, result)
        return self._put_back(*task.halves()) if len(task.jobs) > 1 else self._failed(task, result)

    def _done(self, task: Task, part: Part) -> list[Part]:
        split = self._splits.get(_place(task))
        if split is not None and split.left:
            return self._note(split, task, part)
        self._splits.pop(_place(task), None)
        return [part]

    def _failed(self, task: Task, failure: Failed | Lost) -> list[Part]:
        """Return what is to be stored after a task of one replicate has failed."""
        job, split = task.jobs[0], self._splits.get(_place(task))
        is_worth_another = (
            isinstance(failure, Lost) and not failure.is_timeout and task.n_losses + 1 < self._n_tries
        )
        if split is not None and not split.left:  # what can be done by itself cannot be done together
            if is_worth_another:
                return self._put_back(replace(task, n_losses=task.n_losses + 1))
            return self._splits.pop(_place(task)).parts
        if split is None and (len(job.fits) > 1 or job.pairs):
            self._splits[_place(task)] = _Split(task, set(job.fits))
            return self._put_back(*(_piece(task, (name,), ()) for name in job.fits))
        if is_worth_another:
            return self._put_back(replace(task, n_losses=task.n_losses + 1))
        given_up = self._give_up(task, failure)
        if split is None:
            return [given_up]
        split.lost.update(job.fits)
        return [given_up, *self._note(split, task, None)]

    def _note(self, split: _Split, task: Task, part: Part | None) -> list[Part]:
        """Note that a fit has been tried; return what is to be stored, once all of a replicate have."""
        split.left.difference_update(task.jobs[0].fits)
        if part is not None:
            split.parts.append(part)
        if split.left:
            return []
        job = split.task.jobs[0]
        fits = tuple(name for name in job.fits if name not in split.lost)
        pairs = tuple(pair for pair in job.pairs if split.lost.isdisjoint(pair))
        if not pairs:
            return self._splits.pop(_place(task)).parts
        return self._put_back(_piece(split.task, fits, pairs))

    def _put_back(self, *tasks: Task) -> list[Part]:
        self._pieces.extendleft(reversed(tasks))
        return []


def _place(task: Task) -> tuple[str, int]:
    return task.condition.key, task.jobs[0].replicate


def _piece(task: Task, fits: tuple[str, ...], pairs: tuple[tuple[str, str], ...]) -> Task:
    return replace(task, jobs=(Job(task.jobs[0].replicate, fits, pairs),))

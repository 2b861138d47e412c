"""What of a study remains to be done, cut into tasks for workers one after another."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import combinations, product
from typing import Self

import numpy as np

from mixtures.study.conditions import Condition
from mixtures.study.design import Method, Study
from mixtures.study.ledger import Flags, Ledger
from mixtures.study.limits import TimeLimit
from mixtures.study.methods import expected_seconds
from mixtures.study.store import Store

_TASK_SECONDS = 1.0  # work enough that handing it out costs nothing, and little enough to lose
_TASKS_OF_A_WORKER = 4  # at least, where there is little to do: none should wait long for the last


@dataclass(frozen=True, slots=True)
class Job:
    """What is missing of one replicate: fits, and pairs of fits, by the names of their methods."""

    replicate: int
    fits: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]

    @property
    def needed(self) -> list[str]:
        """Methods to fit: those missing, and those stored already that a missing pair needs again."""
        return list(dict.fromkeys([*self.fits, *(name for pair in self.pairs for name in pair)]))


@dataclass(frozen=True, slots=True)
class Task:
    """Some replicates of one condition, for one worker, `n_losses` of which died of it."""

    seed: int
    condition: Condition
    methods: tuple[Method, ...]
    jobs: tuple[Job, ...]
    n_losses: int = 0
    time_limit: TimeLimit | None = None

    def halves(self) -> tuple[Task, Task]:
        """Cut a task of several replicates in two."""
        middle = len(self.jobs) // 2
        return replace(self, jobs=self.jobs[:middle]), replace(self, jobs=self.jobs[middle:])


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What of a study remains to be done.

    Attributes
    ----------
    study : Study
    most : mapping of str to int
        Replicates of each method at most, by the key of the condition, where there are fewer.
    stored, paired : Ledger
        Fits and pairs that were stored before.
    """

    study: Study
    most: Mapping[str, int]
    stored: Ledger
    paired: Ledger

    @classmethod
    def of(cls, study: Study, store: Store, most: Mapping[str, int] | None = None) -> Self:
        """Plan what a store has not yet of a study."""
        return cls(study, most or {}, store.done(), store.has_pair())

    def grown(self, most: Mapping[str, int]) -> Self:
        """Plan more replicates, once all of these are stored."""
        for condition, method in self._places():
            self.stored.add((condition.key, method.key), np.arange(self._n_planned(condition, method)))
        return replace(self, most=most)

    @property
    def n_fits(self) -> int:
        """Number of fits that are missing."""
        return sum(self.missing.values())

    @property
    def missing(self) -> dict[tuple[str, str], int]:
        """Number of fits that are missing of every condition and method, by their keys."""
        return {
            (condition.key, method.key): int((~self._has_fit(condition, method)).sum())
            for condition, method in self._places()
        }

    def tasks(self, n_workers: int) -> Iterator[Task]:
        """Yield the tasks as they are taken up: replicates in order, every condition in turn."""
        expected = sum(
            expected_seconds(method, condition) * int((~self._has_fit(condition, method)).sum())
            for condition, method in self._places()
        )
        size = min(_TASK_SECONDS, expected / (_TASKS_OF_A_WORKER * n_workers))
        each = (self._tasks(condition, size) for condition in self.study.conditions)
        return heapq.merge(*each, key=lambda task: task.jobs[0].replicate)

    def _places(self) -> Iterator[tuple[Condition, Method]]:
        return product(self.study.conditions, self.study.method)

    def _tasks(self, condition: Condition, size: float) -> Iterator[Task]:
        seconds = {method.name: expected_seconds(method, condition) for method in self.study.method}
        for jobs in _batches(self._jobs(condition), seconds, size):
            yield Task(self.study.seed, condition, tuple(self.study.method), jobs)

    def _jobs(self, condition: Condition) -> Iterator[Job]:
        """Yield what is missing of each replicate that misses anything."""
        has = {method.name: self._has_fit(condition, method) for method in self.study.method}
        keys = {method.name: method.key for method in self.study.method}
        for index in range(max(map(len, has.values()))):
            names = [name for name, flags in has.items() if index < len(flags)]
            fits = tuple(name for name in names if not has[name][index])
            if fits:
                pairs = tuple(
                    (first, second)
                    for first, second in combinations(names, 2)
                    if (first in fits or second in fits)
                    and (condition.key, index, keys[second], keys[first]) not in self.paired
                )
                yield Job(index, fits, pairs)

    def _has_fit(self, condition: Condition, method: Method) -> Flags:
        """Whether the fit of each planned replicate is stored."""
        return self.stored.has((condition.key, method.key), np.arange(self._n_planned(condition, method)))

    def _n_planned(self, condition: Condition, method: Method) -> int:
        return self.study.replicates_of(method, self.most.get(condition.key))


def _batches(jobs: Iterable[Job], seconds: dict[str, float], size: float) -> Iterator[tuple[Job, ...]]:
    """Gather jobs until they are expected to take so many seconds, given those of each method."""
    batch: list[Job] = []
    expected = 0.0
    for job in jobs:
        batch.append(job)
        expected += sum(seconds[name] for name in job.needed)
        if expected >= size:
            yield tuple(batch)
            batch, expected = [], 0.0
    if batch:
        yield tuple(batch)

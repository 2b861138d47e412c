"""What of a study remains to be done, cut into tasks for workers one after another."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import combinations, product
from typing import Self

import numpy as np

from mixtures.model.arrays import Integers
from mixtures.study.conditions import Condition
from mixtures.study.costs import Costs
from mixtures.study.design import Method, Study
from mixtures.study.ledger import Flags, Ledger
from mixtures.study.limits import TimeLimit
from mixtures.study.shards import Shard
from mixtures.study.store import Store

_TASK_SECONDS = 15.0  # work enough that handing it out costs nothing, and little enough to lose
_FIRST_SECONDS = 1.0  # where a condition was not measured yet
_FIRST_FITS = 20  # there, as they may take a thousand times the guess
_LEAST_SECONDS = 0.2  # at the end of a study
_MOST_FITS = 5000  # whose rows a worker holds, some 10 kB for each
_TASKS_LEFT = 4  # for each worker, at least: none should wait long for the last


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
    shard : Shard, optional
        The replicates to do; by default all of them.
    """

    study: Study
    most: Mapping[str, int]
    stored: Ledger
    paired: Ledger
    shard: Shard | None = None

    @classmethod
    def of(
        cls,
        study: Study,
        store: Store,
        most: Mapping[str, int] | None = None,
        shard: Shard | None = None,
        again: Collection[str] = (),
    ) -> Self:
        """Plan what a store has not yet of a study, and fits that ended with some statuses `again`."""
        return cls(study, most or {}, store.done(again), store.has_pair(), shard)

    @classmethod
    def fresh(cls, study: Study) -> Self:
        """Plan a study of which nothing is stored."""
        return cls(study, {}, Ledger(), Ledger())

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

    def tasks(self, n_workers: int, costs: Costs | None = None) -> Iterator[Task]:
        """Yield the tasks as they are taken up: replicates in order, every condition in turn.

        The first are small. The others are of some seconds of work by what is known of costs by then, and
        become smaller towards the end, so that the workers finish together.
        """
        costs = costs or Costs(self.study)
        conditions, methods = self.study.conditions, self.study.method
        columns = {method.name: j for j, method in enumerate(methods)}
        left = np.array([[(~self._has_fit(at, one)).sum() for one in methods] for at in conditions])
        queues = [_Ahead(self._jobs(condition)) for condition in conditions]
        turns = [(queue.head.replicate, row) for row, queue in enumerate(queues) if queue.head]
        heapq.heapify(turns)
        while turns:
            _, row = heapq.heappop(turns)
            size = _size(costs, left, row, n_workers)
            jobs = queues[row].take(dict(zip(columns, costs.seconds[row], strict=True)), size)
            for name in (name for job in jobs for name in job.fits):
                left[row, columns[name]] -= 1
            if (head := queues[row].head) is not None:
                heapq.heappush(turns, (head.replicate, row))
            yield Task(self.study.seed, conditions[row], tuple(methods), jobs)

    def _places(self) -> Iterator[tuple[Condition, Method]]:
        return product(self.study.conditions, self.study.method)

    def _jobs(self, condition: Condition) -> Iterator[Job]:
        """Yield what is missing of each replicate that misses anything."""
        has = {method.name: self._has_fit(condition, method) for method in self.study.method}
        keys = {method.name: method.key for method in self.study.method}
        first, step = (0, 1) if self.shard is None else (self.shard.number - 1, self.shard.n_shards)
        for index in range(first, max(map(len, has.values())), step):
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
        """Whether the fit of each planned replicate is stored, or another shard's."""
        planned = np.arange(self._n_planned(condition, method))
        stored = self.stored.has((condition.key, method.key), planned)
        return stored if self.shard is None else stored | ~self.shard.holds(planned)

    def _n_planned(self, condition: Condition, method: Method) -> int:
        return self.study.replicates_of(method, self.most.get(condition.key))


@dataclass(frozen=True, slots=True)
class _Size:
    """How large a task may become: seconds by which it is full, and fits at most."""

    seconds: float
    n_fits: int


def _size(costs: Costs, left: Integers, row: int, n_workers: int) -> _Size:
    """Size of the next task of a condition, given the fits that are left, (conditions, methods)."""
    share = float((left * costs.seconds).sum()) / (_TASKS_LEFT * n_workers)
    if not costs.is_measured()[row][left[row] > 0].all():
        return _Size(min(_FIRST_SECONDS, share), _FIRST_FITS)
    return _Size(min(_TASK_SECONDS, max(share, _LEAST_SECONDS)), _MOST_FITS)


class _Ahead:
    """Jobs in order, the first of which can be seen before it is taken."""

    def __init__(self, jobs: Iterator[Job]) -> None:
        self._jobs = jobs
        self.head = next(jobs, None)

    def take(self, seconds: Mapping[str, float], size: _Size) -> tuple[Job, ...]:
        """Take jobs until they are full, given the seconds of each method."""
        batch: list[Job] = []
        expected, n_fits = 0.0, 0
        while self.head and (not batch or (expected < size.seconds and n_fits < size.n_fits)):
            batch.append(self.head)
            expected += sum(seconds[name] for name in self.head.needed)
            n_fits += len(self.head.needed)
            self.head = next(self._jobs, None)
        return tuple(batch)

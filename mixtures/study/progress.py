"""How far a run has come, and when it will be done."""

from __future__ import annotations

import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product

from mixtures.model.arrays import Array
from mixtures.study.costs import Costs
from mixtures.study.design import Study
from mixtures.study.parts import Part
from mixtures.study.plan import Plan
from mixtures.study.rows import FitRow

#: A condition and a method, by their keys.
type Cell = tuple[str, str]

_WINDOW = 600.0  # seconds of the past by which the present pace is judged
_LEAST_WINDOW = 1.0  # and fewest, below which a pace is noise


@dataclass(frozen=True, slots=True, eq=False)
class Progress:
    """How far a run has come.

    Attributes
    ----------
    study : Study
    folder : str
        The results folder.
    missing : dict
        Fits that the run is to do, by condition and method: those that were missing when it began, and
        those since found to be needed.
    n_stored : int
        Fits that were stored before.
    statuses : dict
        Fits stored in this run by condition, method and status.
    seconds : array (conditions, methods)
        Seconds that a fit takes, with its data and comparison, by what is known now; see `Costs`.
    failures : tuple of FitRow
        Fits without an estimate, stored since progress was last told.
    elapsed : float
        Seconds since the run began.
    rate : float or None
        Fits stored in a second, of late; None until that can be told.
    speed : float or None
        Seconds of work done in a second, of late, by all workers together.
    """

    study: Study
    folder: str
    missing: Mapping[Cell, int]
    n_stored: int
    statuses: Mapping[tuple[str, str, str], int]
    seconds: Array
    failures: tuple[FitRow, ...]
    elapsed: float
    rate: float | None
    speed: float | None

    @property
    def n_total(self) -> int:
        """Fits that the run is to do."""
        return sum(self.missing.values())

    @property
    def n_done(self) -> int:
        """Fits stored in this run."""
        return sum(self.statuses.values())

    @property
    def by_status(self) -> Counter[str]:
        """Fits stored in this run by status."""
        counts: Counter[str] = Counter()
        for (_, _, status), n in self.statuses.items():
            counts[status] += n
        return counts

    @property
    def done(self) -> Counter[Cell]:
        """Fits stored in this run by condition and method."""
        counts: Counter[Cell] = Counter()
        for (condition, method, _), n in self.statuses.items():
            counts[condition, method] += n
        return counts

    @property
    def costs(self) -> dict[Cell, float]:
        """Seconds that a fit takes, with its data and comparison, by condition and method."""
        cells = product(self.study.conditions, self.study.method)
        seconds = self.seconds.ravel().tolist()
        return {(at.key, by.key): each for (at, by), each in zip(cells, seconds, strict=True)}

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the run is done: what every missing fit is to cost, at the speed of late.

        None until a speed can be told.
        """
        if self.n_done >= self.n_total:
            return 0.0
        if not self.speed:
            return None
        done, costs = self.done, self.costs
        return sum(max(n - done[cell], 0) * costs[cell] for cell, n in self.missing.items()) / self.speed


class Tracker:
    """Counts what a run stores.

    Parameters
    ----------
    study : Study
    folder : str
        The results folder.
    costs : Costs
        What the run learns of costs.
    clock : callable
        Seconds, from anywhere.
    """

    def __init__(
        self, study: Study, folder: str, costs: Costs, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._study, self._folder, self._costs, self._clock = study, folder, costs, clock
        self._began = clock()
        self._missing: dict[Cell, int] = {}
        self._n_stored: int | None = None
        self._statuses: dict[tuple[str, str, str], int] = defaultdict(int)
        self._pace = _Pace()

    def expect(self, plan: Plan) -> Progress:
        """Expect what a plan misses, beside what was done."""
        if self._n_stored is None:
            self._n_stored = len(plan.stored)
        done = self._progress(()).done
        self._missing = {cell: done[cell] + n for cell, n in plan.missing.items()}
        return self._progress(())

    def add(self, part: Part) -> Progress:
        """Count a part that was stored."""
        work = 0.0
        for place, n in part.statuses.items():
            self._statuses[place] += n
            work += n * self._costs.of(*place[:2])
        self._pace.add(self._clock(), part.statuses.total(), work)
        return self._progress(part.failures)

    def _progress(self, failures: tuple[FitRow, ...]) -> Progress:
        now = self._clock()
        return Progress(
            self._study,
            self._folder,
            self._missing,
            self._n_stored or 0,
            dict(self._statuses),
            self._costs.seconds,
            failures,
            now - self._began,
            *self._pace.at(now),
        )


class _Pace:
    """Fits and seconds of work that are done in a second, over the last minutes.

    Time counts from the first part on: until then workers start, and compile.
    """

    def __init__(self) -> None:
        self._marks: deque[tuple[float, int, float]] = deque()  # when, and fits and work until then
        self._last = (0.0, 0, 0.0)

    def add(self, now: float, n_fits: int, work: float) -> None:
        _, fits_before, work_before = self._last
        self._last = (now, fits_before + n_fits, work_before + work)
        if not self._marks or now - self._marks[-1][0] >= _LEAST_WINDOW:
            self._marks.append(self._last)
        while len(self._marks) > 1 and now - self._marks[1][0] >= _WINDOW:
            self._marks.popleft()

    def at(self, now: float) -> tuple[float | None, float | None]:
        """Fits and seconds of work in a second."""
        if not self._marks or now - self._marks[0][0] < _LEAST_WINDOW:
            return None, None
        then, n_fits, work = self._marks[0]
        return (self._last[1] - n_fits) / (now - then), (self._last[2] - work) / (now - then)

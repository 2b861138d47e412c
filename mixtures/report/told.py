"""What is told of a run: counts, durations and failures, in words."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from mixtures.model.fit import Status
from mixtures.study.failures import without_numbers
from mixtures.study.progress import Progress
from mixtures.study.rows import FitRow

_MOST_OF_A_KIND = 3  # failures told, within
_SECONDS = 60.0
_MOST_KINDS = 200  # by their messages; further ones are told apart by status and exception alone


@dataclass(frozen=True, slots=True)
class Names:
    """Names of a study's conditions and methods, by their keys."""

    conditions: Mapping[str, str]
    methods: Mapping[str, str]

    @classmethod
    def of(cls, progress: Progress) -> Names:
        """Names in the study of a run."""
        study = progress.study
        return cls(
            {one.key: one.name for one in study.conditions}, {one.key: one.name for one in study.method}
        )

    def place(self, row: FitRow, width: int | None = None) -> str:
        """Say which fit a row is of, the condition in a few characters where a width is given."""
        condition = self.conditions[row.condition]
        condition = condition if width is None else shortened(condition, width)
        return f"{condition}, replicate {row.replicate}, {self.methods[row.method]}"


@dataclass(frozen=True, slots=True)
class Told:
    """A failure that is told, and how many of its kind were not, since the one before."""

    row: FitRow
    n_untold: int


@dataclass(slots=True)
class _Kind:
    """When failures of a kind were told, of late; how many were not told since, and the last of them."""

    times: deque[float] = field(default_factory=deque)
    n_untold: int = 0
    last: FitRow | None = None


class FailureLog:
    """Chooses which failures to tell: of each kind a few a minute, while the others are counted."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[str, ...], _Kind] = {}

    def choose(self, rows: Iterable[FitRow], now: float) -> Iterator[Told]:
        """Yield those of some new failures that are to be told."""
        for row in rows:
            kind = self._kind_of(row)
            while kind.times and now - kind.times[0] >= _SECONDS:
                kind.times.popleft()
            if len(kind.times) < _MOST_OF_A_KIND:
                kind.times.append(now)
                yield Told(row, kind.n_untold)
                kind.n_untold = 0
            else:
                kind.n_untold += 1
                kind.last = row

    def untold(self) -> Iterator[Told]:
        """Yield the last failure of each kind of which some were not told, with their number."""
        for kind in self._kinds.values():
            if kind.n_untold and kind.last is not None:
                yield Told(kind.last, kind.n_untold - 1)
                kind.n_untold = 0

    def _kind_of(self, row: FitRow) -> _Kind:
        coarse = (row.status, row.error_type)
        fine = (*coarse, without_numbers(row.message))
        key = fine if fine in self._kinds or len(self._kinds) < _MOST_KINDS else coarse
        return self._kinds.setdefault(key, _Kind())


def say_failure(told: Told) -> str:
    """Say in a line how a fit failed, and how many of the kind were not told before it."""
    more = f" (and {told.n_untold} more)" if told.n_untold else ""
    said = ": ".join(filter(None, (told.row.error_type, " ".join(told.row.message.split()))))
    return f"{told.row.status}{more}{f': {said}' if said else ''}"


def shortened(name: str, width: int) -> str:
    """Cut a name in its middle: conditions may differ in their last digits alone."""
    if len(name) <= width:
        return name
    end = max(width // 2, 1)
    return f"{name[: max(width - end - 1, 0)]}…{name[-end:]}"


def say_counts(counts: Mapping[str, int]) -> str:
    """Write numbers of fits by status, those that converged first."""
    order = sorted(counts, key=[*Status].index)
    return ", ".join(f"{counts[status]} {status}" for status in order if counts[status])


def say_rate(rate: float) -> str:
    """Write how many fits are stored in a second, or, where they are slow, in an hour."""
    if rate < 0.1:
        return f"{3600 * rate:.0f} fits/h"
    return f"{rate:.0f} fits/s" if rate >= 100 else f"{rate:.1f} fits/s"


def say_seconds(seconds: float) -> str:
    """Write a duration to two units."""
    whole = round(seconds)
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if minutes == 0:
        return f"{whole} s"
    if hours == 0:
        return f"{minutes} min {whole % 60} s" if minutes < 10 else f"{minutes} min"
    if days == 0:
        return f"{hours} h {minutes % 60} min"
    return f"{days} d {hours % 24} h"

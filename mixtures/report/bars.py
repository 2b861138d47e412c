"""How far a run has come, in a terminal: a bar for the run, one for each condition, failures above them."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from mixtures.model.fit import Status
from mixtures.report.told import (
    FailureLog,
    Names,
    Told,
    say_counts,
    say_failure,
    say_rate,
    say_seconds,
    shortened,
)
from mixtures.study.progress import Progress

_PER_SECOND = 1  # frames, of up to 50 ms
_OTHER_LINES = 4  # of a terminal: the run, the other conditions, and room to spare
_WIDE = 110  # columns, from which statuses have room beside the bars


@dataclass(frozen=True, slots=True)
class Line:
    """What is known of the run, or of one condition.

    Attributes
    ----------
    n_done, n_total : int
        Fits.
    counts : Counter
        Fits by status.
    rate, seconds_left : float or None
        Fits stored in a second, and seconds until all are; None until that can be told.
    over : str
        What is said once all fits are stored.
    """

    name: str
    n_done: int
    n_total: int
    counts: Counter[str]
    rate: float | None
    seconds_left: float | None
    over: str = "done"

    @property
    def is_over(self) -> bool:
        """Whether all fits are stored."""
        return self.n_done >= self.n_total


def lines_of(progress: Progress, names: Names) -> list[Line]:
    """What is known of each condition.

    The rate and the speed of the run are shared out as its fits and its work have been so far. A condition
    is not done later than the run.
    """
    costs, done, left = progress.costs, progress.done, progress.seconds_left
    n_total: dict[str, int] = defaultdict(int)
    worked: dict[str, float] = defaultdict(float)
    to_do: dict[str, float] = defaultdict(float)
    for cell, n in progress.missing.items():
        n_total[cell[0]] += n
        worked[cell[0]] += done[cell] * costs[cell]
        to_do[cell[0]] += max(n - done[cell], 0) * costs[cell]
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for (condition, _, status), n in progress.statuses.items():
        counts[condition][status] += n
    all_work = sum(worked.values())
    lines = []
    for key, name in names.conditions.items():
        n_done = counts[key].total()
        share = worked[key] / all_work if all_work else 0.0
        own = to_do[key] / (progress.speed * share) if progress.speed and share else left
        is_going_on = 0 < n_done < n_total[key]
        rate = progress.rate * n_done / progress.n_done if progress.rate and is_going_on else None
        soonest = None if own is None or left is None else min(own, left)
        lines.append(Line(name, n_done, n_total[key], counts[key], rate, soonest))
    return [line for line in lines if line.n_total]


class Bars:
    """Progress as bars, as long as the context lasts."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console, self._clock = console, clock
        self._log = FailureLog()
        self._names: Names | None = None
        self._latest: tuple[Progress, float] | None = None
        self._live = Live(
            get_renderable=self.render,
            console=console,
            refresh_per_second=_PER_SECOND,
            redirect_stdout=False,
            vertical_overflow="crop",
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        for told in self._log.untold():
            self._tell(told)
        self._live.stop()

    def __call__(self, progress: Progress) -> None:
        """Show how far the run has come."""
        now = self._clock()
        self._names = self._names or Names.of(progress)
        for told in self._log.choose(progress.failures, now):
            self._tell(told)
        self._latest = progress, now

    def _tell(self, told: Told) -> None:
        if self._names is not None:
            place = self._names.place(told.row, self._console.width // 3)
            line = Text(f"{place}: {say_failure(told)}")
            self._console.print(line, no_wrap=True, overflow="ellipsis", crop=True)

    def render(self) -> RenderableType:
        """Return a frame, no higher than the terminal."""
        if self._latest is None or self._names is None:
            return Text("starting")
        progress, then = self._latest
        since = self._clock() - then
        lines = lines_of(progress, self._names)
        shown, rest = _fitting(lines, self._console.height - _OTHER_LINES)
        width = self._console.width
        grid = _grid(width)
        for line in [_whole(progress), *(shown if len(lines) > 1 else [])]:
            grid.add_row(*_cells(line, since, width))
        return Group(grid, Text(rest)) if rest else grid


def _whole(progress: Progress) -> Line:
    """The run as a line."""
    return Line(
        progress.study.name,
        progress.n_done,
        progress.n_total,
        progress.by_status,
        progress.rate,
        progress.seconds_left,
        f"in {say_seconds(progress.elapsed)}",
    )


def _fitting(lines: list[Line], room: int) -> tuple[list[Line], str]:
    """Lines that there is room for, rather those that are not over, and what is to be said of the others."""
    room = max(room, 1)
    if len(lines) <= room:
        return lines, ""
    first = {line.name for line in sorted(lines, key=lambda line: line.is_over)[:room]}
    n_over = sum(line.is_over for line in lines if line.name not in first)
    said = f"and {len(lines) - room} conditions more, {n_over} of them done"
    return [line for line in lines if line.name in first], said


def _grid(width: int) -> Table:
    grid = Table.grid(padding=(0, 1), expand=True)
    grid.add_column(no_wrap=True)
    grid.add_column(ratio=3)
    for _ in range(3):
        grid.add_column(justify="right", no_wrap=True)
    grid.add_column(ratio=4 if width >= _WIDE else None, no_wrap=True, overflow="ellipsis")
    return grid


def _cells(line: Line, since: float, width: int) -> list[RenderableType]:
    """A line as the cells of its row, `since` seconds after it was true."""
    left = "" if line.seconds_left is None else f"{say_seconds(max(line.seconds_left - since, 0))} left"
    n_failed = line.n_done - line.counts[Status.CONVERGED]
    failed = f"{n_failed} failed" if n_failed else ""
    return [
        Text(shortened(line.name, width // 3)),
        ProgressBar(total=line.n_total or 1, completed=line.n_done if line.n_total else 1),
        Text(f"{line.n_done}/{line.n_total}"),
        Text(say_rate(line.rate) if line.rate is not None else ""),
        Text(line.over if line.is_over else left),
        Text(say_counts(line.counts) if width >= _WIDE else failed),
    ]

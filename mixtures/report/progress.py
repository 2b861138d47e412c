"""How far a run has come: bars in a terminal, lines elsewhere, or JSON. Written to stderr."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from mixtures.report.bars import Bars
from mixtures.report.told import FailureLog, Names, Told, say_counts, say_failure, say_rate, say_seconds
from mixtures.study.environment import now as time_of_day
from mixtures.study.progress import Progress
from mixtures.study.replay import replay_command

# Seconds between two lines: a share of the time since the run began, so that the log of days stays short.
_SHORTEST, _LONGEST, _SHARE = 10.0, 300.0, 0.02


@contextmanager
def follow(*, as_json: bool = False) -> Iterator[Callable[[Progress], None]]:
    """Give a function that shows each `Progress` of a run, as long as the context lasts.

    Parameters
    ----------
    as_json : bool
        One JSON object a line, in a terminal too.
    """
    console = Console(stderr=True)
    if console.is_terminal and not as_json:
        with Bars(console) as bars:
            yield bars
        return
    lines = Lines(_write, JSON if as_json else PLAIN)
    try:
        yield lines
    finally:
        lines.close()


def _write(line: str) -> None:
    with suppress(BrokenPipeError):  # nobody reads it any more, which must not end the study
        sys.stderr.write(line + "\n")
        sys.stderr.flush()


@dataclass(frozen=True, slots=True)
class Form:
    """How lines are written.

    Attributes
    ----------
    progress : callable
        Takes what happened ("begin", "progress" or "end"), how far the run has come, and names; gives a
        line, or nothing.
    failure : callable
        Takes a failure, how far the run has come, and names; gives a line.
    """

    progress: Callable[[str, Progress, Names], str]
    failure: Callable[[Told, Progress, Names], str]


class Lines:
    """Progress as lines, the first, the last, and one now and then between; and failures as they happen.

    Parameters
    ----------
    write : callable
        Takes a line.
    form : Form
    clock : callable
        Seconds, from anywhere.
    """

    def __init__(
        self, write: Callable[[str], None], form: Form, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._write, self._form, self._clock = write, form, clock
        self._log = FailureLog()
        self._latest: tuple[Progress, Names] | None = None
        self._last = clock()

    def __call__(self, progress: Progress) -> None:
        """Tell new failures, and how far the run has come if that was not told for a while."""
        now, is_first = self._clock(), self._latest is None
        names = Names.of(progress) if self._latest is None else self._latest[1]
        self._latest = progress, names
        for told in self._log.choose(progress.failures, now):
            self._write(self._form.failure(told, progress, names))
        pause = min(max(_SHORTEST, _SHARE * progress.elapsed), _LONGEST)
        if is_first or now - self._last >= pause:
            self._last = now
            self._write(self._form.progress("begin" if is_first else "progress", progress, names))

    def close(self) -> None:
        """Tell what was not told of failures, and that the run is over."""
        if self._latest is None:
            return
        for told in self._log.untold():
            self._write(self._form.failure(told, *self._latest))
        if last := self._form.progress("end", *self._latest):
            self._write(last)


def _plain_progress(event: str, progress: Progress, _: Names) -> str:
    n_done, n_total = progress.n_done, progress.n_total
    said = say_counts(progress.by_status)
    if event == "end":
        whole = f"{n_done} of {n_total} fits: {said}; in {say_seconds(progress.elapsed)}"
        return whole if n_done == n_total > 0 else ""
    if not said:
        said = f"{progress.n_stored} stored before" if progress.n_stored else "starting"
    left = progress.seconds_left
    pace = "" if progress.rate is None else f"; {say_rate(progress.rate)}"
    pace += f", about {say_seconds(left)} left" if left else ""
    return f"{n_done} of {n_total} fits: {said}{pace}"


def _plain_failure(told: Told, _: Progress, names: Names) -> str:
    return f"{names.place(told.row)}: {say_failure(told)}"


def _json_progress(event: str, progress: Progress, names: Names) -> str:
    statuses: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for (condition, method, status), n in progress.statuses.items():
        statuses[condition, method][status] += n
    fits = [
        {
            "condition": condition,
            "name": names.conditions[condition],
            "method": names.methods[method],
            "n_done": statuses[condition, method].total(),
            "n_total": n,
            "statuses": statuses[condition, method],
        }
        for (condition, method), n in progress.missing.items()
    ]
    return _as_json(
        event,
        study=progress.study.name,
        folder=progress.folder,
        n_done=progress.n_done,
        n_total=progress.n_total,
        n_stored=progress.n_stored,
        statuses=progress.by_status,
        elapsed=_rounded(progress.elapsed),
        rate=_rounded(progress.rate),
        seconds_left=_rounded(progress.seconds_left),
        fits=fits,
    )


def _json_failure(told: Told, progress: Progress, names: Names) -> str:
    row = told.row
    method = names.methods[row.method]
    return _as_json(
        "failure",
        condition=row.condition,
        name=names.conditions[row.condition],
        replicate=row.replicate,
        method=method,
        status=row.status,
        error_type=row.error_type,
        message=row.message,
        n_untold=told.n_untold,
        replay=replay_command(progress.folder, row.condition, row.replicate, method),
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _as_json(event: str, **entries: Any) -> str:
    return json.dumps({"event": event, "time": time_of_day()} | entries, allow_nan=False)


PLAIN = Form(_plain_progress, _plain_failure)
JSON = Form(_json_progress, _json_failure)

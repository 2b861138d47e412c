"""How far a run has come: a bar in a terminal, a line now and then elsewhere. Written to stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from mixtures.study.runner import Progress

_SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def follow() -> Iterator[Callable[[Progress], None]]:
    """Give a function that shows each `Progress` of a run, as long as the context lasts."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines()
        return
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=console) as bar:
        task = bar.add_task("", total=None)

        def show(progress: Progress) -> None:
            bar.update(
                task, completed=progress.n_done, total=progress.n_total, description=_say_statuses(progress)
            )

        yield show


class _Lines:
    """Progress as lines, the first, the last, and one every ten seconds between."""

    def __init__(self) -> None:
        self._began = self._last = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        is_end = progress.n_done in (0, progress.n_total)
        if not is_end and now - self._last < _SECONDS_BETWEEN_LINES:
            return
        self._last = now
        left = (
            (now - self._began) / progress.n_done * (progress.n_total - progress.n_done)
            if progress.n_done
            else None
        )
        ending = "" if left is None or is_end else f", about {left:.0f} s left"
        sys.stderr.write(f"{progress.n_done} of {progress.n_total} fits: {_say_statuses(progress)}{ending}\n")
        sys.stderr.flush()


def _say_statuses(progress: Progress) -> str:
    counts = ", ".join(f"{n} {status}" for status, n in sorted(progress.statuses.items()))
    if counts:
        return counts
    return f"{progress.n_stored} stored before" if progress.n_stored else "starting"

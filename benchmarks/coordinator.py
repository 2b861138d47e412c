"""What the coordinator of a study costs: a million tasks of a fake engine through the runner.

The tasks are handed to an executor that does them at once, by returning a part that was made before, so
that what is measured is planning, handing out, storing and telling progress. Parts go to a file system in
memory where there is one: what a disk takes to sync is measured beside it.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psutil

from benchmarks.timing import Measured, main, measured, processor_seconds
from mixtures.study import plan, runner
from mixtures.study.design import Study
from mixtures.study.parts import Part
from mixtures.study.places import Place
from mixtures.study.plan import Task
from mixtures.study.progress import Progress

_STUDY = """
name = "coordinator"
title = "Coordinator"
aims = "To time what is not work."
seed = 1
replicates = {replicates}
components = 2
grid.n = [50, 100]
grid.truth = [
    {{ name = "a", weights = [0.5, 0.5], means = [0.0, 3.0], variances = [1.0, 1.0] }},
    {{ name = "b", weights = [0.5, 0.5], means = [0.0, 4.0], variances = [1.0, 1.0] }},
]
method = [{{ name = "EM", engine = "em" }}]
"""
_IN_MEMORY = Path("/dev/shm")
_CONTENT = bytes(1000)
_LOOKS = 10


class AtOnce(Executor):
    """An executor that does what it is given when it is given."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Do a call, and return its result as a future."""
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def fake_work(task: Task) -> Part:
    """Return what a task might have made, made before."""
    (job,) = task.jobs
    key = task.condition.key, task.methods[0].key
    name = f"{key[0]}{job.replicate:08d}-0.parquet"
    return Part({("fits", name): _CONTENT}, Counter({(*key, "converged"): 1}), {key: 1.0}, ())


def measure(quick: bool) -> list[Measured]:
    """Seconds and memory of the coordinator for each task, as tasks go by."""
    n_tasks = 10_000 if quick else 1_000_000
    text, memory = _STUDY.format(replicates=n_tasks // 4), []
    seconds: list[float] = []

    def look(progress: Progress) -> None:
        if progress.n_done % (n_tasks // _LOOKS) == 0:
            memory.append(psutil.Process().memory_info().rss / 1e6)
            seconds.append(processor_seconds())

    with (
        tempfile.TemporaryDirectory(dir=_IN_MEMORY if _IN_MEMORY.is_dir() else None) as folder,
        patch.object(plan, "_MOST_FITS", 1),
        patch.object(plan, "_FIRST_FITS", 1),
        patch.object(runner, "work", fake_work),
    ):
        store = runner.run(Study.from_toml(text), folder, executor=AtOnce(), n_workers=4, on_progress=look)
        n_parts = len(store.parts("fits"))
    each = 1e3 * (seconds[-1] - seconds[0]) / n_tasks
    at = {"tasks": n_tasks}
    return [
        measured("parts stored", float(n_parts), "", at=at),
        measured("coordinator, processor", each, "ms a task", at=at, at_most=1),
        measured("coordinator's memory, after a tenth", memory[1], "MB", at=at),
        measured("coordinator's memory, at the end", memory[-1], "MB", at=at, at_most=400),
        measured("a part of 1 kB on disk, synced", _sync_milliseconds(), "ms", at={}),
    ]


def _sync_milliseconds(n_parts: int = 200) -> float:
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        place, before = Place.of(folder), time.perf_counter()
        for i in range(n_parts):
            place.write(f"{i}", _CONTENT)
        return 1e3 * (time.perf_counter() - before) / n_parts


if __name__ == "__main__":
    main("coordinator", measure)

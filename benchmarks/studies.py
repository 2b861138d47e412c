"""Replicates that a study generates, fits by EM, compares and stores in a second, and its memory."""

from __future__ import annotations

import resource
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from benchmarks.timing import Measured, main, measured, processor_seconds
from mixtures.study.design import Study
from mixtures.study.runner import run

_STUDY = """
name = "throughput"
title = "Throughput"
aims = "To time a study."
seed = 1
replicates = {replicates}
components = 2
grid.n = [500]
grid.truth = [{{ name = "close", weights = [0.4, 0.6], means = [0.0, 3.0], variances = [1.0, 1.0] }}]
method = [{{ name = "EM", engine = "em" }}]
"""


def measure(quick: bool) -> list[Measured]:
    """Replicates a second and core, and peak memory, by one worker and by two."""
    n, n_rounds = (300, 1) if quick else (1000, 5)
    results = []
    for n_workers in (1, 2):
        size = n if n_workers == 1 else 3 * n  # workers take seconds to start
        runs = [_in_new_process(size, n_workers) for _ in range(n_rounds)]
        at = {"workers": n_workers, "replicates": size, "n": 500, "k": 2}
        by_clock = np.array([size / one.seconds / n_workers for one in runs])
        by_processor = np.array([size / one.processor_seconds for one in runs])
        results += [
            measured("replicates a second and core", by_clock, "1/s", at=at, at_least=400),
            measured("replicates a processor second", by_processor, "1/s", at=at, at_least=400),
        ]
    few, many = (_in_new_process(size, 1).peak for size in (n, 4 * n))
    growth = 1000 * (many - few) / (3 * n)
    results.append(measured("memory, one worker", many, "MB", at={"replicates": 4 * n}))
    results.append(
        measured("memory for each further 1,000 replicates", growth, "MB", at={"replicates": 4 * n})
    )
    return results


@dataclass(frozen=True, slots=True)
class _Run:
    seconds: float
    processor_seconds: float
    peak: float  # MB of the process that runs the study


def _in_new_process(n: int, n_workers: int) -> _Run:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_run, n, n_workers).result()


def _run(n: int, n_workers: int) -> _Run:
    study = Study.from_toml(_STUDY.format(replicates=n))
    with tempfile.TemporaryDirectory() as folder:
        run(study, Path(folder, "warm"), replicates=20, n_workers=n_workers)
        begin, processor = time.perf_counter(), processor_seconds()
        run(study, Path(folder, "run"), n_workers=n_workers)
        seconds, processor = time.perf_counter() - begin, processor_seconds() - processor
    return _Run(seconds, processor, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    main("studies", measure)

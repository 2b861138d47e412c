"""Studies: replicates by EM that are generated, fitted, compared and stored in a second, and their memory.

And of replicates by NUTS the time outside the sampler, the processor's: data, starts and coordinates,
diagnostics, relabelling, summaries, comparison and rows.
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks.timing import Measured, main, measured, processor_seconds
from mixtures.bayes import compile as compiling
from mixtures.model.arrays import Array
from mixtures.study.design import Study
from mixtures.study.methods import build
from mixtures.study.parts import Part
from mixtures.study.replicate import attempt, generate, record, record_oracle
from mixtures.study.rows import Rows
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
_POSTERIORS = """
name = "posteriors"
title = "Posteriors"
aims = "To time what is outside the sampler."
seed = 1
replicates = 1
components = 2
grid.n = [500]
grid.truth = [
    {{ name = "close", weights = [0.4, 0.6], means = [0.0, {separation}], variances = [1.0, 1.0] }},
]
method = [{{ name = "NUTS", engine = "nuts" }}]
"""


def measure(quick: bool) -> list[Measured]:
    """Replicates a second and core by one worker and by two; peak memory, also of a tenth of the study."""
    n, n_rounds, n_many = (300, 1, 3000) if quick else (1000, 5, 100_000)
    alone = [_in_new_process(n, 1) for _ in range(n_rounds)]
    few, many = (
        _in_new_process(n_many // 10, 2),
        _in_new_process(n_many, 2),
    )  # whose workers take seconds to start
    return [
        *_rates(alone, n, 1),
        *_rates([many], n_many, 2),
        measured("memory of the coordinator", many.coordinator, "MB", at={"replicates": n_many}),
        measured("the same", few.coordinator, "MB", at={"replicates": n_many // 10}),
        measured("memory of a worker", many.worker, "MB", at={"replicates": n_many}),
        measured("the same", few.worker, "MB", at={"replicates": n_many // 10}),
        *(_outside_at(separation, 5 if quick else 60) for separation in (2.0, 3.0, 4.0)),
        _outside_in_two_species(2 if quick else 40),
    ]


def _outside_at(separation: float, n_sets: int) -> Measured:
    study = Study.from_toml(_POSTERIORS.format(separation=separation))
    at = {"separation": separation, "n": 500, "k": 2}
    return measured("outside the sampler", _outside_sampler(study, n_sets), "ms", at=at, at_most=25)


def _outside_in_two_species(n_sets: int) -> Measured:
    """Mean over the data sets of the six conditions of `studies/two_species.toml`."""
    study = Study.read(Path(__file__).parents[1] / "studies" / "two_species.toml")
    mean = float(_outside_sampler(study, n_sets).mean())
    return measured("outside the sampler, mean", mean, "ms", at={"study": "two_species"}, at_most=25)


def _outside_sampler(study: Study, n_sets: int) -> Array:
    """Milliseconds of each data set, n_sets of every condition."""
    (method,) = (method for method in study.method if method.engine == "nuts")
    engine, rows, seconds = build(method), Rows.empty(), []
    for condition in study.conditions:
        engine.prepare(condition.spec)
        for index in range(n_sets + 1):
            with _stopwatch() as inside:
                begin = processor_seconds()
                replicate = generate(study.seed, condition, index)
                record(rows, method.key, replicate, attempt(engine, method.key, replicate, study.seed))
                record_oracle(rows, replicate)
                if index:  # the first waits for what is loaded and compiled
                    seconds.append(processor_seconds() - begin - sum(inside))
    begin = processor_seconds()
    Part.of(rows)
    storing = (processor_seconds() - begin) / (len(seconds) + len(study.conditions))
    return 1e3 * (storing + np.array(seconds))


@contextmanager
def _stopwatch() -> Iterator[list[float]]:
    """Note the processor's seconds of every run of the sampler."""
    seconds: list[float] = []
    sample = compiling._guarded

    def timed(*arguments: Any) -> Any:
        begin = processor_seconds()
        try:
            return sample(*arguments)
        finally:
            seconds.append(processor_seconds() - begin)

    with patch.object(compiling, "_guarded", timed):
        yield seconds


@dataclass(frozen=True, slots=True)
class _Run:
    seconds: float
    processor_seconds: float
    coordinator: float  # most memory, MB
    worker: float


def _rates(runs: list[_Run], n: int, n_workers: int) -> list[Measured]:
    at = {"workers": n_workers, "replicates": n, "n": 500, "k": 2}
    by_clock = np.array([n / one.seconds / n_workers for one in runs])
    by_processor = np.array([n / one.processor_seconds for one in runs])
    return [
        measured("replicates a second and core", by_clock, "1/s", at=at, at_least=400),
        measured("replicates a processor second", by_processor, "1/s", at=at, at_least=400),
    ]


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
    whose = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return _Run(seconds, processor, *(resource.getrusage(who).ru_maxrss / 1024 for who in whose))


if __name__ == "__main__":
    main("studies", measure)

"""Contestants measured in turn, what came of it with its spread, and the machine that it came from."""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path

import numpy as np

from mixtures.model.arrays import Array

#: Does a unit of work and returns its seconds.
type Contestant = Callable[[], float]
type Clock = Callable[[], float]

_PACKAGES = ("numpy", "numba", "scipy", "scikit-learn", "pymc", "pytensor", "nutpie")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A figure: the median of several repetitions, and the quartiles.

    Attributes
    ----------
    name : str
    median, low, high : float
        A figure that was not repeated has all three equal.
    n : int
        Repetitions.
    unit : str
        Of the three; ``x`` for ratios.
    at : dict
        Where it was measured: n, k, d and the like.
    at_most, at_least : float or None
        The target.
    """

    name: str
    median: float
    low: float
    high: float
    n: int
    unit: str
    at: dict[str, str | float] = field(default_factory=dict)
    at_most: float | None = None
    at_least: float | None = None

    @property
    def is_met(self) -> bool | None:
        """Whether the median meets the target; None without one."""
        if self.at_most is not None:
            return self.median <= self.at_most
        return None if self.at_least is None else self.median >= self.at_least

    def __str__(self) -> str:
        at = ", ".join(
            f"{key}={value:g}" if isinstance(value, float | int) else value for key, value in self.at.items()
        )
        spread = f" ({self.low:.3g} to {self.high:.3g}, {self.n} repetitions)" if self.n > 1 else ""
        return f"{self.name} [{at}]: {self.median:.4g} {self.unit}{spread}{self._against_target()}"

    def _against_target(self) -> str:
        if self.is_met is None:
            return ""
        bound = f"at most {self.at_most:g}" if self.at_most is not None else f"at least {self.at_least:g}"
        return f"; target {bound}: {'met' if self.is_met else 'MISSED'}"


def measured(
    name: str,
    values: Array | float,
    unit: str,
    *,
    at: Mapping[str, str | float] | None = None,
    at_most: float | None = None,
    at_least: float | None = None,
) -> Measured:
    """Sum up repetitions by their median and quartiles."""
    low, median, high = np.quantile(np.atleast_1d(values), [0.25, 0.5, 0.75])
    return Measured(
        name=name, median=float(median), low=float(low), high=float(high), n=np.size(values),
        unit=unit, at=dict(at or {}), at_most=at_most, at_least=at_least,
    )  # fmt: skip


def timed(work: Callable[[], object], n: float = 1, clock: Clock = time.process_time) -> Contestant:
    """Return a contestant that does n units of work at a call.

    The clock is the processor's by default, which other processes on the machine disturb less; work in
    threads or other processes needs `time.perf_counter`.
    """

    def contestant() -> float:
        begin = clock()
        work()
        return (clock() - begin) / n

    return contestant


def processor_seconds() -> float:
    """Processor seconds of this process, its threads, and its children that have ended: a clock."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def by_difference(work: Callable[[int], object], few: int, many: int) -> Contestant:
    """Return a contestant whose seconds are those of one more iteration: what it sets up cancels."""

    def contestant() -> float:
        return (timed(lambda: work(many))() - timed(lambda: work(few))()) / (many - few)

    return contestant


def alternate(contestants: Mapping[str, Contestant], n_rounds: int) -> dict[str, Array]:
    """Seconds of each contestant, (n_rounds,), taken in turn after a round that does not count."""
    for contestant in contestants.values():
        contestant()
    rounds = [[contestant() for contestant in contestants.values()] for _ in range(n_rounds)]
    return dict(zip(contestants, np.array(rounds).T, strict=True))


def machine() -> dict[str, object]:
    """Processor, the instructions that numpy uses, load, and versions."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "avx512_in_numpy": uses_avx512(),
        "numba_cpu": os.environ.get("NUMBA_CPU_NAME", "the processor's own"),
        "load": os.getloadavg()[0],
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in _PACKAGES},
    }


def uses_avx512() -> bool:
    """Whether numpy found AVX-512, and was not told to leave it alone."""
    found = np.show_config(mode="dicts")["SIMD Extensions"]["found"]
    return any(name == "X86_V4" or name.startswith("AVX512") for name in found)


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    values = dict(line.split(":", 1) for line in reversed(lines) if ":" in line)
    fields = {key.strip(): value.strip() for key, value in values.items()}
    if "model name" not in fields:
        return platform.processor() or platform.machine()
    return f"{fields['model name']}, family {fields['cpu family']} model {fields['model']}"


def main(name: str, measure: Callable[[bool], list[Measured]]) -> None:
    """Measure, print, and write `NAME.json`, as the command line asks."""
    parser = argparse.ArgumentParser(description=measure.__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions, less data")
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"), help="folder of the results")
    parser.add_argument("--suffix", default="", help="added to the name of the result")
    arguments = parser.parse_args()
    about = machine()
    results = measure(arguments.quick)
    print(f"== {name}{arguments.suffix}", *results, sep="\n", flush=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    whole = {
        "machine": about,
        "is_quick": arguments.quick,
        "measured": [asdict(result) for result in results],
    }
    path = arguments.out / f"{name}{arguments.suffix}.json"
    path.write_text(json.dumps(whole, indent=1) + "\n")

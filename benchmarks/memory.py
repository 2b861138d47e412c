"""Peak memory of a pass over the data, beyond the data (Linux)."""

from __future__ import annotations

from pathlib import Path

from benchmarks.contestants import numpy_step, own_step, problem
from benchmarks.timing import Contestant, Measured, main, measured


def measure(quick: bool) -> list[Measured]:
    """Megabytes that a step of EM takes at its peak beyond what was there before it."""
    small, large = problem(1000, 2), problem(1_000_000 if quick else 10_000_000, 2)
    own_step(small)()  # compiled before memory is looked at
    return [
        measured("memory beyond the data, EM pass", _peak(own_step(large)), "MB", at=large.at, at_most=64),
        measured("memory beyond the data, numpy EM step", _peak(numpy_step(large)), "MB", at=large.at),
    ]


def _peak(contestant: Contestant) -> float:
    """Megabytes by which the process grew, at most, while it did its work."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    before = _status("VmRSS")
    contestant()
    return (_status("VmHWM") - before) / 1024


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line for line in lines if line.startswith(name)).split()[1])


if __name__ == "__main__":
    main("memory", measure)

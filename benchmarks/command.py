"""The command line on the penguins with both engines, against importing what it needs."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time

import numpy as np

from benchmarks.timing import Measured, alternate, main, measured, timed

_FIT = (
    "-m mixtures fit studies/data/penguins.csv --column body_mass_g --components 2 --engine both "
    "--labels species --groups Adelie+Chinstrap,Gentoo --seed 1 --out"
)


def measure(quick: bool) -> list[Measured]:
    """Seconds of `mixtures fit` beyond the imports of pymc and nutpie, once machine code is on disk."""
    with tempfile.TemporaryDirectory() as folder:
        contestants = {
            "fit": timed(lambda: _python(*_FIT.split(), folder), clock=time.perf_counter),
            "imports": timed(lambda: _python("-c", "import pymc, nutpie"), clock=time.perf_counter),
        }
        seconds = alternate(contestants, 2 if quick else 5)
    rest = np.asarray(seconds["fit"]) - seconds["imports"]
    return [
        measured("mixtures fit, both engines, beyond imports", rest, "s", at_most=4),
        measured("mixtures fit, both engines", seconds["fit"], "s"),
        measured("imports of pymc and nutpie", seconds["imports"], "s"),
    ]


def _python(*arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)


if __name__ == "__main__":
    main("command", measure)

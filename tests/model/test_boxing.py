"""Exceptions from elsewhere that come in compiled code: in processes of their own, as they may end those."""

import subprocess
import sys

import pytest

INTERRUPT = """
import signal, sys
from typing import NamedTuple

import numba
import numpy as np

from mixtures.model.compiled import compiled
from mixtures.study.limits import TimeLimit, TimeUpError, within

make = {"compiled": compiled, "njit": numba.njit(nogil=True)}[sys.argv[1]]

class Pair(NamedTuple):
    one: np.ndarray
    other: np.ndarray

@make
def spin(x):
    for _ in range(20_000_000):
        x = np.sqrt(x + 1.0)
    return x

@make
def array(x):
    return np.full(3, spin(x))

@make
def arrays(x):
    return np.full(3, spin(x)), np.full(2, 1.0)

@make
def pair(x):
    return Pair(np.full(3, spin(x)), np.full(2, 1.0))

def interrupt(*_):
    raise KeyboardInterrupt

signal.signal(signal.SIGALRM, interrupt)
n_interruptions = 0
for function in (array, arrays, pair):
    function(0.5)
    for _ in range(10):
        try:
            if sys.argv[2] == "Ctrl-C":
                signal.setitimer(signal.ITIMER_REAL, 0.01)
                function(0.5)
            else:
                within(TimeLimit(0.01), lambda: function(0.5))
        except (KeyboardInterrupt, TimeUpError):
            n_interruptions += 1
print(n_interruptions)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["Ctrl-C", "time limit"])
@pytest.mark.parametrize(("decorator", "survives"), [("compiled", True), ("njit", False)])
def test_an_interruption_of_compiled_code_is_raised(kind, decorator, survives):
    """Where numba's own survives, as it did not in 0.68, `mixtures.model.boxing` is needed no more."""
    command = [sys.executable, "-c", INTERRUPT, decorator, kind]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode == 0 and ended.stdout == "30\n") == survives, ended.stderr

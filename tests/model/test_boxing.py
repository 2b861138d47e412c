"""Exceptions from elsewhere that come in compiled code: in processes of their own, as they may end those."""

import signal
import subprocess
import sys

import pytest

SPINNING = """
import sys
from typing import NamedTuple

import numba
import numpy as np

from mixtures.model.compiled import compiled

make = {"compiled": compiled, "njit": numba.njit(nogil=True)}[sys.argv[1]]

class Pair(NamedTuple):
    one: np.ndarray
    other: np.ndarray

class Nest(NamedTuple):
    name: int
    pair: Pair

@make
def spin(x, n):
    for _ in range(n):
        x = np.sqrt(x + 1.0)
    return x

@make
def array(n):
    return np.full(3, spin(0.5, n))

@make
def arrays(n):
    return np.full(3, spin(0.5, n)), np.full(2, 1.0)

@make
def pair(n):
    return Pair(np.full(3, spin(0.5, n)), np.full(2, 1.0))

@make
def nest(n):
    return Nest(1, Pair(np.full(3, spin(0.5, n)), np.full(2, 1.0)))

@make
def pairs(n):
    return 1, pair(n), pair(n)
"""
INTERRUPT = """
import signal, sys, time

from mixtures.study.limits import TimeLimit, TimeUpError, within
from spinning import Pair, array, arrays, nest, pair, pairs

def interrupt(*_):
    raise KeyboardInterrupt

def call_beyond_its_time(function, n):
    if sys.argv[2] == "Ctrl-C":
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        function(n)
    else:
        within(TimeLimit(0.01), lambda: function(n))

signal.signal(signal.SIGALRM, interrupt)
assert type(pair(1)) is Pair and type(nest(1).pair) is Pair and type(pairs(1)[2]) is Pair
for function in (array, arrays, pair, nest, pairs):
    n = 1_000_000
    assert function(n) is not None
    began = time.perf_counter()
    function(n)
    n = int(0.3 * n / (time.perf_counter() - began))  # the time is looked at every .05 s
    for _ in range(3):
        try:
            call_beyond_its_time(function, n)
        except (KeyboardInterrupt, TimeUpError):
            print("interrupted", function.__name__)
"""
INTERRUPTED = [
    f"interrupted {name}" for name in ("array", "arrays", "pair", "nest", "pairs") for _ in range(3)
]


def interrupt(folder, decorator, kind):
    (folder / "spinning.py").write_text(SPINNING)
    script = folder / "interrupt.py"
    script.write_text(INTERRUPT)
    command = [sys.executable, str(script), decorator, kind]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["Ctrl-C", "time limit"])
def test_an_interruption_of_compiled_code_is_raised(tmp_path, kind):
    """Of code that was just compiled, and of code from the disk."""
    for _ in range(2):
        ended = interrupt(tmp_path, "compiled", kind)
        assert ended.stdout.splitlines() == INTERRUPTED, ended.stderr
    assert any(tmp_path.rglob("*.nbc"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["Ctrl-C", "time limit"])
def test_numba_alone_does_not_survive_it(tmp_path, kind):
    """Or no longer, if this fails: then `mixtures.model.boxing` is needed no more."""
    ended = interrupt(tmp_path, "njit", kind)
    assert ended.returncode == -signal.SIGSEGV or "SystemError" in ended.stderr


def test_functions_are_compiled_also_where_the_inside_of_numba_has_moved():
    code = """
import sys
sys.modules["mixtures.model.boxing"] = None
from mixtures.model.compiled import compiled
print(compiled(lambda x: x + 1)(1))
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.stdout == "2\n", ended.stderr

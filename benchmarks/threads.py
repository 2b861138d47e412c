"""Two threads against one for a pass over the data."""

from __future__ import annotations

import time

import numba
import numpy as np

from benchmarks.contestants import Problem, problem
from benchmarks.timing import Measured, alternate, main, measured, timed
from mixtures.model.kernel import Theta, as_data, moments, moments_in_threads


def measure(quick: bool) -> list[Measured]:
    """Two threads against one; a busy machine shows in the load that is written down."""
    sizes = (1_000_000,) if quick else (1_000_000, 10_000_000)
    return [result for n in sizes for result in _speed_up(problem(n, 2), 7 if quick else 21)]


def _speed_up(of: Problem, n_rounds: int) -> list[Measured]:
    factors = np.linalg.cholesky(of.theta.covariances)
    theta = Theta(np.log(of.theta.weights), of.theta.means.copy(), factors, False)
    data, one, two = as_data(of.x), np.empty((3, 2)), np.empty((3, 2))
    numba.set_num_threads(2)
    contestants = {
        "one": timed(lambda: moments(data, theta, one), clock=time.perf_counter),
        "two": timed(lambda: moments_in_threads(data, theta, two), clock=time.perf_counter),
    }
    seconds = alternate(contestants, n_rounds)
    return [
        measured("one thread / two threads", seconds["one"] / seconds["two"], "x", at=of.at, at_least=1.7),
        measured("the same bits", float((one == two).all()), "(1: yes)", at=of.at, at_least=1),
        measured("EM pass by two threads", 1e3 * seconds["two"], "ms", at=of.at),
    ]


if __name__ == "__main__":
    main("threads", measure)

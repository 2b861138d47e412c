"""How EM's time grows with observations, components, dimensions and starts."""

from __future__ import annotations

import numpy as np

from benchmarks.contestants import Problem, own_step, problem, scikit_learn_step
from benchmarks.timing import Measured, alternate, main, measured, timed
from mixtures.em.fitter import EM


def measure(quick: bool) -> list[Measured]:
    """Microseconds of an EM pass over n, k and d beside scikit-learn, and of a fit over n and starts."""
    n_rounds, largest = (5, 5) if quick else (7, 7)
    sizes = [10**power for power in range(2, largest + 1)]
    results = [result for n in sizes for result in _step(problem(n, 2), "n", n_rounds)]
    for k in (1, 2, 3, 5, 10, 20):
        results += _step(problem(10_000, k), "k", n_rounds)
    for d in (1, 2, 3, 5, 10):
        results += _step(problem(10_000, 3, d), "d", n_rounds)
    for n in sizes[:-1]:
        results.append(_fit(problem(n, 2), 10, "n", n_rounds))
    for n_starts in (3, 10, 30, 100):
        results.append(_fit(problem(500, 2), n_starts, "starts", n_rounds))
    return results


def _step(of: Problem, over: str, n_rounds: int) -> list[Measured]:
    contestants = {"this library": own_step(of), "scikit-learn": scikit_learn_step(of)}
    if len(of.x) > 1_000_000:  # scikit-learn would take minutes and gigabytes
        del contestants["scikit-learn"]
    seconds = alternate(contestants, n_rounds)
    return [
        measured("EM pass", 1e6 * values, "us", at=of.at | {"by": name, "over": over})
        for name, values in seconds.items()
    ]


def _fit(of: Problem, n_starts: int, over: str, n_rounds: int) -> Measured:
    engine = EM(n_starts=n_starts)
    seeds = iter(range(n_rounds + 1))
    seconds = alternate({"fit": timed(lambda: engine.fit(of.spec, of.x, next(seeds)))}, n_rounds)["fit"]
    return measured("fit", 1e6 * np.asarray(seconds), "us", at=of.at | {"starts": n_starts, "over": over})


if __name__ == "__main__":
    main("growth", measure)

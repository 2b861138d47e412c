"""One pass of EM over the data, against as many exponentials by numpy and against other steps of EM."""

from __future__ import annotations

import numpy as np

from benchmarks.contestants import Problem, numpy_step, own_pass, own_step, problem, scikit_learn_step
from benchmarks.timing import Contestant, Measured, alternate, main, measured, timed, uses_avx512
from mixtures.model.density import joint_log_densities


def measure(quick: bool) -> list[Measured]:
    """EM's pass against numpy's exp, a numpy step, and an iteration of scikit-learn."""
    n_rounds = 5 if quick else 15
    results = []
    for k, target in (
        (2, 0.45),
        (5, 0.7),
    ):  # for processors without AVX-512, which numpy's exp gains most from
        results += _against_exp(problem(1_000_000, k), None if uses_avx512() else target, n_rounds)
    for n, k, d, target in ((1_000_000, 2, 1, 30.0), (500, 2, 1, 150.0), (100_000, 5, 5, 5.0)):
        results += _against_steps(problem(n, k, d), target, 5 if quick else 9)
    return results


def _against_exp(of: Problem, target: float | None, n_rounds: int) -> list[Measured]:
    seconds = alternate({"pass": own_pass(of), "exp": _exponentials(of)}, n_rounds)
    size = len(of.x) * of.spec.n_components
    return [
        measured("EM pass / numpy.exp", seconds["pass"] / seconds["exp"], "x", at=of.at, at_most=target),
        measured("EM pass", 1e9 * seconds["pass"] / size, "ns per observation and component", at=of.at),
        measured("numpy.exp", 1e9 * seconds["exp"] / size, "ns per number", at=of.at),
    ]


def _exponentials(of: Problem) -> Contestant:
    """numpy.exp of the log joint densities that a step would exponentiate, into an array that is there."""
    joint = joint_log_densities(of.theta, of.x)
    exponents = np.ascontiguousarray(joint - joint.max(axis=1, keepdims=True))
    room = np.empty_like(exponents)
    return timed(lambda: np.exp(exponents, out=room))


def _against_steps(of: Problem, target: float, n_rounds: int) -> list[Measured]:
    contestants = {
        "pass": own_pass(of),
        "step": own_step(of),
        "numpy": numpy_step(of),
        "scikit-learn": scikit_learn_step(of),
    }
    seconds = alternate(contestants, n_rounds)
    by_pass, by_step = (seconds["scikit-learn"] / seconds[name] for name in ("pass", "step"))
    return [
        measured("scikit-learn iteration / EM pass", by_pass, "x", at=of.at, at_least=target),
        measured("scikit-learn iteration / EM step", by_step, "x", at=of.at, at_least=target),
        measured("numpy EM step / EM step", seconds["numpy"] / seconds["step"], "x", at=of.at),
        measured("EM pass", 1e6 * seconds["pass"], "us", at=of.at),
        measured("EM step", 1e6 * seconds["step"], "us", at=of.at),
    ]


if __name__ == "__main__":
    main("passes", measure)

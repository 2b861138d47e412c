"""What several benchmarks measure: data, and one step of EM by this library, by numpy and by scikit-learn."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from benchmarks.timing import Contestant, by_difference, timed
from mixtures.em.coordinates import shape_of, to_theta, to_vector
from mixtures.em.mapping import short_runs
from mixtures.em.steps import e_step, m_step
from mixtures.model.arrays import Array
from mixtures.model.compiled import compiled
from mixtures.model.kernel import Data, Theta, as_data, moments
from mixtures.model.mixture import NormalMixture
from mixtures.model.spec import MixtureSpec

_WORK = 200_000  # observations, times steps, below which a step is too short to time alone


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """Standardised data (n, d), what to fit to them, and parameters near the truth."""

    x: Array
    spec: MixtureSpec
    theta: NormalMixture

    @property
    def at(self) -> dict[str, str | float]:
        """n, k and d."""
        return {"n": len(self.x), "k": self.spec.n_components, "d": self.x.shape[1]}

    @property
    def n_steps(self) -> int:
        """Steps that are long enough to time together."""
        return max(1, _WORK // len(self.x))


def problem(n: int, k: int, d: int = 1, separation: float = 3.0) -> Problem:
    """Components of variance 1 in a row along the diagonal, neighbours so many standard deviations apart."""
    rng = np.random.default_rng([n, k, d])
    means = np.arange(k)[:, None] * np.full(d, separation / np.sqrt(d))
    x = rng.standard_normal((n, d))
    for first in range(0, n, 100_000):  # by parts: at n = 1e7 the machine's memory is being measured
        part = x[first : first + 100_000]
        part += means[rng.integers(k, size=len(part))]
    location, unit = x.mean(axis=0), x.std(axis=0)
    x -= location
    x /= unit
    covariances = np.broadcast_to(np.diag(unit**-2), (k, d, d))
    return Problem(
        x, MixtureSpec(k), NormalMixture(np.full(k, 1 / k), (means - location) / unit, covariances)
    )


def own_pass(of: Problem) -> Contestant:
    """The kernel alone: log-likelihood and weighted moments, without the M-step."""
    data, theta = as_data(of.x), to_theta(of.theta, shape_of(of.spec, of.x.shape[1]))
    sums = np.empty((1 + of.x.shape[1] + of.x.shape[1] ** 2, of.spec.n_components))
    return timed(lambda: _passes(data, theta, sums, of.n_steps), of.n_steps)


@compiled
def _passes(data: Data, theta: Theta, sums: Array, n: int) -> None:
    for _ in range(n):
        moments(data, theta, sums)


def own_step(of: Problem) -> Contestant:
    """One step of EM as the engine takes it: a compiled run of several."""
    shape = shape_of(of.spec, of.x.shape[1])
    data, start = as_data(of.x), to_vector(of.theta, shape)[None]
    return timed(lambda: short_runs(data, shape, start.copy(), of.n_steps), of.n_steps)


def numpy_step(of: Problem) -> Contestant:
    """One step of EM in plain numpy, as the textbook has it."""

    def run() -> None:
        theta = of.theta
        for _ in range(max(1, of.n_steps // 10)):
            theta = m_step(of.spec.covariance, of.x, e_step(theta, of.x).responsibilities)

    return timed(run, max(1, of.n_steps // 10))


def scikit_learn_step(of: Problem) -> Contestant:
    """One iteration of scikit-learn's EM from the same start, by the difference of long and short runs."""
    from sklearn.mixture import GaussianMixture

    start = {
        "weights_init": of.theta.weights,
        "means_init": of.theta.means,
        "precisions_init": np.linalg.inv(of.theta.covariances),
        "init_params": "random_from_data",
        "random_state": 0,
    }

    def run(n_iterations: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it has not converged
            GaussianMixture(of.spec.n_components, tol=0, reg_covar=0, max_iter=n_iterations, **start).fit(
                of.x
            )

    few = 1 if of.n_steps == 1 else 10
    return by_difference(run, few, few + max(2, of.n_steps // 2))

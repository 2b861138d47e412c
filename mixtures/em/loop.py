"""The loop of EM, from one start to its mode."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mixtures.em.mapping import FEWEST_OBSERVATIONS, VARIANCE_FLOOR
from mixtures.em.steps import e_step, m_step
from mixtures.model.arrays import Array, Integers, freeze
from mixtures.model.mixture import NormalMixture
from mixtures.model.spec import Covariance

_ROUNDING = 64  # gains of fewer units in the last place than this say nothing of the rate
_LONGEST_LAG = 50  # steps over which the rate of convergence is taken, against rounding error


@dataclass(frozen=True, slots=True, eq=False)
class Collapse:
    """Where a run ended without an estimate.

    Attributes
    ----------
    component : int
        The component that shrank onto points or lost all its observations.
    rows : (m,) array of int
        Observations that it had collapsed on; none where it emptied.
    """

    component: int
    rows: Integers


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """One run of EM.

    Attributes
    ----------
    mixture : NormalMixture
        The last parameters, those that the last entry of `trace` belongs to.
    trace : (t,) array
        Total log-likelihood at the start and after each step.
    remaining : float
        Log-likelihood still to gain, by Aitken's extrapolation or the last step of Newton's; infinite
        where it is not known.
    collapse : Collapse or None
        Why the run was dropped, if it was.
    """

    mixture: NormalMixture
    trace: Array
    remaining: float
    collapse: Collapse | None = None

    @property
    def log_likelihood(self) -> float:
        """Total log-likelihood of `mixture`."""
        return float(self.trace[-1])


def run(
    x: Array,
    covariance: Covariance,
    start: NormalMixture,
    *,
    tolerance: float,
    max_iter: int,
    earlier: Sequence[float] = (),
) -> Run:
    """Run EM from one start until the log-likelihood still to gain is below the tolerance.

    Parameters
    ----------
    x : (n, d) array
        Standardised observations.
    covariance : Covariance
        Structure of the component covariances.
    start : NormalMixture
        Theta to begin with, in standardised units.
    tolerance : float
        Bound on the total log-likelihood still to gain, by Aitken's extrapolation.
    max_iter : int
        Largest number of steps, earlier ones included.
    earlier : sequence of float
        Log-likelihoods of the steps before `start`, where a run goes on.
    """
    theta, trace, remaining = start, list(earlier), math.inf
    while True:
        expectation = e_step(theta, x)
        trace.append(expectation.log_likelihood)
        before, remaining = remaining, still_to_gain(trace)
        if max(before, remaining) < tolerance or len(trace) > max_iter:  # twice: one step may meet a plateau
            return Run(theta, freeze(np.array(trace)), remaining)
        proposal = m_step(covariance, x, expectation.responsibilities)
        collapse = find_collapse(proposal, expectation.responsibilities)
        if collapse is not None:
            return Run(theta, freeze(np.array(trace)), math.inf, collapse)
        theta = proposal


def still_to_gain(trace: list[float]) -> float:
    """Log-likelihood still to gain, by Aitken's extrapolation of the trace.

    Gains of EM shrink by a constant factor in the end, so that after two equal stretches of steps
    with gains g1 and g2 = rate g1 what remains is g2 rate / (1 - rate) (Bohning et al. 1994). The
    larger is taken of what single steps and longer stretches say: a stretch may hold a jump off a
    plateau, and single steps drown in rounding error. Infinite while gains grow; 0 where a step
    gains nothing that floating point can show.
    """
    if len(trace) < 3:
        return math.inf
    if trace[-1] <= trace[-2]:
        return 0.0
    lag = min(max(len(trace) // 10, 1), _LONGEST_LAG)
    is_rounding = trace[-1] - trace[-2] < _ROUNDING * math.ulp(trace[-1])
    return max(_extrapolate(trace, lag), 0.0 if is_rounding else _extrapolate(trace, 1))


def _extrapolate(trace: list[float], lag: int) -> float:
    first, second = trace[-1 - lag] - trace[-1 - 2 * lag], trace[-1] - trace[-1 - lag]
    if not 0 < second < first:
        return math.inf
    rate = second / first
    return second * rate / (1 - rate)


def find_collapse(mixture: NormalMixture, responsibilities: Array) -> Collapse | None:
    """Return the component of a new theta that emptied or fell below the variance floor, if one did."""
    counts = responsibilities.sum(axis=0)
    variances = np.linalg.eigvalsh(mixture.covariances)
    with np.errstate(divide="ignore"):
        smallest = np.where(variances[:, 0] > 0, 1 / (1 / variances).sum(axis=1), 0)
    sound = (counts > FEWEST_OBSERVATIONS) & (smallest > VARIANCE_FLOOR)
    if sound.all():
        return None
    j = int(np.flatnonzero(~sound)[0])
    return Collapse(j, np.flatnonzero(responsibilities[:, j] > 0.5))

"""Newton steps on the observed information, regularised where the likelihood is not yet a hilltop.

A step solves (-H + s C) step = g, where C is the information of the complete data, whose inverse makes
EM's own steps: s = 0 gives Newton's step, a large s a short one along EM's. The smallest s is taken that
makes the matrix positive definite and keeps the step within a radius in the metric of C (Levenberg 1944).
Once steps of Newton's gain little, more are taken with the same Hessian: each needs one pass of the kernel.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from mixtures.em.coordinates import Shape, copy_theta, empty_theta
from mixtures.em.curvature import (
    Derivatives,
    Scores,
    differentiate,
    empty_derivatives,
    empty_scores,
    gradient_of,
    move,
    n_local,
    place_of,
)
from mixtures.em.mapping import FEWEST_OBSERVATIONS, VARIANCE_FLOOR
from mixtures.em.triangles import factorise, smallest_variance, solve
from mixtures.model.arrays import Array
from mixtures.model.compiled import compiled
from mixtures.model.kernel import Data, Theta, moments

# Longest step, in the metric of C for each observation: one standard deviation of the mean of a
# component that has them all.
_RADIUS = 1.0
_MAX_STEPS = 100
_FIRST_SHIFT, _SHIFT_RATIO, _LARGEST_SHIFT = 1e-4, 3.0, 1e6
_CHORD = 1e-2  # log-likelihood still to gain below which the Hessian is not made anew
# Share of the largest diagonal of the information below which a pivot may be 0 but for rounding.
_SINGULAR = 1e-12
ROUNDING = 1e-13  # a log-likelihood that fell by a smaller share of itself did not fall


class Ascent(NamedTuple):
    """How Newton steps ended, and what they cost."""

    log_likelihood: float
    decrement: float  # log-likelihood that the last step was to gain; infinite where it is not at a maximum
    n_curvatures: int
    n_passes: int


class _Solver(NamedTuple):
    """Room for one step."""

    factor: Array  # (p, p) Cholesky factor of -H + s C
    metric: Array  # (p, p) C
    step: Array  # (p,)
    gradient: Array  # (p,)
    sums: Array  # as `kernel.moments` has them


class NewtonRoom(NamedTuple):
    """Room for Newton steps of one shape."""

    solver: _Solver
    here: Derivatives
    there: Derivatives
    trial: Theta
    scores: Scores


class _Finish(NamedTuple):
    """Where steps with one Hessian ended."""

    decrement: (
        float  # log-likelihood that the step then at hand is to gain; the last taken, where below tolerance
    )
    log_likelihood: float  # before the last step; -infinity where none was looked at
    n_passes: int


@compiled
def empty_newton(shape: Shape) -> NewtonRoom:
    """Room for Newton steps."""
    p, sums = n_local(shape), np.empty((1 + shape.d + shape.d**2, shape.k))
    solver = _Solver(np.empty((p, p)), np.empty((p, p)), np.empty(p), np.empty(p), sums)
    here, there = empty_derivatives(shape), empty_derivatives(shape)
    return NewtonRoom(solver, here, there, empty_theta(shape), empty_scores(shape))


@compiled
def ascend(data: Data, shape: Shape, theta: Theta, tolerance: float, room: NewtonRoom) -> Ascent:
    """Climb from theta, in place, until a step is to gain less than the tolerance, or while steps lead up."""
    solver, here, there, trial, scores = room
    log_likelihood, radius, n_passes = differentiate(data, shape, theta, here, scores), _RADIUS, 0
    n_curvatures = 1
    while n_curvatures < _MAX_STEPS:
        shift = _solve_within(shape, theta, here, radius, solver)
        gain = _half_product(here.gradient, solver.step)
        if shift < 0 or (shift > 0 and gain < tolerance):  # no way up, or flat: no strict maximum
            break
        if shift == 0 and gain < _CHORD:
            copy_theta(theta, trial)
            solver.gradient[:] = here.gradient
            finish = _finish(data, shape, trial, solver, tolerance)
            n_passes += finish.n_passes
            if finish.decrement < tolerance:
                copy_theta(trial, theta)
                reached = max(log_likelihood, finish.log_likelihood)
                return Ascent(reached + finish.decrement, finish.decrement, n_curvatures, n_passes)
            if finish.decrement < gain and finish.log_likelihood > log_likelihood:
                copy_theta(trial, theta)
                log_likelihood = differentiate(data, shape, theta, here, scores)
                n_curvatures += 1
                continue
            solve(solver.factor, here.gradient, solver.step)
        copy_theta(theta, trial)
        reached = -math.inf
        if move(trial, shape, solver.step) and _is_inside(trial, here.counts.sum()):
            reached = differentiate(data, shape, trial, there, scores)
            n_curvatures += 1
        if reached - log_likelihood > 0.1 * gain - ROUNDING * abs(log_likelihood):
            radius = min(2 * radius, _RADIUS)
            copy_theta(trial, theta)
            here, there = there, here
            log_likelihood = reached
        else:
            radius /= 4
    return Ascent(log_likelihood, math.inf, n_curvatures, n_passes)


@compiled
def decrement_at(data: Data, shape: Shape, theta: Theta) -> float:
    """Log-likelihood that Newton's step from theta is to gain; infinite where there is no strict maximum."""
    derivatives, p = empty_derivatives(shape), n_local(shape)
    differentiate(data, shape, theta, derivatives, empty_scores(shape))
    information, step = -derivatives.hessian, np.empty(p)
    if not _factorise_safely(information):
        return math.inf
    solve(information, derivatives.gradient, step)
    return _half_product(derivatives.gradient, step)


@compiled
def _finish(data: Data, shape: Shape, theta: Theta, solver: _Solver, tolerance: float) -> _Finish:
    """Take the step at hand, and more with the same Hessian while each is to gain a tenth of the last."""
    n_passes, log_likelihood, gain = 0, -math.inf, _half_product(solver.gradient, solver.step)
    while move(theta, shape, solver.step):
        if gain < tolerance:
            return _Finish(gain, log_likelihood, n_passes)
        log_likelihood = moments(data, theta, solver.sums)
        n_passes += 1
        gradient_of(shape, theta, solver.sums, solver.gradient)
        solve(solver.factor, solver.gradient, solver.step)
        last, gain = gain, _half_product(solver.gradient, solver.step)
        if not gain < last / 10:
            return _Finish(gain, log_likelihood, n_passes)
    return _Finish(math.inf, log_likelihood, n_passes)


@compiled
def _solve_within(shape: Shape, theta: Theta, into: Derivatives, radius: float, solver: _Solver) -> float:
    """Fill the step of the smallest shift that keeps it within the radius; return that, or -1 for none."""
    total = into.counts.sum()
    _fill_metric(shape, theta, into, solver.metric)
    shift = 0.0
    while shift < _LARGEST_SHIFT:
        solver.factor[:] = shift * solver.metric - into.hessian
        if _factorise_safely(solver.factor):
            solve(solver.factor, into.gradient, solver.step)
            length = 0.0
            for a in range(len(solver.step)):
                for b in range(len(solver.step)):
                    length += solver.step[a] * solver.metric[a, b] * solver.step[b]
            if length <= radius**2 * total:
                return shift
        shift = max(_FIRST_SHIFT, _SHIFT_RATIO * shift)
    return -1.0


@compiled
def _fill_metric(shape: Shape, theta: Theta, into: Derivatives, metric: Array) -> None:
    """Information of the complete data, without the products of spreads off the diagonal."""
    k, total, weights = shape.k, into.counts.sum(), np.exp(theta.log_weights)
    metric[:] = 0.0
    for a in range(k - 1):
        for b in range(k - 1):
            metric[a, b] = total * (weights[a] * (a == b) - weights[a] * weights[b])
    for j in range(k):
        for a in range(into.complete.shape[1]):
            place = place_of(shape, j, a)
            metric[place, place] += into.counts[j] * (1.0 if a < shape.d else 0.5)


@compiled
def _factorise_safely(matrix: Array) -> bool:
    """`factorise`, false also where a pivot could be rounding alone."""
    largest = 0.0
    for a in range(len(matrix)):
        largest = max(largest, matrix[a, a])
    if not factorise(matrix):
        return False
    smallest = largest
    for a in range(len(matrix)):
        smallest = min(smallest, matrix[a, a] ** 2)
    return smallest > _SINGULAR * largest


@compiled
def _half_product(left: Array, right: Array) -> float:
    product = 0.0
    for a in range(len(left)):
        product += left[a] * right[a]
    return product / 2


@compiled
def _is_inside(theta: Theta, total: float) -> bool:
    """Whether every component keeps observations, and a variance above the floor."""
    for j in range(len(theta.log_weights)):
        if not theta.log_weights[j] > math.log(FEWEST_OBSERVATIONS / total):
            return False
        if not smallest_variance(theta.factors[j], theta.is_full) > VARIANCE_FLOOR:
            return False
    return True

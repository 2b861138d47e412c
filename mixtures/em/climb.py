"""From starts to modes in one compiled call: accelerated EM, then Newton steps for the last digits."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from mixtures.em.acceleration import empty_history, propose, restart
from mixtures.em.coordinates import Shape, empty_theta, normalise, pack, size_of, unpack
from mixtures.em.mapping import SOUND, em_map, empty_room
from mixtures.em.newton import ROUNDING, ascend
from mixtures.model.arrays import Array, Integers
from mixtures.model.compiled import compiled, compiled_threads
from mixtures.model.kernel import THREADS, Data

CONVERGED, EXHAUSTED, COLLAPSED = range(3)


class Rules(NamedTuple):
    """How to climb.

    A run takes some passes of accelerated EM, and goes on with them until one gains less than `gain`; then
    Newton steps are tried, and, where they fail, again after twice as many passes.
    """

    method: int  # PLAIN, SQUAREM or ANDERSON
    tolerance: float  # log-likelihood still to gain at which a run ends
    max_iter: int  # steps
    gain: float


class Starts(NamedTuple):
    """Where runs begin, and the passes of accelerated EM that each takes before Newton steps are tried."""

    vectors: Array  # (s, size)
    patience: Integers  # (s,)


class Climbs(NamedTuple):
    """Where runs ended, and how: arrays over the runs."""

    vectors: Array  # (s, size)
    patience: Integers  # (s,) as the starts have it
    log_likelihoods: Array  # (s,)
    decrements: Array  # (s,) log-likelihood that the last step was to gain
    outcomes: Integers  # (s,)
    collapsed: Integers  # (s,) component that collapsed
    traces: Array  # (s, max_iter + 1) log-likelihood at each accepted pass, as far as `lengths` says
    lengths: Integers  # (s,)
    n_passes: Integers  # (s,)
    n_curvatures: Integers  # (s,)


@compiled
def climb_all(data: Data, shape: Shape, starts: Starts, rules: Rules) -> Climbs:
    """Run from each of many starts to its mode."""
    climbs = room_for(starts, rules)
    for run in range(len(starts.vectors)):
        climbs.outcomes[run] = _climb(data, shape, rules, climbs, run)
    return climbs


@compiled_threads
def _fill_in_threads(data: Data, shape: Shape, rules: Rules, climbs: Climbs) -> None:
    for run in numba.prange(len(climbs.vectors)):
        climbs.outcomes[run] = _climb(data, shape, rules, climbs, run)


@compiled
def room_for(starts: Starts, rules: Rules) -> Climbs:
    """Room for the runs from many starts."""
    n = len(starts.vectors)
    return Climbs(
        starts.vectors.copy(),
        starts.patience,
        np.full(n, np.nan),
        np.full(n, np.inf),
        np.empty(n, np.int64),
        np.full(n, SOUND),
        np.empty((n, rules.max_iter + 1)),
        np.zeros(n, np.int64),
        np.zeros(n, np.int64),
        np.zeros(n, np.int64),
    )


@compiled
def _climb(data: Data, shape: Shape, rules: Rules, climbs: Climbs, run: int) -> int:
    size = size_of(shape)
    vector, mapped, fallback = climbs.vectors[run], np.empty(size), np.empty(size)
    room, history = empty_room(shape), empty_history(size)
    last, is_proposal, wait, since = -np.inf, False, climbs.patience[run], 0
    while True:
        log_likelihood, collapsed = em_map(data, shape, vector, room, mapped)
        climbs.n_passes[run] += 1
        since += 1
        has_fallen = not log_likelihood >= last - ROUNDING * abs(last)
        if is_proposal and (has_fallen or collapsed != SOUND):
            vector[:] = fallback
            is_proposal = False
            restart(history)
            continue
        if collapsed != SOUND:
            climbs.collapsed[run] = collapsed
            return COLLAPSED
        gain, last = log_likelihood - last, log_likelihood
        _record(climbs, run, log_likelihood)
        if climbs.n_passes[run] > rules.max_iter:
            return EXHAUSTED
        if since >= wait and gain < rules.gain:
            if _finish(data, shape, rules, climbs, run):
                return CONVERGED
            if gain <= ROUNDING * abs(last):
                return EXHAUSTED
            wait, since, is_proposal = 2 * wait, 0, False
            last = climbs.log_likelihoods[run]
            restart(history)
            continue
        fallback[:] = mapped
        is_proposal = propose(rules.method, history, vector, mapped)
        vector[:] = mapped
        if is_proposal:
            normalise(vector[: shape.k])


@compiled
def _record(climbs: Climbs, run: int, log_likelihood: float) -> None:
    climbs.traces[run, climbs.lengths[run]] = log_likelihood
    climbs.lengths[run] += 1
    climbs.log_likelihoods[run] = log_likelihood


@compiled
def _finish(data: Data, shape: Shape, rules: Rules, climbs: Climbs, run: int) -> bool:
    """Go on with Newton steps; true where they converge."""
    theta = empty_theta(shape)
    unpack(climbs.vectors[run], shape, theta)
    ascent = ascend(data, shape, theta, rules.tolerance)
    pack(theta, shape, climbs.vectors[run])
    climbs.log_likelihoods[run] = ascent.log_likelihood
    climbs.decrements[run] = ascent.decrement
    climbs.n_passes[run] += ascent.n_passes
    climbs.n_curvatures[run] += ascent.n_curvatures
    return ascent.decrement < rules.tolerance


def climb_in_threads(data: Data, shape: Shape, starts: Starts, rules: Rules) -> Climbs:
    """`climb_all`, runs shared among numba's threads; the same bits."""
    climbs = room_for(starts, rules)
    with THREADS:
        _fill_in_threads(data, shape, rules, climbs)
    return climbs

"""From starts to modes in one compiled call: accelerated EM, then Newton steps for the last digits."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numba.core import config

from mixtures.em.acceleration import SQUAREM, History, empty_history, propose, restart
from mixtures.em.coordinates import Shape, empty_theta, normalise, pack, size_of, unpack
from mixtures.em.mapping import SOUND, Room, em_map, empty_room
from mixtures.em.newton import ROUNDING, NewtonRoom, ascend, empty_newton
from mixtures.model.arrays import Array, Integers
from mixtures.model.compiled import compiled
from mixtures.model.kernel import Data, Theta

CONVERGED, EXHAUSTED, COLLAPSED = range(3)
#: Passes of accelerated EM before Newton steps are tried, at least the time of two Hessians where these are
#: dear, and the gain of one below which they are: docs/decisions/0007-acceleration.md.
PATIENCE, GAIN = 10, 10.0
_ROOM = 512  # for traces, at first


class Rules(NamedTuple):
    """How to climb.

    A run takes some passes of accelerated EM, and goes on with them until one gains less than `gain`; then
    Newton steps are tried, and, where they fail, again after twice as many passes.
    """

    method: int = SQUAREM  # or PLAIN or ANDERSON
    tolerance: float = 1e-9  # log-likelihood still to gain at which a run ends
    max_iter: int = 10_000  # passes of EM
    gain: float = GAIN


class Starts(NamedTuple):
    """Where runs begin, and the passes of accelerated EM that each takes before Newton steps are tried."""

    vectors: Array  # (s, size)
    patience: Integers  # (s,)


class Climbs(NamedTuple):
    """Where runs ended, and how: arrays over the runs."""

    vectors: Array  # (s, size)
    log_likelihoods: Array  # (s,)
    decrements: Array  # (s,) log-likelihood that the last step was to gain
    outcomes: Integers  # (s,)
    collapsed: Integers  # (s,) component that collapsed
    n_passes: Integers  # (s,) those of EM and of Newton steps
    n_curvatures: Integers  # (s,)
    lengths: Integers  # (s,) of the traces
    traces: Array  # one behind the other: log-likelihood at each accepted pass of EM, and after Newton steps

    def trace(self, run: int) -> Array:
        """Trace of one run."""
        end = self.lengths[: run + 1].sum()
        return self.traces[end - self.lengths[run] : end]


class _Problem(NamedTuple):
    """What is climbed, and how."""

    data: Data
    shape: Shape
    rules: Rules


class _Kit(NamedTuple):
    """What one run after another works with."""

    mapped: Array
    fallback: Array
    room: Room
    history: History
    theta: Theta
    newton: NewtonRoom


@compiled
def climb_all(data: Data, shape: Shape, starts: Starts, rules: Rules) -> Climbs:
    """Run from each of many starts to its mode."""
    n, size = len(starts.vectors), size_of(shape)
    climbs = Climbs(
        starts.vectors.copy(),
        np.full(n, np.nan),
        np.full(n, np.inf),
        np.empty(n, np.int64),
        np.full(n, SOUND),
        np.zeros(n, np.int64),
        np.zeros(n, np.int64),
        np.zeros(n, np.int64),
        np.empty(_ROOM),
    )
    kit = _Kit(
        np.empty(size),
        np.empty(size),
        empty_room(shape),
        empty_history(size),
        empty_theta(shape),
        empty_newton(shape),
    )
    for run in range(n):
        restart(kit.history)
        climbs = _climb(_Problem(data, shape, rules), climbs, run, starts.patience[run], kit)
    return _with_traces(climbs, int(climbs.lengths.sum()))


@compiled
def _climb(problem: _Problem, climbs: Climbs, run: int, patience: int, kit: _Kit) -> Climbs:
    """Fill in one run; the same arrays, but for traces that have outgrown theirs."""
    data, shape, rules = problem
    vector, (mapped, fallback, room, history) = climbs.vectors[run], kit[:4]
    last, is_proposal, wait, since, n_maps = -np.inf, False, patience, 0, 0
    while True:
        if climbs.lengths.sum() + 2 > len(climbs.traces):
            climbs = _with_traces(climbs, 2 * len(climbs.traces))
        log_likelihood, collapsed = em_map(data, shape, vector, room, mapped)
        n_maps += 1
        since += 1
        has_fallen = not log_likelihood >= last - ROUNDING * abs(last)
        if is_proposal and (has_fallen or collapsed != SOUND):
            vector[:] = fallback
            is_proposal = False
            restart(history)
            continue
        if collapsed != SOUND:
            climbs.collapsed[run], climbs.outcomes[run] = collapsed, COLLAPSED
            break
        gain, last = log_likelihood - last, log_likelihood
        _record(climbs, run, log_likelihood)
        climbs.outcomes[run] = EXHAUSTED
        if n_maps > rules.max_iter:
            break
        if since >= wait and gain < rules.gain:
            is_over = _finish(problem, climbs, run, kit)
            if is_over or gain <= ROUNDING * abs(last):
                climbs.outcomes[run] = CONVERGED if is_over else EXHAUSTED
                _record(climbs, run, climbs.log_likelihoods[run])
                break
            wait, since, is_proposal = 2 * wait, 0, False
            last = climbs.log_likelihoods[run]
            restart(history)
            continue
        fallback[:] = mapped
        is_proposal = propose(rules.method, history, vector, mapped)
        vector[:] = mapped
        if is_proposal:
            normalise(vector[: shape.k])
    climbs.n_passes[run] += n_maps
    return climbs


@compiled
def _record(climbs: Climbs, run: int, log_likelihood: float) -> None:
    climbs.traces[climbs.lengths.sum()] = log_likelihood
    climbs.lengths[run] += 1
    climbs.log_likelihoods[run] = log_likelihood


@compiled
def _with_traces(climbs: Climbs, n: int) -> Climbs:
    """The same runs, with as much of their traces, and room for n log-likelihoods."""
    traces = np.empty(n)
    n_kept = min(n, len(climbs.traces))
    traces[:n_kept] = climbs.traces[:n_kept]
    return Climbs(*climbs[:-1], traces)


@compiled
def _finish(problem: _Problem, climbs: Climbs, run: int, kit: _Kit) -> bool:
    """Go on with Newton steps; true where they converge."""
    data, shape, rules = problem
    unpack(climbs.vectors[run], shape, kit.theta)
    ascent = ascend(data, shape, kit.theta, rules.tolerance, kit.newton)
    pack(kit.theta, shape, climbs.vectors[run])
    climbs.log_likelihoods[run] = ascent.log_likelihood
    climbs.decrements[run] = ascent.decrement
    climbs.n_passes[run] += ascent.n_passes
    climbs.n_curvatures[run] += ascent.n_curvatures
    return ascent.decrement < rules.tolerance


def climb_in_threads(data: Data, shape: Shape, starts: Starts, rules: Rules) -> Climbs:
    """`climb_all`, each start in a thread of its own; the same bits."""

    def climb(run: int) -> Climbs:
        start = Starts(starts.vectors[run : run + 1], starts.patience[run : run + 1])
        return climb_all(data, shape, start, rules)

    n_threads = config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]  # numba makes its settings as it loads
    with ThreadPoolExecutor(n_threads) as pool:
        parts = list(pool.map(climb, range(len(starts.vectors))))
    return Climbs(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))

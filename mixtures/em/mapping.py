"""EM as a map of vectors: one compiled pass over the data, and the maximum that its sums give."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from mixtures.em.coordinates import (
    SPHERICAL,
    TIED,
    Shape,
    empty_theta,
    pack,
    theta_is_full,
    unpack,
)
from mixtures.em.triangles import factorise, multiply_lower, smallest_variance
from mixtures.model.arrays import Array
from mixtures.model.compiled import compiled
from mixtures.model.kernel import Data, Theta, moments, scatter_about

#: Smallest variance of a component (as `smallest_variance` has it) in whitened coordinates: an sd of a
#: millionth of the data's own.
#: Far below any component that means something (the slivers that count as spurious begin at 1/20),
#: and far above what rounding does to whitened data.
VARIANCE_FLOOR = 1e-12
#: Effective count below which nobody belongs to a component.
FEWEST_OBSERVATIONS = 1e-8
# A mean that moved by more variances than this takes a second pass: the scatter about the old one
# would lose four digits.
_FAR = 1e4
SOUND, _CANCELLED = -1, -2


class Room(NamedTuple):
    """Room for one application of the map."""

    old: Theta
    new: Theta
    sums: Array
    shifts: Array  # (k, d), by which means move, in units of the old factors
    scatters: Array  # (k, d, d), covariances in the same units


@compiled
def empty_room(shape: Shape) -> Room:
    """Room for mixtures of a shape."""
    k, d = shape.k, shape.d
    sums = np.empty((1 + d + d * d, k))
    return Room(empty_theta(shape), empty_theta(shape), sums, np.empty((k, d)), np.empty((k, d, d)))


@compiled
def em_map(data: Data, shape: Shape, vector: Array, room: Room, mapped: Array) -> tuple[float, int]:
    """Log-likelihood of a vector, and the vector that one step of EM makes of it.

    Returns
    -------
    log_likelihood : float
    collapsed : int
        The component that emptied or fell below the variance floor; `SOUND` for none.
    """
    unpack(vector, shape, room.old)
    log_likelihood = moments(data, room.old, room.sums)
    return log_likelihood, maximise(data, shape, room, mapped)


@compiled
def maximise(data: Data, shape: Shape, room: Room, mapped: Array) -> int:
    """Fill a vector with what the M-step makes of the sums; return the collapsed component, or `SOUND`.

    With delta = A / N, in units of the old factor L: mu' = mu + L delta and
    Sigma' = L (B / N - delta delta') L', restricted to the structure.
    """
    if shape.d == 1 and shape.structure != TIED:
        collapsed = _maximise_univariate(room, mapped)
        if collapsed != _CANCELLED:
            return collapsed
    return _maximise_any(data, shape, room, mapped)


@compiled
def _maximise_any(data: Data, shape: Shape, room: Room, mapped: Array) -> int:
    k, d = shape.k, shape.d
    counts = room.sums[0]
    total = counts.sum()
    is_far = False
    for j in range(k):
        if not counts[j] > FEWEST_OBSERVATIONS:
            return j
        is_far = _centre(room, shape, j) or is_far
    if is_far:
        scatter_about(data, room.old, room.shifts, room.scatters)
        for j in range(k):
            room.scatters[j] /= counts[j]
    if shape.structure == TIED:
        pool(room.scatters, counts / total)
    for j in range(k):
        room.new.log_weights[j] = math.log(counts[j] / total)
        for a in range(d):
            move = 0.0
            for b in range(a + 1):
                move += room.old.factors[j, a, b] * room.shifts[j, b]
            room.new.means[j, a] = room.old.means[j, a] + move
        if not _refactor(room, shape, j):
            return j
    pack(room.new, shape, mapped)
    return SOUND


@compiled
def _maximise_univariate(room: Room, mapped: Array) -> int:
    """`maximise` in scalars, several times as fast; `_CANCELLED` where it needs a second pass."""
    old, sums = room.old, room.sums
    k, total = len(old.means), 0.0
    for j in range(k):
        total += sums[0, j]
    for j in range(k):
        count, factor = sums[0, j], old.factors[j, 0, 0]
        if not count > FEWEST_OBSERVATIONS:
            return j
        shift = sums[1, j] / count
        scatter = sums[2, j] / count - shift * shift
        if shift * shift > _FAR * scatter:
            return _CANCELLED
        variance = factor * factor * scatter
        if not variance > VARIANCE_FLOOR:
            return j
        mapped[j] = math.log(count / total)
        mapped[k + j] = old.means[j, 0] + factor * shift
        mapped[2 * k + j] = 0.5 * math.log(variance)
    return SOUND


@compiled
def _centre(room: Room, shape: Shape, j: int) -> bool:
    """Fill a component's shift and the scatter about it; whether the scatter cancels in some direction."""
    d, sums = shape.d, room.sums
    scatter, square = room.scatters[j], 0.0
    for a in range(d):
        room.shifts[j, a] = sums[1 + a, j] / sums[0, j]
        for b in range(a + 1):
            product = room.shifts[j, a] * room.shifts[j, b]
            scatter[a, b] = sums[1 + d + a * d + b, j] / sums[0, j] - product
        square = max(square, room.shifts[j, a] ** 2 / scatter[a, a])
    if theta_is_full(shape):
        factor, step = room.new.factors[j], room.new.means[j]  # room that is not yet taken
        factor[:] = scatter
        if not factorise(factor):
            return True
        square = 0.0
        for a in range(d):
            step[a] = room.shifts[j, a]
            for b in range(a):
                step[a] -= factor[a, b] * step[b]
            step[a] /= factor[a, a]
            square += step[a] ** 2
    return not 0 <= square <= _FAR


@compiled
def pool(scatters: Array, weights: Array) -> None:
    """Replace each scatter by the mean of all."""
    pooled = np.zeros_like(scatters[0])
    for j in range(len(scatters)):
        pooled += weights[j] * scatters[j]
    scatters[:] = pooled


@compiled
def _refactor(room: Room, shape: Shape, j: int) -> bool:
    """Fill a component's new factor; false where a variance is below the floor."""
    scatter = room.scatters[j]
    if not take_root(scatter, shape):
        return False
    is_full = theta_is_full(shape)
    multiply_lower(room.old.factors[j], scatter, is_full, room.new.factors[j])
    return smallest_variance(room.new.factors[j], is_full) > VARIANCE_FLOOR  # which NaN is not


@compiled
def take_root(scatter: Array, shape: Shape) -> bool:
    """Replace a covariance by its factor, restricted to the structure; false where it has none."""
    if theta_is_full(shape):
        return factorise(scatter)
    d = len(scatter)
    if shape.structure == SPHERICAL:
        mean = 0.0
        for a in range(d):
            mean += scatter[a, a] / d
        for a in range(d):
            scatter[a, a] = mean
    for a in range(d):
        scatter[a, a] = math.sqrt(scatter[a, a])
    return True


@compiled
def short_runs(data: Data, shape: Shape, vectors: Array, n_steps: int) -> Array:
    """Take steps of EM from each of many vectors (s, size), in place.

    Returns
    -------
    (s,) array
        Log-likelihood before the last step; NaN where a component collapsed.
    """
    room = empty_room(shape)
    log_likelihoods = np.empty(len(vectors))
    for run in range(len(vectors)):
        vector = vectors[run]
        for _ in range(n_steps):
            log_likelihoods[run], collapsed = em_map(data, shape, vector, room, vector)
            if collapsed != SOUND:
                log_likelihoods[run] = np.nan
                break
    return log_likelihoods

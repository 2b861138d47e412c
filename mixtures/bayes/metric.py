"""Coordinates in which the posterior is nearly spherical, from its curvature at the mode.

The sampler sees u in x = centre + scale u, where x are PyMC's unconstrained variables, the centre is the
mode of their density and scale scale' the inverse of its negative Hessian there. That is the same
posterior, with a metric as dense as its correlations; what the sampler adapts for itself, a diagonal one,
is relative to it. Where the density is not nearly normal about one mode, x itself is better.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mixtures.model.arrays import Array

#: Log density at a point (p,), -inf where it is not finite, and its gradient.
type LogDensity = Callable[[Array], tuple[float, Array]]

_STEP = 1e-4  # of differences of the gradient; the variables are of order 1
_LEAST_CURVATURE = 0.5  # about the prior's own
_MOST_STEPS = 20
_LARGEST_STEP = 1.0
_SMALLEST_STEP = 1e-3
_DECREMENT = 1e-3  # units of log density that are still to be climbed
_SAME_MODE = 0.05  # in log density: labels apart, or the climb's own error
_RADIUS = 3.0  # posterior standard deviations
_N_DIRECTIONS = 100
_MOST_EXCESS = 1.6  # factor by which a log density may fall faster or slower than a normal one


@dataclass(frozen=True, slots=True, eq=False)
class Coordinates:
    """Coordinates u of points x = centre + scale u.

    Attributes
    ----------
    centre : (p,) array
    scale : (p, p) array
    """

    centre: Array
    scale: Array

    def of(self, point: Array) -> Array:
        """Return the coordinates of a point."""
        return np.linalg.solve(self.scale, point - self.centre)

    def point(self, u: Array) -> Array:
        """Return the point of coordinates."""
        return self.centre + self.scale @ u


def coordinates(
    log_density: LogDensity, starts: Sequence[Array], rng: np.random.Generator
) -> Coordinates | None:
    """Return coordinates in which a density is nearly a standard normal one, or None.

    Parameters
    ----------
    log_density : callable
    starts : sequence of (p,) array
        From where modes are looked for.
    rng : numpy.random.Generator
        Draws the directions in which the density is held to a normal one.

    Returns
    -------
    Coordinates or None
        None where a start has no finite density, where three standard deviations from the mode, in any
        of `_N_DIRECTIONS` directions, the log density has fallen by `_MOST_EXCESS` times more or less
        than 4.5, and where not all starts lead to modes of one height.
    """
    if not all(np.isfinite(log_density(start)[0]) for start in starts):
        return None
    mode = _climb(log_density, starts[0])
    top = log_density(mode)[0]
    curvatures, axes = _curvature(log_density, mode)
    found = Coordinates(mode, axes / np.sqrt(curvatures))
    if not _is_nearly_normal(log_density, found, rng):
        return None
    others = (_climb(log_density, start, enough=top - _SAME_MODE) for start in starts[1:])
    return found if all(abs(log_density(other)[0] - top) <= _SAME_MODE for other in others) else None


def _is_nearly_normal(log_density: LogDensity, found: Coordinates, rng: np.random.Generator) -> bool:
    """Whether the log density falls from the mode as that of a standard normal does, in all directions."""
    top = log_density(found.centre)[0]
    directions = rng.standard_normal((_N_DIRECTIONS, len(found.centre)))
    directions *= _RADIUS / np.linalg.norm(directions, axis=1, keepdims=True)
    falls = ((top - log_density(found.point(u))[0]) / (_RADIUS**2 / 2) for u in directions)
    return all(1 / _MOST_EXCESS < fall < _MOST_EXCESS for fall in falls)


def _climb(log_density: LogDensity, point: Array, enough: float = math.inf) -> Array:
    """Climb to a mode, or until it is high enough, by Newton's method with curvatures by size: never down."""
    height, gradient = log_density(point)
    for _ in range(_MOST_STEPS):
        if height > enough:
            break
        curvatures, axes = _curvature(log_density, point)
        step = axes @ (axes.T @ gradient / curvatures)
        if gradient @ step < _DECREMENT:
            break
        step *= min(1, _LARGEST_STEP / np.abs(step).max())
        higher, slope = log_density(point + step)
        while higher <= height and np.abs(step).max() > _SMALLEST_STEP:
            step /= 2
            higher, slope = log_density(point + step)
        if higher <= height:
            break
        point, height, gradient = point + step, higher, slope
    return point


def _curvature(log_density: LogDensity, point: Array) -> tuple[Array, Array]:
    """Curvatures of the log density along its principal axes, by size, and those axes in columns."""
    steps = _STEP * np.eye(len(point))
    rows = [log_density(point + step)[1] - log_density(point - step)[1] for step in steps]
    hessian = np.array(rows) / (2 * _STEP)
    curvatures, axes = np.linalg.eigh((hessian + hessian.T) / 2)
    return np.maximum(np.abs(curvatures), _LEAST_CURVATURE), axes

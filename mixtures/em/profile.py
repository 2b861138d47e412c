"""Profile-likelihood intervals of univariate mixtures, on the branch of the estimate.

One weight, mean or variance is held at a value while the likelihood is maximised over everything else. From
the estimate the value moves outwards, each constrained fit starting at the last, until the root of the
deviance, sqrt(2 (l(estimate) - l)), reaches a normal quantile. Constrained fits are Newton's steps on

    l(theta) - lambda psi(theta),  psi: the position of the held value,

within the space that leaves psi as it is, to first order; the multiplier lambda is the slope of the profile.
The likelihood of a mixture has many modes, and may grow without bound as a variance shrinks: where the branch
ends, turns upwards, or comes to a sliver before the quantile is reached, that end of the interval is open.
It is not said which of a fold, an upturn, or components that become one, where the likelihood is flat: within
the shortest step from the last point they look alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np

from mixtures.em.constraint import Constraint, Kind
from mixtures.em.coordinates import TIED, Shape, copy_theta, empty_theta, to_theta
from mixtures.em.curvature import Derivatives, Scores, differentiate, empty_derivatives, empty_scores, move
from mixtures.em.mapping import FEWEST_OBSERVATIONS, VARIANCE_FLOOR
from mixtures.em.search import Search
from mixtures.model.arrays import Array
from mixtures.model.fit import Parameters
from mixtures.model.kernel import Data, Theta, as_data
from mixtures.model.mixture import NormalMixture

_STRIDE = 0.5  # by which the root of the deviance is to grow from one fit to the next
_BEYOND = 0.02  # by which the last stride aims past the end, so that it lies between two fits
_JUMP = 2.0  # strides that the root may grow by: more, and the fit has left the branch
_SHORTEST = 1e-2  # step, in standard errors, below which a branch has ended
_SETTLED = 1e-9  # log-likelihood still to gain at which a constrained fit ends
_CLOSE = 1e-6  # root of the deviance to which an end is found
_MOST_NEWTON, _MOST_POINTS, _MOST_REFINEMENTS = 25, 200, 40
_FARTHEST_MEAN = 10.0  # from the data, in their range
_LARGEST_VARIANCE = 1e6
_EMPTY = 1e-2  # observations of a component that has lost its own


class Stop(StrEnum):
    """Why a branch was followed no further, and its end is open."""

    EMPTY = "a component loses its observations"
    SLIVER = "a component becomes a sliver"
    FAR = "a component leaves the data"
    END = "the branch of constrained maxima ends or turns upwards"
    LONG = f"{_MOST_POINTS} steps do not reach it"


@dataclass(frozen=True, slots=True, eq=False)
class Profiles:
    """Ends of the profile-likelihood intervals, in standardised units.

    Attributes
    ----------
    lower, upper : Parameters
        An open end is the bound of its parameter.
    open_ends : dict of str to Stop
        Names of the open ends, such as "mean 1 below", and why each is open.
    """

    lower: Parameters
    upper: Parameters
    open_ends: dict[str, Stop]


class _Point(NamedTuple):
    """A constrained maximum."""

    theta: Theta
    position: float
    log_likelihood: float
    slope: float  # of the profile


class _Step(NamedTuple):
    """A step of a constrained fit."""

    coordinates: Array  # (p,) local ones
    gain: float  # of log-likelihood, by the local quadratic
    slope: float  # the multiplier


def profile(search: Search, estimate: NormalMixture, errors: Parameters, reach: float) -> Profiles:
    """Find the profile-likelihood interval of every weight, mean and variance.

    Parameters
    ----------
    search : Search
        Its observations, univariate, and its rule of slivers.
    estimate : NormalMixture
        The maximum, in standardised units.
    errors : Parameters
        Standard errors in the same units, which set the first steps.
    reach : float
        Root of the deviance at the ends: 1.96 for a level of 0.95.
    """
    k, shape = estimate.n_components, search.shape
    ends = {(kind, side): np.ones(k) for kind in Kind for side in (-1, 1)}  # the weight of k = 1 is 1
    open_ends = {}
    for constraint in _constraints(shape):
        branch = _Branch.of(search, estimate, constraint)
        for side in (-1, 1):
            end = branch.find_end(side, reach, constraint.error(estimate, errors))
            if isinstance(end, Stop):
                open_ends[f"{constraint} {'below' if side < 0 else 'above'}"] = end
            value = constraint.bound(side) if isinstance(end, Stop) else constraint.value(end)
            ends[constraint.kind, side][constraint.j] = value
    for side in (-1, 1):
        if k == 2:
            ends[Kind.WEIGHT, side][1] = 1 - ends[Kind.WEIGHT, -side][0]
        if shape.structure == TIED:
            ends[Kind.VARIANCE, side][:] = ends[Kind.VARIANCE, side][0]
    lower, upper = (
        Parameters(
            ends[Kind.WEIGHT, side], ends[Kind.MEAN, side][:, None], ends[Kind.VARIANCE, side][:, None]
        )
        for side in (-1, 1)
    )
    return Profiles(lower, upper, open_ends)


def _constraints(shape: Shape) -> list[Constraint]:
    """What is to be held: of two weights one says it all, and equal variances are one."""
    n_weights = shape.k if shape.k > 2 else shape.k - 1
    n_variances = 1 if shape.structure == TIED else shape.k
    numbers = {Kind.WEIGHT: n_weights, Kind.MEAN: shape.k, Kind.VARIANCE: n_variances}
    return [Constraint(kind, j, shape) for kind, n in numbers.items() for j in range(n)]


@dataclass(frozen=True, slots=True, eq=False)
class _Branch:
    """Constrained maxima along the values of one parameter, from the estimate outwards."""

    search: Search
    constraint: Constraint
    theta: Theta
    data: Data
    sums: Derivatives
    room: Scores

    @classmethod
    def of(cls, search: Search, estimate: NormalMixture, constraint: Constraint) -> _Branch:
        shape = search.shape
        room = empty_derivatives(shape), empty_scores(shape)
        return cls(search, constraint, to_theta(estimate, shape), as_data(search.x), *room)

    def find_end(self, side: int, reach: float, error: float) -> float | Stop:
        """Position at which the root of the deviance reaches `reach`, or why it does not."""
        position = self.constraint.position(self.theta)
        top = self._fit(_Point(self.theta, position, -math.inf, 0.0), position)
        if isinstance(top, Stop):
            return top
        inside, root, step = top, 0.0, min(reach + _BEYOND, _STRIDE) * error
        for _ in range(_MOST_POINTS):
            trial = self._fit(inside, inside.position + side * step)
            grown = math.nan if isinstance(trial, Stop) else _root(top, trial) - root
            if isinstance(trial, Stop) or not 0 < grown < _JUMP * _STRIDE:
                why = trial if isinstance(trial, Stop) else Stop.END
                step /= 2
                if not step > _SHORTEST * error:
                    return self._reason(inside, why)
                continue
            root += grown
            if root >= reach:
                return self._refine(top, inside, trial, reach)
            if not trial.slope * side < 0:
                return self._reason(trial, Stop.END)
            stride = min(_STRIDE, reach + _BEYOND - root)
            step, inside = min(2 * step, stride * root / abs(trial.slope)), trial
        return Stop.LONG

    def _reason(self, last: _Point, why: Stop) -> Stop:
        """What stopped the walk, unless at its last point a component is empty or away: then it is that."""
        x, theta = self.data.x, last.theta
        if why == Stop.SLIVER:
            return why
        if (theta.log_weights < math.log(_EMPTY / len(x))).any():
            return Stop.EMPTY
        is_away = (theta.means < 2 * x.min() - x.max()) | (theta.means > 2 * x.max() - x.min())
        return Stop.FAR if is_away.any() else why

    def _refine(self, top: _Point, inside: _Point, outside: _Point, reach: float) -> float | Stop:
        """Position between two points at which the root is reached, by safeguarded Newton steps."""
        point = outside
        for _ in range(_MOST_REFINEMENTS):
            root = _root(top, point)
            if abs(root - reach) < _CLOSE:
                return point.position
            inside, outside = (point, outside) if root < reach else (inside, point)
            guess = point.position - (reach - root) * root / point.slope
            low, high = sorted((inside.position, outside.position))
            if not low < guess < high:
                guess = (low + high) / 2
            trial = self._fit(inside, guess)
            if isinstance(trial, Stop):
                return trial
            point = trial
        return point.position

    def _fit(self, start: _Point, position: float) -> _Point | Stop:
        """Maximise with the value held at a position, or say why no strict maximum is near the start."""
        shape, height, change = self.search.shape, -math.inf, position - start.position
        theta = empty_theta(shape)
        copy_theta(start.theta, theta)
        for _ in range(_MOST_NEWTON):
            log_likelihood = differentiate(self.data, shape, theta, self.sums, self.room)
            step = self._step(theta, change)
            if step is None or (change == 0 and log_likelihood < height - _SETTLED):
                return Stop.END
            if change == 0 and step.gain < _SETTLED:
                point = _Point(theta, position, log_likelihood, step.slope)
                return Stop.SLIVER if self._has_sliver(theta) else point
            height, change = (log_likelihood if change == 0 else -math.inf), 0.0
            if not move(theta, shape, step.coordinates):
                return Stop.END
            self.constraint.hold(theta, position)
            if not self._is_inside(theta):
                return Stop.END
        return Stop.END

    def _step(self, theta: Theta, change: float) -> _Step | None:
        """Newton's step that changes the position, to first order, by `change`."""
        normal, curvature = self.constraint.derivatives(theta)
        gradient, across = self.sums.gradient, normal / (normal @ normal)
        slope = float(gradient @ across)
        hessian = self.sums.hessian - slope * curvature
        along = np.linalg.qr(normal[:, None], mode="complete")[0][:, 1:]
        ascent = along.T @ (gradient + change * (hessian @ across))
        try:
            factor = np.linalg.cholesky(-along.T @ hessian @ along)
        except np.linalg.LinAlgError:
            return None
        half = np.linalg.solve(factor, ascent)
        moved = np.linalg.solve(factor.T, half)
        return _Step(change * across + along @ moved, float(half @ half) / 2, slope)

    def _is_inside(self, theta: Theta) -> bool:
        x, variances = self.data.x, theta.factors**2
        margin = _FARTHEST_MEAN * float(x.max() - x.min())
        return bool(
            (theta.log_weights > math.log(FEWEST_OBSERVATIONS / len(x))).all()
            and (variances > VARIANCE_FLOOR).all()
            and (variances < _LARGEST_VARIANCE).all()
            and (theta.means > x.min() - margin).all()
            and (theta.means < x.max() + margin).all()
        )

    def _has_sliver(self, theta: Theta) -> bool:
        return bool(self.search.rule.are_slivers(np.exp(theta.log_weights), theta.factors**2).any())


def _root(top: _Point, point: _Point) -> float:
    """Root of the deviance."""
    return math.sqrt(max(2 * (top.log_likelihood - point.log_likelihood), 0.0))

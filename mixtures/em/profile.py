"""Profile-likelihood intervals of univariate mixtures, on the branch of the estimate.

One weight, mean or variance is held at a value while the likelihood is maximised over everything else. From
the estimate the value moves outwards, each constrained fit starting at the last, until the signed root of
the deviance, sqrt(2 (l(estimate) - l)), reaches a normal quantile. Constrained fits are Newton's steps on

    l(theta) - lambda psi(theta),   psi: a logit, a mean or a log variance,

within the tangent space of the held value; lambda, the multiplier, is the slope of the profile. The
likelihood of a mixture has many modes, and may grow without bound as a variance shrinks: where the branch
ends, turns upwards, or comes to a sliver before the quantile is reached, that end of the interval is open.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np

from mixtures.em.coordinates import TIED, Shape, copy_theta, empty_theta, to_theta
from mixtures.em.curvature import Derivatives, Scores, differentiate, empty_derivatives, empty_scores, move
from mixtures.em.curvature import place_of as place_of_own
from mixtures.em.mapping import FEWEST_OBSERVATIONS, VARIANCE_FLOOR
from mixtures.em.modes import SliverRule
from mixtures.em.search import Search
from mixtures.model.arrays import Array
from mixtures.model.fit import Parameters
from mixtures.model.kernel import Data, Theta, as_data
from mixtures.model.mixture import NormalMixture

_STRIDE = 0.5  # by which the root of the deviance is to grow from one fit to the next
_BEYOND = 0.02  # by which the last stride aims past the end, so that it lies between two fits
_JUMP = 2.0  # strides that it may grow by: more, and the fit has left the branch
_SHORTEST = 1e-3  # step, in standard errors, that ends a branch
_SETTLED = 1e-9  # log-likelihood still to gain at which a constrained fit ends
_CLOSE = 1e-6  # root of the deviance to which an end is found
_MOST_NEWTON, _MOST_POINTS, _MOST_REFINEMENTS = 25, 200, 40
_FARTHEST_MEAN = 10.0  # ranges of the data to either side of them
_LARGEST_LOGIT, _LARGEST_LOG_VARIANCE = 25.0, 15.0


class Kind(StrEnum):
    """What is held."""

    WEIGHT = "weight"
    MEAN = "mean"
    VARIANCE = "variance"


class _Point(NamedTuple):
    """A constrained maximum."""

    theta: Theta
    position: float  # of the held value, on its own scale
    log_likelihood: float
    slope: float  # of the profile


@dataclass(frozen=True, slots=True, eq=False)
class Profiles:
    """Ends of the profile-likelihood intervals, in standardised units.

    Attributes
    ----------
    lower, upper : Parameters
        An open end is the bound of its parameter.
    open_ends : tuple of str
        Names of the open ends.
    """

    lower: Parameters
    upper: Parameters
    open_ends: tuple[str, ...]


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
    k = estimate.n_components
    lower, upper, open_ends = _bounds(estimate), _bounds(estimate), list[str]()
    for kind, j in _quantities(search.shape):
        branch = _Branch.of(search, estimate, kind, j)
        error = _error(estimate, errors, kind, j)
        for side, ends in ((-1, lower), (1, upper)):
            end = branch.find_end(side, reach, error)
            if end is None:
                open_ends.append(f"{kind} {j + 1} {'below' if side < 0 else 'above'}")
            ends[kind][j] = _open_end(kind, side) if end is None else _value(kind, end)
    if k == 2:
        lower[Kind.WEIGHT][1], upper[Kind.WEIGHT][1] = 1 - upper[Kind.WEIGHT][0], 1 - lower[Kind.WEIGHT][0]
    if search.shape.structure == TIED:
        for ends in (lower, upper):
            ends[Kind.VARIANCE][:] = ends[Kind.VARIANCE][0]
    return Profiles(_parameters(lower), _parameters(upper), tuple(open_ends))


def _quantities(shape: Shape) -> Iterator[tuple[Kind, int]]:
    """What is to be held: of two weights one says it all, and equal variances are one."""
    n_weights = shape.k if shape.k > 2 else shape.k - 1
    n_variances = 1 if shape.structure == TIED else shape.k
    for kind, n in ((Kind.WEIGHT, n_weights), (Kind.MEAN, shape.k), (Kind.VARIANCE, n_variances)):
        for j in range(n):
            yield kind, j


def _bounds(estimate: NormalMixture) -> dict[Kind, Array]:
    """Room for ends, (k,) of each kind; a single component has the weight 1."""
    return {kind: np.ones(estimate.n_components) for kind in Kind}


def _parameters(ends: dict[Kind, Array]) -> Parameters:
    return Parameters(ends[Kind.WEIGHT], ends[Kind.MEAN][:, None], ends[Kind.VARIANCE][:, None])


def _error(estimate: NormalMixture, errors: Parameters, kind: Kind, j: int) -> float:
    """Standard error on the scale of positions."""
    match kind:
        case Kind.WEIGHT:
            return float(errors.weights[j] / (estimate.weights[j] * (1 - estimate.weights[j])))
        case Kind.MEAN:
            return float(errors.means[j, 0])
        case Kind.VARIANCE:
            return float(errors.variances[j, 0] / estimate.variances[j, 0])


def _value(kind: Kind, position: float) -> float:
    match kind:
        case Kind.WEIGHT:
            return 1 / (1 + math.exp(-position))
        case Kind.MEAN:
            return position
        case Kind.VARIANCE:
            return math.exp(position)


def _open_end(kind: Kind, side: int) -> float:
    if kind == Kind.WEIGHT:
        return 0.0 if side < 0 else 1.0
    return 0.0 if kind == Kind.VARIANCE and side < 0 else side * math.inf


@dataclass(frozen=True, slots=True, eq=False)
class _Branch:
    """Constrained maxima along the values of one parameter, from the estimate outwards."""

    data: Data
    shape: Shape
    rule: SliverRule
    kind: Kind
    j: int
    estimate: NormalMixture
    sums: Derivatives
    room: Scores

    @classmethod
    def of(cls, search: Search, estimate: NormalMixture, kind: Kind, j: int) -> _Branch:
        shape = search.shape
        room = empty_derivatives(shape), empty_scores(shape)
        return cls(as_data(search.x), shape, search.rule, kind, j, estimate, *room)

    def find_end(self, side: int, reach: float, error: float) -> float | None:
        """Position at which the root of the deviance reaches `reach`; None where it does not."""
        theta = to_theta(self.estimate, self.shape)
        top = self._fit(_Point(theta, self._position(theta), -math.inf, 0.0), self._position(theta))
        if top is None:
            return None
        inside, root, step = top, 0.0, min(reach + _BEYOND, _STRIDE) * error
        for _ in range(_MOST_POINTS):
            if not step > _SHORTEST * error:
                return None
            trial = self._fit(inside, inside.position + side * step)
            grown = -1.0 if trial is None else _root(top, trial) - root
            if trial is None or not 0 < grown < _JUMP * _STRIDE:
                step /= 2
                continue
            root += grown
            if root >= reach:
                return self._refine(top, inside, trial, reach)
            if not trial.slope * side < 0:
                return None
            stride = min(_STRIDE, reach + _BEYOND - root)
            step = min(2 * step, stride * root / abs(trial.slope))
            inside = trial
        return None

    def _refine(self, top: _Point, inside: _Point, outside: _Point, reach: float) -> float | None:
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
            if trial is None:
                return None
            point = trial
        return point.position

    def _fit(self, start: _Point, position: float) -> _Point | None:
        """Maximise with the value held at a position; None where no strict maximum is near the start."""
        theta, height = empty_theta(self.shape), -math.inf
        copy_theta(start.theta, theta)
        change = position - start.position
        for _ in range(_MOST_NEWTON):
            log_likelihood = differentiate(self.data, self.shape, theta, self.sums, self.room)
            is_fall = change == 0 and log_likelihood < height - _SETTLED
            step = None if is_fall else self._step(theta, change)
            if step is None:
                return None
            if change == 0 and step.gain < _SETTLED:
                point = _Point(theta, position, log_likelihood, step.slope)
                return point if self._is_sound(theta) else None
            height, change = (log_likelihood if change == 0 else -math.inf), 0.0
            if not move(theta, self.shape, step.coordinates) or not self._hold(theta, position):
                return None
        return None

    def _step(self, theta: Theta, change: float) -> _Step | None:
        """Newton's step that changes the held value, to first order, by `change`."""
        normal, curvature = self._constraint(theta)
        gradient = self.sums.gradient
        across = normal / (normal @ normal)
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

    def _constraint(self, theta: Theta) -> tuple[Array, Array]:
        """Gradient and Hessian of the held value in local coordinates.

        Those of a mean and of a variance are, to all that a step within the tangent space sees, linear.
        """
        p, k, j = len(self.sums.gradient), self.shape.k, self.j
        normal, curvature = np.zeros(p), np.zeros((p, p))
        if self.kind == Kind.MEAN:
            normal[place_of_own(self.shape, j, 0)] = theta.factors[j, 0, 0]
        elif self.kind == Kind.VARIANCE:
            normal[place_of_own(self.shape, j, 1)] = 1.0
        else:
            weights = np.exp(theta.log_weights)
            shares = np.where(np.arange(k) == j, 0.0, weights / (1 - weights[j]))[:-1]
            normal[: k - 1] = (np.arange(k - 1) == j) - shares
            curvature[: k - 1, : k - 1] = np.outer(shares, shares) - np.diag(shares)
        return normal, curvature

    def _position(self, theta: Theta) -> float:
        """The held value on its own scale: a logit, a mean, a log variance."""
        match self.kind:
            case Kind.WEIGHT:
                log_weight = theta.log_weights[self.j]
                return float(log_weight - math.log(-math.expm1(log_weight)))
            case Kind.MEAN:
                return float(theta.means[self.j, 0])
            case Kind.VARIANCE:
                return 2 * math.log(theta.factors[self.j, 0, 0])

    def _hold(self, theta: Theta, position: float) -> bool:
        """Set the held value; false where the step has taken something out of bounds."""
        match self.kind:
            case Kind.WEIGHT:
                others = np.arange(self.shape.k) != self.j
                log_weight, log_rest = -np.logaddexp(0.0, -position), -np.logaddexp(0.0, position)
                theta.log_weights[others] += log_rest - np.log(np.exp(theta.log_weights[others]).sum())
                theta.log_weights[self.j] = log_weight
            case Kind.MEAN:
                theta.means[self.j, 0] = position
            case Kind.VARIANCE:
                places = slice(None) if self.shape.structure == TIED else self.j
                theta.factors[places] = math.exp(position / 2)
        return self._is_inside(theta)

    def _is_inside(self, theta: Theta) -> bool:
        x, variances = self.data.x, theta.factors**2
        far = _FARTHEST_MEAN * float(x.max() - x.min())
        return bool(
            (theta.log_weights > math.log(FEWEST_OBSERVATIONS / len(x))).all()
            and (variances > VARIANCE_FLOOR).all()
            and (variances < math.exp(_LARGEST_LOG_VARIANCE)).all()
            and (theta.means > x.min() - far).all()
            and (theta.means < x.max() + far).all()
        )

    def _is_sound(self, theta: Theta) -> bool:
        """Whether no component is a sliver."""
        return not self.rule.are_slivers(np.exp(theta.log_weights), theta.factors**2).any()


class _Step(NamedTuple):
    """A step of a constrained fit."""

    coordinates: Array  # (p,) local ones
    gain: float  # of log-likelihood, by the local quadratic
    slope: float  # the multiplier, slope of the profile


def _root(top: _Point, point: _Point) -> float:
    """Root of the deviance."""
    return math.sqrt(max(2 * (top.log_likelihood - point.log_likelihood), 0.0))

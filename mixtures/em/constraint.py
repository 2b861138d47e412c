"""One weight, mean or variance of a univariate mixture held at a value, on the scale that suits it.

Weights are held by their logit, means as they are, variances by their logarithm.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from mixtures.em.coordinates import TIED, Shape
from mixtures.em.curvature import n_local, place_of
from mixtures.model.arrays import Array
from mixtures.model.fit import Parameters
from mixtures.model.kernel import Theta
from mixtures.model.mixture import NormalMixture


class Kind(StrEnum):
    """What is held."""

    WEIGHT = "weight"
    MEAN = "mean"
    VARIANCE = "variance"


@dataclass(frozen=True, slots=True)
class Constraint:
    """One parameter of component j that is held at a value; of all, where it is a variance that they share.

    Its scale has positions: the logit of a weight, a mean, the logarithm of a variance.
    """

    kind: Kind
    j: int
    shape: Shape

    def __str__(self) -> str:
        return f"{self.kind} {self.j + 1}"

    def position(self, theta: Theta) -> float:
        """Where theta lies."""
        match self.kind:
            case Kind.WEIGHT:
                log_weight = theta.log_weights[self.j]
                return float(log_weight - math.log(-math.expm1(log_weight)))
            case Kind.MEAN:
                return float(theta.means[self.j, 0])
            case Kind.VARIANCE:
                return 2 * math.log(theta.factors[self.j, 0, 0])

    def value(self, position: float) -> float:
        """Value of the parameter at a position."""
        match self.kind:
            case Kind.WEIGHT:
                return 1 / (1 + math.exp(-position))
            case Kind.MEAN:
                return position
            case Kind.VARIANCE:
                return math.exp(position)

    def bound(self, side: int) -> float:
        """Bound of the parameter below (side -1) or above (side 1)."""
        if self.kind == Kind.WEIGHT:
            return 0.0 if side < 0 else 1.0
        return 0.0 if self.kind == Kind.VARIANCE and side < 0 else side * math.inf

    def error(self, estimate: NormalMixture, errors: Parameters) -> float:
        """Standard error of the position, from those of the parameters."""
        match self.kind:
            case Kind.WEIGHT:
                return float(
                    errors.weights[self.j] / (estimate.weights[self.j] * (1 - estimate.weights[self.j]))
                )
            case Kind.MEAN:
                return float(errors.means[self.j, 0])
            case Kind.VARIANCE:
                return float(errors.variances[self.j, 0] / estimate.variances[self.j, 0])

    def hold(self, theta: Theta, position: float) -> None:
        """Put theta at a position; the other weights keep their ratios."""
        match self.kind:
            case Kind.WEIGHT:
                others = np.arange(self.shape.k) != self.j
                log_rest = -np.logaddexp(0.0, position)
                theta.log_weights[others] += log_rest - np.log(np.exp(theta.log_weights[others]).sum())
                theta.log_weights[self.j] = -np.logaddexp(0.0, -position)
            case Kind.MEAN:
                theta.means[self.j, 0] = position
            case Kind.VARIANCE:
                places = slice(None) if self.shape.structure == TIED else self.j
                theta.factors[places] = math.exp(position / 2)

    def derivatives(self, theta: Theta) -> tuple[Array, Array]:
        """Gradient (p,) and Hessian (p, p) of the position in local coordinates.

        A mean and a log variance each change along one coordinate, so that within the space where they do
        not, which is all that is asked for, their Hessian is 0.
        """
        p, k, j = n_local(self.shape), self.shape.k, self.j
        gradient, hessian = np.zeros(p), np.zeros((p, p))
        if self.kind == Kind.MEAN:
            gradient[place_of(self.shape, j, 0)] = theta.factors[j, 0, 0]
        elif self.kind == Kind.VARIANCE:
            gradient[place_of(self.shape, j, 1)] = 1.0
        else:
            weights = np.exp(theta.log_weights)
            shares = np.where(np.arange(k) == j, 0.0, weights / (1 - weights[j]))[:-1]
            gradient[: k - 1] = (np.arange(k - 1) == j) - shares
            hessian[: k - 1, : k - 1] = np.outer(shares, shares) - np.diag(shares)
        return gradient, hessian

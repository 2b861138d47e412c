"""A mixture as one vector without constraints, for what treats EM as a map of such vectors.

The vector holds the log weights (k), the means (k d), and the spreads: the log standard deviations,
one for each component (spherical) or dimension of each (diagonal), or the rows of the lower Cholesky
factor with the diagonal on the log scale, of each component (full) or of all (tied).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from mixtures.model.arrays import Array
from mixtures.model.compiled import compiled
from mixtures.model.kernel import Theta
from mixtures.model.mixture import NormalMixture
from mixtures.model.spec import Covariance, MixtureSpec

FULL, DIAGONAL, SPHERICAL, TIED = range(4)
_CODES = {
    Covariance.FULL: FULL,
    Covariance.DIAGONAL: DIAGONAL,
    Covariance.SPHERICAL: SPHERICAL,
    Covariance.TIED: TIED,
}


class Shape(NamedTuple):
    """Number of components and dimensions, and the structure, as compiled code takes them."""

    k: int
    d: int
    structure: int


def shape_of(spec: MixtureSpec, n_dims: int) -> Shape:
    """Return the shape of a spec's mixtures; univariate ones are diagonal unless tied."""
    code = _CODES[spec.covariance]
    return Shape(spec.n_components, n_dims, DIAGONAL if n_dims == 1 and code != TIED else code)


@compiled
def n_spreads(shape: Shape) -> int:
    """Number of coordinates of one covariance."""
    if shape.structure == SPHERICAL:
        return 1
    if shape.structure == DIAGONAL:
        return shape.d
    return shape.d * (shape.d + 1) // 2


@compiled
def size_of(shape: Shape) -> int:
    """Length of the vector."""
    n_covariances = 1 if shape.structure == TIED else shape.k
    return shape.k * (1 + shape.d) + n_covariances * n_spreads(shape)


@compiled
def empty_theta(shape: Shape) -> Theta:
    """Room for parameters."""
    k, d = shape.k, shape.d
    return Theta(np.empty(k), np.empty((k, d)), np.zeros((k, d, d)), theta_is_full(shape))


@compiled
def copy_theta(source: Theta, target: Theta) -> None:
    """Copy parameters from one room to another."""
    target.log_weights[:] = source.log_weights
    target.means[:] = source.means
    target.factors[:] = source.factors


@compiled
def normalise(log_weights: Array) -> None:
    """Make log weights those of a distribution."""
    top, total = log_weights[0], 0.0
    for value in log_weights:
        top = max(top, value)
    for value in log_weights:
        total += math.exp(value - top)
    shift = top + math.log(total)
    for j in range(len(log_weights)):
        log_weights[j] -= shift


@compiled
def unpack(vector: Array, shape: Shape, theta: Theta) -> None:
    """Fill theta from a vector."""
    k, d = shape.k, shape.d
    place = k
    for j in range(k):
        theta.log_weights[j] = vector[j]
        for a in range(d):
            theta.means[j, a] = vector[place]
            place += 1
    normalise(theta.log_weights)
    for j in range(k):
        if shape.structure == TIED:
            place = k + k * d
        place = _unpack_factor(vector, place, shape, theta.factors[j])


@compiled
def _unpack_factor(vector: Array, place: int, shape: Shape, factor: Array) -> int:
    """Fill a factor with the coordinates that begin at a place; return the place after them."""
    for a in range(shape.d):
        if theta_is_full(shape):
            for b in range(a):
                factor[a, b] = vector[place]
                place += 1
        factor[a, a] = math.exp(vector[place])
        if shape.structure != SPHERICAL or a == shape.d - 1:
            place += 1
    return place


@compiled
def theta_is_full(shape: Shape) -> bool:
    """Whether factors have entries off the diagonal."""
    return shape.structure in (FULL, TIED)


@compiled
def pack(theta: Theta, shape: Shape, vector: Array) -> None:
    """Fill a vector from theta."""
    k, d = shape.k, shape.d
    place = k
    for j in range(k):
        vector[j] = theta.log_weights[j]
        for a in range(d):
            vector[place] = theta.means[j, a]
            place += 1
    for j in range(1 if shape.structure == TIED else k):
        factor = theta.factors[j]
        for a in range(1 if shape.structure == SPHERICAL else d):
            if theta.is_full:
                for b in range(a):
                    vector[place] = factor[a, b]
                    place += 1
            vector[place] = math.log(factor[a, a])
            place += 1


def to_theta(mixture: NormalMixture, shape: Shape) -> Theta:
    """Return the parameters that the kernel takes."""
    with np.errstate(divide="ignore"):
        log_weights = np.log(mixture.weights)
    factors = np.sqrt(mixture.covariances) if shape.d == 1 else np.linalg.cholesky(mixture.covariances)
    return Theta(log_weights, mixture.means.copy(), factors, theta_is_full(shape))


def to_vector(mixture: NormalMixture, shape: Shape) -> Array:
    """Return the vector of a mixture."""
    vector = np.empty(size_of(shape))
    pack(to_theta(mixture, shape), shape, vector)
    return vector


def to_mixture(vector: Array, shape: Shape) -> NormalMixture:
    """Return the mixture of a vector."""
    theta = empty_theta(shape)
    unpack(vector, shape, theta)
    weights = np.exp(theta.log_weights)
    return NormalMixture.unchecked(weights / weights.sum(), theta.means, theta.factors @ theta.factors.mT)


@compiled
def unpack_all(vectors: Array, shape: Shape) -> tuple[Array, Array]:
    """Weights (s, k) and covariances (s, k, d, d) of many vectors (s, size)."""
    n, (k, d, _) = len(vectors), shape
    theta, weights, covariances = empty_theta(shape), np.empty((n, k)), np.zeros((n, k, d, d))
    for row in range(n):
        unpack(vectors[row], shape, theta)
        for j in range(k):
            factor = theta.factors[j]
            weights[row, j] = math.exp(theta.log_weights[j])
            for a in range(d):
                for b in range(a + 1):
                    for c in range(b + 1):
                        covariances[row, j, a, b] += factor[a, c] * factor[b, c]
                    covariances[row, j, b, a] = covariances[row, j, a, b]
    return weights, covariances

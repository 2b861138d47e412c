"""Gradient, Hessian and products of scores in one compiled pass: the sums that `information.curve` gives.

The coordinates are those of `information`: local, around one mixture, and free of units.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from mixtures.em.coordinates import SPHERICAL, TIED, Shape, n_spreads, normalise, theta_is_full
from mixtures.em.triangles import factorise, multiply_lower
from mixtures.model.arrays import Array
from mixtures.model.compiled import compiled, compiled_sums
from mixtures.model.kernel import Block, Data, Theta, assign_block, empty_block


class Derivatives(NamedTuple):
    """Sums over the observations at one mixture, p coordinates."""

    gradient: Array  # (p,)
    hessian: Array  # (p, p)
    outer: Array  # (p, p), of the scores
    counts: Array  # (k,) N
    complete: Array  # (k, q) sum of r t, t being the complete-data score of a component's own coordinates
    products: Array  # (k, q, q) sum of r t t'


class Scores(NamedTuple):
    """Room for a block of m observations."""

    block: Block
    own: Array  # (k, q, m) complete-data scores of a component's own coordinates
    total: Array  # (p, m) scores


@compiled
def n_local(shape: Shape) -> int:
    """Number of local coordinates: one weight is not free."""
    n_covariances = 1 if shape.structure == TIED else shape.k
    return shape.k - 1 + shape.k * shape.d + n_covariances * n_spreads(shape)


def cost_of(shape: Shape) -> float:
    """Time of `differentiate` in passes of the kernel, roughly: products of scores take most of it."""
    return 2 + n_local(shape) ** 2 / (shape.k * (12 + 1.5 * shape.d**2))


@compiled
def empty_derivatives(shape: Shape) -> Derivatives:
    """Room for the sums."""
    p, k, q = n_local(shape), shape.k, shape.d + n_spreads(shape)
    return Derivatives(
        np.empty(p), np.empty((p, p)), np.empty((p, p)), np.empty(k), np.empty((k, q)), np.empty((k, q, q))
    )


@compiled
def empty_scores(shape: Shape) -> Scores:
    """Room for the scores of a block of observations."""
    block = empty_block(shape.k, shape.d)
    size = len(block.top)
    own = np.empty((shape.k, shape.d + n_spreads(shape), size))
    return Scores(block, own, np.empty((n_local(shape), size)))


@compiled
def place_of(shape: Shape, j: int, own: int) -> int:
    """Place among all coordinates of one of component j's own: its d means first, then its spreads."""
    k, d = shape.k, shape.d
    if own < d:
        return k - 1 + j * d + own
    return k - 1 + k * d + (0 if shape.structure == TIED else j * n_spreads(shape)) + own - d


@compiled
def differentiate(data: Data, shape: Shape, theta: Theta, into: Derivatives, room: Scores) -> float:
    """Fill the derivatives of the log-likelihood at theta, and return the log-likelihood."""
    k = shape.k
    block, own, scores = room
    size = len(block.top)
    into.outer[:] = 0.0
    into.counts[:] = 0.0
    into.complete[:] = 0.0
    into.products[:] = 0.0
    weights = np.exp(theta.log_weights)
    log_likelihood = 0.0
    for start in range(0, len(data.x), size):
        m = min(size, len(data.x) - start)
        log_likelihood += assign_block(data, start, m, theta, block)
        for j in range(k):
            _own_scores(block, shape, j, m, own[j])
            _add_complete(block.joint[j], own[j], m, j, into)
        _share(block, data.weights[start : start + m], m)
        for j in range(k):
            _spread_scores(room, shape, j, m)
        _weight_scores(block, weights, m, scores)
        _add_outer(scores, m, into)
    _assemble_gradient(shape, weights, into)
    _assemble_hessian(shape, weights, into)
    return log_likelihood


@compiled
def _own_scores(block: Block, shape: Shape, j: int, m: int, own: Array) -> None:
    """Complete-data scores of a component: z, and (z' B z - tr B) / 2 for each matrix B of the basis."""
    d, z = shape.d, block.z[j]
    row = d
    for a in range(d):
        _copy(own[a], z[a], m)
        first = a if not theta_is_full(shape) else 0
        for b in range(first, a + 1):
            if shape.structure != SPHERICAL or a == 0:
                _fill(own[row], 0.0, m)
            _add_product(own[row], z[a], z[b], 0.5 if a == b else 0.0, m)
            if shape.structure != SPHERICAL:
                row += 1


@compiled
def _copy(target: Array, source: Array, m: int) -> None:
    for i in range(m):
        target[i] = source[i]


@compiled
def _fill(target: Array, value: float, m: int) -> None:
    for i in range(m):
        target[i] = value


@compiled
def _add_product(spread: Array, left: Array, right: Array, trace: float, m: int) -> None:
    for i in range(m):
        spread[i] += 0.5 * left[i] * right[i] - trace


@compiled_sums
def _add_complete(r: Array, own: Array, m: int, j: int, into: Derivatives) -> None:
    count = 0.0
    for i in range(m):
        count += r[i]
    into.counts[j] += count
    for a in range(len(own)):
        left = own[a]
        total = 0.0
        for i in range(m):
            total += r[i] * left[i]
        into.complete[j, a] += total
        for b in range(a + 1):
            right = own[b]
            product = 0.0
            for i in range(m):
                product += r[i] * left[i] * right[i]
            into.products[j, a, b] += product


@compiled
def _share(block: Block, counts: Array, m: int) -> None:
    """Divide responsibilities by the root of the observation's count; keep the roots in `total`.

    So that in the products of scores, made of two of these, each observation counts as often as it should.
    """
    for i in range(m):
        block.total[i] = math.sqrt(counts[i]) if counts.size else 1.0
    if counts.size:
        for i in range(m):
            inverse = 1.0 / block.total[i] if counts[i] > 0 else 0.0
            for j in range(len(block.joint)):
                block.joint[j, i] *= inverse


@compiled
def _spread_scores(room: Scores, shape: Shape, j: int, m: int) -> None:
    """A component's part of each observation's score."""
    r, own = room.block.joint[j], room.own[j]
    for a in range(len(own)):
        row, source = room.total[place_of(shape, j, a)], own[a]
        if shape.structure == TIED and a >= shape.d and j > 0:
            for i in range(m):
                row[i] += r[i] * source[i]
        else:
            for i in range(m):
                row[i] = r[i] * source[i]


@compiled
def _weight_scores(block: Block, weights: Array, m: int, scores: Array) -> None:
    """r_j - w_j."""
    for j in range(len(weights) - 1):
        row, r, weight = scores[j], block.joint[j], weights[j]
        for i in range(m):
            row[i] = r[i] - weight * block.total[i]


@compiled_sums
def _add_outer(scores: Array, m: int, into: Derivatives) -> None:
    """Add the products of the scores, two rows by two, so that each is read half as often."""
    p = len(scores)
    for a in range(0, p, 2):
        left, left2 = scores[a], scores[min(a + 1, p - 1)]
        for b in range(0, a + 1, 2):
            right, right2 = scores[b], scores[min(b + 1, p - 1)]
            s00, s01, s10, s11 = 0.0, 0.0, 0.0, 0.0
            for i in range(m):
                s00 += left[i] * right[i]
                s01 += left[i] * right2[i]
                s10 += left2[i] * right[i]
                s11 += left2[i] * right2[i]
            into.outer[a, b] += s00
            if a + 1 < p:
                into.outer[a + 1, b] += s10
            if b + 1 < p and b < a:
                into.outer[a, b + 1] += s01
            if a + 1 < p and b + 1 < p:
                into.outer[a + 1, b + 1] += s11


@compiled
def _assemble_gradient(shape: Shape, weights: Array, into: Derivatives) -> None:
    total = into.counts.sum()
    into.gradient[:] = 0.0
    for j in range(shape.k):
        if j < shape.k - 1:
            into.gradient[j] = into.counts[j] - total * weights[j]
        for a in range(into.complete.shape[1]):
            into.gradient[place_of(shape, j, a)] += into.complete[j, a]


@compiled
def gradient_of(shape: Shape, theta: Theta, sums: Array, gradient: Array) -> None:
    """Fill the gradient with what the sums of `kernel.moments` say of it."""
    d, total = shape.d, sums[0].sum()
    gradient[:] = 0.0
    for j in range(shape.k):
        if j < shape.k - 1:
            gradient[j] = sums[0, j] - total * math.exp(theta.log_weights[j])
        own = 0
        for a in range(d):
            gradient[place_of(shape, j, a)] = sums[1 + a, j]
            for b in range(0 if theta.is_full else a, a + 1):
                second = sums[1 + d + a * d + b, j] - (sums[0, j] if a == b else 0.0)
                gradient[place_of(shape, j, d + own)] += second / 2
                if shape.structure != SPHERICAL:
                    own += 1


@compiled
def _assemble_hessian(shape: Shape, weights: Array, into: Derivatives) -> None:
    """Hessian by Louis (1982): that of the complete data plus the variance of its score."""
    k, p, q = shape.k, len(into.gradient), into.complete.shape[1]
    hessian, counts, total = into.hessian, into.counts, into.counts.sum()
    for a in range(p):
        for b in range(a):
            into.outer[b, a] = into.outer[a, b]
    hessian[:] = -into.outer
    for a in range(k - 1):
        for b in range(k - 1):
            between = 0.0  # sum_j N_j (e_j - w)_a (e_j - w)_b, and minus n times the variance of a label
            for j in range(k):
                between += counts[j] * ((j == a) - weights[a]) * ((j == b) - weights[b])
            hessian[a, b] += between - total * (weights[a] * (a == b) - weights[a] * weights[b])
    basis, own_hessian = _basis(shape), np.empty((q, q))
    for j in range(k):
        _fill_own_hessian(shape, j, into, basis, own_hessian)
        for a in range(q):
            row = place_of(shape, j, a)
            for b in range(k - 1):
                mixed = ((j == b) - weights[b]) * into.complete[j, a]
                hessian[row, b] += mixed
                hessian[b, row] += mixed
            for b in range(q):
                product = into.products[j, max(a, b), min(a, b)]
                hessian[row, place_of(shape, j, b)] += product + own_hessian[a, b]


@compiled
def _fill_own_hessian(shape: Shape, j: int, into: Derivatives, basis: Array, hessian: Array) -> None:
    """Fill the complete-data Hessian of a component's own coordinates, weighted by responsibilities.

    With M1 = sum r z and M2 = sum r z z': -N I for the means, -B M1 between mean and spread B, and
    N tr(B C) / 2 - tr(B C M2) between spreads B and C, the mean of both orders.
    """
    d, q = shape.d, into.complete.shape[1]
    count = into.counts[j]
    hessian[:] = 0.0
    second = into.products[j, :d, :d]
    for a in range(d):
        hessian[a, a] = -count
        for b in range(d, q):
            mixed = 0.0
            for c in range(d):
                mixed -= basis[b - d, a, c] * into.complete[j, c]
            hessian[a, b] = mixed
            hessian[b, a] = mixed
    for a in range(d, q):
        for b in range(d, q):
            trace, curved = 0.0, 0.0
            for c in range(d):
                for e in range(d):
                    trace += basis[a - d, c, e] * basis[b - d, e, c]
                    for f in range(d):
                        curved += basis[a - d, c, e] * basis[b - d, c, f] * second[max(e, f), min(e, f)]
            hessian[a, b] = count * trace / 2 - curved


@compiled
def _basis(shape: Shape) -> Array:
    """Symmetric matrices that span the structure, in the order of the spreads."""
    d = shape.d
    basis = np.zeros((n_spreads(shape), d, d))
    row = 0
    for a in range(d):
        first = a if not theta_is_full(shape) else 0
        for b in range(first, a + 1):
            basis[row, a, b] += 0.5
            basis[row, b, a] += 0.5
            if shape.structure != SPHERICAL:
                row += 1
    return basis


@compiled
def move(theta: Theta, shape: Shape, step: Array) -> bool:
    """Move theta by a step in local coordinates, to first order; false where a covariance would be lost.

    Weights w exp(a), means mu + L m, factors L R with R R' = (I + S / 2)^2.
    """
    k, d, is_full = shape.k, shape.d, theta_is_full(shape)
    for j in range(k):
        if j < k - 1:
            theta.log_weights[j] += step[j]
        for a in range(d):
            change = 0.0
            for b in range(a + 1):
                change += theta.factors[j, a, b] * step[place_of(shape, j, b)]
            theta.means[j, a] += change
    normalise(theta.log_weights)
    for j in range(k):
        if shape.structure == TIED and j > 0:
            theta.factors[j] = theta.factors[0]
            continue
        factor = theta.factors[j]
        is_sound = _move_factor(factor, shape, j, step) if is_full else _scale_factor(factor, shape, j, step)
        if not is_sound:
            return False
    return True


@compiled
def _scale_factor(factor: Array, shape: Shape, j: int, step: Array) -> bool:
    for a in range(shape.d):
        root = 1.0 + 0.5 * step[place_of(shape, j, shape.d + (0 if shape.structure == SPHERICAL else a))]
        if root == 0:
            return False
        factor[a, a] *= abs(root)
    return True


@compiled
def _move_factor(factor: Array, shape: Shape, j: int, step: Array) -> bool:
    d = shape.d
    half = np.eye(d)
    basis = _basis(shape)
    for s in range(len(basis)):
        half += 0.5 * step[place_of(shape, j, d + s)] * basis[s]
    root = np.zeros((d, d))
    for a in range(d):
        for b in range(d):
            for c in range(d):
                root[a, b] += half[a, c] * half[c, b]
    if not factorise(root):
        return False
    multiply_lower(factor.copy(), root, True, factor)
    return True

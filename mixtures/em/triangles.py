"""Small lower triangles in compiled code: the factors of covariances and of informations."""

from __future__ import annotations

import math

import numpy as np

from mixtures.model.arrays import Array
from mixtures.model.compiled import compiled


@compiled
def factorise(matrix: Array) -> bool:
    """Replace the lower triangle by its Cholesky factor; false where the matrix is not positive definite."""
    for a in range(len(matrix)):
        for b in range(a + 1):
            entry = matrix[a, b]
            for c in range(b):
                entry -= matrix[a, c] * matrix[b, c]
            if a > b:
                matrix[a, b] = entry / matrix[b, b]
            elif entry > 0:
                matrix[a, a] = math.sqrt(entry)
            else:
                return False
    return True


@compiled
def solve(factor: Array, right: Array, solution: Array) -> None:
    """Solve L L' solution = right; `solution` may be `right` itself."""
    p = len(right)
    for a in range(p):
        value = right[a]
        for b in range(a):
            value -= factor[a, b] * solution[b]
        solution[a] = value / factor[a, a]
    for a in range(p - 1, -1, -1):
        for b in range(a + 1, p):
            solution[a] -= factor[b, a] * solution[b]
        solution[a] /= factor[a, a]


@compiled
def multiply_lower(left: Array, right: Array, is_full: bool, product: Array) -> None:
    """Fill the lower triangle of the product of two lower triangles, or its diagonal."""
    for a in range(len(left)):
        for b in range(0 if is_full else a, a + 1):
            entry = 0.0
            for c in range(b, a + 1):
                entry += left[a, c] * right[c, b]
            product[a, b] = entry


@compiled
def smallest_variance(factor: Array, is_full: bool) -> float:
    """1 / tr((L L')^-1): between a d-th of the smallest variance in any direction and all of it.

    Unlike the entries of L it does not depend on the order of the dimensions.
    """
    d, trace = len(factor), 0.0
    column = np.empty(d)  # of the inverse of L, by forward substitution
    for b in range(d):
        for a in range(b, d if is_full else b + 1):
            entry = 1.0 if a == b else 0.0
            for c in range(b, a):
                entry -= factor[a, c] * column[c]
            column[a] = entry / factor[a, a]
            trace += column[a] ** 2
    return 1.0 / trace

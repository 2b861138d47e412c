"""SQUAREM and Anderson acceleration of a map of vectors, one proposal at a time.

Both look at the last points and what the map made of them, and propose where to go next; neither sees the
data. Whoever applies the map decides whether a proposal was any good, and calls `restart` where it was not.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from mixtures.em.triangles import factorise, solve
from mixtures.model.arrays import Array, Integers
from mixtures.model.compiled import compiled

PLAIN, SQUAREM, ANDERSON = range(3)
#: Differences that Anderson acceleration combines.
ORDER = 5
# Ridge of Anderson's least squares, relative to the largest squared difference: it damps combinations
# that only rounding tells apart.
_RIDGE = 1e-10


class History(NamedTuple):
    """The last points and residuals, and how many there are since the last restart."""

    points: Array  # (ORDER + 1, p), the newest in row n % (ORDER + 1)
    residuals: Array  # (ORDER + 1, p), the map's value less the point
    n: Integers  # (1,)


@compiled
def empty_history(size: int) -> History:
    """Room for the history of vectors."""
    return History(np.empty((ORDER + 1, size)), np.empty((ORDER + 1, size)), np.zeros(1, np.int64))


@compiled
def restart(history: History) -> None:
    """Forget the history."""
    history.n[0] = 0


@compiled
def propose(method: int, history: History, point: Array, mapped: Array) -> bool:
    """Turn what the map made of a point into a proposal; false where it stays what it is."""
    row = history.n[0] % (ORDER + 1)
    for i in range(len(point)):
        history.points[row, i] = point[i]
        history.residuals[row, i] = mapped[i] - point[i]
    history.n[0] += 1
    if method == ANDERSON:
        return _anderson(history, mapped)
    if method == SQUAREM and history.n[0] == 2:
        restart(history)
        return _squarem(history, mapped)
    return False


@compiled
def _squarem(history: History, proposal: Array) -> bool:
    """Go to theta - 2 a r + a^2 v for residuals r and then r + v, with a = -|r| / |v|, where a < -1.

    Scheme S3 of Varadhan & Roland (2008).
    """
    squared_r, squared_v = 0.0, 0.0
    for i in range(len(proposal)):
        r = history.residuals[0, i]
        squared_r += r * r
        squared_v += (history.residuals[1, i] - r) ** 2
    if not squared_r > squared_v > 0:
        return False
    a = -math.sqrt(squared_r / squared_v)
    for i in range(len(proposal)):
        r = history.residuals[0, i]
        proposal[i] = history.points[0, i] - 2 * a * r + a * a * (history.residuals[1, i] - r)
    return True


@compiled
def _anderson(history: History, proposal: Array) -> bool:
    """Combine the last values of the map so that the same combination of their residuals is smallest.

    Anderson (1965), as Walker & Ni (2011) write it: differences of successive residuals against the
    newest residual, by least squares.
    """
    n_rows = ORDER + 1
    n = min(history.n[0] - 1, ORDER)
    if n == 0:
        return False
    newest = (history.n[0] - 1) % n_rows
    residual = history.residuals[newest]
    gram, right = np.empty((n, n)), np.empty(n)
    for a in range(n):
        left = _difference(history.residuals, newest - a, n_rows)
        right[a] = (left * residual).sum()
        for b in range(a + 1):
            gram[a, b] = (left * _difference(history.residuals, newest - b, n_rows)).sum()
    largest = 0.0
    for a in range(n):
        largest = max(largest, gram[a, a])
    for a in range(n):
        gram[a, a] += _RIDGE * largest
    if not factorise(gram):
        return False
    solve(gram, right, right)
    for a in range(n):
        moved = _difference(history.points, newest - a, n_rows)
        proposal -= right[a] * (moved + _difference(history.residuals, newest - a, n_rows))
    return True


@compiled
def _difference(rows: Array, newest: int, n_rows: int) -> Array:
    return rows[newest % n_rows] - rows[(newest - 1) % n_rows]

"""Soft assignments: their distances from each other, and their scores against known components."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mixtures.model.arrays import Array, Integers, freeze
from mixtures.model.compiled import compiled

N_BINS = 10


@dataclass(frozen=True, slots=True)
class AssignmentDistance:
    """How far soft assignments r are from reference ones r0, components aligned.

    Attributes
    ----------
    total_variation : float
        Mean over observations of 1/2 sum_j |r_ij - r0_ij|, in [0, 1].
    kl : float
        Mean over observations of KL(r0_i || r_i), in nats; infinite where r rules out what r0 allows.
    largest : float
        Largest |r_ij - r0_ij|.
    disagreement : float
        Share of observations whose hard assignments differ.
    """

    total_variation: float
    kl: float
    largest: float
    disagreement: float


@dataclass(frozen=True, slots=True, eq=False)
class Reliability:
    """Soft assignments of all components, gathered in ten bins of equal width, [0, .1), ..., [.9, 1].

    Attributes
    ----------
    counts : (10,) array of int
        Soft assignments in each bin.
    assigned : (10,) array
        Sum of the soft assignments.
    belonging : (10,) array of int
        How many of them belonged to their component.
    """

    counts: Integers
    assigned: Array
    belonging: Integers


@dataclass(frozen=True, slots=True)
class AssignmentScores:
    """How good soft assignments are against known components, aligned.

    Attributes
    ----------
    log_score : float
        -mean_i log r_{i, label_i}, in nats; infinite where a label was given probability 0.
    n_infinite : int
        Number of observations whose label was given probability 0.
    brier : float
        mean_i sum_j (r_ij - y_ij)^2, in [0, 2].
    error_rate : float
        Share of hard assignments that are wrong.
    adjusted_rand_index : float
        Agreement of the two partitions beyond chance; needs no labels (Hubert & Arabie 1985).
    calibration_error : float
        Expected calibration error over 10 bins of equal count; biased upward.
    reliability : Reliability
        The soft assignments in bins of equal width, to be added over data sets.
    """

    log_score: float
    n_infinite: int
    brier: float
    error_rate: float
    adjusted_rand_index: float
    calibration_error: float
    reliability: Reliability = field(compare=False)  # its arrays have no one truth value


def assignment_distance(log_reference: Array, log_responsibilities: Array) -> AssignmentDistance:
    """Distance of soft assignments (n, k) from reference ones, both given as logarithms.

    By the definitions of `AssignmentDistance`. Logarithms, so that a probability too small for a float
    is not taken for one that is ruled out.
    """
    reference, logs = _as_compiled_for(log_reference), _as_compiled_for(log_responsibilities)
    distance, divergence, largest, n_different = _distance(reference, logs)
    n = len(logs)
    return AssignmentDistance(distance / (2 * n), max(divergence / n, 0.0), largest, n_different / n)


def score_assignments(log_responsibilities: Array, labels: Integers) -> AssignmentScores:
    """Score soft assignments, given as logarithms (n, k), against known components (n,).

    Logarithms, so that a probability too small for a float still has a finite score. Observations
    whose label is -1 are left out.

    Raises
    ------
    ValueError
        If a label names no component, or a soft assignment is not a number.
    """
    logs, labels = _known(log_responsibilities, labels)
    (n, k), r = logs.shape, np.empty(logs.shape)
    table = np.zeros((k, k), np.int64)
    bins = np.zeros(N_BINS, np.int64), np.zeros(N_BINS), np.zeros(N_BINS, np.int64)
    log_score, n_infinite, brier = _score(logs, labels, r, table, bins)
    return AssignmentScores(
        log_score=log_score / n,
        n_infinite=n_infinite,
        brier=brier / n,
        error_rate=(n - int(table.trace())) / n,
        adjusted_rand_index=_rand_index(table),
        calibration_error=calibration_error(r, labels),
        reliability=Reliability(*bins),
    )


def calibration_error(responsibilities: Array, labels: Integers) -> float:
    """Expected calibration error: mean gap between assigned and true share over 10 bins of equal count."""
    r = responsibilities.ravel()
    order = np.argsort(r)  # five times as fast as a stable sort, and without ties the same
    if _has_ties(r, order):
        order = np.argsort(r, kind="stable")
    return _sum_of_gaps(r, order, labels) / len(r)


def adjusted_rand_index(first: Integers, second: Integers) -> float:
    """Adjusted Rand index of two partitions (n,): 1 where they are the same, 0 on average by chance."""
    return _rand_index(contingency(first, second))


def error_after_best_mapping(groups: Integers, assignments: Integers) -> float:
    """Error rate of hard assignments where known groups are not the components.

    The more numerous of the two partitions is mapped onto the other, every class of which is used,
    so as to make the fewest errors: the mapping is chosen on the labels, and flatters.
    """
    from scipy.optimize import linear_sum_assignment

    table = contingency(groups, assignments)
    table = table if table.shape[0] >= table.shape[1] else table.T
    best = table.max(axis=1)
    rows, columns = linear_sum_assignment(best[:, None] - table)  # one class each is held to its column
    return float(1 - (best.sum() - (best[rows] - table[rows, columns]).sum()) / table.sum())


def contingency(first: Integers, second: Integers) -> Integers:
    """Counts of each pair of classes of two partitions (n,), given as small whole numbers from 0.

    Classes that do not occur are left out.
    """
    n_columns = second.max() + 1
    cells = np.bincount(first * n_columns + second, minlength=(first.max() + 1) * n_columns)
    table = cells.reshape(-1, n_columns)
    return table[table.any(axis=1)][:, table.any(axis=0)]


def _known(log_responsibilities: Array, labels: Integers) -> tuple[Array, Integers]:
    """Leave out the observations whose label is -1, if there are any."""
    known = labels >= 0
    if not known.all():
        log_responsibilities, labels = log_responsibilities[known], labels[known]
    return _as_compiled_for(log_responsibilities), _as_compiled_for(labels)


def _as_compiled_for[T: np.generic](array: NDArray[T]) -> NDArray[T]:
    """Return an array as the functions below are compiled for it: contiguous and read-only."""
    return freeze(np.ascontiguousarray(array).view())


@compiled
def _distance(log_reference: Array, logs: Array) -> tuple[float, float, float, int]:
    """Sums of |r - r0| and of r0 log(r0 / r), the largest |r - r0|, and how many hard assignments differ."""
    distance, divergence, largest, n_different = 0.0, 0.0, 0.0, 0
    for i in range(len(logs)):
        first, second = 0, 0
        for j in range(logs.shape[1]):
            reference = math.exp(log_reference[i, j])
            gap = abs(math.exp(logs[i, j]) - reference)
            distance += gap
            largest = max(largest, gap)
            if reference > 0:
                divergence += reference * (log_reference[i, j] - logs[i, j])
            if log_reference[i, j] > log_reference[i, first]:
                first = j
            if logs[i, j] > logs[i, second]:
                second = j
        n_different += first != second
    return distance, divergence, largest, n_different


@compiled
def _score(
    logs: Array,
    labels: Integers,
    r: Array,
    table: Integers,
    bins: tuple[Integers, Array, Integers],
) -> tuple[float, int, float]:
    """Sum of -log r at the labels, how many of those are infinite, and the sum of (r - y)^2.

    Fills `r` (n, k), the soft assignments, and adds to `table` (k, k), which counts labels by hard
    assignments, and to the counts, sums and hits of the `bins` of a `Reliability`.
    """
    k, (counts, assigned, belonging) = logs.shape[1], bins
    log_score, n_infinite, brier = 0.0, 0, 0.0
    for i in range(len(logs)):
        hard, label = 0, labels[i]
        if label >= k:
            raise ValueError("labels must be those of components")
        for j in range(k):
            p = math.exp(logs[i, j])
            if math.isnan(p):
                raise ValueError("soft assignments must be numbers; got nan")
            r[i, j] = p
            brier += (p - (label == j)) ** 2
            if p > r[i, hard]:
                hard = j
            b = min(int(p * N_BINS), N_BINS - 1)
            counts[b] += 1
            assigned[b] += p
            belonging[b] += label == j
        table[label, hard] += 1
        log_score -= logs[i, label]
        n_infinite += logs[i, label] == -np.inf
    return log_score, n_infinite, brier


@compiled
def _has_ties(r: Array, order: Integers) -> bool:
    """Whether numbers (m,) that are ascending in an order hold equal ones."""
    for c in range(1, len(r)):  # noqa: SIM110  numba compiles no generators
        if r[order[c]] == r[order[c - 1]]:
            return True
    return False


@compiled
def _sum_of_gaps(r: Array, order: Integers, labels: Integers) -> float:
    """Sum over ten bins of equal count, in an order of all n k soft assignments, of |sum of r - y|."""
    of_bin, extra = divmod(len(r), N_BINS)  # as counts go: the first bins hold one more
    k, last, total = len(r) // len(labels), 0, 0.0
    for b in range(N_BINS):
        first, last = last, last + of_bin + (b < extra)
        gap = 0.0
        for c in order[first:last]:
            gap += r[c] - (labels[c // k] == c % k)
        total += abs(gap)
    return total


@compiled
def _rand_index(table: Integers) -> float:
    """Adjusted Rand index from the counts of each pair of classes."""
    together, rows, columns = 0.0, 0.0, 0.0  # pairs of observations that share a class
    for row in table:
        rows += _pairs(row.sum())
        for count in row:
            together += _pairs(count)
    for column in table.T:
        columns += _pairs(column.sum())
    pairs = _pairs(table.sum())
    if pairs == 0:
        return 1.0
    expected, most = rows * columns / pairs, (rows + columns) / 2
    return 1.0 if most == expected else (together - expected) / (most - expected)


@compiled
def _pairs(count: int | np.int64) -> float:
    return count * (count - 1) / 2

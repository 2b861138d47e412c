"""Soft assignments: their distances from each other, and their scores against known components."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixtures.model.arrays import Array, Integers

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
    """

    log_score: float
    n_infinite: int
    brier: float
    error_rate: float
    adjusted_rand_index: float
    calibration_error: float


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


def assignment_distance(log_reference: Array, log_responsibilities: Array) -> AssignmentDistance:
    """Distance of soft assignments (n, k) from reference ones, both given as logarithms.

    By the definitions of `AssignmentDistance`. Logarithms, so that a probability too small for a float
    is not taken for one that is ruled out.
    """
    reference, responsibilities = np.exp(log_reference), np.exp(log_responsibilities)
    gaps = np.abs(responsibilities - reference)
    with np.errstate(invalid="ignore"):
        divergence = np.where(reference > 0, reference * (log_reference - log_responsibilities), 0.0)
    return AssignmentDistance(
        total_variation=float(gaps.sum() / (2 * len(gaps))),
        kl=max(float(divergence.sum() / len(gaps)), 0.0),
        largest=float(gaps.max()),
        disagreement=float((log_responsibilities.argmax(axis=1) != log_reference.argmax(axis=1)).mean()),
    )


def score_assignments(log_responsibilities: Array, labels: Integers) -> AssignmentScores:
    """Score soft assignments, given as logarithms (n, k), against known components (n,).

    Logarithms, so that a probability too small for a float still has a finite score. Observations
    whose label is -1 are left out.
    """
    logs, labels = _known(log_responsibilities, labels)
    r, belongs = np.exp(logs), _belongs(labels, logs.shape[1])
    of_label, hard = logs[belongs], r.argmax(axis=1)
    return AssignmentScores(
        log_score=float(-of_label.mean()),
        n_infinite=int(np.isneginf(of_label).sum()),
        brier=float(np.square(r - belongs).sum() / len(r)),
        error_rate=float((hard != labels).mean()),
        adjusted_rand_index=adjusted_rand_index(labels, hard),
        calibration_error=calibration_error(r, labels),
    )


def reliability(log_responsibilities: Array, labels: Integers) -> Reliability:
    """Gather soft assignments, given as logarithms (n, k), in ten bins, with how many came true."""
    logs, labels = _known(log_responsibilities, labels)
    r, belongs = np.exp(logs).ravel(), _belongs(labels, logs.shape[1]).ravel()
    bins = np.minimum((r * N_BINS).astype(np.int64), N_BINS - 1)
    return Reliability(
        counts=np.bincount(bins, minlength=N_BINS),
        assigned=np.bincount(bins, weights=r, minlength=N_BINS),
        belonging=np.bincount(bins[belongs], minlength=N_BINS),
    )


def calibration_error(responsibilities: Array, labels: Integers) -> float:
    """Expected calibration error: mean gap between assigned and true share over 10 bins of equal count."""
    r = responsibilities.ravel()
    gaps = r - _belongs(labels, responsibilities.shape[1]).ravel()
    of_bin, extra = divmod(len(r), N_BINS)  # as counts go: the first bins hold one more
    bins = np.arange(min(N_BINS, len(r)))
    starts = bins * of_bin + np.minimum(bins, extra)
    sums = np.add.reduceat(gaps[_order(r)], starts)
    return float(np.abs(sums).sum()) / len(r)


def adjusted_rand_index(first: Integers, second: Integers) -> float:
    """Adjusted Rand index of two partitions (n,): 1 where they are the same, 0 on average by chance."""
    table = contingency(first, second)

    def pairs(counts: Integers) -> float:
        return float((counts * (counts - 1) / 2).sum())

    together, rows, columns = pairs(table), pairs(table.sum(axis=1)), pairs(table.sum(axis=0))
    n = int(table.sum())
    if n < 2:
        return 1.0
    expected, most = rows * columns / (n * (n - 1) / 2), (rows + columns) / 2
    return 1.0 if most == expected else (together - expected) / (most - expected)


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
    return (log_responsibilities, labels) if known.all() else (log_responsibilities[known], labels[known])


def _order(r: Array) -> Integers:
    """Indices that sort numbers (m,), ties in their own order."""
    order = np.argsort(r)  # five times as fast as a stable sort, and without ties the same
    in_order = r[order]
    has_ties = (in_order[1:] == in_order[:-1]).any()
    return np.argsort(r, kind="stable") if has_ties else order


def _belongs(labels: Integers, k: int) -> NDArray[np.bool_]:
    """Whether each observation belongs to each component, (n, k)."""
    return labels[:, None] == np.arange(k)

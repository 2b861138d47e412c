"""One fit against the truth, or against another fit: align first, then measure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from mixtures.comparison.assignments import (
    AssignmentDistance,
    AssignmentScores,
    assignment_distance,
    score_assignments,
)
from mixtures.comparison.distances import bayes_error, density_distances
from mixtures.comparison.performance import coverage, interval_width
from mixtures.model.arrays import Array, Integers
from mixtures.model.data import Dataset
from mixtures.model.density import log_responsibilities
from mixtures.model.fit import Fit, Parameters
from mixtures.model.labels import Alignment, align
from mixtures.model.mixture import NormalMixture


@dataclass(frozen=True, slots=True, eq=False)
class Oracle:
    """What knowing the true parameters makes of a data set, whatever is fitted to it.

    Attributes
    ----------
    truth : NormalMixture
    labels : (n,) array of int or None
        True components, -1 where not known; None where none is.
    log_responsibilities : (n, k) array
        Logarithms of the soft assignments at the truth.
    scores : AssignmentScores or None
        Their scores against the true components; None without labels.
    bayes_error : float
        Error rate of the best possible hard assignment.
    """

    truth: NormalMixture
    labels: Integers | None
    log_responsibilities: Array
    scores: AssignmentScores | None
    bayes_error: float

    @classmethod
    def of(cls, truth: NormalMixture, dataset: Dataset) -> Self:
        """Assign a data set at its truth; ValueError if a label names no component."""
        soft, labels = log_responsibilities(truth, dataset.x), _known_labels(dataset, truth)
        return cls(
            truth=truth,
            labels=labels,
            log_responsibilities=soft,
            scores=None if labels is None else score_assignments(soft, labels),
            bayes_error=bayes_error(truth),
        )


@dataclass(frozen=True, slots=True)
class SoftIntervals:
    """Intervals of soft assignments against the soft assignments at the true parameters.

    Of each observation all components count but the most probable one at the truth, whose soft
    assignment is one less the others', and next to 1 has no digits left.

    Attributes
    ----------
    coverage : float
        Share of intervals, closed, that hold the soft assignment at the truth; NaN for one component.
    width : float
        Their mean width.
    """

    coverage: float
    width: float


@dataclass(frozen=True, slots=True, eq=False)
class Recovery:
    """What a fit recovered of the mixture that generated the data.

    Attributes
    ----------
    truth : NormalMixture
    fit : Fit
        The fit with its components in the truth's order.
    alignment : Alignment
        How they were matched.
    hellinger, kl : float
        Hellinger distance and Kullback-Leibler divergence of the fitted density from the true one;
        they need no labels.
    to_oracle : AssignmentDistance
        Distance of the soft assignments from the oracle's, which knows the true parameters.
    scores, oracle_scores : AssignmentScores or None
        Scores of the soft assignments, and of the oracle's, against the true components; None
        without labels.
    bayes_error : float
        Error rate of the best possible hard assignment.
    soft_intervals : SoftIntervals or None
        Whether the intervals of soft assignments hold the oracle's; None without intervals.
    """

    truth: NormalMixture
    fit: Fit
    alignment: Alignment
    hellinger: float
    kl: float
    to_oracle: AssignmentDistance
    scores: AssignmentScores | None
    oracle_scores: AssignmentScores | None
    bayes_error: float
    soft_intervals: SoftIntervals | None

    @property
    def errors(self) -> Parameters:
        """Estimate minus truth for weights, means and variances."""
        truth, estimate = self.truth, _estimate_of(self.fit)
        return Parameters(
            estimate.weights - truth.weights,
            estimate.means - truth.means,
            estimate.variances - truth.variances,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Agreement:
    """How far two fits of the same data agree on soft assignments.

    Attributes
    ----------
    alignment : Alignment
        How the second fit's components were matched to the first's: directly, never through a truth.
    distance : AssignmentDistance
        From the first fit's soft assignments to the second's.
    """

    alignment: Alignment
    distance: AssignmentDistance


def compare(truth: NormalMixture, dataset: Dataset, fit: Fit) -> Recovery:
    """Compare a fit with the mixture that generated its data.

    Components are matched to the truth once, by `align`, the same rule for every engine; everything
    that depends on their order is computed after that.

    Parameters
    ----------
    truth : NormalMixture
        With as many components and dimensions as the fit.
    dataset : Dataset
        The observations that were fitted, with their true components where these are known.
    fit : Fit
        With an estimate.

    Returns
    -------
    Recovery

    Raises
    ------
    ValueError
        If the fit has no estimate, truth and estimate differ in components or dimensions, or a label
        names no component of the truth.
    """
    alignment = align(truth, _estimate_of(fit))
    return _measure(Oracle.of(truth, dataset), fit, alignment)


def recover(oracle: Oracle, fit: Fit) -> Recovery:
    """Compare a fit as `compare` does, with an oracle that serves every fit of the same data."""
    return _measure(oracle, fit, align(oracle.truth, _estimate_of(fit)))


def _measure(oracle: Oracle, fit: Fit, alignment: Alignment) -> Recovery:
    truth, labels = oracle.truth, oracle.labels
    aligned = fit.permuted(alignment.permutation)
    estimate, soft = _estimate_of(aligned), _soft_assignments_of(aligned)
    n = len(oracle.log_responsibilities)
    if len(soft) != n:
        raise ValueError(f"dataset must be what was fitted, {len(soft)} observations; got {n}")
    distances = density_distances(truth, estimate)
    return Recovery(
        truth=truth,
        fit=aligned,
        alignment=alignment,
        hellinger=distances.hellinger,
        kl=distances.kl,
        to_oracle=assignment_distance(oracle.log_responsibilities, soft),
        scores=None if labels is None else score_assignments(soft, labels),
        oracle_scores=oracle.scores,
        bayes_error=oracle.bayes_error,
        soft_intervals=_hold(aligned.responsibility_intervals, oracle.log_responsibilities),
    )


def _hold(intervals: Array | None, log_oracle: Array) -> SoftIntervals | None:
    """Hold intervals (n, k, 2) against the oracle's log soft assignments (n, k)."""
    if intervals is None:
        return None
    counts = np.ones(log_oracle.shape, dtype=bool)
    counts[np.arange(len(log_oracle)), log_oracle.argmax(axis=1)] = False
    (lower, upper), at_truth = intervals[counts].T, np.exp(log_oracle[counts])
    return SoftIntervals(coverage(lower, upper, at_truth).value, interval_width(lower, upper).value)


def agree(reference: Fit, fit: Fit) -> Agreement:
    """Compare the soft assignments of two fits of the same data, aligned directly to each other.

    Raises
    ------
    ValueError
        If a fit has no estimate, or the two differ in components, dimensions or observations.
    """
    alignment = align(_estimate_of(reference), _estimate_of(fit))
    first = _soft_assignments_of(reference)
    second = _soft_assignments_of(fit.permuted(alignment.permutation))
    if first.shape != second.shape:
        raise ValueError(
            f"both fits must be of the same observations; got {len(first)} and {len(second)} of them"
        )
    return Agreement(alignment, assignment_distance(first, second))


def _estimate_of(fit: Fit) -> NormalMixture:
    if fit.estimate is None:
        raise ValueError(
            f"a fit must have an estimate to be compared; got status {fit.status}: {fit.message}"
        )
    return fit.estimate


def _soft_assignments_of(fit: Fit) -> Array:
    if fit.log_responsibilities is None:
        raise ValueError(f"a fit must have soft assignments to be compared; got none from {fit.method}")
    return fit.log_responsibilities


def _known_labels(dataset: Dataset, truth: NormalMixture) -> Integers | None:
    """The labels, or None where no observation has one."""
    if dataset.labels is None or dataset.labels.max() < 0:
        return None
    if dataset.labels.max() >= truth.n_components:
        raise ValueError(
            f"labels must be below the truth's {truth.n_components} components; got {dataset.labels.max()}"
        )
    return dataset.labels

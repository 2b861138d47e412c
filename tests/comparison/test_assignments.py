"""Soft assignments: distances, scores and calibration, against loops, scikit-learn and brute force."""

import itertools
import math
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from mixtures.comparison.assignments import (
    adjusted_rand_index,
    assignment_distance,
    calibration_error,
    contingency,
    error_after_best_mapping,
    score_assignments,
)

RNG = np.random.default_rng(1)
R0, R = RNG.dirichlet(np.ones(3), size=50), RNG.dirichlet(np.ones(3), size=50)
LABELS = RNG.integers(3, size=50)


def log(r):
    with np.errstate(divide="ignore"):
        return np.log(r)


def test_distances_by_loops():
    distance = assignment_distance(log(R0), log(R))
    n, k = R.shape
    cells = list(itertools.product(range(n), range(k)))
    assert distance.total_variation == pytest.approx(
        sum(abs(R[c] - R0[c]) for c in cells) / (2 * n), rel=1e-12
    )
    assert distance.kl == pytest.approx(sum(R0[c] * math.log(R0[c] / R[c]) for c in cells) / n, rel=1e-12)
    assert distance.largest == pytest.approx(max(abs(R[c] - R0[c]) for c in cells), rel=1e-12)
    assert distance.disagreement == sum(R[i].argmax() != R0[i].argmax() for i in range(n)) / n


def test_the_same_assignments_are_at_no_distance():
    distance = assignment_distance(log(R), log(R))
    assert (distance.total_variation, distance.kl, distance.largest, distance.disagreement) == (0, 0, 0, 0)


def test_what_is_ruled_out_is_infinitely_far_and_what_merely_underflows_is_not():
    certain, soft = np.array([[1.0, 0.0]]), np.array([[0.5, 0.5]])
    assert assignment_distance(log(soft), log(certain)).kl == math.inf
    assert assignment_distance(log(certain), log(soft)).kl == pytest.approx(math.log(2))
    tiny = np.array([[0.0, -2000.0]])  # e^-2000 is no float
    assert assignment_distance(log(soft), tiny).kl == pytest.approx(0.5 * (2000 - 2 * math.log(2)), rel=1e-9)
    assert assignment_distance(np.array([[0.0, -700.0]]), tiny).kl < 1e-200


def test_scores_by_loops():
    scores = score_assignments(log(R), LABELS)
    n, k = R.shape
    assert scores.log_score == pytest.approx(-sum(math.log(R[i, LABELS[i]]) for i in range(n)) / n, rel=1e-12)
    brier = sum((R[i, j] - (LABELS[i] == j)) ** 2 for i in range(n) for j in range(k)) / n
    assert scores.brier == pytest.approx(brier, rel=1e-12)
    assert scores.error_rate == sum(R[i].argmax() != LABELS[i] for i in range(n)) / n
    assert scores.adjusted_rand_index == pytest.approx(
        adjusted_rand_score(LABELS, R.argmax(axis=1)), rel=1e-12
    )
    assert scores.n_infinite == 0


def test_an_exact_zero_is_an_infinite_score_and_counted():
    r = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5], [1.0, 0.0]])
    scores = score_assignments(log(r), np.array([0, 0, 1, 1]))
    assert scores.log_score == math.inf
    assert scores.n_infinite == 2
    assert scores.brier == pytest.approx((0 + 2 + 0.5 + 2) / 4)


def test_a_probability_too_small_for_a_float_has_a_finite_score():
    scores = score_assignments(np.array([[0.0, -3000.0], [-3000.0, 0.0]]), np.array([1, 1]))
    assert scores.log_score == 1500
    assert scores.n_infinite == 0


def test_unknown_labels_are_left_out():
    labels = LABELS.copy()
    labels[::3] = -1
    known = labels >= 0
    scores, whole = score_assignments(log(R), labels), score_assignments(log(R[known]), labels[known])
    assert scores == whole
    for field in fields(scores.reliability):
        assert np.array_equal(getattr(scores.reliability, field.name), getattr(whole.reliability, field.name))
    assert scores.reliability.counts.sum() == 3 * known.sum()


def draws_from(r, rng):
    """Labels that the soft assignments are the true probabilities of."""
    return (rng.random((len(r), 1)) > r.cumsum(axis=1)).sum(axis=1)


def test_true_probabilities_are_calibrated_and_overconfident_ones_are_not():
    """Each bin's gap in its standard errors; 10 bins below 5: a false alarm in 6e-6."""
    rng = np.random.default_rng(2)
    r = rng.dirichlet(np.ones(2), size=20_000)
    labels = draws_from(r, rng)
    sharper = r**2 / (r**2).sum(axis=1, keepdims=True)

    def worst(soft):
        bins = score_assignments(log(soft), labels).reliability
        share = bins.assigned / bins.counts
        return (np.abs(bins.belonging - bins.assigned) / np.sqrt(bins.counts * share * (1 - share))).max()

    assert worst(r) < 5
    assert worst(sharper) > 5  # the control
    # ten gaps that would average sqrt(2 / pi) of the se of a mean of 4,000 halves, .004, at most
    assert calibration_error(r, labels) < 0.01
    assert calibration_error(sharper, labels) > 0.05  # the control


def test_the_calibration_error_by_hand():
    r = np.array([[0.9, 0.1]] * 10)
    labels = np.array([0] * 7 + [1] * 3)
    assert calibration_error(r, labels) == pytest.approx(sum_of_bins(r, labels), rel=1e-12)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 9, 50, 333])
@pytest.mark.parametrize("k", [1, 2, 3])
def test_the_calibration_error_by_loops(n, k):
    """Numbers of cells below ten and between its multiples, and ties, which stay in order."""
    rng = np.random.default_rng(n)
    r = rng.dirichlet(np.full(k, 0.3), size=n).round(2)
    labels = rng.integers(k, size=n)
    assert calibration_error(r, labels) == pytest.approx(sum_of_bins(r, labels), rel=1e-12, abs=1e-15)


def sum_of_bins(r, labels):
    """Cells from small to large, dealt to ten bins, the first of which take what is left over."""
    cells = sorted(
        (r[i, j], i * r.shape[1] + j, labels[i] == j) for i in range(len(r)) for j in range(r.shape[1])
    )
    left, total = list(cells), 0.0
    for b in range(10):
        size = len(cells) // 10 + (b < len(cells) % 10)
        total += abs(math.fsum(p - hit for p, _, hit in left[:size]))
        left = left[size:]
    return total / len(cells)


def test_bins_of_equal_width_by_loops():
    bins = score_assignments(log(R), LABELS).reliability
    for b in range(10):
        inside = [
            (R[i, j], LABELS[i] == j) for i in range(50) for j in range(3) if min(int(R[i, j] * 10), 9) == b
        ]
        assert bins.counts[b] == len(inside)
        assert bins.assigned[b] == pytest.approx(sum(p for p, _ in inside))
        assert bins.belonging[b] == sum(hit for _, hit in inside)
    ends = score_assignments(np.array([[0.0, -math.inf]]), np.array([0])).reliability
    assert ends.counts.tolist() == [1, 0, 0, 0, 0, 0, 0, 0, 0, 1]
    assert ends.belonging.tolist() == [0, 0, 0, 0, 0, 0, 0, 0, 0, 1]


# The definitions in numpy -------------------------------------------------------------------------


def scores_in_numpy(logs, labels):
    known = labels >= 0
    logs, labels = logs[known], labels[known]
    r, y = np.exp(logs), np.eye(logs.shape[1])[labels]
    of_label, hard = logs[np.arange(len(logs)), labels], r.argmax(axis=1)
    return {
        "log_score": -of_label.mean(),
        "n_infinite": np.isneginf(of_label).sum(),
        "brier": np.square(r - y).sum(axis=1).mean(),
        "error_rate": (hard != labels).mean(),
        "adjusted_rand_index": adjusted_rand_score(labels, hard),
        "calibration_error": sum_of_bins(r, labels),
    }


def distances_in_numpy(log_reference, logs):
    reference, r = np.exp(log_reference), np.exp(logs)
    with np.errstate(invalid="ignore"):
        terms = np.where(reference > 0, reference * (log_reference - logs), 0)
    return {
        "total_variation": np.abs(r - reference).sum() / (2 * len(r)),
        "kl": max(terms.sum() / len(r), 0),
        "largest": np.abs(r - reference).max(),
        "disagreement": (logs.argmax(axis=1) != log_reference.argmax(axis=1)).mean(),
    }


def bins_in_numpy(logs, labels):
    known = labels >= 0
    r, y = np.exp(logs[known]).ravel(), np.eye(logs.shape[1])[labels[known]].ravel()
    bins = np.minimum((r * 10).astype(int), 9)
    return [np.bincount(bins, weights=values, minlength=10) for values in (np.ones(len(r)), r, y)]


@given(
    n=st.integers(1, 60),
    k=st.integers(1, 5),
    sharpness=st.sampled_from([0.1, 1.0, 30.0, 3000.0]),
    has_zeros=st.booleans(),
    has_unknown=st.booleans(),
    order=st.sampled_from("CF"),
    seed=st.integers(0, 1000),
)
def test_one_pass_is_the_definition_in_numpy(n, k, sharpness, has_zeros, has_unknown, order, seed):
    """Certain, impossible, tied and underflowing soft assignments, unlabelled data, either memory order."""
    rng = np.random.default_rng(seed)
    exponents = sharpness * rng.normal(size=(2, n, k)).round(1)
    if has_zeros:
        exponents[rng.random((2, n, k)) < 0.2] = -math.inf
        exponents[..., 0] = 0
    log_reference, logs = (
        np.array(one - np.logaddexp.reduce(one, axis=1, keepdims=True), order=order) for one in exponents
    )
    labels = rng.integers(k, size=n)
    if has_unknown:
        labels[1:][rng.random(n - 1) < 0.3] = -1
    scores, distance = score_assignments(logs, labels), assignment_distance(log_reference, logs)
    bins = scores.reliability
    for found, expected in (
        (scores, scores_in_numpy(logs, labels)),
        (distance, distances_in_numpy(log_reference, logs)),
    ):
        for name, value in expected.items():
            assert getattr(found, name) == pytest.approx(value, rel=1e-12, abs=1e-14), name
    for found, value in zip(
        (bins.counts, bins.assigned, bins.belonging), bins_in_numpy(logs, labels), strict=True
    ):
        assert found == pytest.approx(value, rel=1e-12, abs=1e-300)


def test_what_would_leave_the_tables_is_refused():
    with pytest.raises(ValueError, match="labels must be those of components"):
        score_assignments(log(R), np.full(len(R), 3))
    with pytest.raises(ValueError, match="must be numbers; got nan"):
        score_assignments(np.full((2, 2), math.nan), np.array([0, 1]))


PARTITIONS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=60)


@given(PARTITIONS)
def test_the_adjusted_rand_index_is_scikit_learns(pairs):
    first, second = np.array(pairs).T
    assert adjusted_rand_index(first, second) == pytest.approx(adjusted_rand_score(first, second), abs=1e-12)


def test_the_adjusted_rand_index_needs_no_names():
    rng = np.random.default_rng(3)
    labels = rng.integers(3, size=2000)
    assert adjusted_rand_index(labels, (labels + 1) % 3) == 1
    # by chance 0 with an sd of about 2 / n: 5e-4 here, 10 of them
    assert abs(adjusted_rand_index(labels, rng.integers(3, size=2000))) < 5e-3


def best_mapping_by_brute_force(groups, assignments):
    """Try every mapping of the more numerous partition onto the other that uses all of its classes."""
    table = contingency(groups, assignments)
    table = table if table.shape[0] >= table.shape[1] else table.T
    rows, columns = table.shape
    hits = [
        sum(table[row, column] for row, column in enumerate(mapping))
        for mapping in itertools.product(range(columns), repeat=rows)
        if set(mapping) == set(range(columns))
    ]
    return 1 - max(hits) / table.sum()


@given(PARTITIONS)
def test_the_best_mapping_is_that_of_brute_force(pairs):
    groups, assignments = np.array(pairs).T
    expected = best_mapping_by_brute_force(groups, assignments)
    assert error_after_best_mapping(groups, assignments) == pytest.approx(expected, abs=1e-12)


def test_three_species_on_two_components():
    groups = np.repeat([0, 1, 2], [10, 5, 8])
    assignments = np.repeat([0, 1], [15, 8])
    assert error_after_best_mapping(groups, assignments) == 0
    assert error_after_best_mapping(assignments, groups) == 0
    assert error_after_best_mapping(groups, np.roll(assignments, 1)) > 0


def test_contingency_by_loops():
    table = contingency(np.array([3, 3, 7, 7, 7]), np.array([0, 2, 2, 2, 0]))
    assert table.tolist() == [[1, 1], [1, 2]]

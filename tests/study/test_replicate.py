"""One replicate: its data, its fits, and the rows that they become."""

import numpy as np
import pytest

from mixtures.comparison.recovery import agree, compare
from mixtures.em.fitter import EM
from mixtures.model.data import simulate
from mixtures.model.density import responsibilities
from mixtures.study.replicate import attempt, generate, hash_of, record, record_oracle, record_pair
from mixtures.study.rows import Rows
from mixtures.study.seeds import stream
from study import engines
from study.designs import PRIOR, design, grid, truth

SEED = 11
DATA = [-0.20319945153755392, 0.16807471303573038, -0.1203786487695971]


def replicate_of(index=0, **changes):
    return generate(SEED, design(**changes).conditions[0], index)


def rows_of(replicate, engine, key="m"):
    rows = Rows.empty()
    attempted = attempt(engine, key, replicate, SEED)
    record(rows, key, replicate, attempted)
    return rows, attempted.fit


def test_the_data_come_from_their_own_stream():
    replicate = replicate_of(3)
    condition = replicate.condition
    again = simulate(condition.truth.as_mixture(), 40, stream(SEED, condition.key, 3, "data"))
    assert np.array_equal(replicate.dataset.x, again.x)
    assert np.array_equal(replicate.dataset.labels, again.labels)
    assert replicate.index == 3
    assert not np.array_equal(replicate.dataset.x, replicate_of(4).dataset.x)


def test_the_data_are_written_down():
    """They are the same on every machine and for ever; see also the written streams."""
    assert replicate_of(0).dataset.x[:3, 0].tolist() == pytest.approx(DATA, rel=1e-12)


def test_a_truth_from_a_prior_is_drawn_for_each_replicate():
    drawn = [replicate_of(index, grid=grid(PRIOR)) for index in range(3)]
    again = replicate_of(1, grid=grid(PRIOR))
    assert np.array_equal(drawn[1].truth.means, again.truth.means)
    assert len({one.truth.means[0, 0] for one in drawn}) == 3


def test_the_hash_knows_every_bit():
    x = replicate_of().dataset.x
    changed = x.copy()
    changed[7] = np.nextafter(changed[7], np.inf)
    assert hash_of(x) == hash_of(x.copy()) != hash_of(changed)
    assert len(hash_of(x)) == 16


def test_the_row_of_a_fit_is_what_compare_says():
    replicate = replicate_of(2)
    rows, fit = rows_of(replicate, engines.QuickEM())
    recovery = compare(replicate.truth, replicate.dataset, fit)
    (row,) = rows.fits
    assert (row.condition, row.replicate, row.method) == (replicate.condition.key, 2, "m")
    assert (row.status, row.has_estimate, row.error_type) == (fit.status, True, "")
    assert row.log_likelihood == fit.log_likelihood
    assert row.data_hash == hash_of(replicate.dataset.x)
    assert (row.hellinger, row.kl, row.bayes_error) == (recovery.hellinger, recovery.kl, recovery.bayes_error)
    assert row.alignment_gap == recovery.alignment.gap
    assert row.total_variation == recovery.to_oracle.total_variation
    assert row.oracle_kl == recovery.to_oracle.kl
    for name in ("log_score", "brier", "error_rate", "adjusted_rand_index", "calibration_error"):
        assert getattr(row, name) == getattr(recovery.scores, name)
        assert getattr(row, f"oracle_{name}") == getattr(recovery.oracle_scores, name)


def test_intervals_of_soft_assignments_leave_their_coverage():
    replicate = replicate_of(2)
    rows, _ = rows_of(replicate, EM(intervals="information"))
    (row,) = rows.fits
    assert 0 < row.soft_coverage <= 1
    assert 0 < row.soft_interval_width < 1
    (bare,) = rows_of(replicate, EM())[0].fits
    assert bare.soft_coverage is bare.soft_interval_width is None


def test_parameters_are_in_the_order_of_the_truth():
    """The truth's larger mean comes first, the fit's smaller one: the rows follow the truth."""
    backwards = truth(weights=[0.3, 0.7], means=[5.0, 0.0])
    replicate = replicate_of(grid=grid(backwards))
    rows, fit = rows_of(replicate, engines.QuickEM())
    assert np.all(np.diff(fit.estimate.means[:, 0]) > 0)
    means = {row.component: row for row in rows.parameters if row.parameter == "means"}
    assert (means[1].truth, means[2].truth) == (5.0, 0.0)
    assert means[1].estimate == fit.estimate.means[1, 0]
    assert means[2].estimate == fit.estimate.means[0, 0]
    variances = {row.component: row for row in rows.parameters if row.parameter == "variances"}
    assert variances[1].estimate == fit.estimate.variances[1, 0]
    assert all(row.lower is row.upper is row.standard_error is None for row in rows.parameters)


def test_intervals_follow_their_parameters():
    backwards = truth(weights=[0.3, 0.7], means=[5.0, 0.0])
    rows, fit = rows_of(replicate_of(grid=grid(backwards)), engines.Halves(intervals=0.25))
    for row in rows.parameters:
        assert row.standard_error == 0.25
        assert (row.lower, row.upper) == pytest.approx((row.estimate - 0.25, row.estimate + 0.25))
    assert fit.intervals is not None


def test_several_dimensions_have_a_row_for_each_axis():
    wide = {
        "name": "wide",
        "weights": [0.5, 0.5],
        "means": [[0.0, 1.0], [6.0, 2.0]],
        "covariances": [[[1.0, 0.2], [0.2, 2.0]], [[1.0, 0.0], [0.0, 1.0]]],
    }

    replicate = replicate_of(grid=grid(wide))
    rows, _ = rows_of(replicate, EM(n_starts=2))
    places = [(row.parameter, row.component, row.axis) for row in rows.parameters]
    assert len(places) == len(set(places)) == 2 + 4 + 4
    truths = {(row.parameter, row.component, row.axis): row.truth for row in rows.parameters}
    assert truths["means", 2, 2] == 2.0
    assert truths["variances", 1, 2] == 2.0


def test_intervals_are_those_of_their_parameter():
    replicate = replicate_of(grid=grid(truth(weights=[0.3, 0.7], means=[5.0, 0.0])))
    rows, fit = rows_of(replicate, engines.Halves(intervals=0.25))
    order = compare(replicate.truth, replicate.dataset, fit).alignment.permutation
    assert order.tolist() == [1, 0]
    for row in rows.parameters:
        j = order[row.component - 1]
        assert row.estimate == getattr(fit.estimate, row.parameter).ravel()[j]
        assert row.truth == getattr(replicate.truth, row.parameter).ravel()[row.component - 1]
        assert row.lower == getattr(fit.intervals.lower, row.parameter).ravel()[j]
        assert row.upper == getattr(fit.intervals.upper, row.parameter).ravel()[j]
        assert row.standard_error == 0.25


def test_bins_hold_every_soft_assignment_once():
    replicate = replicate_of()
    rows, fit = rows_of(replicate, engines.QuickEM())
    assert sum(row.count for row in rows.reliability) == 40 * 2
    assert sum(row.assigned for row in rows.reliability) == pytest.approx(40)
    assert sum(row.belonging for row in rows.reliability) == 40
    assert all(1 <= row.bin <= 10 and row.count > 0 for row in rows.reliability)
    top = next(row for row in rows.reliability if row.bin == 10)
    assert top.count == (fit.responsibilities >= 0.9).sum()


def test_only_the_first_replicate_is_kept_as_an_example():
    for index, n_rows in ((0, 40 * 2), (1, 0)):
        replicate = replicate_of(index)
        rows, _ = rows_of(replicate, engines.QuickEM())
        assert len(rows.examples) == n_rows
        record_oracle(rows, replicate)
        assert len(rows.examples) == 2 * n_rows


def test_an_example_says_what_was_assigned():
    replicate = replicate_of()
    rows = Rows.empty()
    record_oracle(rows, replicate)
    soft = responsibilities(replicate.truth, replicate.dataset.x)
    for row in rows.examples[::7]:
        assert row.method == "oracle"
        assert row.x == replicate.dataset.x[row.observation, 0]
        assert row.label == replicate.dataset.labels[row.observation] + 1
        assert row.responsibility == soft[row.observation, row.component - 1]


def test_a_pair_is_what_agree_says():
    replicate = replicate_of()
    _, first = rows_of(replicate, engines.Halves(), "a")
    _, second = rows_of(replicate, engines.QuickEM(), "b")
    rows = Rows.empty()
    record_pair(rows, ("a", "b"), replicate, (first, second))
    (row,) = rows.pairs
    distance = agree(first, second).distance
    assert (row.method, row.versus) == ("b", "a")
    assert row.soft_assignment_distance == distance.total_variation
    assert row.kl == distance.kl
    assert row.hard_assignment_disagreement == distance.disagreement


def test_a_pair_needs_both_estimates():
    replicate = replicate_of()
    _, good = rows_of(replicate, engines.Halves())
    _, none = rows_of(replicate, engines.Degenerate())
    _, bad = rows_of(replicate, engines.Misshapen())
    for fits in ((good, none), (none, good), (bad, good)):
        rows = Rows.empty()
        record_pair(rows, ("a", "b"), replicate, fits)
        assert rows.pairs == []


def test_the_fit_has_a_stream_of_its_own():
    replicate = replicate_of()
    engine = engines.Halves(noise=1.0)
    means = [attempt(engine, key, replicate, SEED).fit.estimate.means.tolist() for key in ("a", "a", "b")]
    assert means[0] == means[1] != means[2]
    assert attempt(engine, "a", replicate, SEED + 1).fit.estimate.means.tolist() != means[0]


def test_an_exception_without_words_is_named():
    class Silent(engines.Halves):
        def fit(self, spec, x, rng):  # noqa: ARG002
            raise ZeroDivisionError

    rows, _ = rows_of(replicate_of(), Silent())
    assert (rows.fits[0].status, rows.fits[0].message) == ("error", "ZeroDivisionError")
    assert rows.parameters == []

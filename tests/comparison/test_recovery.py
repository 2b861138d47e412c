"""Truth meets fit: aligned first, whatever the order of components; what is swapped shows up."""

import math
from dataclasses import fields, replace

import numpy as np
import pytest
from oracles import random_mixture
from scipy.special import expit, logit

from mixtures.comparison.assignments import assignment_distance, score_assignments
from mixtures.comparison.distances import bayes_error, density_distances
from mixtures.comparison.recovery import Oracle, agree, compare, recover
from mixtures.em.fitter import EM
from mixtures.model.data import Dataset, simulate
from mixtures.model.density import log_responsibilities, responsibilities
from mixtures.model.fit import Fit, Status
from mixtures.model.mixture import NormalMixture
from mixtures.model.spec import MixtureSpec

TRUTH = NormalMixture.univariate([0.2, 0.5, 0.3], [0, 4, 9], [1, 2, 1])
DATASET = simulate(TRUTH, 300, 1)


@pytest.fixture(scope="module")
def fit():
    return EM().fit(MixtureSpec(3), DATASET.x, 2)


def fit_at(mixture, x=DATASET.x, method="given"):
    return Fit(
        method, MixtureSpec(mixture.n_components), Status.CONVERGED, mixture, log_responsibilities(mixture, x)
    )


def numbers(recovery):
    """Return every number of a recovery."""
    scores, oracle = recovery.scores, recovery.oracle_scores
    return [
        *recovery.errors.weights, *recovery.errors.means.ravel(), *recovery.errors.variances.ravel(),
        recovery.hellinger, recovery.kl, recovery.bayes_error,
        recovery.alignment.cost, recovery.alignment.gap,
        recovery.to_oracle.total_variation, recovery.to_oracle.kl, recovery.to_oracle.largest,
        recovery.to_oracle.disagreement,
        *[getattr(one, field.name) for one in (scores, oracle) for field in fields(one) if field.compare],
        *scores.reliability.counts, *scores.reliability.assigned, *scores.reliability.belonging,
    ]  # fmt: skip


def test_the_truth_itself_is_recovered_exactly():
    recovery = compare(TRUTH, DATASET, fit_at(TRUTH))
    assert np.abs(np.concatenate([recovery.errors.weights, recovery.errors.means.ravel()])).max() == 0
    assert (recovery.hellinger, recovery.kl) == pytest.approx((0, 0), abs=1e-6)
    assert recovery.to_oracle.total_variation == 0
    assert recovery.scores == recovery.oracle_scores
    assert recovery.alignment.cost == pytest.approx(0, abs=1e-12)


def test_every_number_is_what_its_name_says(fit):
    recovery = compare(TRUTH, DATASET, fit)
    estimate = fit.estimate.permuted(recovery.alignment.permutation)
    assert np.array_equal(recovery.fit.estimate.means, estimate.means)
    assert recovery.errors.weights == pytest.approx(estimate.weights - TRUTH.weights)
    assert recovery.errors.means == pytest.approx(estimate.means - TRUTH.means)
    assert recovery.errors.variances == pytest.approx(estimate.variances - TRUTH.variances)
    distances = density_distances(TRUTH, estimate)
    assert (recovery.hellinger, recovery.kl) == (distances.hellinger, distances.kl)
    assert recovery.bayes_error == bayes_error(TRUTH)
    soft, oracle = log_responsibilities(estimate, DATASET.x), log_responsibilities(TRUTH, DATASET.x)
    expected = assignment_distance(oracle, soft)
    assert recovery.to_oracle.kl == pytest.approx(expected.kl, rel=1e-9)
    gaps = np.abs(responsibilities(estimate, DATASET.x) - responsibilities(TRUTH, DATASET.x))
    assert recovery.to_oracle.total_variation == pytest.approx(gaps.sum() / (2 * 300), rel=1e-9)
    assert recovery.scores.brier == pytest.approx(score_assignments(soft, DATASET.labels).brier, rel=1e-9)
    assert recovery.oracle_scores == score_assignments(oracle, DATASET.labels)


def test_one_oracle_serves_every_fit_of_its_data(fit):
    oracle = Oracle.of(TRUTH, DATASET)
    for one in (fit, fit.permuted([1, 2, 0]), fit_at(TRUTH)):
        assert numbers(recover(oracle, one)) == numbers(compare(TRUTH, DATASET, one))
    other = Oracle.of(TRUTH, simulate(TRUTH, 300, 2))
    assert numbers(recover(other, fit)) != numbers(recover(oracle, fit))  # the control
    with pytest.raises(ValueError, match="must be what was fitted, 300 observations; got 10"):
        recover(Oracle.of(TRUTH, Dataset(DATASET.x[:10])), fit)


@pytest.mark.parametrize("order", [[1, 2, 0], [2, 1, 0], [0, 2, 1]])
def test_the_order_of_the_fits_components_changes_nothing(fit, order):
    here, there = compare(TRUTH, DATASET, fit), compare(TRUTH, DATASET, fit.permuted(order))
    assert numbers(there) == pytest.approx(numbers(here), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("order", [[1, 2, 0], [2, 1, 0]])
def test_the_order_of_the_truths_components_only_reorders(fit, order):
    relabelled = Dataset(DATASET.x, np.argsort(order)[DATASET.labels])
    here, there = compare(TRUTH, DATASET, fit), compare(TRUTH.permuted(order), relabelled, fit)
    assert there.errors.weights == pytest.approx(here.errors.weights[order], abs=1e-12)
    assert there.errors.means == pytest.approx(here.errors.means[order], abs=1e-12)
    assert there.hellinger == pytest.approx(here.hellinger, abs=1e-10)
    assert there.to_oracle.total_variation == pytest.approx(here.to_oracle.total_variation, abs=1e-12)
    assert there.scores.brier == pytest.approx(here.scores.brier, abs=1e-12)
    unmatched = Dataset(DATASET.x, DATASET.labels)  # the control: labels left in the old order
    assert compare(TRUTH.permuted(order), unmatched, fit).scores.brier > here.scores.brier + 0.5


def test_swapped_weights_show_up_in_the_weights_and_nowhere_in_the_means(fit):
    order = compare(TRUTH, DATASET, fit).alignment.permutation
    aligned = fit.estimate.permuted(order)
    swapped = NormalMixture(aligned.weights[[1, 0, 2]], aligned.means, aligned.covariances)
    honest, broken = compare(TRUTH, DATASET, fit_at(aligned)), compare(TRUTH, DATASET, fit_at(swapped))
    assert np.array_equal(broken.errors.means, honest.errors.means)
    assert np.array_equal(broken.errors.variances, honest.errors.variances)
    assert np.abs(honest.errors.weights).max() < 0.1
    assert np.abs(broken.errors.weights).max() > 0.2
    assert broken.hellinger > honest.hellinger + 0.1


def test_without_labels_there_are_no_scores(fit):
    recovery = compare(TRUTH, Dataset(DATASET.x), fit)
    assert recovery.scores is recovery.oracle_scores is None
    assert recovery.to_oracle.total_variation > 0


def test_labels_that_are_all_unknown_are_no_labels(fit):
    assert compare(TRUTH, Dataset(DATASET.x, np.full(300, -1)), fit).scores is None


def test_labels_beyond_the_truth_are_refused(fit):
    with pytest.raises(ValueError, match="labels must be below the truth's 3 components; got 3"):
        compare(TRUTH, Dataset(DATASET.x, DATASET.labels + 1), fit)


def test_overlapping_truths_are_ambiguous():
    close = NormalMixture.univariate([0.5, 0.5], [0, 0.3], [1, 1])
    dataset = simulate(close, 100, 3)
    blurred = NormalMixture.univariate([0.5, 0.5], [0.1, 0.2], [1, 1])
    assert compare(close, dataset, fit_at(blurred, dataset.x)).alignment.is_ambiguous


@pytest.mark.parametrize("d", [2, 3])
def test_several_dimensions(d):
    truth = random_mixture(np.random.default_rng(d), 2, d, spread=3)
    dataset = simulate(truth, 400, 4)
    recovery = compare(truth, dataset, EM().fit(MixtureSpec(2), dataset.x, 5))
    assert recovery.errors.variances.shape == (2, d)
    assert recovery.hellinger < 0.2
    assert recovery.scores.error_rate <= recovery.oracle_scores.error_rate + 0.05


def test_a_fit_without_an_estimate_cannot_be_compared(fit):
    failed = Fit("EM", MixtureSpec(3), Status.DEGENERATE, message="all collapsed")
    for call in (
        lambda: compare(TRUTH, DATASET, failed),
        lambda: agree(fit, failed),
        lambda: agree(failed, fit),
    ):
        with pytest.raises(ValueError, match=r"must have an estimate.*got status degenerate: all collapsed"):
            call()


def test_other_numbers_of_components_cannot_be_compared(fit):
    with pytest.raises(ValueError, match="must have the same components and dimensions"):
        compare(random_mixture(np.random.default_rng(1), 2, 1), DATASET, fit)


# Fit against fit --------------------------------------------------------------------------------


def test_two_fits_agree_with_themselves_in_any_order(fit):
    agreement = agree(fit, fit.permuted([2, 0, 1]))
    assert agreement.distance.total_variation == pytest.approx(0, abs=1e-14)
    assert agreement.distance.disagreement == 0
    assert agreement.alignment.permutation.tolist() == [1, 2, 0]


def test_the_agreement_of_two_fits_by_hand(fit):
    other = fit_at(TRUTH)
    agreement = agree(fit, other)
    second = other.permuted(agreement.alignment.permutation).responsibilities
    gaps = np.abs(fit.responsibilities - second)
    assert agreement.distance.total_variation == pytest.approx(gaps.sum() / (2 * 300), rel=1e-9)
    assert agreement.distance.largest == pytest.approx(gaps.max(), rel=1e-9)
    assert agree(other, fit).distance.total_variation == pytest.approx(
        agreement.distance.total_variation, rel=1e-9
    )
    unaligned = np.abs(fit.permuted([1, 2, 0]).responsibilities - second).sum() / 600  # the control
    assert unaligned > agreement.distance.total_variation + 0.5


def test_fits_of_other_data_do_not_agree(fit):
    with pytest.raises(ValueError, match="same observations"):
        agree(fit, fit_at(TRUTH, DATASET.x[:10]))
    with pytest.raises(ValueError, match=r"same observations|soft assignments"):
        agree(fit, replace(fit, log_responsibilities=None))


def test_infinite_scores_stay_infinite():
    certain = np.where(np.eye(3, dtype=bool)[(DATASET.labels + 1) % 3], 0.0, -math.inf)
    recovery = compare(TRUTH, DATASET, replace(fit_at(TRUTH), log_responsibilities=certain))
    assert recovery.scores.log_score == math.inf
    assert recovery.scores.n_infinite == 300


def test_intervals_of_soft_assignments_are_held_against_the_oracle(fit):
    r = fit.responsibilities
    ends = np.stack([0.8 * r, np.minimum(1.2 * r, 1)], axis=-1)
    recovery = compare(TRUTH, DATASET, replace(fit, responsibility_intervals=ends).permuted([2, 0, 1]))
    at_truth, hits, widths = responsibilities(TRUTH, DATASET.x), [], []
    for truth, own in zip(at_truth, recovery.fit.responsibility_intervals, strict=True):
        for j in range(3):
            if j != truth.argmax():
                hits.append(own[j, 0] <= truth[j] <= own[j, 1])
                widths.append(own[j, 1] - own[j, 0])
    assert len(hits) == 600
    assert recovery.soft_intervals.coverage == pytest.approx(np.mean(hits))
    assert recovery.soft_intervals.width == pytest.approx(np.mean(widths))
    assert 0.1 < np.mean(hits) < 0.9
    assert compare(TRUTH, DATASET, fit).soft_intervals is None
    exact = np.repeat(at_truth[..., None], 2, axis=2)
    held = compare(TRUTH, DATASET, replace(fit_at(TRUTH), responsibility_intervals=exact)).soft_intervals
    assert (held.coverage, held.width) == (1, 0)


@pytest.mark.slow
def test_delta_intervals_hold_the_oracle_where_components_are_apart():
    """At separation 4, n = 300, 40 data sets; the control are intervals half as wide on the logit scale.

    Soft assignments of a data set share its estimate: the mean coverage has a standard error of 2%.
    """
    truth, covered, control = NormalMixture.univariate([0.4, 0.6], [0, 4], [1, 1]), [], []
    for seed in range(40):
        dataset = simulate(truth, 300, seed)
        fit = EM(intervals="information").fit(MixtureSpec(2), dataset.x, seed)
        ends = logit(np.clip(fit.responsibility_intervals, 1e-300, 1 - 1e-16))
        half = expit((ends + ends.mean(axis=-1, keepdims=True)) / 2)
        covered.append(compare(truth, dataset, fit).soft_intervals.coverage)
        narrow = replace(fit, responsibility_intervals=half)
        control.append(compare(truth, dataset, narrow).soft_intervals.coverage)
    assert np.mean(covered) == pytest.approx(0.95, abs=0.06)
    assert np.mean(control) < 0.8

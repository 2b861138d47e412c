"""Ranks, the simultaneous band of their ECDF, and the tests of uniform ranks."""

import itertools

import numpy as np
import pytest
from scipy.stats import binom, chisquare

from mixtures.comparison.calibration import (
    central_coverage,
    chi_square,
    contraction,
    ecdf_differences,
    holm,
    ranks_among,
    simultaneous_band,
    thinned_places,
    uniformity,
    z_scores,
)


def leaves(ranks, band):
    """Whether each row of ranks leaves the band, by counting with a plain comparison."""
    at_or_below = (ranks[:, :, None] <= np.arange(band.n_draws)).mean(axis=1)
    differences = at_or_below - np.arange(1, band.n_draws + 1) / (band.n_draws + 1)
    inside = (differences >= band.lower - 1e-12) & (differences <= band.upper + 1e-12)
    return ~inside.all(axis=1)


def test_a_rank_counts_the_draws_below(rng):
    truth, draws = rng.normal(size=5), rng.normal(size=(30, 5))
    expected = [sum(draw < true for draw in column) for true, column in zip(truth, draws.T, strict=True)]
    assert ranks_among(truth, draws, rng).tolist() == expected


def test_ties_are_broken_at_random_with_no_preference(rng):
    ranks = ranks_among(np.zeros(20_000), np.zeros((4, 20_000)), rng)
    counts = np.bincount(ranks, minlength=5)
    assert np.abs(counts - 4000).max() < 4 * np.sqrt(20_000 * 0.2 * 0.8)
    below_and_tied = np.array([[-1.0], [0.0], [0.0], [1.0]])
    assert {int(ranks_among([0.0], below_and_tied, rng)[0]) for _ in range(100)} == {1, 2, 3}


def test_infinite_values_have_ranks(rng):
    assert ranks_among([-np.inf, np.inf], np.zeros((7, 2)), rng).tolist() == [0, 7]


@pytest.mark.parametrize(
    ("truth", "draws", "message"),
    [
        ([0.0], [[0.0, 1.0]], "shapes"),
        ([0.0], np.zeros((0, 1)), "shapes"),
        ([np.nan], [[0.0]], "must not be NaN"),
        ([0.0], [[np.nan]], "must not be NaN"),
    ],
)
def test_what_cannot_be_ranked_is_refused(truth, draws, message, rng):
    with pytest.raises(ValueError, match=message):
        ranks_among(truth, draws, rng)


@pytest.mark.parametrize(("total", "kept"), [(99, 99), (2400, 99), (1000, 7), (101, 99)])
def test_thinning_is_even(total, kept):
    places = thinned_places(total, kept)
    assert len(set(places.tolist())) == kept
    assert 0 <= places[0] <= places[-1] < total
    assert np.ptp(np.diff(places)) <= 1
    assert abs(places[0] - (total - 1 - places[-1])) <= 1


def test_there_must_be_draws_enough_to_keep():
    with pytest.raises(ValueError, match="n_draws must be at least the 99 that are kept; got 98"):
        thinned_places(98, 99)


@pytest.mark.parametrize(("n", "n_draws"), [(1, 3), (3, 2), (4, 4), (6, 1)])
def test_p_values_and_bands_are_those_of_every_outcome(n, n_draws):
    """By hand: all (L + 1)^n outcomes, the tails of each, and the share with tails no larger."""
    outcomes = np.array(list(itertools.product(range(n_draws + 1), repeat=n)))
    counts = (outcomes[:, :, None] <= np.arange(n_draws)).sum(axis=1)
    places = np.arange(1, n_draws + 1) / (n_draws + 1)
    tails = 2 * np.minimum(binom.cdf(counts, n, places), binom.sf(counts - 1, n, places))
    smallest = np.minimum(tails, 1).min(axis=1)
    for ranks, own in list(zip(outcomes, smallest, strict=True))[:: max(1, len(outcomes) // 50)]:
        assert uniformity(ranks, n_draws).value == pytest.approx((smallest <= own).mean(), abs=1e-12)
    for level in (0.5, 0.8, 0.95):
        band = simultaneous_band(n, n_draws, level)
        kept = 1 - leaves(outcomes, band).mean()
        assert kept == pytest.approx(band.probability)
        wider = [1 - (smallest <= gamma).mean() for gamma in np.unique(smallest)]
        assert band.probability == pytest.approx(min([1.0, *(p for p in wider if p >= level - 1e-12)]))


@pytest.mark.parametrize(("n", "n_draws", "level"), [(100, 19, 0.95), (250, 99, 0.99)])
def test_the_band_has_its_simultaneous_coverage(n, n_draws, level, rng):
    """Tolerance: four Monte Carlo errors; limits for each place alone are left far more often."""
    n_simulated = 4000
    ranks = rng.integers(0, n_draws + 1, (n_simulated, n))
    band = simultaneous_band(n, n_draws, level)
    kept = 1 - leaves(ranks, band).mean()
    mcse = np.sqrt(band.probability * (1 - band.probability) / n_simulated)
    assert level <= band.probability < level + 0.005
    assert abs(kept - band.probability) < 4 * mcse
    places = np.arange(1, n_draws + 1) / (n_draws + 1)
    at_or_below = (ranks[:, :, None] <= np.arange(n_draws)).sum(axis=1)
    low, high = binom.ppf([[(1 - level) / 2], [(1 + level) / 2]], n, places)
    alone = ((at_or_below >= low) & (at_or_below <= high)).all(axis=1).mean()
    assert alone < level - 0.05


def test_the_band_and_the_test_say_the_same(rng):
    ranks = np.minimum(rng.integers(0, 20, (200, 80)), rng.integers(0, 24, (200, 80)))
    left = leaves(ranks, simultaneous_band(80, 19, 0.95))
    p_values = np.array([uniformity(row, 19).value for row in ranks])
    assert 0 < left.sum() < 200
    assert np.array_equal(left, p_values <= 1 - simultaneous_band(80, 19, 0.95).probability + 1e-12)


def test_differences_are_of_the_ecdf(rng):
    ranks = rng.integers(0, 10, 50)
    expected = [(ranks <= j).mean() - (j + 1) / 10 for j in range(9)]
    assert ecdf_differences(ranks, 9) == pytest.approx(expected)


def test_shifted_narrow_and_wide_posteriors_are_found(rng):
    """Of a normal posterior: right, its mean off by half an sd, and its sd 0.6 and 1.6 times as large."""
    truth = rng.normal(size=400)
    for centre, spread, is_right in ((0, 1, True), (0.5, 1, False), (0, 0.6, False), (0, 1.6, False)):
        draws = centre + spread * rng.normal(size=(99, 400))
        p = uniformity(ranks_among(truth, draws, rng), 99)
        assert (p.value > 0.01) == is_right
        assert (p.n, p.mcse) == (400, 0)


def test_draws_shrunk_by_a_fifth_are_found(rng):
    """Normal truths with one observation each, 100 checks of 1,000; at the limit for one of 11 quantities."""
    truth = rng.normal(size=100_000)
    means = (truth + rng.normal(size=100_000)) / 2
    draws = means + np.sqrt(0.5) * rng.normal(size=(99, 100_000))
    shrunk = draws.mean(axis=0) + 0.8 * (draws - draws.mean(axis=0))
    band = simultaneous_band(1000, 99, 1 - 0.01 / 11)
    power, false_alarms = (
        leaves(ranks_among(truth, given, rng).reshape(100, 1000), band).mean() for given in (shrunk, draws)
    )
    print(f"power against draws shrunk by a fifth, 1,000 data sets: {power:.3f}")
    assert power > 0.99
    assert false_alarms < 0.03


def test_chi_square_is_pearsons(rng):
    ranks = rng.integers(0, 100, 600)
    counts = np.histogram(ranks, bins=np.arange(0, 101, 5))[0]
    assert chi_square(ranks, 99).value == pytest.approx(chisquare(counts).pvalue)
    assert np.isnan(chi_square(ranks[:9], 99).value)


@pytest.mark.parametrize(
    ("n", "n_draws", "n_bins"), [(600, 100, 20), (60, 99, 11), (50, 99, 10), (600, 12, 13), (1000, 996, 20)]
)
def test_bins_of_the_chi_square_test_may_differ_by_a_rank(n, n_draws, n_bins, rng):
    """Where the bins cannot be equal, as of the 101 ranks among 100 draws, what they expect differs too."""
    ranks = rng.integers(0, n_draws + 1, n)
    edges = [i * (n_draws + 1) // n_bins for i in range(n_bins + 1)]
    narrowest, one_more = min(np.diff(edges)), (n_draws + 1) // (n_bins + 1)
    assert max(np.diff(edges)) - narrowest <= 1
    assert n * narrowest / (n_draws + 1) >= 5
    assert n_bins in {20, n_draws + 1} or n * one_more / (n_draws + 1) < 5  # a bin more would expect too few
    observed = [((ranks >= a) & (ranks < b)).sum() for a, b in itertools.pairwise(edges)]
    expected = [n * (b - a) / (n_draws + 1) for a, b in itertools.pairwise(edges)]
    assert chi_square(ranks, n_draws).value == pytest.approx(chisquare(observed, expected).pvalue)


def test_unequal_bins_keep_the_level_of_the_chi_square_test(rng):
    """Of 2,000 tests the share at 5% is good to .0049; within four of these: 6e-5 of false alarms."""
    values = np.array([chi_square(ranks, 100).value for ranks in rng.integers(0, 101, (2000, 1000))])
    assert np.mean(values < 0.05) == pytest.approx(0.05, abs=0.02)
    skewed = rng.binomial(100, 0.5, 1000)
    assert chi_square(skewed, 100).value < 1e-6  # the control


@pytest.mark.parametrize("n_draws", [9, 10, 99])
def test_coverage_is_that_of_intervals_between_draws(n_draws, rng):
    truth, draws = rng.normal(size=60), rng.normal(size=(n_draws, 60))
    curve = central_coverage(ranks_among(truth, draws, rng), n_draws)
    ordered = np.sort(draws, axis=0)
    for m, (level, share) in enumerate(zip(curve.levels[::-1], curve.shares[::-1], strict=True), start=1):
        holds = (ordered[m - 1] <= truth) & (truth <= ordered[-m])
        assert share.value == holds.mean()
        assert level == pytest.approx(1 - 2 * m / (n_draws + 1))
    assert np.all(np.diff(curve.levels) > 0)
    assert curve.levels[0] > 0
    assert curve.nearest(curve.levels[1] + 1e-3) is curve.shares[1]


def test_contraction_and_z_scores_of_a_conjugate_posterior(rng):
    """Normal prior and one normal observation, each of variance 1: the posterior has half the variance."""
    truth = rng.normal(size=5000)
    means, sds = (truth + rng.normal(size=5000)) / 2, np.full(5000, np.sqrt(0.5))
    found = contraction(sds, truth)
    assert abs(found.value - 0.5) < 4 * found.mcse
    assert 0 < found.mcse < 0.02
    z = z_scores(truth, means, sds)
    assert abs(np.mean(z**2) - 1) < 4 * np.sqrt(2 / 5000)
    assert np.isnan(contraction(sds[:1], truth[:1]).value)
    assert np.isnan(contraction(sds[:3], np.ones(3)).value)
    assert np.isnan(z_scores([1.0], [1.0], [0.0]))


def test_contraction_refuses_what_are_no_standard_deviations():
    with pytest.raises(
        ValueError, match=r"sds and truths must have the same shape \(n,\); got \(1,\), \(3,\)"
    ):
        contraction([1.0], [1.0, 2.0, 5.0])
    with pytest.raises(ValueError, match=r"sds must not be negative; got -1\.0"):
        contraction([-1.0, 1.0, 1.0], [1.0, 2.0, 5.0])


def test_one_draw_resolves_no_level():
    nearest = central_coverage([0, 1, 1], 1).nearest(0.5)
    assert nearest.n == 0
    assert np.isnan(nearest.value)


def test_holm_adjusts_in_steps():
    """Worked by hand: the sorted .01, .03, .04 times 3, 2 and 1, never smaller than the one before."""
    assert holm([0.01, 0.04, np.nan, 0.03]) == pytest.approx([0.03, 0.06, np.nan, 0.06], nan_ok=True)
    assert holm([0.7, 0.6]).tolist() == [1.0, 1.0]
    assert holm([]).tolist() == []
    for wrong, what in (([-0.1, 0.5], "-0.1"), ([0.5, np.nan, 2.0], "2.0")):
        with pytest.raises(ValueError, match=f"p_values must lie between 0 and 1, or be NaN; got {what}"):
            holm(wrong)
    with pytest.raises(ValueError, match=r"p_values must be in one row; got shape \(\)"):
        holm(0.5)


@pytest.mark.parametrize("test", [uniformity, chi_square])
def test_without_ranks_there_is_no_p_value(test):
    p = test([], 9)
    assert np.isnan(p.value)
    assert p.n == 0


@pytest.mark.parametrize(
    ("ranks", "error", "message"),
    [
        ([10], ValueError, "ranks must lie between 0 and 9; got 10 to 10"),
        ([-1], ValueError, "ranks must lie between 0 and 9"),
        ([0.5], TypeError, "ranks must be whole numbers"),
        ([[1]], TypeError, "in one row"),
    ],
)
def test_wrong_ranks_are_refused(ranks, error, message):
    for use in (uniformity, chi_square, central_coverage, ecdf_differences):
        with pytest.raises(error, match=message):
            use(ranks, 9)


@pytest.mark.parametrize("level", [0, 1, 1.5])
def test_a_level_lies_between_0_and_1(level):
    with pytest.raises(ValueError, match="level must lie between 0 and 1"):
        simultaneous_band(10, 9, level)

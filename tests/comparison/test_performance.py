"""Measures over replicates: a published worked example, plain formulas, the bootstrap, and the edges."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import wilson_by_roots
from references import reference_file

from mixtures.comparison.performance import (
    Measure,
    Positive,
    Proportion,
    bias,
    bias_eliminated_coverage,
    coverage,
    empirical_se,
    failure_rate,
    interval_width,
    mean,
    model_se,
    monte_carlo_interval,
    mse,
    paired_difference,
    paired_proportions,
    proportion,
    ratio_of_sums,
    relative_bias,
    relative_error_model_se,
    relative_precision,
    reversed_precision,
    rmse,
    wilson_interval,
)

# Morris, White & Crowther's worked example -------------------------------------------------------

TRUTH = -0.5
Z95 = 1.959964


@pytest.fixture(scope="module")
def estimates():
    return pd.read_csv(reference_file("simtutorial_estimates.csv")).set_index(["dgm", "method"]).sort_index()


def cell(estimates, dgm, method):
    rows = estimates.loc[(dgm, method)]
    return rows["theta"].to_numpy(), rows["se"].to_numpy()


def assert_printed(measure, value, mcse=None, digits=4):
    assert round(measure.value, digits) == value
    if mcse is not None:
        assert round(measure.mcse, digits) == mcse
    assert measure.n == 1600


@pytest.mark.parametrize(
    ("dgm", "method", "value", "mcse"),
    [
        (1, 1, -0.0029, 0.0052),
        (1, 2, -0.0032, 0.0052),
        (1, 3, -0.0021, 0.0052),
        (2, 1, 0.0494, 0.0035),
        (2, 2, 0.0048, 0.0038),
        (2, 3, 0.0062, 0.0038),
    ],
)
def test_bias_as_published(estimates, dgm, method, value, mcse):
    theta, _ = cell(estimates, dgm, method)
    assert_printed(bias(theta - TRUTH), value, mcse)


@pytest.mark.parametrize(("method", "value"), [(1, 0.2093), (2, 0.2094), (3, 0.2091)])
def test_empirical_se_as_published(estimates, method, value):
    """The published error, .0037, is by normal theory; the robust one is near it here."""
    theta, _ = cell(estimates, 1, method)
    assert_printed(empirical_se(theta - TRUTH, "normal"), value, 0.0037)
    assert empirical_se(theta - TRUTH).mcse == pytest.approx(0.0037, rel=0.1)


@pytest.mark.parametrize(
    ("dgm", "method", "value", "mcse"),
    [(1, 1, 0.9544, 0.0052), (2, 1, 0.9600, None), (2, 2, 0.9556, None), (2, 3, 0.9575, None)],
)
def test_coverage_as_published(estimates, dgm, method, value, mcse):
    theta, se = cell(estimates, dgm, method)
    assert_printed(coverage(theta - Z95 * se, theta + Z95 * se, TRUTH), value, mcse)


def test_bias_eliminated_coverage_as_published(estimates):
    theta, se = cell(estimates, 2, 1)
    lower, upper = theta - Z95 * se, theta + Z95 * se
    assert_printed(bias_eliminated_coverage(lower, upper, TRUTH, theta - TRUTH), 0.9719, 0.0041)
    assert coverage(lower, upper, theta.mean()) == coverage(lower, upper, TRUTH + (theta - TRUTH).mean())


def test_the_relative_error_of_the_model_se_as_published(estimates):
    """The published error, 1.97, is by normal theory."""
    theta, se = cell(estimates, 2, 1)
    assert_printed(relative_error_model_se(theta - TRUTH, se, "normal"), 11.46, 1.97, digits=2)
    assert relative_error_model_se(theta - TRUTH, se).mcse == pytest.approx(1.97, rel=0.1)


# Plain formulas ---------------------------------------------------------------------------------

ERRORS = np.random.default_rng(1).normal(0.2, 1.5, size=40)


def test_each_formula_by_loops():
    n = len(ERRORS)
    centre = sum(ERRORS) / n
    s2 = sum((e - centre) ** 2 for e in ERRORS) / (n - 1)
    m = sum(e**2 for e in ERRORS) / n
    m_se = math.sqrt(sum((e**2 - m) ** 2 for e in ERRORS) / (n * (n - 1)))
    expected = {
        bias: (centre, math.sqrt(s2 / n)),
        mse: (m, m_se),
        rmse: (math.sqrt(m), m_se / (2 * math.sqrt(m))),
    }
    for measure, (value, mcse) in expected.items():
        assert measure(ERRORS).value == pytest.approx(value, rel=1e-12)
        assert measure(ERRORS).mcse == pytest.approx(mcse, rel=1e-12)
    assert relative_bias(ERRORS, 4.0).value == pytest.approx(centre / 4, rel=1e-12)
    assert relative_bias(ERRORS, -4.0).mcse == pytest.approx(math.sqrt(s2 / n) / 4, rel=1e-12)


def test_the_robust_error_of_the_empirical_se_by_loops():
    n = len(ERRORS)
    k, centre = n / (n - 1), ERRORS.mean()
    terms = [k * (e - centre) ** 2 for e in ERRORS]
    ratio = sum(terms) / n
    se = math.sqrt(sum((t - ratio) ** 2 for t in terms)) / n
    measure = empirical_se(ERRORS)
    assert measure.value == pytest.approx(np.std(ERRORS, ddof=1), rel=1e-12)
    assert measure.mcse == pytest.approx(math.sqrt(k) * se / (2 * measure.value), rel=1e-12)


def test_the_robust_error_of_the_empirical_se_follows_the_bootstrap_and_normal_theory_does_not():
    """Heavy tails, as mixture estimates have them: t with 5 degrees of freedom, 3,000 replicates."""
    rng = np.random.default_rng(2)
    errors = rng.standard_t(5, size=3000)
    sds = [rng.choice(errors, size=3000).std(ddof=1) for _ in range(1000)]
    bootstrap = np.std(sds, ddof=1)  # itself good to 1 / sqrt(2000) = 2.2%; 5 of these: 1e-6 of false alarms
    assert empirical_se(errors).mcse == pytest.approx(bootstrap, rel=0.11)
    assert empirical_se(errors, "normal").mcse < 0.8 * bootstrap  # the control


def test_model_se_by_loops():
    ses = np.random.default_rng(3).uniform(0.5, 2, size=30)
    v = ses**2
    m = math.sqrt(v.mean())
    assert model_se(ses).value == pytest.approx(m, rel=1e-12)
    assert model_se(ses).mcse == pytest.approx(math.sqrt(v.var(ddof=1) / (4 * 30 * m**2)), rel=1e-12)


def spread_of(measure, draw, n_studies=1500):
    """Ratio of the stated Monte Carlo error to the sd of the measure over many studies."""
    measures = [measure(draw(np.random.default_rng(seed))) for seed in range(n_studies)]
    return np.mean([m.mcse for m in measures]) / np.std([m.value for m in measures], ddof=1)


@pytest.mark.parametrize("measure", [bias, mse, rmse, empirical_se, mean])
def test_the_stated_monte_carlo_error_is_the_true_one(measure):
    """Over 1,500 studies the sd is known to 1.9%; with 2% of bias at n = 200, 10% is 4 of these: 1e-4."""
    ratio = spread_of(measure, lambda rng: rng.normal(0.5, 1, size=200))
    assert ratio == pytest.approx(1, abs=0.1)
    wrong = spread_of(lambda e: Measure(measure(e).value, measure(e).value / math.sqrt(len(e)), len(e)),
                      lambda rng: rng.normal(0.5, 1, size=200))  # fmt: skip
    assert wrong != pytest.approx(1, abs=0.1)  # the control: value / sqrt(n) is the error of none of them


# Edges ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("measure", [bias, mse, rmse, empirical_se, model_se, mean])
def test_one_replicate_has_no_monte_carlo_error(measure):
    assert math.isnan(measure([0.5]).mcse)
    assert measure([0.5]).n == 1


@pytest.mark.parametrize("measure", [bias, mse, rmse, empirical_se, model_se, mean])
def test_no_replicates_give_nothing(measure):
    for empty in ([], [math.nan]):
        assert math.isnan(measure(empty).value)
        assert math.isnan(measure(empty).mcse)
        assert measure(empty).n == 0


@pytest.mark.parametrize("measure", [bias, mse, rmse, empirical_se, model_se, mean])
def test_missing_values_are_left_out_and_lower_n(measure):
    with_gaps = [1.0, math.nan, 2.0, 4.0, math.nan]
    assert measure(with_gaps) == measure([1.0, 2.0, 4.0])
    assert measure(with_gaps).n == 3


def test_an_infinite_score_is_shown_and_never_dropped():
    measure = mean([1.0, math.inf])
    assert measure.value == math.inf
    assert measure.n == 2
    assert math.isnan(measure.mcse)


def test_relative_bias_of_a_truth_of_zero_is_missing():
    measure = relative_bias(ERRORS, 0.0)
    assert math.isnan(measure.value)
    assert math.isnan(measure.mcse)
    assert measure.n == 40


def test_relative_bias_of_truths_that_differ_is_missing():
    assert math.isnan(relative_bias([0.1, 0.2], [1.0, 2.0]).value)
    assert relative_bias([0.1, 0.2], [2.0, 2.0]) == relative_bias([0.1, 0.2], 2.0)


def test_identical_errors_have_no_spread_and_no_stated_error_of_it():
    measure = empirical_se([2.0, 2.0, 2.0])
    assert measure.value == 0
    assert math.isnan(measure.mcse)


def test_a_missing_interval_is_a_miss():
    lower, upper = [0.0, math.nan, 0.0, 2.0], [1.0, math.nan, 1.0, 3.0]
    assert coverage(lower, upper, 1.0) == Proportion(0.5, 0.25, 4)
    assert interval_width(lower, upper) == Positive(1.0, 0.0, 3)


@pytest.mark.parametrize("missing", [math.nan, math.inf])
def test_a_missing_truth_is_no_miss(missing):
    lower, upper = [0.0, 0.0], [1.0, 1.0]
    with pytest.raises(ValueError, match=f"^truth must be finite; got {missing} in row 1$"):
        coverage(lower, upper, [0.5, missing])
    with pytest.raises(ValueError, match=f"^truth must be finite; got {missing} in row 1$"):
        bias_eliminated_coverage(lower, upper, [0.5, missing], [0.1, -0.1])
    with pytest.raises(ValueError, match=f"^truth must be finite; got {missing} in row 0$"):
        coverage(lower, upper, missing)


@pytest.mark.parametrize("errors", [[math.nan, math.nan], [math.inf, 0.0]])
def test_a_bias_that_is_not_known_cannot_be_eliminated(errors):
    measure = bias_eliminated_coverage([0.0, 0.0], [1.0, 1.0], 0.5, errors)
    assert math.isnan(measure.value)
    assert measure.n == 0


def test_intervals_are_closed():
    assert coverage([0.0, 1.0], [1.0, 2.0], [1.0, 1.0]).value == 1


def test_truths_may_differ_by_replicate():
    assert coverage([0, 10], [1, 11], [0.5, 10.5]).value == 1
    assert coverage([0, 10], [1, 11], [10.5, 0.5]).value == 0


@pytest.mark.parametrize("share", [proportion, failure_rate])
def test_shares(share):
    assert math.isnan(share([True]).mcse)  # one replicate says nothing of the next
    assert share([True, False, False, False]) == Proportion(0.25, math.sqrt(0.25 * 0.75 / 4), 4)
    assert math.isnan(share([]).value)


@pytest.mark.parametrize(
    ("events", "error", "message"),
    [
        ([math.nan, 0, 1], ValueError, "events must be true or false, or 1 or 0; got nan"),
        ([0, 2], ValueError, "events must be true or false, or 1 or 0; got 2"),
        (["False", "False"], TypeError, "events must be true or false, or 1 or 0; got <U5"),
        ([True, None], TypeError, "events must be true or false, or 1 or 0; got None"),
        (pd.Series([True, None], dtype="boolean"), TypeError, "events must be .*; got <NA>$"),
        ([[1], [1, 0]], ValueError, "events must be a regular array; got rows of unequal length"),
        (np.array([[1], [1, 0]], dtype=object), ValueError, "events must be .*; got rows of unequal length"),
        (
            np.ma.array([1, 0], mask=[0, 1]),
            ValueError,
            "events must have no missing values; got a masked array",
        ),
        (True, ValueError, r"events must be in one row; got shape \(\)"),
        ([[True], [False]], ValueError, r"events must be in one row; got shape \(2, 1\)"),
    ],
)
def test_what_is_no_event_is_said(events, error, message):
    for share in (proportion, failure_rate):
        with pytest.raises(error, match=message):
            share(events)


@pytest.mark.parametrize(
    ("measure", "name"),
    [
        *[(measure, "errors") for measure in (bias, empirical_se, mse, rmse)],
        (model_se, "standard_errors"),
        (mean, "values"),
    ],
)
def test_two_columns_are_not_pooled(measure, name):
    for numbers in (np.ones((3, 2)), pd.DataFrame({"a": [1.0, 2.0], "b": [10.0, 20.0]}), 1.0):
        with pytest.raises(ValueError, match=rf"^{name} must be in one row; got shape \("):
            measure(numbers)


@pytest.mark.parametrize("measure", [mean, bias, mse, empirical_se, model_se])
def test_masked_numbers_are_refused_and_not_read_under_the_mask(measure):
    masked = np.ma.array([1.0, 2.0, 99.0], mask=[False, False, True])
    with pytest.raises(ValueError, match="must have no missing values; got a masked array"):
        measure(masked)
    with pytest.raises(ValueError, match=r"^b must have no missing values; got a masked array"):
        paired_difference([1.0, 2.0, 3.0], masked)


def test_events_may_be_given_in_several_ways():
    for events in ([True, False], [1, 0], [1.0, 0.0], np.array([True, False], dtype=object),
                   np.ma.array([True, False]), pd.Series([True, False], dtype="boolean")):  # fmt: skip
        assert proportion(events) == Proportion(0.5, math.sqrt(0.125), 2)


def test_pairs_of_events_are_neither_missing_nor_of_unequal_number():
    with pytest.raises(ValueError, match="a must be true or false, or 1 or 0; got nan"):
        paired_proportions([math.nan, 1, 0], [1, 1, 0])
    with pytest.raises(ValueError, match=r"a and b must have the same shape \(n,\); got \(3,\), \(1,\)"):
        paired_proportions([1, 1, 0], [1])


@pytest.mark.parametrize(
    ("measure", "given"),
    [
        (coverage, ([0.0, 1.0], [1.0], 0.5)),
        (coverage, ([0.0, 1.0], [1.0, 2.0], [0.5])),
        (coverage, (0, 1, 0.5)),
        (bias_eliminated_coverage, ([0.0, 1.0], [1.0, 2.0], 0.5, [0.1])),
        (interval_width, ([0.0, 1.0], [1.0])),
        (relative_bias, ([0.0, 1.0], [1.0])),
        (relative_error_model_se, ([1, 2, 3], [1])),
        (relative_precision, ([1, 2, 3], [1])),
        (paired_difference, ([1, 2, 3], [1])),
        (ratio_of_sums, ([1, 2, 3], [1])),
    ],
)
def test_replicates_of_unequal_number_are_refused(measure, given):
    with pytest.raises(ValueError, match=r"must have the same shape \(n,\); got \("):
        measure(*given)


@pytest.mark.parametrize("measure", [
    lambda theory: empirical_se([1.0, 2.0, 4.0], theory),
    lambda theory: relative_error_model_se([1.0, 2.0, 4.0], [1.0, 1.0, 2.0], theory),
    lambda theory: relative_precision([1.0, 2.0, 4.0], [1.0, 1.0, 2.0], theory),
])  # fmt: skip
def test_an_unknown_theory_is_refused(measure):
    with pytest.raises(ValueError, match="theory must be one of robust, normal; got 'normall'"):
        measure("normall")


@given(n=st.integers(1, 5000), data=st.data(), z=st.floats(0.5, 5))
def test_wilsons_interval_solves_its_equation(n, data, z):
    events = data.draw(st.integers(0, n))
    p = proportion(np.arange(n) < events)
    low, high = wilson_interval(p, z)
    assert (low, high) == pytest.approx(wilson_by_roots(events, n, z), abs=1e-6)
    assert 0 <= low <= p.value + 1e-12
    assert p.value - 1e-12 <= high <= 1


def test_wilsons_interval_at_the_ends():
    z2 = 1.96**2
    for n in (1, 20, 1000):
        assert wilson_interval(proportion([False] * n), 1.96) == pytest.approx((0, z2 / (n + z2)), abs=1e-12)
        assert wilson_interval(proportion([True] * n), 1.96) == pytest.approx((n / (n + z2), 1), abs=1e-12)
    assert wilson_interval(proportion([]), 1.96) == (0, 1)


def test_wilsons_interval_is_scipys():
    from scipy.stats import binomtest

    for events, n in ((0, 10), (3, 17), (950, 1000)):
        theirs = binomtest(events, n).proportion_ci(0.95, method="wilson")
        ours = wilson_interval(proportion(np.arange(n) < events), Z95)
        assert ours == pytest.approx((theirs.low, theirs.high), abs=1e-6)


def test_the_interval_of_a_measure_is_wilsons_for_proportions_only():
    p = proportion([True] * 20)
    assert monte_carlo_interval(p, 0.95) == pytest.approx(wilson_interval(p, Z95))
    # Student's t with 19 degrees of freedom: 2.093 (any table)
    assert monte_carlo_interval(Measure(1.0, 0.1, 20), 0.95) == pytest.approx((0.7907, 1.2093), abs=1e-4)
    assert np.isnan(monte_carlo_interval(Measure(1.0, math.nan, 1), 0.95)).all()


def test_the_interval_of_what_is_positive_stays_positive():
    """Where that on the plain scale does not: by hand, a factor of exp(t mcse / value) up and down."""
    e = [0.1, 2.0]
    for measure in (mse(e), rmse(e), empirical_se([0.0, 0.1, 2.0]), model_se(e), interval_width([0, 0], e)):
        low, high = monte_carlo_interval(measure, 0.95)
        t = {2: 12.7062, 3: 4.3027}[measure.n]
        assert measure.value - t * measure.mcse < 0 < low < measure.value < high
        factor = math.exp(t * measure.mcse / measure.value)
        assert (low, high) == pytest.approx((measure.value / factor, measure.value * factor), rel=1e-3)
    low, high = monte_carlo_interval(rmse(e), 0.95)
    assert monte_carlo_interval(mse(e), 0.95) == pytest.approx((low**2, high**2))
    assert monte_carlo_interval(Positive(1.0, 1.0, 2), 1 - 1e-4) == (0, math.inf)


def test_the_interval_of_a_ratio_in_per_cent_ends_above_minus_100():
    a, b, se = [1.0, -2.0, 4.0, 0.0], [3.0, 0.5, -0.2, -2.0], [0.1, 0.1, 0.1, 9.0]
    for measure in (relative_precision(a, b), relative_error_model_se(a, se)):
        assert measure.value - 3.1824 * measure.mcse < -100  # t with 3 degrees of freedom, on the plain scale
        low, high = monte_carlo_interval(measure, 0.95)
        assert -100 < low < measure.value < high
    one, other = relative_precision(a, b), reversed_precision(relative_precision(a, b))
    low, high = (1 + end / 100 for end in monte_carlo_interval(one, 0.95))
    ends = [1 + end / 100 for end in monte_carlo_interval(other, 0.95)]
    assert ends == pytest.approx((1 / high, 1 / low))


@pytest.mark.parametrize("measure", [mse, empirical_se])
def test_the_log_scale_comes_nearer_to_the_level(measure):
    """5,000 studies of 10 normal errors: shares are good to .005, and the scales differ by .025 or more."""
    rng = np.random.default_rng(5)
    found = [measure(rng.standard_normal(10)) for _ in range(5000)]
    on_log, plain = (
        np.mean([low <= 1 <= high for low, high in (monte_carlo_interval(m, 0.95) for m in of)])
        for of in (found, [Measure(m.value, m.mcse, m.n) for m in found])
    )
    assert plain + 0.01 < on_log < 0.95


def test_paired_differences_use_the_common_replicates():
    a, b = [1.0, 2.0, math.nan, 4.0], [0.5, math.nan, 3.0, 1.0]
    assert paired_difference(a, b) == mean([0.5, 3.0])


def test_pairing_sees_what_two_columns_do_not():
    rng = np.random.default_rng(4)
    common = rng.normal(size=500)
    a, b = common + 0.05 + 0.01 * rng.normal(size=500), common
    assert paired_difference(a, b).mcse < 0.001
    assert mean(a).mcse > 0.03  # the control


def test_the_ratio_of_sums_over_clusters():
    """Shares of events within replicates; the error is that over replicates, checked by the bootstrap."""
    rng = np.random.default_rng(6)
    sizes = rng.integers(1, 30, size=400)
    events = rng.binomial(sizes, rng.beta(2, 2, size=400))
    measure = ratio_of_sums(events, sizes)
    assert measure.value == pytest.approx(events.sum() / sizes.sum())
    picks = rng.integers(400, size=(1000, 400))
    bootstrap = np.std([events[i].sum() / sizes[i].sum() for i in picks], ddof=1)
    assert measure.mcse == pytest.approx(bootstrap, rel=0.11)  # five of its own errors
    p = measure.value
    assert math.sqrt(p * (1 - p) / sizes.sum()) < 0.7 * bootstrap  # the control: as if all were independent


def test_the_ratio_of_sums_at_the_edges():
    assert ratio_of_sums([0, 1], [0, 4]).n == 1
    assert math.isnan(ratio_of_sums([0, 1], [0, 4]).mcse)
    assert math.isnan(ratio_of_sums([0], [0]).value)

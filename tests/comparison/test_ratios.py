"""Measures that are ratios of variances, and differences of proportions: formulas, resampling, the edges."""

import math
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq, minimize_scalar

from mixtures.comparison.performance import (
    Measure,
    Proportion,
    ProportionDifference,
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
    relative_bias,
    relative_error_model_se,
    relative_precision,
    replicates_needed,
    reversed_precision,
    rmse,
)

Z = 1.959964


def heavy_errors(rng, size):
    """Errors with a kurtosis of 9, as those of mixtures may have: t with 5 degrees of freedom."""
    return rng.standard_t(5, size=size)


def claimed_errors(rng, size):
    """Standard errors that vary by about a quarter."""
    return rng.gamma(16, 1.2 / 16, size=size)


def pair_of_errors(rng, size):
    """Errors of two methods on the same data, correlated."""
    common = heavy_errors(rng, size)
    return common + 0.5 * heavy_errors(rng, size), common + 0.2 * rng.standard_normal(size)


# Plain formulas ---------------------------------------------------------------------------------


def test_the_relative_error_of_the_model_se_by_loops():
    rng = np.random.default_rng(1)
    e, se = heavy_errors(rng, 40), claimed_errors(rng, 40)
    n, centre, m2 = 40, sum(e) / 40, sum(se**2) / 40
    s2 = sum((x - centre) ** 2 for x in e) / (n - 1)
    spread = sum((x**2 - m2) ** 2 for x in se) / (n - 1)
    ratio = math.sqrt(m2 / s2)
    normal = 100 * ratio * math.sqrt(spread / (4 * n * m2**2) + 1 / (2 * (n - 1)))
    terms = [(x**2, n / (n - 1) * (y - centre) ** 2) for x, y in zip(se, e, strict=True)]
    robust = math.sqrt(sum((t - m2 / s2 * b) ** 2 for t, b in terms)) / sum(b for _, b in terms)
    for theory, mcse in (("normal", normal), ("robust", 100 * robust / (2 * ratio))):
        measure = relative_error_model_se(e, se, theory)
        assert measure.value == pytest.approx(100 * (ratio - 1), rel=1e-12)
        assert measure.mcse == pytest.approx(mcse, rel=1e-12)
    assert measure.value == pytest.approx(100 * (model_se(se).value / empirical_se(e).value - 1), rel=1e-12)


def test_the_relative_precision_by_loops():
    a, b = pair_of_errors(np.random.default_rng(2), 40)
    d_a, d_b = a - sum(a) / 40, b - sum(b) / 40
    ratio = sum(d_a**2) / sum(d_b**2)
    rho = sum(d_a * d_b) / math.sqrt(sum(d_a**2) * sum(d_b**2))
    robust = math.sqrt(sum((x**2 - ratio * y**2) ** 2 for x, y in zip(d_a, d_b, strict=True))) / sum(d_b**2)
    for theory, mcse in (("normal", 200 * ratio * math.sqrt((1 - rho**2) / 39)), ("robust", 100 * robust)):
        measure = relative_precision(b, a, theory)
        assert measure.value == pytest.approx(100 * (ratio - 1), rel=1e-12)
        assert measure.mcse == pytest.approx(mcse, rel=1e-12)


@pytest.mark.parametrize("theory", ["robust", "normal"])
def test_a_precision_may_be_turned_around(theory):
    a, b = pair_of_errors(np.random.default_rng(3), 60)
    there, back = relative_precision(a, b, theory), relative_precision(b, a, theory)
    assert reversed_precision(there).value == pytest.approx(back.value, rel=1e-12)
    assert reversed_precision(there).mcse == pytest.approx(back.mcse, rel=1e-12)


def test_a_precision_of_minus_100_per_cent_to_rounding_cannot_be_turned_around():
    a, b = pair_of_errors(np.random.default_rng(3), 60)
    there = relative_precision(a, 1e-9 * b)
    assert there.value == -100
    back = reversed_precision(there)
    assert math.isnan(back.value)
    assert math.isnan(back.mcse)
    assert back.n == 60
    assert reversed_precision(relative_precision(a, 1e-6 * b)).value > 1e12  # this can


def test_paired_proportions_have_the_error_of_their_discordant_pairs():
    rng = np.random.default_rng(5)
    a, b = rng.random(400) < 0.9, rng.random(400) < 0.8
    p10, p01 = (a & ~b).mean(), (~a & b).mean()
    measure = paired_proportions(a, b)
    assert measure.value == pytest.approx(p10 - p01)
    assert measure.mcse == pytest.approx(math.sqrt((p10 + p01 - (p10 - p01) ** 2) / 400), rel=1e-12)
    assert measure.value == pytest.approx(paired_difference(a, b).value)


def test_bias_eliminated_coverage_forgives_bias_only():
    rng = np.random.default_rng(6)
    errors = 3 + rng.standard_normal(4000)
    lower, upper = 7 + errors - Z, 7 + errors + Z
    assert coverage(lower, upper, 7.0).value < 0.2
    eliminated = bias_eliminated_coverage(lower, upper, 7.0, errors)
    assert abs(eliminated.value - 0.95) < 4 * eliminated.mcse
    narrow = bias_eliminated_coverage(7 + errors - 1, 7 + errors + 1, 7.0, errors)
    assert narrow.value < 0.75


# The stated error is the true one ---------------------------------------------------------------

N_STUDIES, N_REPLICATES = 1500, 400


class Replicates(NamedTuple):
    """Errors and standard errors of one method, and errors of two methods on the same data."""

    e: np.ndarray
    se: np.ndarray
    a: np.ndarray
    b: np.ndarray

    @classmethod
    def draw(cls, rng, size, errors):
        common = errors(rng, size)
        others = common + 0.5 * errors(rng, size), common + 0.2 * rng.standard_normal(size)
        return cls(errors(rng, size), claimed_errors(rng, size), *others)

    def without(self, i):
        return Replicates(*(np.delete(column, i) for column in self))


BY_THEORY = {
    "empirical_se": lambda one, theory: empirical_se(one.e, theory),
    "relative_error_model_se": lambda one, theory: relative_error_model_se(one.e, one.se, theory),
    "relative_precision": lambda one, theory: relative_precision(one.b, one.a, theory),
}
OTHERS = {
    "bias": lambda one: bias(one.e),
    "relative_bias": lambda one: relative_bias(one.e, -2.0),
    "mse": lambda one: mse(one.e),
    "rmse": lambda one: rmse(one.e),
    "interval_width": lambda one: interval_width(one.e - Z * one.se, one.e + Z * one.se),
    "failure_rate": lambda one: failure_rate(abs(one.e) > 3),
    "model_se": lambda one: model_se(one.se),
    "coverage": lambda one: coverage(one.e - Z * one.se, one.e + Z * one.se, 0.0),
    "bias_eliminated_coverage": lambda one: bias_eliminated_coverage(
        one.e - Z * one.se, one.e + Z * one.se, 0.0, one.e
    ),
    "paired bias": lambda one: paired_difference(one.a, one.b),
    "paired mse": lambda one: paired_difference(one.a**2, one.b**2),
    "paired coverage": lambda one: paired_proportions(abs(one.a) < 2, abs(one.b) < 2),
}


@pytest.fixture(scope="module")
def studies():
    """Studies whose errors have heavy tails."""
    rng = np.random.default_rng(7)
    return [Replicates.draw(rng, N_REPLICATES, heavy_errors) for _ in range(N_STUDIES)]


def stated_to_true(measures):
    """Stated Monte Carlo error, root mean square, over the sd of the values; and its own relative error.

    The sd of K values with kurtosis kappa is known to sqrt((kappa - 1) / (4 K)), the root mean square of
    the stated ones by the spread of their squares.
    """
    values = np.array([measure.value for measure in measures])
    squares = np.array([measure.mcse**2 for measure in measures])
    kurtosis = np.mean((values - values.mean()) ** 4) / values.var() ** 2
    of_stated = squares.std() / squares.mean() / 2
    error = math.sqrt(((kurtosis - 1) / 4 + of_stated**2) / len(values))
    return math.sqrt(squares.mean()) / values.std(ddof=1), error


@pytest.mark.parametrize("name", [*BY_THEORY, *OTHERS])
def test_the_stated_error_is_the_spread_over_studies(studies, name):
    """To 4 Monte Carlo errors, and the 3% that n = 400 leaves where tails are heavy."""
    if name in OTHERS:
        measures = [OTHERS[name](one) for one in studies]
    else:
        measures = [BY_THEORY[name](one, "robust") for one in studies]
    ratio, error = stated_to_true(measures)
    assert abs(ratio - 1) < 4 * error + 0.03


@pytest.mark.parametrize("name", BY_THEORY)
def test_normal_theory_is_too_small_where_tails_are_heavy(studies, name):
    """The control: the same check fails for it."""
    ratio, error = stated_to_true([BY_THEORY[name](one, "normal") for one in studies])
    assert 1 - ratio > 4 * error + 0.03


@pytest.mark.parametrize("name", BY_THEORY)
def test_normal_theory_holds_where_errors_are_normal(name):
    rng = np.random.default_rng(8)
    drawn = [Replicates.draw(rng, 200, lambda rng, size: rng.standard_normal(size)) for _ in range(N_STUDIES)]
    ratio, error = stated_to_true([BY_THEORY[name](one, "normal") for one in drawn])
    assert abs(ratio - 1) < 4 * error + 0.01


def mixed_errors(rng, size):
    """Errors with a kurtosis of 5, and none so far out that it weighs as much as many others."""
    return rng.standard_normal(size) * np.where(rng.random(size) < 0.2, 2.0, 0.8)


def jackknife(measure, one, n):
    """Spread of a measure, one replicate left out at a time."""
    return math.sqrt((n - 1) * np.var([measure(one.without(i)).value for i in range(n)]))


@pytest.mark.parametrize("name", BY_THEORY)
def test_the_robust_error_is_the_jackknifes(name):
    """They agree to order 1 / n, here 0.4%."""
    one = Replicates.draw(np.random.default_rng(9), 2000, mixed_errors)
    expected = jackknife(lambda part: BY_THEORY[name](part, "robust"), one, 2000)
    assert BY_THEORY[name](one, "robust").mcse == pytest.approx(expected, rel=0.01)
    assert BY_THEORY[name](one, "normal").mcse != pytest.approx(expected, rel=0.05)  # the control


def test_the_robust_error_with_standard_errors_missing_is_the_jackknifes():
    rng = np.random.default_rng(10)
    one = Replicates.draw(rng, 2000, mixed_errors)
    one = one._replace(se=np.where(rng.random(2000) < 0.3, math.nan, 2 * one.se**2))
    expected = jackknife(lambda part: relative_error_model_se(part.e, part.se), one, 2000)
    assert relative_error_model_se(one.e, one.se).mcse == pytest.approx(expected, rel=0.01)


# Edges ------------------------------------------------------------------------------------------


def test_a_missing_standard_error_does_not_drop_the_estimate():
    e, se = np.array([1.0, -1.0, 3.0, 0.5]), np.array([1.0, math.nan, 2.0, 1.0])
    measure = relative_error_model_se(e, se)
    assert measure.n == 3
    assert measure.value == pytest.approx(100 * (math.sqrt(2) / e.std(ddof=1) - 1))


def test_a_missing_estimate_drops_its_standard_error():
    e, se = [1.0, math.nan, -1.0], [1.0, 50.0, 2.0]
    assert relative_error_model_se(e, se) == relative_error_model_se([1.0, -1.0], [1.0, 2.0])


@pytest.mark.parametrize("theory", ["robust", "normal"])
@pytest.mark.parametrize(
    ("errors", "standard_errors", "n"),
    [([], [], 0), ([0.5], [1.0], 1), ([1.0, 2.0], [math.nan] * 2, 0), ([2.0, 2.0], [1.0, 1.0], 2)],
)
def test_a_relative_error_that_is_not_known(theory, errors, standard_errors, n):
    measure = relative_error_model_se(errors, standard_errors, theory)
    assert math.isnan(measure.value)
    assert math.isnan(measure.mcse)
    assert measure.n == n


def test_one_standard_error_has_no_spread():
    measure = relative_error_model_se([0.0, 1.0, 2.0], [1.0, math.nan, math.nan])
    assert (measure.value, measure.n) == (pytest.approx(0.0), 1)
    assert math.isnan(measure.mcse)


def test_a_relative_precision_is_over_pairs():
    a, b = [1.0, 2.0, math.nan, 4.0, 7.0], [0.5, math.nan, 3.0, 1.0, 2.0]
    assert relative_precision(a, b) == relative_precision([1.0, 4.0, 7.0], [0.5, 1.0, 2.0])
    for few in ([], [1.0], [1.0, 3.0]):
        assert math.isnan(relative_precision(few, few).mcse)
    assert math.isnan(relative_precision([1.0, 2.0, 3.0], [1.0, 1.0, 1.0]).value)


def test_two_replicates_have_no_robust_error():
    """Their squares about their own mean are equal, whatever they are."""
    assert math.isnan(empirical_se([1.0, 5.0]).mcse)
    assert empirical_se([1.0, 5.0], "normal").mcse > 0


# Tango's interval -------------------------------------------------------------------------------


def tango_by_search(n10, n01, n, z):
    """Differences whose score statistic is z, the likeliest nuisance parameter found by search."""

    def statistic(delta):
        low, high = max(0.0, -delta), (1 - delta) / 2  # of p01

        def log_likelihood(p01):
            p10 = p01 + delta
            terms = ((n10, p10), (n01, p01), (n - n10 - n01, 1 - p10 - p01))
            return sum(count * math.log(max(p, 1e-300)) for count, p in terms if count)

        p01 = minimize_scalar(lambda p: -log_likelihood(p), bounds=(low, high), method="bounded",
                              options={"xatol": 1e-12}).x  # fmt: skip
        return (n10 - n01 - n * delta) / math.sqrt(n * (2 * p01 + delta - delta**2))

    d = (n10 - n01) / n
    return (
        brentq(lambda delta: statistic(delta) - z, -1 + 1e-9, d - 1e-9),
        brentq(lambda delta: statistic(delta) + z, d + 1e-9, 1 - 1e-9),
    )


def pairs(n10, n01, n):
    a = np.arange(n) < n10
    b = (np.arange(n) >= n10) & (np.arange(n) < n10 + n01)
    return paired_proportions(a, b)


@pytest.mark.parametrize(("n10", "n01", "n"), [(12, 3, 100), (1, 9, 40), (5, 5, 30), (40, 2, 1000)])
def test_tangos_interval_solves_its_equation(n10, n01, n):
    found = monte_carlo_interval(pairs(n10, n01, n), 0.95)
    assert found == pytest.approx(tango_by_search(n10, n01, n, Z), abs=1e-5)


@given(n=st.integers(1, 3000), level=st.floats(0.5, 0.9999))
def test_tangos_interval_is_wilsons_where_the_two_never_differ(n, level):
    low, high = monte_carlo_interval(ProportionDifference(0.0, 0.0, n), level)
    _, none = monte_carlo_interval(proportion([False] * n), level)
    assert (low, high) == pytest.approx((-none, none), abs=1e-9)


def test_tangos_interval_at_the_ends():
    assert monte_carlo_interval(paired_proportions([], []), 0.95) == (-1, 1)
    assert math.isnan(pairs(0, 0, 1).mcse)
    _, wilson = monte_carlo_interval(proportion([False]), 0.95)
    assert monte_carlo_interval(pairs(0, 0, 1), 0.95) == pytest.approx((-wilson, wilson))
    low, high = monte_carlo_interval(pairs(20, 0, 20), 0.95)
    assert 0.5 < low < high == 1


def test_tangos_interval_covers_at_its_level():
    """2,000 studies of 200 pairs: 4 Monte Carlo errors, and a point for the discreteness of counts."""
    rng = np.random.default_rng(11)
    hits = 0
    for n10, n01, _ in rng.multinomial(200, [0.06, 0.02, 0.92], size=2000):
        low, high = monte_carlo_interval(pairs(n10, n01, 200), 0.95)
        hits += low <= 0.04 <= high
    assert hits / 2000 == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / 2000) + 0.01)


# Replicates needed ------------------------------------------------------------------------------


def test_coverage_to_half_a_point_takes_1900_replicates():
    for n in (100, 2000):
        pilot = Proportion(0.95, math.sqrt(0.95 * 0.05 / n), n)
        assert replicates_needed(pilot, 0.005) == 1900


def test_a_bias_takes_its_spread_over_the_error_squared():
    errors = np.random.default_rng(12).normal(0, 3, size=50)
    expected = math.ceil((errors.std(ddof=1) / 0.1) ** 2)
    assert replicates_needed(bias(errors), 0.1) == expected


def test_one_replicate_plans_nothing():
    """Its Monte Carlo error is not known."""
    for measure in (proportion([True]), proportion([]), bias([0.5])):
        assert replicates_needed(measure, 0.005) is None


def test_replicates_that_all_covered_do_not_plan_for_certainty():
    """At .95 it takes 1,900: whoever has seen five of five covered cannot be told of fewer."""
    assert replicates_needed(proportion([True] * 19 + [False]), 0.005) == 1900
    needed = [replicates_needed(proportion([True] * n), 0.005) for n in (5, 20, 100, 1000)]
    assert needed == sorted(needed, reverse=True)
    assert needed[0] > 1900 > needed[2]
    z2 = Z**2
    centre = (20 + z2 / 2) / (20 + z2)
    assert needed[1] == math.ceil(centre * (1 - centre) / 0.005**2)
    assert needed == [replicates_needed(proportion([False] * n), 0.005) for n in (5, 20, 100, 1000)]


@pytest.mark.parametrize("measure", [Measure(0.5, math.nan, 1), mean([2.0, 2.0]), mean([])])
def test_replicates_that_cannot_be_said(measure):
    assert replicates_needed(measure, 0.1) is None


@pytest.mark.parametrize("mcse", [0.0, -1.0, math.nan])
def test_an_error_wanted_must_be_positive(mcse):
    with pytest.raises(ValueError, match="mcse must be positive; got"):
        replicates_needed(mean([1.0, 2.0]), mcse)

import math

import pytest

from mixtures.comparison.performance import Measure, Proportion, ProportionDifference
from mixtures.report import numbers


@pytest.mark.parametrize(
    ("value", "mcse", "text"),
    [
        (0.0147050, 0.0172074, "0.015 (0.017)"),
        (-0.5, 0.0049, "−0.5000 (0.0049)"),
        (123.456, 12.3, "123 (12)"),
        (3.5, 0.996, "3.50 (1.00)"),
        (1.5e7, 2.5e5, "1.500e7 (0.025e7)"),
        (2.5e-9, 1.5e-10, "2.50e−9 (0.15e−9)"),
        (0.25, 0.0, "0.25 (0)"),
        (0.6, 8e-18, "0.6 (0)"),
        (0.0, 0.0, "0 (0)"),
    ],
)
def test_estimates_have_the_digits_that_their_error_leaves(value, mcse, text):
    assert numbers.estimate(Measure(value, mcse, 10)) == text


def test_no_estimate_is_shown_without_its_error():
    assert numbers.estimate(Measure(3.0, math.nan, 1)) == numbers.MISSING
    assert numbers.estimate(Measure(math.nan, math.nan, 0)) == numbers.MISSING
    assert numbers.estimate(Measure(math.inf, math.nan, 5)) == "∞"


def test_proportions_of_0_and_1_have_wilson_intervals():
    assert numbers.estimate(Proportion(1.0, 0.0, 12)) == "1 [0.758, 1.000]"
    assert numbers.estimate(Proportion(0.0, 0.0, 12)) == "0 [0.000, 0.242]"
    assert numbers.estimate(Proportion(1.0, math.nan, 1)) == "1 [0.21, 1.00]"
    assert numbers.estimate(Proportion(math.nan, math.nan, 0)) == numbers.MISSING
    assert numbers.estimate(Proportion(0.5, 0.144, 12)) == "0.50 (0.14)"


def test_differences_of_proportions_that_never_differed_have_an_interval():
    assert numbers.estimate(ProportionDifference(0.0, 0.0, 12)) == "0 [−0.24, 0.24]"
    assert numbers.estimate(ProportionDifference(-0.05, 0.02, 100)) == "−0.050 (0.020)"


def test_intervals_and_regions():
    assert numbers.interval(-0.0385, 0.0679) == "[−0.038, 0.068]"
    assert numbers.interval(math.nan, 1.0) == numbers.MISSING
    assert numbers.interval(2.0, 2.0) == "[2, 2]"
    assert numbers.region(-math.inf, 0.05) == "below 0.05"
    assert numbers.region(0.9, math.inf) == "above 0.9"
    assert numbers.region(-0.2, 0.2) == "−0.2 to 0.2"


def test_known_numbers():
    assert numbers.number(None) == numbers.MISSING
    assert numbers.number(-math.inf) == "−∞"
    assert numbers.number(1234.5) == "1234.5"
    assert numbers.fixed(-2743.32316, 4) == "−2743.3232"
    assert numbers.fixed(math.nan, 4) == numbers.MISSING

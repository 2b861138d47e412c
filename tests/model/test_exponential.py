"""Compiled exponentials and logarithms against numpy's in extended precision."""

import math

import numpy as np

from mixtures.model.exponential import log_of_sum, power_of_two


def test_the_exponential_is_right_to_two_units_in_the_last_place():
    y = np.concatenate([np.geomspace(1e-300, 1010, 200_001), np.linspace(0, 1010, 200_001)])
    y = np.concatenate([y, -y])
    found = np.array([power_of_two(value) for value in y])
    exact = np.exp2(y.astype(np.longdouble))
    assert np.abs((found - exact) / np.spacing(exact.astype(float))).max() < 2.1
    assert power_of_two(-1e300) == power_of_two(-math.inf) == 2.0**-1010


def test_the_logarithm_is_right_to_two_units_in_the_last_place_of_log_2():
    s = np.concatenate([1 + np.geomspace(1e-16, 1, 100_001), np.linspace(1, 300, 100_001)])
    found = np.array([log_of_sum(value) for value in s])
    exact = np.log(s.astype(np.longdouble))
    bound = 2 * np.spacing(np.maximum(math.log(2), np.abs(exact).astype(float)))
    assert (np.abs(found - exact) <= bound).all()

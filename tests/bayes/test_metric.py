"""Coordinates from the curvature: right where the density is nearly normal, none where it is not."""

import math

import numpy as np
import pytest

from mixtures.bayes.metric import Coordinates, coordinates

MEAN = np.array([1.0, -2.0, 0.5])
FACTOR = np.array([[0.3, 0, 0], [0.2, 0.05, 0], [-0.1, 0.1, 0.4]])
COVARIANCE = FACTOR @ FACTOR.T
PRECISION = np.linalg.inv(COVARIANCE)
STARTS = [MEAN + offset for offset in (1.5, -1.5, 0.3)]


def normal(x):
    slope = -PRECISION @ (x - MEAN)
    return 7 + (x - MEAN) @ slope / 2, slope


def two_normals(separation, height):
    """Two standard normals on a line, the second lower by `height`."""

    def log_density(x):
        logs = np.array([-(x[0] ** 2) / 2, -((x[0] - separation) ** 2) / 2 - height])
        shares = np.exp(logs - np.logaddexp(*logs))
        return np.logaddexp(*logs), np.array([-shares[0] * x[0] - shares[1] * (x[0] - separation)])

    return log_density


def gumbel(x):
    return -x[0] - math.exp(-x[0]), np.array([math.exp(-x[0]) - 1])


def found(log_density, starts, seed=1):
    return coordinates(log_density, starts, np.random.default_rng(seed))


def test_those_of_a_normal_are_its_mean_and_a_root_of_its_covariance():
    result = found(normal, STARTS)
    np.testing.assert_allclose(result.centre, MEAN, atol=1e-6)
    np.testing.assert_allclose(result.scale @ result.scale.T, COVARIANCE, rtol=1e-6)


def test_a_point_and_its_coordinates():
    both = Coordinates(MEAN, FACTOR)
    np.testing.assert_allclose(both.of(MEAN + FACTOR @ [1, 2, 3]), [1, 2, 3])
    np.testing.assert_allclose(both.point(np.array([1, 2, 3])), MEAN + FACTOR @ [1, 2, 3])


def test_a_density_that_falls_faster_on_one_side_has_none():
    assert found(gumbel, [np.zeros(1)]) is None


@pytest.mark.parametrize("height", [2, -2, 30])
def test_a_second_mode_of_another_height_leaves_none(height):
    starts = [np.array([0.1]), np.array([19.9])]
    assert found(two_normals(20, height), starts) is None
    assert abs(found(two_normals(20, height), starts[:1]).centre[0]) < 1e-3


def test_a_mirror_image_is_no_second_mode():
    assert found(two_normals(20, 0), [np.array([0.1]), np.array([19.9])]) is not None


def test_there_are_none_where_a_start_has_no_finite_density():
    def finite(x):
        return normal(x) if np.isfinite(x).all() else (-math.inf, np.zeros(3))

    assert found(finite, [*STARTS, np.full(3, np.nan)]) is None
    assert found(finite, STARTS) is not None


def test_a_climb_never_goes_down_to_a_saddle():
    """From near the lowest point between two modes the curvature has the wrong sign."""
    result = found(two_normals(20, 7), [np.array([9.6])])
    assert abs(result.centre[0]) < 1e-3


def test_the_same_generator_gives_the_same():
    first, second = (found(normal, STARTS, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first.scale, second.scale)

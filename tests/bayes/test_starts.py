"""Starts must be mixtures, and far apart."""

import numpy as np

from mixtures.bayes.starts import random_start

Z = np.concatenate(
    [np.random.default_rng(1).normal(-1, 0.2, 60), np.random.default_rng(2).normal(1, 0.2, 40)]
)


def test_starts_are_mixtures_and_differ_more_than_posteriors_do():
    starts = [random_start(Z, 2, np.random.default_rng(seed)) for seed in range(200)]
    means = np.array([np.sort(start.means[:, 0]) for start in starts])
    assert np.isfinite(means).all()
    assert all((start.weights > 0).all() and (start.sds >= 0.02).all() for start in starts)
    assert (means.std(axis=0) > 5 * 0.2 / np.sqrt(40)).all()


def test_both_orders_of_the_components_occur():
    rises = [
        np.diff(random_start(Z, 2, np.random.default_rng(seed)).means[:, 0])[0] > 0 for seed in range(50)
    ]
    assert 10 < sum(rises) < 40


def test_starts_differ_where_there_is_one_component_or_as_many_as_observations():
    first, second = (random_start(Z, 1, np.random.default_rng(seed)) for seed in (1, 2))
    assert first.means[0, 0] != second.means[0, 0]
    assert random_start(np.array([-1.0, 1.0]), 2, np.random.default_rng(3)).n_components == 2


def test_the_same_generator_gives_the_same_start():
    first, second = (random_start(Z, 3, np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(first.means, second.means)

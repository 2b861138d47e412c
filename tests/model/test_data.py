"""Observations: what can be fitted, what simulate draws, what is read from a user's file."""

import math
import pickle

import numpy as np
import pandas as pd
import pytest
from oracles import random_mixture
from scipy import stats

from mixtures.model.data import (
    Dataset,
    as_generator,
    as_observations,
    check_fittable,
    simulate,
)
from mixtures.model.mixture import NormalMixture
from mixtures.model.spec import MixtureSpec

# Data sets and observations ---------------------------------------------------------------------


def test_a_dataset_copies_and_stays_read_only():
    x, labels = np.array([1.0, 2.0]), np.array([0, -1])
    dataset = Dataset(x, labels)
    x[0], labels[0] = 9, 9
    for travelled in (dataset, pickle.loads(pickle.dumps(dataset))):
        assert travelled.x.tolist() == [[1.0], [2.0]]
        assert travelled.labels.tolist() == [0, -1]
        assert travelled.n_observations == 2
        for array in (travelled.x, travelled.labels):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 5
    assert pickle.loads(pickle.dumps(Dataset([1.0, 2.0]))).labels is None


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        ([0.0, 1.0], TypeError, "labels must be whole numbers; got float64"),
        (["a", "b"], TypeError, "labels must be whole numbers"),
        ([True, False], TypeError, "labels must be whole numbers; got bool"),
        (np.ma.masked_equal([0, 1], 1), ValueError, "labels must have no missing values; got a masked array"),
        ([0, [1]], ValueError, "labels must be a regular array; got rows of unequal length"),
        ([0], ValueError, r"one entry for each of the 2 observations; got shape \(1,\)"),
        ([0, -2], ValueError, "labels must be at least -1; got -2"),
    ],
)
def test_bad_labels_are_refused(labels, error, message):
    with pytest.raises(error, match=message):
        Dataset([1.0, 2.0], labels)


def test_observations_become_two_dimensional():
    assert as_observations([1, 2, 3]).shape == (3, 1)
    assert as_observations([[1, 2, 3]]).shape == (1, 3)
    assert as_observations(pd.Series([1, 2])).dtype == np.float64


BAD_OBSERVATIONS = [
    ([1.0, math.nan, 2.0], ValueError, "x must be finite; got nan at position 1"),
    ([1.0, math.inf, 2.0], ValueError, "x must be finite; got inf at position 1"),
    ([], ValueError, "x must hold at least one observation"),
    (np.empty((0, 2)), ValueError, "x must hold at least one observation"),
    (["a", "b", "c"], TypeError, "x must hold real numbers; got text"),
    ([True, False, True], TypeError, "x must hold real numbers; got booleans"),
    (np.array(["2020-01-01"], dtype="datetime64"), TypeError, "x must hold real numbers; got dates"),
    (np.zeros((2, 2, 2)), ValueError, r"x must have one or two axes; got shape \(2, 2, 2\)"),
    (5.0, ValueError, "x must have one or two axes"),
    ([[1.0], [1.0, 2.0]], ValueError, "x must be a regular array"),
    (np.ma.masked_greater([0.0, 1.0, 999.0], 900), ValueError, "x must have no missing values"),
    (None, TypeError, "x must hold real numbers; got NoneType"),
]


@pytest.mark.parametrize(("x", "error", "message"), BAD_OBSERVATIONS)
@pytest.mark.parametrize("door", [as_observations, lambda x: check_fittable(MixtureSpec(2), x), Dataset])
def test_bad_observations_are_refused_at_every_door(door, x, error, message):
    with pytest.raises(error, match=message):
        door(x)


LINE = np.linspace(0, 1, 20)


@pytest.mark.parametrize(
    ("spec", "x", "message"),
    [
        (MixtureSpec(2), [3.0] * 10, r"x must vary; got the constant 3.0 in column 0"),
        (MixtureSpec(2), np.column_stack([LINE, np.full(20, 7.0)]), r"got the constant 7.0 in column 1"),
        (MixtureSpec(1), [3.0], r"at least 2 observations and as many as components \(1\); got 1"),
        (MixtureSpec(4), [1.0, 2.0, 3.0], r"as many as components \(4\); got 3"),
        (
            MixtureSpec(2, "full"),
            np.column_stack([LINE, 2 * LINE + 5]),
            r"independent columns .* got rank 1 of 2",
        ),
        (MixtureSpec(2, "tied"), np.column_stack([LINE, 2 * LINE + 5]), r"independent columns for tied"),
        (MixtureSpec(1, "full"), np.eye(3)[:2], r"x must vary"),
    ],
)
def test_data_that_no_mixture_fits_are_refused(spec, x, message):
    with pytest.raises(ValueError, match=message):
        check_fittable(spec, x)


@pytest.mark.parametrize("covariance", ["diagonal", "spherical"])
def test_collinear_columns_suit_structures_without_correlation(covariance):
    assert check_fittable(MixtureSpec(2, covariance), np.column_stack([LINE, 2 * LINE])).shape == (20, 2)


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_collinearity_is_judged_free_of_units(unit, rng):
    x = rng.normal(size=(30, 2)) * [1.0, unit]
    assert check_fittable(MixtureSpec(2), x).shape == (30, 2)


def test_a_spec_must_be_a_spec():
    with pytest.raises(TypeError, match="spec must be a MixtureSpec; got int"):
        check_fittable(2, [1.0, 2.0])


# Simulation -------------------------------------------------------------------------------------

Z = 5.5  # 4e-8 a comparison; fewer than 100 of them here, so a false alarm in 4e-6 of runs


def z_scores(samples, expected):
    """Distance of the samples' mean (n, p) from what is expected, in its standard errors."""
    return np.abs(samples.mean(axis=0) - expected) / (samples.std(axis=0, ddof=1) / math.sqrt(len(samples)))


def worst_moment(dataset, mixture):
    """Largest z-score over the whole sample's moments, the label shares, and each component's moments."""
    d = mixture.n_dims
    rows, columns = np.tril_indices(d)

    def products(x, mean):
        return ((x - mean)[:, rows] * (x - mean)[:, columns]).reshape(len(x), -1)

    scores = [
        z_scores(dataset.x, mixture.mean()),
        z_scores(products(dataset.x, mixture.mean()), mixture.covariance()[rows, columns]),
        z_scores(np.eye(mixture.n_components)[dataset.labels], mixture.weights),
    ]
    for j in range(mixture.n_components):
        own = dataset.x[dataset.labels == j]
        scores.append(z_scores(own, mixture.means[j]))
        scores.append(z_scores(products(own, mixture.means[j]), mixture.covariances[j][rows, columns]))
    return max(score.max() for score in scores)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_simulated_moments_are_the_mixtures_own(d):
    mixture = random_mixture(np.random.default_rng(d), 3, d)
    dataset = simulate(mixture, 40_000, 7)
    assert worst_moment(dataset, mixture) < Z


def test_broken_simulations_are_seen():
    """The controls: swapped weights, shuffled labels, a covariance 10% too large, its transposed factor."""
    mixture = NormalMixture([0.4, 0.6], [[0, 0], [3, 1]], [[[1, 0.6], [0.6, 2]], [[2, -0.5], [-0.5, 1]]])
    dataset = simulate(mixture, 40_000, 7)
    swapped = NormalMixture(mixture.weights[::-1], mixture.means, mixture.covariances)
    wider = NormalMixture(mixture.weights, mixture.means, mixture.covariances * 1.1)
    factors = np.linalg.cholesky(mixture.covariances)
    turned = NormalMixture(mixture.weights, mixture.means, factors.mT @ factors)
    for wrong in (swapped, wider, turned):
        assert worst_moment(simulate(wrong, 40_000, 7), mixture) > Z
    shuffled = Dataset(dataset.x, np.random.default_rng(1).permutation(dataset.labels))
    assert worst_moment(shuffled, mixture) > Z


def test_each_simulated_component_is_normal():
    mixture = NormalMixture.univariate([0.4, 0.6], [0, 3], [1, 4])
    dataset = simulate(mixture, 10_000, 3)
    for j in range(2):
        own = (dataset.x[dataset.labels == j, 0] - mixture.means[j, 0]) / mixture.sds[j, 0]
        assert stats.kstest(own, "norm").pvalue > 1e-6  # the rate of false alarms
        assert stats.kstest(own * 1.2, "norm").pvalue < 1e-6  # the control


def test_a_component_without_weight_is_never_drawn():
    labels = simulate(NormalMixture.univariate([0, 1], [0, 3], [1, 1]), 1000, 1).labels
    assert set(labels) == {1}


def test_a_seed_is_the_generator_that_it_makes():
    mixture = random_mixture(np.random.default_rng(2), 2, 2)
    first, second = simulate(mixture, 50, 42), simulate(mixture, 50, np.random.default_rng(42))
    assert np.array_equal(first.x, second.x)
    assert np.array_equal(first.labels, second.labels)
    assert not np.array_equal(first.x, simulate(mixture, 50, 43).x)


def test_a_generator_moves_on():
    mixture, rng = random_mixture(np.random.default_rng(2), 2, 1), np.random.default_rng(1)
    assert not np.array_equal(simulate(mixture, 50, rng).x, simulate(mixture, 50, rng).x)


@pytest.mark.parametrize(
    ("n", "seed", "error", "message"),
    [
        (0, 1, ValueError, "n must be at least 1; got 0"),
        (2.5, 1, TypeError, "n must be a whole number; got 2.5"),
        (True, 1, TypeError, "n must be a whole number; got True"),
        (5, -1, ValueError, "a seed must be at least 0; got -1"),
        (5, None, TypeError, "rng must be a numpy.random.Generator or an int; got NoneType"),
        (5, True, TypeError, "got bool"),
        (5, 1.5, TypeError, "got float"),
    ],
)
def test_bad_sizes_and_seeds_are_refused(n, seed, error, message):
    with pytest.raises(error, match=message):
        simulate(NormalMixture.univariate([1], [0], [1]), n, seed)


def test_numpy_integers_are_seeds():
    assert as_generator(np.int64(3)).random() == as_generator(3).random()

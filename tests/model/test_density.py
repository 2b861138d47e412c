"""Densities, log-likelihood and responsibilities against scipy, plain loops, and far out in the tails."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import STRUCTURES, loop_log_likelihood, loop_responsibilities, random_mixture
from scipy import stats

from mixtures.model.data import simulate
from mixtures.model.density import (
    component_log_densities,
    log_density,
    log_likelihood,
    log_responsibilities,
    log_sum_exp,
    responsibilities,
)
from mixtures.model.mixture import NormalMixture

CASES = [(covariance, d) for covariance in STRUCTURES for d in (1, 2, 3)]


@pytest.mark.parametrize(("covariance", "d"), CASES)
def test_component_densities_are_scipys(covariance, d):
    mixture = random_mixture(np.random.default_rng(3), 3, d, covariance)
    x = simulate(mixture, 40, 4).x
    for j in range(3):
        expected = stats.multivariate_normal(mixture.means[j], mixture.covariances[j]).logpdf(x)
        assert component_log_densities(mixture, x)[:, j] == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_the_univariate_density_is_scipys():
    mixture = NormalMixture.univariate([0.3, 0.7], [0, 4], [1, 9])
    x = np.linspace(-5, 15, 41)
    expected = 0.3 * stats.norm(0, 1).pdf(x) + 0.7 * stats.norm(4, 3).pdf(x)
    assert np.exp(log_density(mixture, x)) == pytest.approx(expected, rel=1e-13)
    wrong = 0.3 * stats.norm(0, 1).pdf(x) + 0.7 * stats.norm(4, 9).pdf(x)  # the control: variances are no sds
    assert np.exp(log_density(mixture, x)) != pytest.approx(wrong, rel=1e-2)


@pytest.mark.parametrize(("covariance", "d"), CASES)
def test_plain_loops_agree(covariance, d):
    mixture = random_mixture(np.random.default_rng(5), 3, d, covariance)
    x = simulate(mixture, 30, 6).x
    assert log_likelihood(mixture, x) == pytest.approx(loop_log_likelihood(mixture, x), rel=1e-12)
    assert responsibilities(mixture, x) == pytest.approx(
        loop_responsibilities(mixture, x), rel=1e-10, abs=1e-14
    )


def test_the_log_likelihood_is_the_total():
    mixture = random_mixture(np.random.default_rng(1), 2, 2)
    x = simulate(mixture, 25, 1).x
    assert log_likelihood(mixture, np.vstack([x, x])) == pytest.approx(
        2 * log_likelihood(mixture, x), rel=1e-14
    )
    assert log_likelihood(mixture, x) == pytest.approx(math.fsum(log_density(mixture, x)), rel=1e-14)


def test_far_out_nothing_underflows():
    """1000 sds out the densities are exp(-500000); their ratio is still the difference of the logarithms."""
    mixture = NormalMixture.univariate([0.5, 0.5], [0, 1], [1, 1])
    x = np.array([1000.0, -1000.0])
    expected = math.log(0.5) - 0.5 * math.log(2 * math.pi)
    assert log_density(mixture, x) == pytest.approx(
        [expected - 999**2 / 2, expected - 1000**2 / 2], rel=1e-14
    )
    r = responsibilities(mixture, x)
    assert r.sum(axis=1) == pytest.approx([1, 1], abs=1e-14)
    assert r[:, 1] == pytest.approx([1, 0], abs=1e-300)


def test_log_responsibilities_are_exact_where_responsibilities_vanish():
    mixture = NormalMixture.univariate([0.25, 0.75], [0, 1], [1, 1])
    logs = log_responsibilities(mixture, [2000.0])
    assert responsibilities(mixture, [2000.0])[0, 0] == 0
    assert logs[0, 0] == pytest.approx(math.log(0.25 / 0.75) - (2000**2 - 1999**2) / 2, rel=1e-12)
    assert logs[0, 1] == 0


def test_between_far_components_assignments_stay_soft():
    mixture = NormalMixture.univariate([0.5, 0.5], [-1e3, 1e3], [1, 1])
    assert responsibilities(mixture, [0.0])[0] == pytest.approx([0.5, 0.5], abs=1e-15)


def test_a_component_without_weight_takes_nothing():
    mixture = NormalMixture.univariate([0.0, 1.0], [0, 3], [1, 1])
    x = np.array([0.0, 3.0, 100.0])
    assert responsibilities(mixture, x).tolist() == [[0, 1]] * 3
    assert np.isneginf(log_responsibilities(mixture, x)[:, 0]).all()
    assert log_density(mixture, x) == pytest.approx(stats.norm(3, 1).logpdf(x), rel=1e-13)


def test_log_sum_exp_at_the_edges():
    terms = np.array([[-math.inf, -math.inf], [1e308, 1e308], [-1e5, -1e5 - 1], [-math.inf, 0.0]])
    expected = [-math.inf, 1e308, -1e5 + math.log1p(math.exp(-1)), 0.0]
    assert log_sum_exp(terms).tolist() == pytest.approx(expected, rel=1e-15)


@given(
    k=st.integers(1, 4),
    d=st.integers(1, 3),
    covariance=st.sampled_from(STRUCTURES),
    seed=st.integers(0, 2**32),
    data=st.data(),
)
def test_the_order_of_components_carries_no_meaning(k, d, covariance, seed, data):
    mixture = random_mixture(np.random.default_rng(seed), k, d, covariance)
    x = simulate(mixture, 20, seed).x
    order = data.draw(st.permutations(range(k)))
    moved = mixture.permuted(order)
    assert log_density(moved, x) == pytest.approx(log_density(mixture, x), rel=1e-13, abs=1e-13)
    assert responsibilities(moved, x) == pytest.approx(responsibilities(mixture, x)[:, order], abs=1e-13)
    assert responsibilities(mixture, x).sum(axis=1) == pytest.approx(np.ones(20), abs=1e-13)


@pytest.mark.parametrize("function", [log_density, log_likelihood, log_responsibilities, responsibilities])
@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        ([[1.0]], ValueError, "x must have 2 columns, as the mixture has dimensions; got 1"),
        ([[1.0, math.nan]], ValueError, "x must be finite"),
        ([["a", "b"]], TypeError, "x must hold real numbers; got text"),
    ],
)
def test_bad_observations_are_refused(function, x, error, message):
    with pytest.raises(error, match=message):
        function(random_mixture(np.random.default_rng(1), 2, 2), x)

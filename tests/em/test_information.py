"""Score, Hessian and certificate, against finite differences of the log-likelihood."""

import numpy as np
import pytest
from oracles import (
    STRUCTURES,
    displaced,
    loop_log_likelihood,
    numerical_gradient,
    numerical_hessian,
    random_mixture,
    two_components,
)

from mixtures.em import loop
from mixtures.em.fitter import EM
from mixtures.em.information import certify, curve
from mixtures.model.data import simulate
from mixtures.model.density import log_likelihood
from mixtures.model.mixture import NormalMixture
from mixtures.model.spec import Covariance, MixtureSpec


def run(x, covariance, start, tolerance, max_iter, earlier=()):
    """Run the loop."""
    return loop.run(x, Covariance(covariance), start, tolerance=tolerance, max_iter=max_iter, earlier=earlier)


CASES = [(covariance, d, k) for covariance in STRUCTURES for d in (1, 2, 3) for k in (1, 2)]


def n_coordinates(covariance, d, k):
    return MixtureSpec(k, covariance).n_parameters(d)


@pytest.mark.parametrize(("covariance", "d", "k"), [*CASES, ("full", 1, 4), ("tied", 2, 3)])
def test_score_and_hessian_are_those_of_the_log_likelihood(covariance, d, k):
    rng = np.random.default_rng(10 * d + k)
    mixture = random_mixture(rng, k, d, covariance, spread=1.0)  # at no maximum: the gradient is not 0
    x = simulate(random_mixture(rng, 2, d), 20, rng).x
    curvature = curve(mixture, x, Covariance(covariance))
    p = n_coordinates(covariance, d, k)

    def surface(theta):
        return log_likelihood(displaced(mixture, theta, covariance), x)

    assert curvature.scores.shape == (20, p)
    scale = np.abs(curvature.hessian).max()
    assert curvature.scores.sum(axis=0) == pytest.approx(numerical_gradient(surface, p), abs=1e-8 * scale)
    assert curvature.hessian == pytest.approx(numerical_hessian(surface, p), abs=1e-6 * scale)
    assert np.abs(curvature.scores.sum(axis=0)).max() > 0.1


def test_scores_are_one_for_each_observation():
    mixture, x = random_mixture(np.random.default_rng(1), 2, 2), np.array([[0.3, -0.5], [2.0, 1.0]])
    scores = curve(mixture, x, Covariance.FULL).scores
    for i in range(2):
        expected = numerical_gradient(
            lambda t, i=i: loop_log_likelihood(displaced(mixture, t, "full"), x[i : i + 1]), 11
        )
        assert scores[i] == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize(("covariance", "d"), [(c, d) for c in STRUCTURES for d in (1, 2, 3)])
def test_a_maximum_is_certified_and_what_is_short_of_it_is_not(covariance, d):
    mixture = two_components(np.random.default_rng(3), d, covariance)
    x = simulate(mixture, 300, 4).x
    at_mode = certify(
        run(x, Covariance(covariance), mixture, 1e-11, 10_000).mixture, x, Covariance(covariance)
    )
    assert at_mode.is_maximum
    assert at_mode.newton_decrement < 1e-9
    short = certify(run(x, Covariance(covariance), mixture, 0.0, 2).mixture, x, Covariance(covariance))
    assert short.newton_decrement > 1e-7
    assert not short.is_maximum


@pytest.mark.parametrize("covariance", STRUCTURES)
@pytest.mark.parametrize("d", [1, 2])
def test_two_equal_components_are_a_saddle(covariance, d):
    """Where all components are the one fitted normal the gradient is 0, and it is no maximum."""
    x = simulate(random_mixture(np.random.default_rng(5), 2, d, covariance, spread=4), 200, 6).x
    one = run(x, Covariance(covariance), NormalMixture([1.0], [np.zeros(d)], [np.eye(d)]), 0.0, 2).mixture
    equal = NormalMixture([0.3, 0.7], np.repeat(one.means, 2, axis=0), np.repeat(one.covariances, 2, axis=0))
    assert curve(equal, x, Covariance(covariance)).scores.sum(axis=0) == pytest.approx(0, abs=1e-9)
    certificate = certify(equal, x, Covariance(covariance))
    assert not certificate.is_negative_definite
    assert not certificate.is_maximum
    assert certificate.newton_decrement == np.inf


@pytest.mark.parametrize("weight", [0.5, 0.3, 0.123, 0.77])
@pytest.mark.parametrize("seed", range(5))
def test_a_hessian_that_is_singular_but_for_rounding_certifies_nothing(weight, seed):
    """With symmetric data that are flatter than a normal, equal components are a ridge, up to rounding."""
    half = np.random.default_rng(seed).uniform(-1, 1, 40)
    x = np.concatenate([half, -half]) / half.std()
    variance = float(np.square(x).mean())
    start = NormalMixture.univariate([weight, 1 - weight], [0, 0], [variance, variance])
    fit = EM(start=start).fit(MixtureSpec(2), x, 1)
    assert fit.status == "not_converged"
    assert fit.message == "the Hessian at the estimate is not negative definite: no strict maximum"


@pytest.mark.parametrize(("covariance", "d"), [(c, d) for c in STRUCTURES for d in (1, 2)])
def test_the_decrement_is_what_is_left_to_gain(covariance, d):
    """Close to the mode, to 5%."""
    mixture = two_components(np.random.default_rng(7), d, covariance)
    x = simulate(mixture, 300, 8).x
    mode = run(x, Covariance(covariance), mixture, 1e-12, 100_000)
    rng = np.random.default_rng(9)
    for size in (1e-2, 1e-3):
        theta = size * rng.normal(size=n_coordinates(covariance, d, 2)) / 4
        near = displaced(mode.mixture, theta, covariance)
        gain = mode.log_likelihood - log_likelihood(near, x)
        assert gain > 1e-7
        assert certify(near, x, Covariance(covariance)).newton_decrement == pytest.approx(gain, rel=0.05)
    far = displaced(mode.mixture, np.full(n_coordinates(covariance, d, 2), 0.5), covariance)  # the control
    decrement = certify(far, x, Covariance(covariance)).newton_decrement
    assert decrement != pytest.approx(mode.log_likelihood - log_likelihood(far, x), rel=0.05)


@pytest.mark.parametrize("covariance", STRUCTURES)
def test_the_decrement_is_free_of_units(covariance):
    mixture = two_components(np.random.default_rng(11), 2, covariance)
    x = simulate(mixture, 200, 12).x
    here = certify(run(x, Covariance(covariance), mixture, 0.0, 20).mixture, x, Covariance(covariance))
    scaled = NormalMixture(mixture.weights, 1e3 * mixture.means, 1e6 * mixture.covariances)
    there = certify(
        run(1e3 * x, Covariance(covariance), scaled, 0.0, 20).mixture, 1e3 * x, Covariance(covariance)
    )
    assert there.newton_decrement == pytest.approx(here.newton_decrement, rel=1e-3)

"""Densities at many draws against the definition, one draw at a time."""

import numpy as np
import pytest

from mixtures.bayes import densities
from mixtures.bayes.draws import MixtureDraws
from mixtures.bayes.evidence import Evidence
from mixtures.bayes.relabel import Relabel, relabelled
from mixtures.model.density import log_density, log_likelihood, responsibilities
from mixtures.model.mixture import NormalMixture
from mixtures.model.prior import Dirichlet, LogNormal, Normal, Prior

X = np.array([-3.0, 0.0, 0.2, 1.5, 40.0])


def mixtures_of(draws):
    rows = zip(draws.weights, draws.means, draws.variances, strict=True)
    return [NormalMixture.univariate(*row) for row in rows]


@pytest.fixture(params=[100_000, 12], ids=["one block", "many blocks"])
def draws(request, random_draws, monkeypatch):
    monkeypatch.setattr(densities, "_BLOCK", request.param)
    return random_draws((7,), k=3, seed=1)


def test_log_densities(draws):
    expected = [log_density(theta, X) for theta in mixtures_of(draws)]
    np.testing.assert_allclose(densities.log_densities(draws, X), expected, rtol=1e-12)


def test_log_likelihoods(draws):
    expected = [log_likelihood(theta, X) for theta in mixtures_of(draws)]
    np.testing.assert_allclose(densities.log_likelihoods(draws, X), expected, rtol=1e-12)


def test_log_prior_densities(prior, random_draws):
    draws = random_draws((7,), k=2, seed=3)
    draws = draws.reordered(draws.means.argsort(axis=-1))
    expected = [prior.log_density(theta) for theta in mixtures_of(draws)]
    np.testing.assert_allclose(densities.log_prior_densities(prior, draws), expected, rtol=1e-12)


def test_log_prior_densities_of_several_chains(random_draws):
    prior = Prior(Dirichlet(2), Normal(0, 1), LogNormal(0, 1))
    draws = random_draws((2, 3), k=2, seed=3)
    values = densities.log_prior_densities(prior, draws)
    np.testing.assert_allclose(values.ravel(), densities.log_prior_densities(prior, draws.in_one_row()))


def test_soft_assignments_equal_a_plain_loop(draws):
    by_draw = np.array([responsibilities(theta, X) for theta in mixtures_of(draws)])
    soft = densities.soft_assignments(draws, X, level=0.8)
    np.testing.assert_allclose(soft.responsibilities, by_draw.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(soft.intervals[..., 0], np.quantile(by_draw, 0.1, axis=0), rtol=1e-9)
    np.testing.assert_allclose(soft.intervals[..., 1], np.quantile(by_draw, 0.9, axis=0), rtol=1e-9)


def test_soft_assignments_keep_their_logarithm_where_they_underflow(random_draws):
    soft = densities.soft_assignments(random_draws((50,), k=2, seed=4), np.array([1e4]), level=0.9)
    assert np.isfinite(soft.log_responsibilities).all()
    assert soft.responsibilities.sum() == pytest.approx(1)


@pytest.mark.parametrize("n", [1, 2, 7, 100])
def test_quantiles_of_sorted_values_are_those_of_numpy(n):
    values = np.sort(np.random.default_rng(5).normal(size=(3, 4, n)), axis=-1)
    probabilities = np.array([0, 0.025, 0.5, 0.975, 1])
    expected = np.moveaxis(np.quantile(values, probabilities, axis=-1), 0, -1)
    np.testing.assert_allclose(densities.quantiles_of_sorted(values, probabilities), expected, rtol=1e-12)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("lost", [[(0, 0)], [(0, 3), (1, 2)], [(c, s) for c in range(2) for s in range(5)]])
def test_log_likelihoods_outlive_weights_that_underflow(lost):
    """The sampler's account says nothing of such draws, whichever they are."""
    rng = np.random.default_rng(3)
    prior = Prior.weakly_informative(X, 2)
    weights = rng.dirichlet([1, 1], size=(2, 5))
    drawn = MixtureDraws(weights.copy(), rng.normal(size=(2, 5, 2)), 0.5 + rng.random((2, 5, 2)))
    truth = densities.log_likelihoods(drawn.in_one_row(), X).reshape(2, 5)
    account = (
        truth + densities.log_prior_densities(prior, drawn) + np.log(drawn.weights * drawn.sds).sum(-1) + 7
    )
    for place in lost:
        weights[place], account[place] = [0, 1], -np.inf
    drawn = MixtureDraws(weights, drawn.means, drawn.sds)
    expected = densities.log_likelihoods(drawn.in_one_row(), X).reshape(2, 5)
    priors = densities.log_prior_densities(prior, drawn)
    found = densities.log_likelihoods_from(account, priors, prior, drawn, X)
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    relabelling = relabelled(Evidence.of(drawn, X, found + priors), Relabel.REFERENCE)
    assert relabelling.permutations.shape == (2, 5, 2)

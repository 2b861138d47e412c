"""The sampler against exact enumeration of all 2^10 allocations, and the enumeration against closed forms."""

import math

import numpy as np
import pytest
from scipy.special import gammaln, logsumexp
from scipy.stats import multivariate_normal, norm, t

from bayes.enumeration import Enumeration, log_marginal_likelihoods
from mixtures.bayes.fitter import NUTS
from mixtures.comparison.averages import Averages
from mixtures.comparison.coclustering import co_clustering
from mixtures.comparison.doubt import Doubt
from mixtures.model.fit import Status
from mixtures.model.prior import Dirichlet, InverseGamma, LogNormal, Normal, Prior
from mixtures.model.spec import MixtureSpec

X = np.array([-1.6, -1.1, -0.4, 0.2, 0.7, 1.5, 1.9, 2.3, 2.8, 3.9])
PAIRS = np.triu_indices(len(X), 1)
LEVEL = 2 * norm.sf(3)  # that of one comparison at three Monte Carlo errors, held for all together
OWN = Prior(Dirichlet([2, 3]), Normal([0, 2.5], [1, 1.5]), LogNormal([-0.3, 0.2], [0.5, 0.4]))


def rejections(averages, exact):
    """How many exact values Holm's procedure finds away from averages, over all of them at `LEVEL`."""
    z = np.abs(averages.values - exact) / averages.mcse
    p = np.sort(2 * t.sf(z, averages.n_batches - 1))
    passes = p <= LEVEL / np.arange(len(p), 0, -1)
    return len(p) if passes.all() else int(passes.argmin())


def pairs_of(averages):
    return Averages(averages.values[PAIRS], averages.mcse[PAIRS], averages.n_batches)


def sample(prior, seed):
    engine = NUTS(prior=prior, n_draws=5000, n_warmup=1000, target_ess=None, target_accept=0.95)
    fit = engine.fit(MixtureSpec(2), X, rng=seed)
    assert fit.status == Status.CONVERGED, fit.message
    return fit


# The enumeration itself -------------------------------------------------------------------------


def test_marginal_likelihoods_by_quadrature_in_two_dimensions():
    inverse_gamma = Prior(Dirichlet(1), Normal([0, 2.5], [1, 1.5]), InverseGamma(3, 2))
    means, log_sds = np.linspace(-13, 18, 1000)[:, None], np.linspace(-5, 9, 1200)
    cell = (means[1, 0] - means[0, 0]) * (log_sds[1] - log_sds[0])
    log_densities = {
        OWN: norm.logpdf(log_sds, 0.2, 0.4),
        inverse_gamma: math.log(8) - gammaln(3) - 6 * log_sds - 2 * np.exp(-2 * log_sds) + math.log(2),
    }
    for prior, log_density in log_densities.items():
        for subset in ([0, 0, 1, 0, 0, 1, 0, 0, 0, 1], [1] * 10):
            terms = norm.logpdf(means, 2.5, 1.5) + log_density
            for value in X[np.array(subset) == 1]:
                terms = terms + norm.logpdf(value, means, np.exp(log_sds))
            (found,) = log_marginal_likelihoods(np.array([subset]), X, prior, 1)
            assert found == pytest.approx(logsumexp(terms) + math.log(cell), abs=1e-8)


def test_known_variances_have_a_closed_form():
    """Then a subset is one multivariate normal, with covariance sigma^2 I + tau^2 11'."""
    prior = Prior(Dirichlet(2), Normal(1, 3), LogNormal(math.log(0.8), 1e-7))
    subsets = np.random.default_rng(1).integers(0, 2, (20, 10))
    subsets[0] = 0
    for subset, found in zip(subsets, log_marginal_likelihoods(subsets, X, prior, 0), strict=True):
        part = X[subset == 1]
        covariance = 0.64 * np.eye(len(part)) + 9
        exact = multivariate_normal.logpdf(part, np.full(len(part), 1), covariance) if len(part) else 0
        assert found == pytest.approx(exact, abs=1e-6)


def test_one_observation_is_shared_by_its_prior_predictive_densities():
    x = np.array([0.9])
    prior = Prior(Dirichlet([2, 3]), Normal([0, 2.5], [1, 1.5]), LogNormal(math.log(0.5), 1e-7))
    shares = np.array([0.4, 0.6]) * norm.pdf(0.9, [0, 2.5], np.sqrt([1.25, 2.5]))
    found = Enumeration.of(x, prior)
    assert found.responsibilities()[0] == pytest.approx(shares[0] / shares.sum(), abs=1e-6)
    assert found.log_evidence == pytest.approx(math.log(shares.sum()), abs=1e-6)


def test_an_exchangeable_prior_makes_components_equally_likely():
    found = Enumeration.of(X, Prior.weakly_informative(X, 2))
    np.testing.assert_allclose(found.responsibilities(), 0.5, atol=1e-12)
    pairs = found.co_clustering()
    np.testing.assert_allclose(pairs.diagonal(), 1, atol=1e-12)
    by_loop = sum(p * (z[2] == z[7]) for z, p in zip(found.allocations, found.probabilities, strict=True))
    assert pairs[2, 7] == pytest.approx(by_loop, rel=1e-10)


# The sampler against it -------------------------------------------------------------------------


@pytest.mark.slow
def test_co_clustering_of_all_pairs_under_the_default_prior():
    """False alarms: 0.3% over all 45 pairs. The control is a prior of the sds with half the median."""
    prior = Prior.weakly_informative(X, 2)
    fit = sample(prior, 3)
    found, exact = pairs_of(co_clustering(fit.draws, X)), Enumeration.of(X, prior).co_clustering()[PAIRS]
    assert rejections(found, exact) == 0
    assert found.mcse.max() < 0.01
    assert np.ptp(exact) > 0.2  # the comparison says something
    narrow = Prior(prior.weights, prior.means, LogNormal(prior.sds.location - math.log(2), prior.sds.scale))
    assert rejections(found, Enumeration.of(X, narrow).co_clustering()[PAIRS]) > 20


@pytest.mark.slow
def test_responsibilities_under_a_prior_of_each_component():
    """False alarms: 0.3% over ten observations, and again over 45 pairs. Control: the sds' median halved."""
    fit = sample(OWN, 2)
    exact = Enumeration.of(X, OWN)
    doubt, pairs = Doubt.at(fit.draws, X), pairs_of(co_clustering(fit.draws, X))
    first = type(pairs)(
        doubt.responsibilities.values[:, 0], doubt.responsibilities.mcse[:, 0], pairs.n_batches
    )
    assert rejections(first, exact.responsibilities()) == 0
    assert rejections(pairs, exact.co_clustering()[PAIRS]) == 0
    assert np.ptp(exact.responsibilities()) > 0.3
    np.testing.assert_allclose(fit.responsibilities[:, 0], exact.responsibilities(), atol=0.05)
    wrong = Prior(OWN.weights, OWN.means, LogNormal([-0.3 - math.log(2), 0.2], [0.5, 0.4]))
    assert rejections(first, Enumeration.of(X, wrong).responsibilities()) > 5

"""The posterior against quadrature: one component, and two by way of all 2^n allocations."""

import itertools

import numpy as np
import pytest
from scipy.special import gammaln

from mixtures.bayes.densities import joint_log_densities
from mixtures.bayes.diagnostics import Diagnostics
from mixtures.bayes.fitter import NUTS
from mixtures.model.density import log_sum_exp
from mixtures.model.fit import Status
from mixtures.model.prior import Dirichlet, HalfNormal, LogNormal, Normal, Prior
from mixtures.model.spec import MixtureSpec


def log_marginal_likelihoods(subsets, x, prior, j):
    """Log marginal likelihood of each subset (a row of booleans) as a sample of component j alone."""
    means = np.linspace(-12, 14, 400)[:, None, None]
    log_sds = np.linspace(-3.5, 4, 300)[None, :, None]
    location, scale = prior.means.location[j], prior.means.scale[j]
    centre, spread = prior.sds.location[j], prior.sds.scale[j]
    log_prior = -0.5 * ((means - location) / scale) ** 2 - 0.5 * ((log_sds - centre) / spread) ** 2
    log_terms = -0.5 * ((x - means) / np.exp(log_sds)) ** 2 - log_sds - 0.5 * np.log(2 * np.pi)
    log_prior, log_terms = log_prior.reshape(-1), log_terms.reshape(-1, len(x))
    log_prior -= log_sum_exp(log_prior)
    return np.array([log_sum_exp(log_prior + log_terms @ subset) for subset in subsets])


def allocation_probabilities(x, prior):
    """P(z_i = first component | x), (n,), by summing over every allocation."""
    subsets = np.array(list(itertools.product([0, 1], repeat=len(x))))
    counts = np.stack([subsets.sum(axis=1), (1 - subsets).sum(axis=1)], axis=1)
    log_joint = gammaln(counts + prior.weights.concentration).sum(axis=1)
    log_joint += log_marginal_likelihoods(subsets, x, prior, 0)
    log_joint += log_marginal_likelihoods(1 - subsets, x, prior, 1)
    return np.exp(log_joint - log_sum_exp(log_joint)) @ subsets


@pytest.mark.slow
def test_allocations_of_few_observations():
    """False alarms: eight comparisons at four standard errors, under one in a thousand."""
    x = np.array([-1.3, -0.4, 0.1, 0.9, 1.6, 2.2, 3.1, 4.0])
    prior = Prior(Dirichlet([2, 3]), Normal([0, 2.5], [1, 1.5]), LogNormal([-0.3, 0.2], [0.5, 0.4]))
    fit = NUTS(prior=prior, n_draws=4000, n_warmup=1000, target_ess=None, target_accept=0.95).fit(
        MixtureSpec(2), x, rng=2
    )
    assert fit.status == Status.CONVERGED, fit.message

    draws = fit.details.components
    joint = joint_log_densities(draws.in_one_row(), x)
    first = np.exp(joint[..., 0] - log_sum_exp(joint)).reshape(*draws.shape, -1)
    mcse = Diagnostics.of({f"r[{i}]": first[..., i] for i in range(len(x))}).mcse
    exact = allocation_probabilities(x, prior)
    assert (np.abs(first.mean(axis=(0, 1)) - exact) < 4 * mcse).all()
    assert np.ptp(exact) > 0.3  # the comparison says something
    np.testing.assert_allclose(fit.responsibilities[:, 0], exact, atol=0.05)


@pytest.mark.slow
def test_one_component_is_a_normal_sample():
    x = np.random.default_rng(3).normal(10, 2, 25)
    prior = Prior(Dirichlet(1), Normal(8, 1), HalfNormal(3))
    fit = NUTS(prior=prior).fit(MixtureSpec(1), x, rng=4)
    assert fit.status == Status.CONVERGED, fit.message

    means, sds = np.linspace(6, 13, 800)[:, None], np.linspace(0.8, 5, 800)
    log_density = -len(x) * np.log(sds) - 0.5 * ((x - means[..., None]) ** 2).sum(axis=-1) / sds**2
    log_density += -0.5 * (means - 8) ** 2 - 0.5 * (sds / 3) ** 2
    density = np.exp(log_density - log_density.max())
    density /= density.sum()
    posterior = fit.details
    _, mean_error, sd_error = posterior.parameters.mcse
    assert abs(posterior.means.mean() - (density * means).sum()) < 4 * mean_error
    assert abs(posterior.sds.mean() - (density * sds).sum()) < 4 * sd_error
    assert fit.estimate.weights.tolist() == [1]

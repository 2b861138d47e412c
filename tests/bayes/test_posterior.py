"""The posterior's hand-over to ArviZ, and its summaries."""

import pickle

import arviz as az
import numpy as np
import pytest

from mixtures.bayes.densities import log_likelihoods
from mixtures.bayes.fitter import NUTS
from mixtures.bayes.posterior import N_THINNED
from mixtures.model.density import log_density, responsibilities
from mixtures.model.mixture import NormalMixture


@pytest.fixture(scope="module")
def tree(posterior):
    return posterior.to_datatree()


def mixture_at(posterior, chain, draw):
    return NormalMixture.univariate(
        posterior.weights[chain, draw], posterior.means[chain, draw], posterior.sds[chain, draw] ** 2
    )


def test_the_tree_has_named_dimensions(tree, posterior):
    assert tree.posterior["means"].dims == ("chain", "draw", "component")
    assert tree.log_likelihood["obs"].dims == ("chain", "draw", "observation")
    np.testing.assert_array_equal(tree.observed_data["obs"], posterior.x)
    assert {"diverging", "tree_depth", "energy", "step_size", "lp"} <= set(tree.sample_stats.data_vars)
    assert "log_likelihood" not in posterior.to_datatree(with_log_likelihood=False).children


def test_arviz_summarises_it(tree, posterior):
    summary = az.summary(tree, round_to="none")
    assert list(summary.index) == list(posterior.parameters.names)
    np.testing.assert_allclose(summary["r_hat"], posterior.parameters.rhat)
    np.testing.assert_allclose(summary["ess_bulk"], posterior.parameters.ess_bulk)
    np.testing.assert_allclose(summary["mcse_mean"], posterior.parameters.mcse)


def test_arviz_cross_validates_it(tree):
    loo = az.loo(tree)
    assert 2 < loo.p < 8  # five parameters
    assert not (loo.pareto_k > 0.7).any()


def test_arviz_plots_it(tree):
    import matplotlib as mpl

    mpl.use("Agg")
    az.plot_trace(tree, var_names=["means"])
    az.plot_energy(tree)


def test_log_likelihoods_are_those_of_the_draws(tree, posterior):
    theta = mixture_at(posterior, 2, 30)
    np.testing.assert_allclose(tree.log_likelihood["obs"][2, 30], log_density(theta, posterior.x))
    totals = tree.log_likelihood["obs"].sum("observation")
    np.testing.assert_allclose(posterior.log_likelihoods, totals, rtol=1e-12)


def test_soft_assignments_use_evenly_spaced_draws(posterior):
    places = np.linspace(0, 3999, N_THINNED).round().astype(int)
    by_draw = [responsibilities(mixture_at(posterior, *divmod(place, 1000)), posterior.x) for place in places]
    soft = posterior.soft_assignments(level=0.9)
    np.testing.assert_allclose(soft.responsibilities, np.mean(by_draw, axis=0), rtol=1e-10)
    expected = np.moveaxis(np.quantile(by_draw, [0.05, 0.95], axis=0), 0, -1)
    np.testing.assert_allclose(soft.intervals, expected, rtol=1e-8, atol=1e-12)


def test_medians(posterior):
    medians = posterior.medians()
    np.testing.assert_allclose(medians.means[:, 0], np.median(posterior.means, axis=(0, 1)))
    np.testing.assert_allclose(medians.variances[:, 0], np.median(posterior.sds**2, axis=(0, 1)))
    assert medians.weights.shape == (2,)


@pytest.mark.slow  # each family of prior compiles a sampler
def test_log_likelihoods_by_the_samplers_account_are_those_of_the_draws(prior, spec, x):
    """For every family, ordered or not: prior and Jacobian taken from the sampler's own log density."""
    posterior = NUTS(prior=prior, n_draws=60, n_warmup=200, target_ess=None).fit(spec, x, rng=4).details
    expected = log_likelihoods(posterior.components.in_one_row(), posterior.x)
    np.testing.assert_allclose(posterior.log_likelihoods.ravel(), expected, rtol=1e-11)
    assert np.ptp(expected) > 1  # the comparison says something


@pytest.mark.parametrize("copy", [lambda same: same, lambda same: pickle.loads(pickle.dumps(same))])
def test_arrays_are_read_only_after_unpickling_too(posterior, copy):
    again = copy(posterior)
    for array in (again.x, again.weights, again.means, again.sds, again.log_likelihoods, again.permutations):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0

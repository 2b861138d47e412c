"""The PyMC model against the prior and the likelihood in plain numpy."""

import math
import warnings

import numpy as np
import pytest

from mixtures.bayes.model import build_model
from mixtures.bayes.unconstrained import unconstrained
from mixtures.model.density import log_density, log_likelihood
from mixtures.model.mixture import NormalMixture
from mixtures.model.prior import Dirichlet, HalfNormal, InverseGamma, LogNormal, Normal, Prior
from mixtures.model.scale import Scale
from mixtures.model.spec import MixtureSpec

X = np.array([-1.2, 0.3, 0.4, 1.9, 4.1, 5.3, 3.3])
MODE = "FAST_COMPILE"  # interpreted: these functions are called a few times each


def free_names(model):
    return [value.name for value in model.value_vars]


def point_of(model, theta, x):
    """Free variables of the model at a mixture in the data's units."""
    z = Scale.of(x[:, None]).standardise_mixture(theta)
    values = {name: unconstrained(z, [name]) for name in free_names(model)}
    return {name: value.reshape(-1) for name, value in values.items()}


def expected_log_density(prior, theta, x):
    """Log density of the free variables: prior, likelihood, and the Jacobian of every map, one by one."""
    unit, k = x.std(), theta.n_components
    weights, means, sds = theta.weights, theta.means[:, 0], theta.sds[:, 0]
    total = log_likelihood(theta, x) + prior.log_density(theta)
    total += 2 * k * math.log(unit)  # means and sds in standardised units
    total += math.log(k) + np.log(weights).sum() if k > 1 else 0  # centred logarithms of the weights
    total += np.log(sds / unit).sum()  # logarithms of the sds
    if isinstance(prior.sds, InverseGamma):
        total -= k * math.log(2)  # log variances, twice the log sds
    if prior.ordered:
        total += np.log(np.diff(means) / unit).sum()  # logarithms of the gaps
    return total


THETAS = [
    NormalMixture.univariate([0.7, 0.3], [0.1, 4.2], [1.0, 2.0]),
    NormalMixture.univariate([0.05, 0.95], [-2.0, -1.5], [0.1, 6.0]),
]


@pytest.mark.parametrize("theta", THETAS)
def test_log_density_is_prior_plus_likelihood(prior, theta):
    model = build_model(MixtureSpec(2), prior, X)
    log_density = model.compile_logp(mode=MODE)(point_of(model, theta, X))
    assert log_density == pytest.approx(expected_log_density(prior, theta, X), rel=1e-10)


def test_gradient_is_that_of_prior_plus_likelihood(prior):
    model = build_model(MixtureSpec(2), prior, X)
    point = point_of(model, THETAS[0], X)
    gradient = model.compile_dlogp(mode=MODE)(point)
    restore = model.compile_fn(
        model.replace_rvs_by_values([model["weights"], model["means"], model["sds"]]), mode=MODE
    )

    def expected(vector):
        sizes = np.cumsum([len(value) for value in point.values()])[:-1]
        weights, means, sds = restore(dict(zip(point, np.split(vector, sizes), strict=True)))
        return expected_log_density(prior, NormalMixture.univariate(weights, means, sds**2), X)

    vector, h = np.concatenate(list(point.values())), 1e-5
    steps = h * np.eye(len(vector))
    slopes = [(expected(vector + step) - expected(vector - step)) / (2 * h) for step in steps]
    np.testing.assert_allclose(gradient, slopes, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("k", [2, 4])
def test_starts_come_back_from_the_free_variables(k):
    rng = np.random.default_rng(k)
    theta = NormalMixture.univariate(
        rng.dirichlet(np.ones(k)), np.sort(rng.normal(size=k)), rng.gamma(2, 1, k)
    )
    for prior in (
        Prior(Dirichlet(1), Normal(0, 1), LogNormal(0, 1), ordered=True),
        Prior(Dirichlet(1), Normal(0, 1), InverseGamma(2, 1)),
    ):
        model = build_model(MixtureSpec(k), prior, X)
        values = model.replace_rvs_by_values([model["weights"], model["means"], model["sds"]])
        weights, means, sds = model.compile_fn(values, mode=MODE)(point_of(model, theta, X))
        np.testing.assert_allclose(weights, theta.weights)
        np.testing.assert_allclose(means, theta.means[:, 0], atol=1e-12)
        np.testing.assert_allclose(sds, theta.sds[:, 0])


def test_one_component_has_no_free_weight():
    prior = Prior(Dirichlet(2), Normal(1, 3), LogNormal(0, 1), ordered=True)
    model = build_model(MixtureSpec(1), prior, X)
    assert free_names(model) == ["standard_means", "standard_sds_log__"]
    theta = NormalMixture.univariate([1], [2], [3])
    log_density = model.compile_logp(mode=MODE)(point_of(model, theta, X))
    assert log_density == pytest.approx(expected_log_density(prior, theta, X), rel=1e-10)


def moved(prior, shift, scale):
    """The prior of shift + scale times the variable."""
    means = Normal(shift + scale * prior.means.location, scale * prior.means.scale)
    match prior.sds:
        case LogNormal(location=location, scale=sd):
            sds = LogNormal(location + math.log(scale), sd)
        case HalfNormal(scale=sd):
            sds = HalfNormal(scale * sd)
        case InverseGamma(shape=shape, scale=rate):
            sds = InverseGamma(shape, scale**2 * rate)
    return Prior(prior.weights, means, sds, prior.ordered)


@pytest.mark.parametrize(("shift", "scale"), [(0, 1e-6), (1e6, 1), (-300, 1e4)])
def test_free_variables_do_not_feel_the_units_of_the_data(prior, shift, scale):
    here = build_model(MixtureSpec(2), prior, X)
    there = build_model(MixtureSpec(2), moved(prior, shift, scale), shift + scale * X)
    point = point_of(here, THETAS[0], X)
    difference = there.compile_logp(mode=MODE)(point) - here.compile_logp(mode=MODE)(point)
    assert difference == pytest.approx(-len(X) * math.log(scale), abs=1e-7)


def test_every_number_that_data_decide_is_data_of_the_model(prior):
    model = build_model(MixtureSpec(2), prior, X)
    spread = "variances" if isinstance(prior.sds, InverseGamma) else "sds"
    hyper = {f"{spread}_{field}" for field in prior.sds.__slots__}
    named = {"x", "location", "unit", "weights_concentration", "means_location", "means_scale"}
    assert {variable.name for variable in model.data_vars} == named | hyper
    assert model["means_scale"].eval().shape == (2,)
    assert model.named_vars_to_dims["weights"] == ("component",)


def test_prior_predictive_draws_follow_the_prior():
    import pymc as pm

    prior = Prior(Dirichlet([3, 1]), Normal([100, 140], [5, 2]), HalfNormal([4, 8]))
    model = build_model(MixtureSpec(2), prior, X)
    drawn = pm.sample_prior_predictive(2000, model=model, random_seed=1, compile_kwargs={"mode": MODE}).prior
    error = 5 / math.sqrt(2000)  # five Monte Carlo standard errors
    np.testing.assert_allclose(drawn["weights"].mean(("chain", "draw")), [0.75, 0.25], atol=0.2 * error)
    np.testing.assert_allclose(drawn["means"].mean(("chain", "draw")), [100, 140], atol=5 * error)
    half = np.array([4, 8]) * math.sqrt(2 / math.pi)
    np.testing.assert_allclose(drawn["sds"].mean(("chain", "draw")), half, atol=5 * error)


ORDERED = Prior(Dirichlet(5), Normal(0, 5), HalfNormal(2), ordered=True)


@pytest.fixture(scope="module")
def sampled():
    """Sample a model as PyMC's users do, 2 chains of 50 draws."""
    import pymc as pm

    settings = {"tune": 100, "chains": 2, "cores": 1, "initvals": {"standard_means": [-0.8, 0.8]}}
    with build_model(MixtureSpec(2), ORDERED, X) as model:
        tree = pm.sample(50, **settings, random_seed=3, progressbar=False, quiet=True)
        pm.compute_log_likelihood(tree, progressbar=False)
    return model, tree


def mixture_at(draw):
    return NormalMixture.univariate(draw["weights"].values, draw["means"].values, draw["sds"].values ** 2)


@pytest.mark.slow
class TestUsersOfPyMC:
    def test_sample_and_evaluate(self, sampled):
        tree = sampled[1]
        draw = tree.posterior.isel(chain=1, draw=7)
        assert draw["means"][0] < draw["means"][1]
        pointwise = tree.log_likelihood["obs"].isel(chain=1, draw=7)
        np.testing.assert_allclose(pointwise, log_density(mixture_at(draw), X), rtol=1e-10)

    def test_cross_validate(self, sampled):
        import arviz as az

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # so few draws
            left_out = az.loo(sampled[1], pointwise=True)
        pointwise = sampled[1].log_likelihood["obs"]
        assert left_out.elpd_i.shape == X.shape
        assert left_out.elpd < float(np.log(np.exp(pointwise).mean(("chain", "draw"))).sum())

    def test_predict_other_numbers_of_observations(self, sampled):
        import pymc as pm

        model, tree = sampled
        with model.copy():
            pm.set_data({"x": np.zeros(2000)})
            predicted = pm.sample_posterior_predictive(tree, random_seed=4, progressbar=False)
        drawn = predicted.posterior_predictive["obs"]
        assert drawn.shape == (2, 50, 2000)
        means = (tree.posterior["weights"] * tree.posterior["means"]).sum("component")
        error = drawn.std("observation") / math.sqrt(2000)
        assert (np.abs(drawn.mean("observation") - means) < 4.5 * error).all()  # of 100: 0.07% false alarms


def test_prior_predictive_draws_need_no_data():
    import pymc as pm

    with build_model(MixtureSpec(2), ORDERED, X):
        pm.set_data({"x": np.zeros(3)})
        tree = pm.sample_prior_predictive(20, random_seed=1, compile_kwargs={"mode": MODE})
    assert tree.prior_predictive["obs"].shape == (1, 20, 3)


def test_interventions_and_conditions_on_free_variables():
    import pymc as pm

    model = build_model(MixtureSpec(2), ORDERED, X)
    theta = NormalMixture.univariate([0.7, 0.3], [0.1, 4.2], [1.0, 4.0])
    unit = X.std()
    fixed = {"standard_sds": theta.sds[:, 0] / unit}
    point = point_of(model, theta, X)
    del point["standard_sds_log__"]
    conditioned = pm.observe(model, fixed)
    intervened = pm.do(model, fixed)
    prior = ORDERED.sds.log_density(theta.sds[:, 0]).sum() + 2 * math.log(unit)
    whole = expected_log_density(ORDERED, theta, X) - np.log(fixed["standard_sds"]).sum()
    assert conditioned.compile_logp(mode=MODE)(point) == pytest.approx(whole, rel=1e-10)
    assert intervened.compile_logp(mode=MODE)(point) == pytest.approx(whole - prior, rel=1e-10)


def test_the_mode_from_a_start():
    import pymc as pm

    model = build_model(MixtureSpec(2), ORDERED, X)
    start = {"standard_means": np.array([-0.8, 0.8])}
    settings = {"initvals": start, "jitter": False, "return_inferencedata": False, "progressbar": False}
    found = pm.find_MAP(model=model, compile_kwargs={"mode": MODE}, **settings)
    gradient = model.compile_dlogp(jacobian=False, mode=MODE)(
        {name: found[name] for name in free_names(model)}
    )
    np.testing.assert_allclose(gradient, 0, atol=1e-3)


BAD = [
    (MixtureSpec(2), None, np.zeros((5, 2)) + np.arange(10).reshape(5, 2) ** 2, ValueError, "univariate"),
    (MixtureSpec(2, "tied"), None, X, ValueError, "got tied"),
    (
        MixtureSpec(3),
        Prior(Dirichlet([1, 1]), Normal(0, 1), HalfNormal(1)),
        X,
        ValueError,
        "3 components; got 2",
    ),
    (MixtureSpec(2), {"weights": 1}, X, TypeError, "a Prior or None; got dict"),
    (MixtureSpec(2), None, np.ones(5), ValueError, "x must vary"),
    (MixtureSpec(2), None, [1.0, np.nan], ValueError, "x must be finite"),
    (2, None, X, TypeError, "spec must be a MixtureSpec; got int"),
]


def test_other_likelihoods_are_refused():
    with pytest.raises(ValueError, match="likelihood must be fused or pymc; got 'fast'"):
        build_model(MixtureSpec(2), None, X, likelihood="fast")


@pytest.mark.parametrize(("spec", "prior", "x", "error", "message"), BAD)
def test_bad_input_is_refused_in_words(spec, prior, x, error, message):
    with pytest.raises(error, match=message):
        build_model(spec, prior, x)

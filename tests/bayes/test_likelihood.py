"""The log-likelihood in one pass against PyMC's own mixture of normals, and what PyMC makes of it."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.graph import rewrite_graph
from pytensor.graph.traversal import ancestors
from pytensor.link.numba.dispatch.basic import numba_funcify_and_cache_key

from mixtures.bayes import likelihood
from mixtures.bayes.likelihood import MixtureLogDensity, MixtureLogLikelihood, log_density
from mixtures.bayes.model import build_model
from mixtures.model.prior import Dirichlet, HalfNormal, InverseGamma, LogNormal, Normal, Prior
from mixtures.model.spec import MixtureSpec

MODE = "FAST_COMPILE"  # interpreted: these functions are called a few times each
X = np.random.default_rng(1).normal(2, 3, size=40)
PARAMETERS = [pt.dvector(name) for name in ("weights", "means", "sds")]


def stock_log_density(x, weights, means, sds):
    import pymc as pm

    return pm.logp(pm.NormalMixture.dist(weights, means, sds), x)


def total_and_gradient(density, mode):
    """Compile x, weights, means, sds -> log-likelihood and its partial derivatives."""
    x = pt.dvector("x")
    total = rewrite_graph(density(x, *PARAMETERS).sum(), include=("canonicalize", "stabilize"))
    return pytensor.function([x, *PARAMETERS], [total, *pytensor.grad(total, PARAMETERS)], mode=mode)


@pytest.fixture(scope="module")
def stock():
    return total_and_gradient(stock_log_density, MODE)


@pytest.fixture(scope="module", params=[MODE, "NUMBA"])
def fused(request):
    return total_and_gradient(log_density, request.param)


def random_parameters(k, n_points):
    """Weights down to 1e-12, means far apart and together, sds over four orders of magnitude."""
    rng = np.random.default_rng(k)
    for _ in range(n_points):
        weights = 10.0 ** rng.uniform(-12, 0, k)
        means = 10.0 ** rng.uniform(-3, 2) * rng.standard_normal(k)
        yield weights / weights.sum(), means, 10.0 ** rng.uniform(-2, 2, k)


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
def test_it_is_pymcs_log_likelihood_with_its_gradient(fused, stock, k):
    for point in random_parameters(k, n_points=40):
        for ours, theirs in zip(fused(X, *point), stock(X, *point), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9 * np.abs(theirs).max())


def test_a_component_of_weight_zero_takes_no_part(stock):
    x, log_weights, means, sds = pt.dvectors("x", "log_weights", "means", "sds")
    values = pytensor.function(
        [x, log_weights, means, sds], MixtureLogLikelihood()(x, log_weights, means, sds), mode=MODE
    )
    total, counts, *slopes = values(X, [-np.inf, 0], [9.0, 1.0], [1.0, 2.0])
    expected, _, of_means, of_sds = stock(X, [1], [1], [2])
    np.testing.assert_allclose(total, expected)
    np.testing.assert_allclose(counts, [0, len(X)], atol=1e-300)  # where exponentials underflow
    np.testing.assert_allclose(slopes, [[0, of_means[0]], [0, of_sds[0]]], atol=1e-300)


def test_values_of_observations_are_those_of_pymc():
    ours, theirs = (
        pytensor.function(PARAMETERS, density(pt.constant(X), *PARAMETERS), mode=mode)
        for density, mode in ((log_density, "NUMBA"), (stock_log_density, MODE))
    )
    for point in random_parameters(3, n_points=10):
        np.testing.assert_allclose(ours(*point), theirs(*point), rtol=1e-12)


PRIORS = {
    1: Prior(Dirichlet(2), Normal(1, 3), LogNormal(0.2, 0.6)),
    2: Prior(Dirichlet([3, 1.5]), Normal([0, 4], [1, 2]), InverseGamma([2, 3], [1, 1.5])),
    3: Prior(Dirichlet(5), Normal(0, 2), HalfNormal(2), ordered=True),
    4: Prior(Dirichlet(1), Normal(0, 9), LogNormal(0, 1), ordered=True),
    5: Prior(Dirichlet(0.5), Normal(0, 2), InverseGamma(2, 1), ordered=True),
}


@pytest.mark.parametrize(("k", "prior"), PRIORS.items())
def test_both_kinds_of_model_have_the_same_log_density_and_gradient(k, prior):
    fused, stock = (build_model(MixtureSpec(k), prior, X, likelihood=kind) for kind in ("fused", "pymc"))
    ours, theirs = (
        model.compile_fn([model.logp(), model.dlogp()], inputs=model.value_vars, mode=MODE)
        for model in (fused, stock)
    )
    rng = np.random.default_rng(k)
    start = fused.initial_point()
    for scale in np.geomspace(0.1, 10, 25):
        point = {name: scale * rng.standard_normal(value.shape) for name, value in start.items()}
        (density, gradient), (expected, slopes) = ours(point), theirs(point)
        assert density == pytest.approx(expected, rel=1e-9)
        np.testing.assert_allclose(gradient, slopes, rtol=1e-9, atol=1e-9 * np.abs(slopes).max())


class TestRewrite:
    @staticmethod
    def ops(graph):
        nodes = {variable.owner for variable in ancestors([graph]) if variable.owner is not None}
        kinds = (MixtureLogDensity, MixtureLogLikelihood)
        return [type(node.op) for node in nodes if isinstance(node.op, kinds)]

    def test_a_log_posterior_and_its_gradient_take_one_pass(self):
        model = build_model(MixtureSpec(2), None, X)
        total = rewrite_graph(model.logp(), include=("canonicalize", "stabilize"))
        assert self.ops(total) == [MixtureLogLikelihood]
        gradient = pt.concatenate([*pytensor.grad(total, model.value_vars), total[None]])
        assert self.ops(rewrite_graph(gradient, include=("merge", "canonicalize"))) == [MixtureLogLikelihood]

    def test_pointwise_log_densities_stay(self):
        model = build_model(MixtureSpec(2), None, X)
        (pointwise,) = model.logp(vars=[model["obs"]], sum=False)
        assert self.ops(rewrite_graph(pointwise, include=("canonicalize",))) == [MixtureLogDensity]


class TestDerivatives:
    """Of everything but the log-likelihood itself: those of PyMC's graph."""

    POINT = ([0.2, 0.5, 0.3], [0.0, 3.0, 4.0], [1.0, 0.5, 2.0])

    def both(self, make):
        x = pt.dvector("x")
        return [
            pytensor.function([x, *PARAMETERS], make(density, x), mode=MODE)(X, *self.POINT)
            for density in (log_density, stock_log_density)
        ]

    @pytest.mark.parametrize("i", [0, 1, 2])
    def test_second_derivatives(self, i):
        def second(density, x):
            total = rewrite_graph(density(x, *PARAMETERS).sum(), include=("canonicalize",))
            slope = (pytensor.grad(total, PARAMETERS[i]) * np.array([1.0, -2.0, 0.5])).sum()
            return pytensor.grad(total**2 / 1e4 + slope, PARAMETERS)

        for ours, theirs in zip(*self.both(second), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-9)

    def test_by_the_observations(self):
        def slopes(density, x):
            total = rewrite_graph(density(x, *PARAMETERS).sum(), include=("canonicalize",))
            return pytensor.grad(total, x)

        np.testing.assert_allclose(*self.both(slopes), rtol=1e-9)

    def test_of_pointwise_log_densities(self):
        def slopes(density, x):
            return pytensor.grad((density(x, *PARAMETERS) * x).sum(), PARAMETERS)

        for ours, theirs in zip(*self.both(slopes), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-9)


@pytest.mark.parametrize("op", [MixtureLogDensity(), MixtureLogLikelihood()])
def test_machine_code_on_disk_is_that_of_the_source(op, monkeypatch):
    _, key = numba_funcify_and_cache_key(op)
    assert likelihood.SOURCE_HASH in key
    monkeypatch.setattr(likelihood, "SOURCE_HASH", "another")
    _, other = numba_funcify_and_cache_key(op)
    assert other != key

"""Data, priors and fits that the tests of the posterior share; each sampler is compiled once."""

import numpy as np
import pytest

from mixtures.bayes.fitter import NUTS
from mixtures.model.data import simulate
from mixtures.model.mixture import NormalMixture
from mixtures.model.prior import Dirichlet, HalfNormal, InverseGamma, LogNormal, Normal, Prior
from mixtures.model.spec import MixtureSpec

PRIORS = {
    "log-normal": Prior(Dirichlet(2), Normal(1, 3), LogNormal(0.2, 0.6)),
    "half-normal, ordered": Prior(Dirichlet(5), Normal(0, 2), HalfNormal(2), ordered=True),
    "inverse-gamma, one each": Prior(
        Dirichlet([3, 1.5]), Normal([0, 4], [1, 2]), InverseGamma([2, 3], [1, 1.5])
    ),
}


@pytest.fixture(params=PRIORS.values(), ids=PRIORS)
def prior(request):
    return request.param


@pytest.fixture(scope="session")
def spec():
    return MixtureSpec(2)


TRUTH = NormalMixture.univariate([0.6, 0.4], [0, 4], [1, 0.64])


@pytest.fixture(scope="session")
def truth():
    return TRUTH


def observations():
    return simulate(TRUTH, 300, rng=11).x[:, 0]


@pytest.fixture(scope="session")
def x():
    return observations()


@pytest.fixture(scope="session")
def fit(spec, x):
    return NUTS(n_draws=1000, target_ess=None).fit(spec, x, rng=5)


@pytest.fixture(scope="session")
def posterior(fit):
    return fit.details


@pytest.fixture
def random_draws():
    """Make draws (..., k) of mixtures that have nothing to do with each other."""
    from mixtures.bayes.draws import MixtureDraws

    def make(shape, k, seed):
        rng = np.random.default_rng(seed)
        weights = rng.dirichlet(np.full(k, 3.0), size=shape)
        return MixtureDraws(weights, rng.normal(0, 2, (*shape, k)), rng.gamma(3, 0.5, (*shape, k)))

    return make

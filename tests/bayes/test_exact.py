"""The posterior of one component against quadrature; two stand in test_enumeration."""

import numpy as np
import pytest

from mixtures.bayes.fitter import NUTS
from mixtures.model.fit import Status
from mixtures.model.prior import Dirichlet, HalfNormal, Normal, Prior
from mixtures.model.spec import MixtureSpec


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

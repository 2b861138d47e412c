"""The posterior against published draws."""

import json

import numpy as np
import pytest
from references import reference_file

from mixtures.bayes.fitter import NUTS
from mixtures.model.fit import Status
from mixtures.model.prior import Dirichlet, HalfNormal, Normal, Prior
from mixtures.model.spec import MixtureSpec

GOLD_DRAWS = 10_000  # posteriordb's reference posteriors hold ten thinned chains of 1,000


@pytest.mark.slow
def test_posteriordb_low_dim_gauss_mix():
    """False alarms: ten comparisons at four standard errors or more, under one in a thousand."""
    x = json.loads(reference_file("posteriordb/low_dim_gauss_mix.json").read_text())["y"]
    gold = json.loads(reference_file("posteriordb/low_dim_gauss_mix_reference_summary.json").read_text())
    prior = Prior(Dirichlet([5, 5]), Normal(0, 2), HalfNormal(2), ordered=True)
    fit = NUTS(prior=prior, target_ess=4000).fit(MixtureSpec(2), x, rng=20)
    assert fit.status == Status.CONVERGED, fit.message

    found, ours = fit.details.parameters, fit.details
    draws = {
        "theta": ours.weights[..., 0],
        "mu[1]": ours.means[..., 0],
        "mu[2]": ours.means[..., 1],
        "sigma[1]": ours.sds[..., 0],
        "sigma[2]": ours.sds[..., 1],
    }
    assert (found.ess_bulk >= 4000).all()
    mcse = dict(zip(draws, found.mcse[[0, 2, 3, 4, 5]], strict=True))
    for name, values in draws.items():
        error = np.hypot(mcse[name], gold[name]["sd"] / np.sqrt(GOLD_DRAWS))
        assert abs(values.mean() - gold[name]["mean"]) < 4 * error, name
        assert values.std() == pytest.approx(gold[name]["sd"], rel=0.05), name

"""Draws from the normal approximation about a maximum, against the observed information by differences."""

import numpy as np
import pytest
from oracles import numerical_hessian

from mixtures.em.approximation import normal_draws
from mixtures.em.fitter import EM
from mixtures.em.information import curve
from mixtures.model.density import log_likelihood
from mixtures.model.mixture import NormalMixture
from mixtures.model.spec import Covariance, MixtureSpec

N_DRAWS = 200_000


@pytest.mark.parametrize("covariance", [Covariance.FULL, Covariance.TIED])
def test_the_covariance_is_the_inverse_of_the_observed_information(rng, covariance):
    """Coordinates: log w1 / w2, means, log sds. A sample covariance has relative errors below 1.5% here."""
    x = np.concatenate([rng.normal(0, 1, 120), rng.normal(4, 1.2, 180)])
    fit = EM().fit(MixtureSpec(2, covariance), x, 1)
    at = fit.estimate
    n_scales = 1 if covariance == Covariance.TIED else 2

    def at_step(step):
        odds = at.weights[0] / at.weights[1] * np.exp(step[0])
        variances = at.variances[:, 0] * np.exp(2 * step[3:])
        weights = [odds / (1 + odds), 1 / (1 + odds)]
        return log_likelihood(NormalMixture.univariate(weights, at.means[:, 0] + step[1:3], variances), x)

    exact = np.linalg.inv(-numerical_hessian(at_step, 3 + n_scales))
    draws = normal_draws(at, x[:, None], covariance, n_draws=N_DRAWS, rng=rng)
    assert draws.weights.shape == (1, N_DRAWS, 2)
    steps = np.column_stack(
        [
            np.log(draws.weights[0, :, 0] / draws.weights[0, :, 1]),
            draws.means[0, :, :, 0],
            0.5 * np.log(draws.variances[0, :, :n_scales, 0]),
        ]
    )
    sds = np.sqrt(np.diag(exact))
    np.testing.assert_allclose(np.cov(steps.T) / np.outer(sds, sds), exact / np.outer(sds, sds), atol=0.015)
    assert steps[:, 1:3].mean(axis=0) == pytest.approx(at.means[:, 0], abs=5 * sds[1:3].max() / N_DRAWS**0.5)
    assert fit.estimate.weights.sum() == pytest.approx(1)


def test_what_is_not_a_strict_maximum_is_refused(rng):
    x = rng.normal(size=(50, 1))
    saddle = NormalMixture.univariate([0.5, 0.5], [x.mean()] * 2, [x.var()] * 2)
    with pytest.raises(ValueError, match="must be a strict maximum"):
        normal_draws(saddle, x, Covariance.FULL, n_draws=5, rng=rng)
    x = np.concatenate([x[:, 0] - 3, x[:, 0] + 3])[:, None]
    maximum = EM().fit(MixtureSpec(2), x, 1).estimate
    assert normal_draws(maximum, x, Covariance.FULL, n_draws=5, rng=rng).weights.shape == (1, 5, 2)
    near = NormalMixture(maximum.weights, maximum.means + 0.01, maximum.covariances)  # concave there, too
    assert np.linalg.eigvalsh(curve(near, x, Covariance.FULL).hessian).max() < 0
    with pytest.raises(ValueError, match=r"must be a strict maximum; got 0\.0.* still to gain"):
        normal_draws(near, x, Covariance.FULL, n_draws=5, rng=rng)
    for constant in (np.zeros((5, 1)), np.full((5, 1), 0.1)):
        with pytest.raises(ValueError, match=r"^x must vary; got the constant 0"):
            normal_draws(
                NormalMixture.univariate([1], [0], [1]), constant, Covariance.FULL, n_draws=5, rng=rng
            )
    plane = NormalMixture([1.0], [[0.0, 0.0]], [np.eye(2)])
    with pytest.raises(ValueError, match="must be univariate; got 2 dimensions"):
        normal_draws(plane, np.zeros((5, 2)), Covariance.FULL, n_draws=5, rng=rng)

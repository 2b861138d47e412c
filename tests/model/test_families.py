"""The families that priors are made of: densities against scipy, draws against densities."""

import math

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad

from mixtures.model.families import Dirichlet, HalfNormal, InverseGamma, LogNormal, Normal

N_DRAWS = 4000
FALSE_ALARM = 1e-6  # of each Kolmogorov-Smirnov test

#: Each family of one value per component, and its distribution in scipy (of the sd, for the spreads).
FAMILIES = {
    "normal": (Normal(1.0, 2.0), stats.norm(1, 2)),
    "log_normal": (LogNormal(-0.5, 0.75), stats.lognorm(s=0.75, scale=math.exp(-0.5))),
    "half_normal": (HalfNormal(2.0), stats.halfnorm(scale=2)),
}
SDS = np.array([0.05, 0.3, 1.0, 2.5, 7.0])


@pytest.mark.parametrize("name", FAMILIES)
def test_densities_are_scipys(name):
    family, oracle = FAMILIES[name]
    assert family.log_density(SDS) == pytest.approx(oracle.logpdf(SDS), rel=1e-12)


def test_the_inverse_gamma_density_is_that_of_the_sd():
    """With v = s^2, the density of s is that of v times 2 s."""
    oracle = stats.invgamma(3.0, scale=2.0)
    expected = oracle.logpdf(SDS**2) + np.log(2 * SDS)
    assert InverseGamma(3.0, 2.0).log_density(SDS) == pytest.approx(expected, rel=1e-12)
    total, _ = quad(lambda s: math.exp(InverseGamma(3.0, 2.0).log_density(np.array(s))), 0, np.inf)
    assert total == pytest.approx(1, abs=1e-8)


@pytest.mark.parametrize("concentration", [1.0, 5.0, [2.0, 1.0, 4.0]])
def test_the_dirichlet_density_is_scipys(concentration):
    weights = np.array([0.2, 0.5, 0.3])
    expected = stats.dirichlet(np.broadcast_to(concentration, 3)).logpdf(weights)
    assert Dirichlet(concentration).log_density(weights) == pytest.approx(expected, rel=1e-12)


def test_the_dirichlet_density_at_an_empty_component():
    assert Dirichlet(1.0).log_density(np.array([0.0, 1.0])) == pytest.approx(0)
    assert Dirichlet(2.0).log_density(np.array([0.0, 1.0])) == -math.inf


def ks(values, oracle):
    return stats.kstest(values, oracle.cdf).pvalue


@pytest.mark.parametrize("name", FAMILIES)
def test_draws_follow_the_density(name, rng):
    family, oracle = FAMILIES[name]
    values = family.sample(N_DRAWS, rng)
    assert ks(values, oracle) > FALSE_ALARM
    assert ks(values * 1.25, oracle) < FALSE_ALARM  # the control


def test_inverse_gamma_draws_follow_the_density(rng):
    values = InverseGamma(3.0, 2.0).sample(N_DRAWS, rng)
    oracle = stats.invgamma(3.0, scale=2.0)
    assert ks(values**2, oracle) > FALSE_ALARM
    assert ks(values, oracle) < FALSE_ALARM  # the control: an sd is no variance


def test_dirichlet_draws_follow_the_density(rng):
    """Each weight is Beta(a_j, sum of the others)."""
    draws = np.array([Dirichlet([2.0, 1.0, 4.0]).sample(3, rng) for _ in range(N_DRAWS)])
    for j, a in enumerate([2.0, 1.0, 4.0]):
        assert ks(draws[:, j], stats.beta(a, 7 - a)) > FALSE_ALARM
    assert ks(draws[:, 0], stats.beta(4, 3)) < FALSE_ALARM  # the control

"""Standardised units: there and back again, for every structure."""

import numpy as np
import pytest
from oracles import STRUCTURES, random_mixture

from mixtures.model.data import simulate
from mixtures.model.density import log_likelihood, responsibilities
from mixtures.model.scale import Scale
from mixtures.model.spec import Covariance

CASES = [(covariance, d) for covariance in STRUCTURES for d in (1, 2, 3)]


def sample(covariance, d, n=80):
    mixture = random_mixture(np.random.default_rng(11), 2, d, covariance)
    return mixture, simulate(mixture, n, 12).x


def has_structure(covariance, matrices):
    d = matrices.shape[1]
    expected = {
        "full": matrices,
        "diagonal": matrices * np.eye(d),
        "spherical": matrices[:, :1, :1] * np.eye(d),
        "tied": np.repeat(matrices[:1], len(matrices), axis=0),
    }[covariance]
    return np.allclose(matrices, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("covariance", "d"), CASES)
def test_mixtures_come_back_and_keep_their_structure(covariance, d):
    mixture, x = sample(covariance, d)
    scale = Scale.of(x, Covariance(covariance))
    standard = scale.standardise_mixture(mixture)
    back = scale.restore_mixture(standard)
    assert has_structure(covariance, standard.covariances)
    assert back.means == pytest.approx(mixture.means, rel=1e-12, abs=1e-12)
    assert back.covariances == pytest.approx(mixture.covariances, rel=1e-12, abs=1e-12)


def test_whitening_would_break_a_diagonal_structure():
    """The control: the map of a full spec does not keep diagonal covariances diagonal."""
    mixture, x = sample("diagonal", 3)
    assert not has_structure(
        "diagonal", Scale.of(x, Covariance.FULL).standardise_mixture(mixture).covariances
    )


@pytest.mark.parametrize(("covariance", "d"), CASES)
def test_standardised_data_have_mean_0_and_scale_1(covariance, d):
    _, x = sample(covariance, d)
    z = Scale.of(x, Covariance(covariance)).standardise(x)
    second = z.T @ z / len(z)
    assert z.mean(axis=0) == pytest.approx(np.zeros(d), abs=1e-13)
    if covariance == "spherical":
        assert np.trace(second) == pytest.approx(d, rel=1e-12)
    elif covariance == "diagonal":
        assert second.diagonal() == pytest.approx(np.ones(d), rel=1e-12)
    else:
        assert second == pytest.approx(np.eye(d), abs=1e-12)


@pytest.mark.parametrize(("covariance", "d"), CASES)
@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_log_likelihoods_differ_by_the_jacobian(covariance, d, unit):
    mixture, x = sample(covariance, d)
    factor = unit * np.eye(d)
    mixture = Scale(np.zeros(d), factor).restore_mixture(mixture)
    x = x * unit
    scale = Scale.of(x, Covariance(covariance))
    z, standard = scale.standardise(x), scale.standardise_mixture(mixture)
    expected = log_likelihood(standard, z) + scale.log_jacobian(len(x))
    assert log_likelihood(mixture, x) == pytest.approx(expected, abs=1e-9)
    assert responsibilities(standard, z) == pytest.approx(responsibilities(mixture, x), abs=1e-10)


@pytest.mark.parametrize(("covariance", "d"), CASES)
def test_data_far_from_zero_standardise_to_the_same(covariance, d):
    """Shifted by 2^27 the data keep 2^-26 of a unit, and so does z; a mean taken from 0 would lose more."""
    _, x = sample(covariance, d)
    x = np.round(x * 2**20) / 2**20  # exact after the shift
    z = Scale.of(x, Covariance(covariance)).standardise(x)
    assert Scale.of(x + 2.0**27, Covariance(covariance)).standardise(x + 2.0**27) == pytest.approx(
        z, abs=1e-7
    )


def test_the_unit_of_one_dimension_is_the_standard_deviation(rng):
    x = rng.normal(size=(50, 1)) * 3
    assert Scale.of(x).unit == pytest.approx([x.std()], rel=1e-13)

"""Batched diagnostics against ArviZ's, one quantity at a time, and where the two are meant to differ."""

import numpy as np
import pytest
from arviz_stats.base import array_stats
from scipy.signal import lfilter

from mixtures.bayes.convergence import convergence

AXES = {"chain_axis": -2, "draw_axis": -1}


def autoregressions(rho, shape, seed=1):
    return lfilter([1], [1, -rho], np.random.default_rng(seed).normal(size=shape), axis=-1)


def noise(*shape):
    return np.random.default_rng(2).normal(size=shape)


BATCHES = {
    "independent": autoregressions(0, (3, 4, 1000)),
    "AR 0.5": autoregressions(0.5, (3, 4, 1000)),
    "AR 0.95": autoregressions(0.95, (3, 4, 1000)),
    "a random walk": np.cumsum(noise(2, 4, 300), axis=-1),
    "antithetic": autoregressions(-0.5, (3, 4, 1000)),
    "very antithetic": autoregressions(-0.95, (3, 4, 1000)),
    "alternating": np.tile([1.0, -1.0], (1, 4, 100)),
    "constant": np.ones((1, 4, 100)),
    "apart": noise(2, 4, 100) + 10 * np.arange(4)[:, None],
    "of different spread": noise(2, 4, 100) * np.array([1, 1, 1, 5])[:, None],
    "many ties": np.random.default_rng(3).integers(0, 5, (3, 4, 201)).astype(float),
    "two values": np.random.default_rng(4).integers(0, 2, (3, 4, 200)).astype(float),
    "repeated draws": np.repeat(noise(2, 4, 100), 3, axis=-1),
    "an odd number of draws": autoregressions(0.3, (3, 4, 101)),
    "many chains": autoregressions(0.3, (2, 40, 50)),
    "one chain": autoregressions(0.3, (2, 1, 100)),
    "several data sets": autoregressions(0.3, (2, 3, 4, 50)),
} | {f"{s} draws": autoregressions(0.3, (3, 2, s)) for s in (4, 5, 6, 7, 8, 9, 13)}


def arviz(draws):
    with np.errstate(all="ignore"):
        return {
            "rhat": array_stats.rhat(draws, **AXES),
            "ess_bulk": array_stats.ess(draws, method="bulk", **AXES),
            "ess_tail": array_stats.ess(draws, method="tail", prob=(0.05, 0.95), **AXES),
            "mcse": array_stats.mcse(draws, method="mean", **AXES),
        }


@pytest.mark.parametrize("draws", BATCHES.values(), ids=BATCHES)
def test_they_are_those_of_arviz(draws):
    found = convergence(draws)
    for name, expected in arviz(draws).items():
        np.testing.assert_allclose(getattr(found, name), expected, rtol=1e-10, err_msg=name)


def test_far_from_0_the_error_of_the_mean_loses_nothing():
    """ArviZ's loses eight digits, to means of large numbers."""
    near = noise(2, 4, 100)
    far = 1e9 + near
    found, expected = convergence(far), arviz(far)
    for name in ("rhat", "ess_bulk", "ess_tail"):
        np.testing.assert_allclose(getattr(found, name), expected[name], rtol=1e-10, err_msg=name)
    exact = arviz(far - 1e9)["mcse"]
    np.testing.assert_allclose(found.mcse, exact, rtol=1e-12)
    assert (np.abs(expected["mcse"] / exact - 1) > 1e-10).all()


def test_chains_stuck_in_different_places_have_an_infinite_rhat():
    """ArviZ's is finite by the rounding of the normal scores' means."""
    stuck = np.ones((1, 4, 100)) * np.arange(4)[:, None]
    found, expected = convergence(stuck), arviz(stuck)
    assert expected["rhat"] > 1e15
    assert np.isinf(found.rhat)
    for name in ("ess_bulk", "ess_tail", "mcse"):
        np.testing.assert_allclose(getattr(found, name), expected[name], rtol=1e-10, err_msg=name)


def test_a_quantity_does_not_depend_on_its_batch():
    batch = BATCHES["AR 0.5"] * np.array([1, 1e6, 1e-6])[:, None, None]
    together = convergence(batch)
    for i, draws in enumerate(batch):
        alone = convergence(draws)
        for name in ("rhat", "ess_bulk", "ess_tail", "mcse"):
            assert getattr(together, name)[i] == pytest.approx(getattr(alone, name), rel=1e-12)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_draw_that_is_not_finite_spoils_its_quantity_alone(value):
    """ArviZ does so for NaN; it ranks infinite draws."""
    draws = BATCHES["AR 0.5"].copy()
    draws[1, 2, 17] = value
    found = convergence(draws)
    for name, expected in arviz(draws[[0, 2]]).items():
        np.testing.assert_allclose(getattr(found, name)[[0, 2]], expected, rtol=1e-10)
        assert np.isnan(getattr(found, name)[1])
    assert np.isnan(
        [values[1] for values in arviz(np.where(np.isfinite(draws), draws, np.nan)).values()]
    ).all()


@pytest.mark.parametrize("shape", [(2, 4, 3), (2, 4, 1)])
def test_too_few_draws_have_no_diagnostics(shape):
    found = convergence(noise(*shape))
    for name, expected in arviz(noise(*shape)).items():
        np.testing.assert_array_equal(getattr(found, name), expected)


def test_nothing_but_nan():
    assert np.isnan(convergence(np.full((2, 4, 100), np.nan)).ess_bulk).all()


def test_errors_of_the_mean_follow_the_unit():
    """ArviZ takes draws within 1e-15 of each other for constant, and so for independent."""
    draws = BATCHES["AR 0.95"]
    np.testing.assert_allclose(convergence(1e-20 * draws).mcse, 1e-20 * convergence(draws).mcse, rtol=1e-10)
    assert (arviz(1e-20 * draws)["mcse"] < 0.5e-20 * arviz(draws)["mcse"]).all()


def test_errors_of_the_mean_are_those_of_many_replications():
    """Tolerance: 4 standard errors of an sd over 1,000 replications; the naive error must fail it."""
    rho, n = 0.6, 1000
    draws = lfilter([1], [1, -rho], np.random.default_rng(5).normal(size=(n, 4, 700)), axis=-1)[..., 200:]
    spread = draws.mean(axis=(1, 2)).std(ddof=1)
    tolerance = 4 / np.sqrt(2 * n)
    assert abs(np.median(convergence(draws).mcse) / spread - 1) < tolerance
    naive = draws.std(axis=(1, 2)) / np.sqrt(draws[0].size)
    assert not abs(np.median(naive) / spread - 1) < tolerance

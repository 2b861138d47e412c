"""Diagnostics against ArviZ's own interface; a gate that must open and must shut."""

import arviz as az
import numpy as np
import pytest
from arviz_stats.base import array_stats
from scipy.signal import lfilter

from mixtures.bayes.diagnostics import LENIENT, STRICT, Diagnostics, Gate, invariant_quantities
from mixtures.bayes.draws import MixtureDraws
from mixtures.model.density import log_density
from mixtures.model.fit import Status
from mixtures.model.mixture import NormalMixture

SOUND = np.zeros((4, 500), dtype=bool)


def chains(seed, n_draws=500):
    return np.random.default_rng(seed).normal(size=(4, n_draws))


def test_diagnostics_are_arviz_own():
    walk = np.cumsum(chains(1), axis=1) * 0.1 + chains(2)
    found = Diagnostics.of({"a": walk, "b": chains(3)})
    for i, draws in enumerate((walk, chains(3))):
        tree = az.from_dict({"posterior": {"q": draws}})
        assert found.rhat[i] == pytest.approx(float(az.rhat(tree)["q"]))
        assert found.ess_bulk[i] == pytest.approx(float(az.ess(tree, method="bulk")["q"]))
        assert found.ess_tail[i] == pytest.approx(float(az.ess(tree, method="tail", prob=(0.05, 0.95))["q"]))
        assert found.mcse[i] == pytest.approx(float(az.mcse(tree, method="mean")["q"]))
    assert found.names == ("a", "b")


def test_independent_draws_pass():
    outcome = STRICT.judge(Diagnostics.of({"a": chains(1), "b": chains(2)}), SOUND)
    assert outcome.status == Status.CONVERGED
    assert not outcome.message


def test_chains_in_different_places_do_not_pass():
    apart = chains(1) + np.array([0, 0, 0, 3])[:, None]
    outcome = LENIENT.judge(Diagnostics.of({"fine": chains(2), "apart": apart}), SOUND)
    assert outcome.status == Status.NOT_MIXED
    assert outcome.message.startswith("R-hat of apart must be below 1.02; got 1.")


def test_what_never_varies_does_not_pass():
    for stuck in (np.ones((4, 500)), np.ones((4, 500)) * np.arange(4)[:, None]):
        outcome = LENIENT.judge(Diagnostics.of({"fine": chains(1), "stuck": stuck}), SOUND)
        assert outcome.status == Status.NOT_MIXED
        assert "R-hat of stuck" in outcome.message


def test_one_nan_does_not_pass():
    draws = chains(1)
    draws[2, 17] = np.nan
    outcome = LENIENT.judge(Diagnostics.of({"fine": chains(2), "broken": draws}), SOUND)
    assert outcome.status == Status.NOT_MIXED
    assert "bulk ESS of broken must be at least 400; got nan" in outcome.message


def test_few_draws_do_not_pass():
    outcome = STRICT.judge(Diagnostics.of({"a": chains(1, n_draws=200)}), SOUND[:, :200])
    assert outcome.status == Status.NOT_MIXED
    assert "bulk ESS of a must be at least 1000" in outcome.message


def test_divergences_come_first_and_one_in_a_thousand_passes():
    diverging = SOUND.copy()
    diverging[0, :2] = True
    sound, stuck = Diagnostics.of({"a": chains(1)}), Diagnostics.of({"a": np.ones((4, 500))})
    assert STRICT.judge(sound, diverging).status == Status.CONVERGED
    diverging[0, 2] = True
    assert STRICT.judge(sound, diverging).status == Status.DIVERGENT
    outcome = STRICT.judge(stuck, diverging)
    assert outcome.status == Status.DIVERGENT
    assert outcome.message == "3 of 2000 draws diverged; at most 2 may"


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"rhat": 1.0}, "rhat must be above 1; got 1.0"),
        ({"ess": -1}, "ess must not be negative; got -1"),
        ({"divergences": 2}, "divergences must lie between 0 and 1; got 2"),
        ({"rhat": float("nan")}, "rhat must be above 1; got nan"),
    ],
)
def test_a_gate_without_sense_is_refused(limits, message):
    with pytest.raises(ValueError, match=message):
        Gate(**limits)


def test_a_limit_that_is_no_number_is_refused():
    with pytest.raises(TypeError, match=r"rhat must be a number; got '1\.01'"):
        Gate(rhat="1.01")


@pytest.mark.slow
@pytest.mark.parametrize(("gate", "stated"), [(STRICT, 0.044), (LENIENT, 0.22)])
def test_false_alarms_of_rhat_are_those_stated(gate, stated):
    """The same simulation, smaller; false alarms of this test itself: under one in 10,000."""
    rng = np.random.default_rng(30)
    rho = (4000 - gate.ess) / (4000 + gate.ess)  # an autoregression of 4,000 draws worth gate.ess
    n_fits, alarms = 400, 0
    for _ in range(n_fits):
        chains = lfilter([1], [1, -rho], rng.normal(size=(6, 4, 1200)), axis=-1)[..., 200:]
        alarms += array_stats.rhat(chains, chain_axis=1, draw_axis=2).max() >= gate.rhat
    assert abs(alarms / n_fits - stated) < 4 * np.sqrt(stated * (1 - stated) / n_fits)


def test_invariants_are_what_they_say(random_draws):
    x = np.arange(11.0)
    draws = random_draws((2, 5), 3, seed=1)
    found = invariant_quantities(draws, x, log_likelihoods=np.zeros((2, 5)))
    theta = NormalMixture.univariate(draws.weights[1, 3], draws.means[1, 3], draws.variances[1, 3])
    at_grid = [found[f"log_density[{q:g}]"][1, 3] for q in (0.1, 0.5, 0.9)]
    np.testing.assert_allclose(at_grid, log_density(theta, [1.0, 5.0, 9.0]))
    assert found["mean"][1, 3] == pytest.approx(theta.mean()[0])
    assert found["variance"][1, 3] == pytest.approx(theta.covariance()[0, 0])


def test_invariants_do_not_feel_labels(random_draws):
    draws = random_draws((2, 20), 3, seed=1)
    switches = np.random.default_rng(2).permuted(np.broadcast_to(np.arange(3), (2, 20, 3)), axis=-1)
    arguments = {"x": np.arange(11.0), "log_likelihoods": np.zeros((2, 20))}
    here = invariant_quantities(draws, **arguments)
    there = invariant_quantities(draws.reordered(switches), **arguments)
    assert here.keys() == there.keys()
    for name, values in here.items():
        np.testing.assert_allclose(values, there[name], rtol=1e-12)


def test_draws_are_read_only_after_unpickling(random_draws):
    import pickle

    draws = pickle.loads(pickle.dumps(random_draws((2, 3), 2, seed=1)))
    assert isinstance(draws, MixtureDraws)
    with pytest.raises(ValueError, match="read-only"):
        draws.means[0] = 1

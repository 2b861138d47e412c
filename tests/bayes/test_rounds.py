"""Plans of rounds, and their pooling: chains end to end, because more chains do not lower R-hat."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.signal import lfilter

from mixtures.bayes.compile import Sample, SampleStats, SamplingTimeoutError
from mixtures.bayes.convergence import convergence
from mixtures.bayes.diagnostics import Diagnostics, Gate
from mixtures.bayes.draws import MixtureDraws
from mixtures.bayes.rounds import next_round, pooled, sample_in_rounds

TARGET = Gate(rhat=1.01, ess=1000)


def diagnosed(ess, rhat=1.0):
    return Diagnostics(("a", "b"), np.array([1.0, rhat]), np.array([ess, 5e3]), np.full(2, 4e3), np.ones(2))


def sample_of(n_draws, seed=0):
    values = np.random.default_rng(seed).random((4, n_draws, 2))
    flags = np.zeros((4, n_draws), dtype=bool)
    counts = np.full((4, n_draws), seed)
    stats = SampleStats(flags, flags, counts, counts, *(values[..., 0] for _ in range(4)))
    return Sample(MixtureDraws(values, values + 1, values + 2), stats)


@pytest.mark.parametrize(
    ("diagnostics", "expected"),
    [
        (diagnosed(1000), 0),
        (diagnosed(500), 750),  # twice as many, and a margin of a quarter
        (diagnosed(990), 132),
        (diagnosed(3), 3500),  # at most eight times as many
        (diagnosed(np.nan), 3500),
        (diagnosed(2000, rhat=1.02), 125),  # at least a quarter more
        (diagnosed(2000, rhat=np.nan), 125),
    ],
)
def test_the_next_round_makes_up_for_what_is_missing(diagnostics, expected):
    assert next_round(TARGET, diagnostics, n_draws=500, max_draws=10**6) == expected


def test_the_cap_is_kept():
    assert next_round(TARGET, diagnosed(500), n_draws=500, max_draws=700) == 200
    assert next_round(TARGET, diagnosed(500), n_draws=700, max_draws=700) == 0


def test_a_pool_has_the_chains_of_each_round_end_to_end():
    first, second = sample_of(3, seed=1), sample_of(5, seed=2)
    pool = pooled([first, second])
    for name in ("weights", "means", "sds"):
        values = getattr(pool.draws, name)
        np.testing.assert_array_equal(values[:, :3], getattr(first.draws, name))
        np.testing.assert_array_equal(values[:, 3:], getattr(second.draws, name))
    assert pool.stats.depth.tolist() == [[1] * 3 + [2] * 5] * 4
    assert pool.stats.diverging.dtype == bool


def test_what_complete_rounds_drew_outlives_a_time_limit():
    def draw(n_draws):
        if n_draws != 500:
            raise SamplingTimeoutError("late")
        return sample_of(n_draws)

    def diagnose(sample):
        return SimpleNamespace(sample=sample, reported=lambda: diagnosed(500))

    posterior = sample_in_rounds(draw, diagnose, n_draws=500, max_draws=10**6, target=TARGET)
    assert posterior.sample.draws.shape == (4, 500)
    with pytest.raises(SamplingTimeoutError):
        sample_in_rounds(draw, diagnose, n_draws=400, max_draws=10**6, target=TARGET)


def test_rounds_go_on_until_the_target_is_met():
    class Posterior:
        def __init__(self, sample):
            self.n_draws = sample.draws.shape[1]

        def reported(self):
            return diagnosed(self.n_draws)  # each draw of the four chains is worth a quarter

    asked = []

    def draw(n_draws):
        asked.append(n_draws)
        return sample_of(n_draws)

    settings = {"n_draws": 100, "max_draws": 5000}
    assert sample_in_rounds(draw, Posterior, target=TARGET, **settings).n_draws == 1250
    assert asked == [100, 700, 450]
    assert sample_in_rounds(draw, Posterior, target=None, **settings).n_draws == 100
    assert sample_in_rounds(draw, Posterior, target=Gate(ess=9000), **settings).n_draws == 5000


def test_more_chains_do_not_lower_rhat_and_longer_ones_do():
    """Perfect chains, worth some 50 draws each: 32 of them beside each other, and as four, end to end."""
    rounds = lfilter([1], [1, -0.8], np.random.default_rng(6).normal(size=(100, 8, 4, 650)))[..., 200:]
    beside = convergence(rounds.reshape(100, 32, 450))
    behind = convergence(np.concatenate(np.moveaxis(rounds, 1, 0), axis=-1))
    for found in (beside, behind):
        assert (found.ess_bulk > 1000).all()
    assert (beside.rhat > 1.01).mean() > 0.9
    assert (behind.rhat < 1.01).all()


def test_seams_do_not_change_the_effective_sample_size():
    """Tolerance: 1% of the mean over 200 sets of chains, whose standard error is a third of that."""
    whole = lfilter([1], [1, -0.8], np.random.default_rng(7).normal(size=(200, 4, 2200)))[..., 200:]
    parts = np.concatenate([whole[:, ::-1, :500], whole[..., 500:]], axis=-1)  # another chain's beginning
    ratio = np.mean(convergence(parts).ess_bulk) / np.mean(convergence(whole).ess_bulk)
    assert abs(ratio - 1) < 0.01


def test_a_round_that_is_elsewhere_shows_in_rhat():
    draws = np.random.default_rng(8).normal(size=(4, 1800))
    assert convergence(draws).rhat < 1.01
    draws[:, :600] += 0.5
    assert convergence(draws).rhat > 1.01


def test_a_chain_that_is_stuck_in_one_round_shows_in_rhat():
    draws = np.random.default_rng(9).normal(size=(4, 1800))
    draws[2, :600] = 1 + 0.1 * draws[2, :600]
    assert convergence(draws).rhat > 1.01

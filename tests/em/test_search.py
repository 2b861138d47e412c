"""From many starts to modes: which runs are finished, which count as the same."""

import numpy as np
import pytest
from references import galaxies

from mixtures.em.modes import SliverRule
from mixtures.em.search import Search
from mixtures.em.starts import Start, draw_start
from mixtures.model.density import log_likelihood
from mixtures.model.scale import Scale
from mixtures.model.spec import MixtureSpec


def search_for(x, k, covariance="full", tolerance=1e-9, max_iter=10_000):
    x = np.asarray(x, dtype=float).reshape(len(x), -1)
    spec = MixtureSpec(k, covariance)
    scale = Scale.of(x, spec.covariance)
    return Search(scale.standardise(x), spec, SliverRule.of(x, scale), tolerance, max_iter)


def starts_for(search, n, seed):
    rng = np.random.default_rng(seed)
    spec = search.spec
    return [
        draw_start(Start.RANDOM_PARAMETERS, search.x, spec.n_components, spec.covariance, rng)
        for _ in range(n)
    ]


@pytest.mark.parametrize(("k", "covariance"), [(3, "full"), (4, "full"), (3, "tied"), (5, "tied")])
def test_the_best_mode_is_that_of_finishing_every_start(k, covariance):
    """Leaving hopeless runs coarse loses nothing: the same starts, each run to its end, find no more."""
    search = search_for(galaxies(), k, covariance)
    starts = starts_for(search, 25, 2)
    together = search.from_starts(starts)
    alone = [search.from_start(start) for start in starts]
    best = max(modes.best.log_likelihood for modes in alone if modes.best is not None)
    assert together.best.log_likelihood == pytest.approx(best, abs=1e-7)
    reached = sum(m.best is not None and abs(m.best.log_likelihood - best) < 1e-6 for m in alone)
    assert 0 < together.n_reached_best <= reached  # runs left coarse on a plateau count as not there
    assert reached < 25  # the control: not every start finds it
    assert together.n_spurious <= sum(m.spurious is not None for m in alone)
    assert together.n_collapsed <= sum(m.n_collapsed for m in alone)
    assert len(together.runs) == 25


def test_with_one_component_all_starts_agree():
    search = search_for(galaxies(), 1)
    modes = search.from_starts(starts_for(search, 10, 1))
    assert (modes.n_reached_best, modes.n_spurious, modes.n_collapsed) == (10, 0, 0)
    assert modes.best.mixture.means[0, 0] == pytest.approx(0, abs=1e-12)
    assert modes.best.mixture.variances[0, 0] == pytest.approx(1, rel=1e-12)


def test_short_runs_come_likeliest_first():
    search = search_for(galaxies(), 4)
    runs = search.short_runs(np.random.default_rng(3))
    assert len(runs) == 200
    assert all(len(one.trace) <= 26 for one in runs)
    assert sum(len(one.trace) > 6 for one in runs) <= 40
    sound = [one.collapse is None and search.rule.find(one.mixture) is None for one in runs]
    assert all(sound[:5])
    heights = np.array([one.log_likelihood for one in runs])
    assert heights[0] == heights[sound].max()
    assert heights[:5].min() > np.median(heights)


def test_short_runs_are_counted():
    search = search_for(galaxies(), 4)
    short = search.short_runs(np.random.default_rng(3))
    modes = search.from_starts(starts_for(search, 2, 4), short, n_kept=6)
    assert len(modes.runs) == 8
    assert modes.n_short == 200
    assert modes.n_short_collapsed == sum(one.collapse is not None for one in short) > 0


@pytest.mark.parametrize("max_iter", [1, 3])
def test_no_run_is_longer_than_asked_for(max_iter):
    search = search_for(galaxies(), 3, max_iter=max_iter)
    modes = search.from_starts(starts_for(search, 5, 4), search.short_runs(np.random.default_rng(5)), 3)
    assert all(len(one.trace) <= max_iter + 1 for one in modes.runs)


def test_the_log_likelihood_of_each_run_belongs_to_its_mixture():
    search = search_for(galaxies(), 4)
    for one in search.from_starts(starts_for(search, 12, 6)).runs:
        assert one.log_likelihood == pytest.approx(log_likelihood(one.mixture, search.x), abs=1e-10)

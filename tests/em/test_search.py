"""From many starts to modes: which runs are kept, and the textbook loop as the oracle of the fast one."""

import os
import subprocess
import sys

import numpy as np
import pytest
from oracles import STRUCTURES, random_mixture
from references import galaxies

from mixtures.em.climb import Rules, Starts, climb_all
from mixtures.em.coordinates import to_mixture, to_vector
from mixtures.em.modes import SliverRule
from mixtures.em.search import Acceleration, Search, Shortlist
from mixtures.em.starts import Start, condense, draw_start, random_vectors
from mixtures.model.data import simulate
from mixtures.model.density import log_likelihood
from mixtures.model.kernel import as_data
from mixtures.model.labels import align
from mixtures.model.mixture import NormalMixture
from mixtures.model.scale import Scale
from mixtures.model.spec import MixtureSpec


def search_for(x, k, covariance="full", acceleration="squarem", max_iter=10_000):
    x = np.asarray(x, dtype=float).reshape(len(x), -1)
    spec = MixtureSpec(k, covariance)
    scale = Scale.of(x, spec.covariance)
    rule = SliverRule.of(x, scale)
    return Search(scale.standardise(x), spec, rule, 1e-9, max_iter, Acceleration(acceleration))


def starts_for(search, n, seed, kind=Start.RANDOM_PARAMETERS):
    rng = np.random.default_rng(seed)
    return [draw_start(kind, search.x, search.shape, rng) for _ in range(n)]


@pytest.mark.parametrize("acceleration", ["squarem", "anderson"])
@pytest.mark.parametrize("covariance", STRUCTURES)
@pytest.mark.parametrize("d", [1, 3])
def test_accelerated_runs_end_where_the_textbook_does(acceleration, covariance, d):
    """From starts that are near a mode, so that no basin but its own is in question."""
    rng = np.random.default_rng(4)
    x = simulate(random_mixture(rng, 2, d, covariance, spread=2.0), 300, rng).x
    fast, plain = (search_for(x, 2, covariance, name) for name in (acceleration, "none"))
    starts = starts_for(fast, 3, 7, Start.KMEANS)
    found, expected = fast.from_starts(starts), plain.from_starts(starts)
    assert found.log_likelihoods == pytest.approx(expected.log_likelihoods, abs=1e-7)
    assert align(expected.best.mixture, found.best.mixture).cost < 1e-9
    assert len(found.best.trace) < len(expected.best.trace)


@pytest.mark.parametrize("acceleration", list(Acceleration))
def test_what_is_counted_adds_up(acceleration):
    search = search_for(galaxies(), 4, acceleration=acceleration)
    modes = search.from_starts(starts_for(search, 12, 6))
    n_sound = 12 - modes.n_collapsed - modes.n_spurious
    assert len(modes.log_likelihoods) == 12
    assert 1 <= modes.n_reached_best <= n_sound
    assert modes.best.log_likelihood <= np.nanmax(modes.log_likelihoods) + 1e-9
    assert (modes.spurious is None) == (modes.n_spurious == 0)
    assert (modes.collapse is None) == (modes.n_collapsed == 0)
    for run in (modes.best, modes.spurious):
        if run is not None:
            assert run.log_likelihood == pytest.approx(log_likelihood(run.mixture, search.x), abs=1e-9)
    if modes.spurious is not None:
        assert search.rule.find(modes.spurious.mixture) is not None
    assert search.rule.find(modes.best.mixture) is None


def test_with_one_component_all_starts_agree():
    search = search_for(galaxies(), 1)
    modes = search.from_starts(starts_for(search, 10, 1))
    assert (modes.n_reached_best, modes.n_spurious, modes.n_collapsed) == (10, 0, 0)
    assert modes.best.mixture.means[0, 0] == pytest.approx(0, abs=1e-12)
    assert modes.best.mixture.variances[0, 0] == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize(("k", "covariance"), [(1, "full"), (2, "full"), (4, "full"), (3, "tied")])
def test_a_shortlist_leads_to_modes_as_high_as_many_random_starts(k, covariance):
    search = search_for(galaxies(), k, covariance)
    shortlist = search.shortlist(7, np.random.default_rng(3))
    assert 1 <= len(shortlist.vectors) <= 7
    listed = search.from_starts([], shortlist)
    drawn = search.from_starts(starts_for(search, 60, 8))
    assert listed.best.log_likelihood >= drawn.best.log_likelihood - 1e-7
    assert listed.n_short == shortlist.n_short >= 60
    assert listed.n_short_collapsed == shortlist.n_collapsed


def test_a_shortlist_has_one_start_of_each_mode():
    search = search_for(galaxies(), 4)
    shortlist = search.shortlist(6, np.random.default_rng(3))
    assert len(shortlist.vectors) == 6
    assert len(search_for(galaxies(), 1).shortlist(6, np.random.default_rng(3)).vectors) == 1
    heights = [log_likelihood(to_mixture(v, search.shape), search.x) for v in shortlist.vectors]
    assert np.diff(sorted(heights)).min() > 1e-3


def test_modes_of_one_height_with_other_weights_are_told_apart():
    search = search_for(galaxies(), 2)
    weights = [[0.5, 0.5], [0.9, 0.1], [0.1, 0.9], [0.5, 0.5]]
    mixtures = [NormalMixture.univariate(pair, [-1, 1], [0.5, 0.5]) for pair in weights]
    vectors = np.array([to_vector(mixture, search.shape) for mixture in mixtures])
    ends = climb_all(as_data(search.x), search.shape, Starts(vectors, np.ones(4, int)), Rules(max_iter=1))
    ends = ends._replace(vectors=vectors, log_likelihoods=np.array([-3.0, -2.0, -2.001, -2.002]))
    chosen = search._choose(ends, 7, distinct=0.01)
    assert np.exp(chosen[:, 0]) == pytest.approx([0.9, 0.5, 0.5])


def test_short_runs_that_collapse_are_counted_and_dropped():
    shortlist = search_for(np.repeat([3.0, 8.0], [30, 20]), 2).shortlist(7, np.random.default_rng(1))
    assert 0 < shortlist.n_collapsed <= shortlist.n_short == 60
    assert shortlist.vectors.shape == (0, 6)


def test_the_likeliest_spurious_mode_takes_the_last_place():
    x = np.concatenate([simulate(random_mixture(np.random.default_rng(1), 2, 1), 60, 5).x[:, 0], [2, 2.0001]])
    search = search_for(x, 3)
    shortlist = search.shortlist(7, np.random.default_rng(2))
    *others, last = (search.rule.find(to_mixture(v, search.shape)) for v in shortlist.vectors)
    assert last is not None
    assert others[0] is None


def test_starts_of_a_shortlist_come_first():
    search = search_for(galaxies(), 3)
    start = starts_for(search, 1, 5)
    listed = Shortlist(np.array(starts_for(search, 2, 6)))
    together = search.from_starts(start, listed)
    alone = search.from_starts(start)
    assert len(together.log_likelihoods) == 3
    assert together.log_likelihoods[-1] == alone.log_likelihoods[0]


@pytest.mark.parametrize("acceleration", list(Acceleration))
@pytest.mark.parametrize("max_iter", [1, 2])
def test_no_run_is_longer_than_asked_for(max_iter, acceleration):
    search = search_for(galaxies(), 3, acceleration=acceleration, max_iter=max_iter)
    modes = search.from_starts(starts_for(search, 5, 4))
    assert len(modes.best.trace) == max_iter + 1
    assert modes.best.log_likelihood == pytest.approx(log_likelihood(modes.best.mixture, search.x), abs=1e-9)


@pytest.mark.parametrize("acceleration", list(Acceleration))
def test_a_collapse_names_its_component_and_rows(acceleration):
    x = np.concatenate([np.random.default_rng(1).normal(size=40), np.full(12, 6.0)])
    search = search_for(x, 2, acceleration=acceleration)
    modes = search.from_starts(starts_for(search, 30, 2))
    assert modes.n_collapsed > 0
    assert 0 <= modes.collapse.component < 2
    assert np.isin(modes.collapse.rows, np.arange(52)).all()


def test_threads_share_the_runs_and_change_nothing(monkeypatch):
    search = search_for(np.random.default_rng(3).normal(size=2000), 2)
    starts = starts_for(search, 5, 4)
    serial = search.from_starts(starts)
    monkeypatch.setattr("mixtures.em.search._LARGE", 1000)
    threaded = search.from_starts(starts)
    assert np.array_equal(serial.log_likelihoods, threaded.log_likelihoods, equal_nan=True)
    assert np.array_equal(serial.best.mixture.means, threaded.best.mixture.means)


AFTER_A_FORK = """
import os, signal
import numpy as np
from mixtures.em import search
from mixtures.em.fitter import EM
from mixtures.model.spec import MixtureSpec

search._LARGE = 0  # threads, however little there is to do
x = np.random.default_rng(1).normal(size=100)
here = EM().fit(MixtureSpec(2), x, 1)
child = os.fork()
if child == 0:
    signal.alarm(60)
    there = EM().fit(MixtureSpec(2), x, 1)
    os._exit(0 if there.log_likelihood == here.log_likelihood else 1)
assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_forked_process_has_threads_of_its_own():
    subprocess.run([sys.executable, "-c", AFTER_A_FORK], check=True, timeout=300)


# What short runs see and where they begin --------------------------------------------------------


@pytest.mark.parametrize("n", [7, 100, 101, 1000, 12_345])
def test_stand_ins_are_the_means_of_neighbours(n):
    x = np.random.default_rng(n).standard_cauchy(size=(n, 1))
    stand_ins = condense(x, 100, np.random.default_rng(1))
    if n <= 100:
        assert np.array_equal(stand_ins, x)
        return
    groups = np.array_split(np.sort(x[:, 0]), 100)
    sizes = [len(group) for group in groups]
    assert max(sizes) - min(sizes) <= 1
    edges = np.sort(x[:, 0])[[0, *(np.arange(1, 100) * n // 100 - 1), n - 1]]
    assert len(stand_ins) == 100
    assert (stand_ins[:, 0] >= edges[:-1]).all()
    assert (stand_ins[:, 0] <= edges[1:]).all()
    if n % 100 == 0:
        assert stand_ins[:, 0] == pytest.approx([group.mean() for group in groups], rel=1e-9)


def test_in_several_dimensions_observations_are_drawn():
    x = np.random.default_rng(1).normal(size=(5000, 2))
    drawn = condense(x, 100, np.random.default_rng(1))
    assert drawn.shape == (2000, 2)
    assert len(np.unique(drawn, axis=0)) == 2000
    assert np.array_equal(condense(x[:2000], 100, np.random.default_rng(1)), x[:2000])


@pytest.mark.parametrize("covariance", STRUCTURES)
@pytest.mark.parametrize("d", [1, 3])
def test_random_vectors_are_spheres_within_the_range(covariance, d):
    x = np.random.default_rng(2).normal(size=(50, d))
    search = search_for(x, 3, covariance)
    vectors = random_vectors(search.x, search.shape, 200, np.random.default_rng(3))
    for mixture in (to_mixture(vector, search.shape) for vector in vectors):
        sds = np.sqrt(np.diagonal(mixture.covariances, axis1=1, axis2=2))
        assert mixture.covariances == pytest.approx(sds[:, :1, None] ** 2 * np.eye(d), rel=1e-12)
        assert ((sds >= 0.05 - 1e-12) & (sds <= 1 + 1e-12)).all()
        assert (mixture.means >= search.x.min(axis=0)).all()
        assert (mixture.means <= search.x.max(axis=0)).all()
        assert mixture.weights.sum() == pytest.approx(1, rel=1e-12)
    assert len(np.unique(vectors[:, 0])) == 200

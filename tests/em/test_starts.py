"""Where theta begins: valid, of the structure, random where it says so."""

import numpy as np
import pytest
from oracles import STRUCTURES, random_mixture
from scipy import stats

from mixtures.em import starts
from mixtures.em.coordinates import shape_of, to_mixture
from mixtures.em.starts import Start, from_responsibilities
from mixtures.em.steps import m_step
from mixtures.model.data import simulate
from mixtures.model.mixture import NormalMixture
from mixtures.model.spec import Covariance, MixtureSpec

CASES = [
    (start, c, d) for start in Start for c in STRUCTURES for d in (1, 2) if (start, d) != (Start.QUANTILES, 2)
]


def standardised(d, n=60):
    x = simulate(random_mixture(np.random.default_rng(1), 3, d), n, 2).x
    return (x - x.mean(axis=0)) / x.std(axis=0)


def draw_start(start, x, k, covariance, rng):
    shape = shape_of(MixtureSpec(k, covariance), x.shape[1])
    return to_mixture(starts.draw_start(start, x, shape, rng), shape)


@pytest.mark.parametrize(("start", "covariance", "d"), CASES)
@pytest.mark.parametrize("k", [1, 2, 5])
def test_every_start_is_a_mixture_of_the_structure(start, covariance, d, k):
    x = standardised(d)
    drawn = draw_start(start, x, k, Covariance(covariance), np.random.default_rng(3))
    checked = NormalMixture(drawn.weights, drawn.means, drawn.covariances)  # the checks of the public door
    expected = {
        "full": checked.covariances,
        "diagonal": checked.covariances * np.eye(d),
        "spherical": checked.covariances[:, :1, :1] * np.eye(d),
        "tied": np.repeat(checked.covariances[:1], k, axis=0),
    }[covariance]
    assert checked.covariances == pytest.approx(expected, rel=1e-12)
    assert checked.n_components == k
    if k > 1:
        assert (checked.means >= x.min(axis=0) - 1e-12).all()
        assert (checked.means <= x.max(axis=0) + 1e-12).all()


@pytest.mark.parametrize(("start", "covariance", "d"), CASES)
def test_the_same_generator_draws_the_same_start(start, covariance, d):
    x = standardised(d)
    first, second, other = (
        draw_start(start, x, 3, Covariance(covariance), np.random.default_rng(seed)).means
        for seed in (4, 4, 5)
    )
    assert np.array_equal(first, second)
    assert np.array_equal(first, other) == (start == Start.QUANTILES)


def test_random_parameters_cover_the_range_of_the_data():
    """Means uniform, log sds uniform from 1/20 to 1; rates of false alarm 1e-6 each."""
    x, rng = standardised(1), np.random.default_rng(6)
    drawn = [draw_start(Start.RANDOM_PARAMETERS, x, 2, Covariance.FULL, rng) for _ in range(1500)]
    means = np.array([m.means[0, 0] for m in drawn])
    log_sds = np.array([np.log(m.sds[0, 0]) for m in drawn])
    width = x.max() - x.min()
    assert stats.kstest(means, stats.uniform(x.min(), width).cdf).pvalue > 1e-6
    assert stats.kstest(means, stats.uniform(x.min(), 1.3 * width).cdf).pvalue < 1e-6  # the control
    assert stats.kstest(log_sds, stats.uniform(-np.log(20), np.log(20)).cdf).pvalue > 1e-6
    assert stats.kstest(np.exp(log_sds), stats.uniform(0.05, 0.95).cdf).pvalue < 1e-6  # the control


def test_quantiles_cut_the_sorted_data():
    x = np.array([9.0, 1, 2, 8, 3, 7])[:, None]
    start = draw_start(Start.QUANTILES, x, 3, Covariance.FULL, None)
    assert start.means[:, 0].tolist() == [1.5, 5, 8.5]
    assert start.variances[:, 0] == pytest.approx((0.25 + 4 + 0.25) * 2 / 6)


def test_kmeans_finds_separated_clusters():
    rng = np.random.default_rng(7)
    centres = np.array([[0, 0], [10, 0], [0, 10], [10, 10.0]])
    x = centres[np.arange(200) % 4] + rng.normal(size=(200, 2)) * 0.3
    found = 0
    for seed in range(20):
        start = draw_start(Start.KMEANS, x, 4, Covariance.FULL, np.random.default_rng(seed))
        distances = np.linalg.norm(start.means[:, None] - centres, axis=2).min(axis=0)
        found += bool((distances < 0.3).all())
    assert found >= 18  # far apart, k-means++ spreads out nearly always
    naive = 0  # the control: centres drawn from the data at random find all four in 4!/4^4 = 9% of cases
    for seed in range(20):
        chosen = x[np.random.default_rng(seed).choice(200, 4, replace=False)]
        naive += bool((np.linalg.norm(chosen[:, None] - centres, axis=2).min(axis=0) < 2).all())
    assert naive < 10


@pytest.mark.parametrize("start", [Start.KMEANS, Start.QUANTILES])
def test_as_many_components_as_distinct_points_still_start(start):
    x = np.array([[-1.0], [-1.0], [0.0], [1.0]])
    drawn = draw_start(start, x, 4, Covariance.FULL, np.random.default_rng(1))
    assert (drawn.variances > 1e-6).all()


@pytest.mark.parametrize("covariance", STRUCTURES)
@pytest.mark.parametrize("d", [1, 3])
def test_a_start_of_soft_assignments_is_their_m_step(covariance, d):
    x, shape = standardised(d), shape_of(MixtureSpec(3, covariance), d)
    responsibilities = np.random.default_rng(2).dirichlet(np.ones(3), size=len(x))
    found = to_mixture(from_responsibilities(x, shape, responsibilities), shape)
    expected = m_step(Covariance(covariance), x, responsibilities)
    assert found.weights == pytest.approx(expected.weights, rel=1e-13)
    assert found.means == pytest.approx(expected.means, rel=1e-11, abs=1e-13)
    assert found.covariances == pytest.approx(expected.covariances, rel=1e-11, abs=1e-13)


@pytest.mark.parametrize(("x", "is_sound"), [(np.zeros((5, 2)), False), (np.eye(5, 2), True)])
def test_soft_assignments_of_one_point_start_nothing(x, is_sound):
    shape = shape_of(MixtureSpec(2), 2)
    vector = from_responsibilities(x, shape, np.random.default_rng(2).dirichlet(np.ones(2), size=5))
    assert np.isfinite(vector).all() == is_sound

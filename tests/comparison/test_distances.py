"""Distances between densities: closed forms, dense grids, plain Monte Carlo, relations."""

import math

import numpy as np
import pytest
from oracles import density_1d, grid_1d, random_mixture
from scipy import stats

from mixtures.comparison import distances
from mixtures.comparison.distances import bayes_error, density_distances, separation
from mixtures.model.data import simulate
from mixtures.model.density import log_density
from mixtures.model.labels import bhattacharyya_distances
from mixtures.model.mixture import NormalMixture
from mixtures.model.scale import Scale


def hellinger_distance(p, q):
    return density_distances(p, q).hellinger


def kl_divergence(p, q):
    return density_distances(p, q).kl


def normal(mean, variance):
    return NormalMixture.univariate([1.0], [mean], [variance])


def closed_kl(p, q):
    """Divergence of one normal from another, any dimension."""
    inverse = np.linalg.inv(q.covariances[0])
    delta = q.means[0] - p.means[0]
    log_ratio = math.log(np.linalg.det(q.covariances[0]) / np.linalg.det(p.covariances[0]))
    return (np.trace(inverse @ p.covariances[0]) + delta @ inverse @ delta - p.n_dims + log_ratio) / 2


def closed_hellinger(p, q):
    return math.sqrt(1 - math.exp(-bhattacharyya_distances(p, q)[0, 0]))


@pytest.mark.parametrize(
    ("mean", "variance"), [(0, 1.1), (2, 1), (0, 9), (5, 0.3), (-1, 2), (0, 0.01), (30, 1), (1, 400)]
)
def test_two_univariate_normals_in_closed_form(mean, variance):
    p, q = normal(0, 1), normal(mean, variance)
    assert hellinger_distance(p, q) == pytest.approx(closed_hellinger(p, q), abs=1e-8)
    assert kl_divergence(p, q) == pytest.approx(closed_kl(p, q), rel=1e-7)
    assert hellinger_distance(p, q) == pytest.approx(hellinger_distance(q, p), abs=1e-12)


@pytest.mark.parametrize("d", [2, 3])
@pytest.mark.parametrize("seed", range(4))
def test_two_multivariate_normals_in_closed_form(d, seed):
    rng = np.random.default_rng(seed)
    p, q = random_mixture(rng, 1, d, spread=0.7), random_mixture(rng, 1, d, spread=0.7)
    assert hellinger_distance(p, q) == pytest.approx(closed_hellinger(p, q), abs=0.004)
    assert kl_divergence(p, q) == pytest.approx(closed_kl(p, q), rel=0.03)


PAIRS = [
    (
        NormalMixture.univariate([0.3, 0.7], [0, 4], [1, 2]),
        NormalMixture.univariate([0.4, 0.6], [0.2, 4.1], [1.2, 1.8]),
    ),
    (
        NormalMixture.univariate([0.5, 0.5], [0, 1], [1, 1]),
        NormalMixture.univariate([0.9, 0.1], [0, 8], [1, 0.04]),
    ),
    (NormalMixture.univariate([0.2, 0.3, 0.5], [0, 3, 9], [1, 0.25, 4]), normal(5, 16)),
]


@pytest.mark.parametrize(("p", "q"), PAIRS)
def test_univariate_mixtures_on_a_dense_grid(p, q):
    points, step = grid_1d(p, q)
    f, g = density_1d(p, points), density_1d(q, points)
    assert hellinger_distance(p, q) == pytest.approx(math.sqrt(1 - np.sqrt(f * g).sum() * step), abs=1e-8)
    log_f, log_g = log_density(p, points), log_density(q, points)
    assert kl_divergence(p, q) == pytest.approx((f * (log_f - log_g)).sum() * step, rel=1e-7)
    assert kl_divergence(p, q) != pytest.approx(
        kl_divergence(q, p), rel=1e-3
    )  # the control: it has a direction


@pytest.mark.parametrize("seed", range(12))
def test_the_compiled_sums_are_those_of_the_definition(seed):
    """At the same nodes; a weight of 0 and components that are far apart, or narrow, included."""
    rng = np.random.default_rng(seed)
    k, d, spread = 1 + seed % 4, 1 + seed // 8, (0.3, 3, 3000)[seed % 3]
    p, q = random_mixture(rng, k, d, spread=spread), random_mixture(rng, 2, d, spread=spread)
    if k > 1:
        p = NormalMixture(np.eye(k)[0], p.means, p.covariances)
    nodes = distances._nodes(p, q)
    log_p, log_q = log_density(p, nodes.x), log_density(q, nodes.x)
    shares = np.exp(log_p + nodes.log_weights)
    affinity = np.exp((log_p + log_q) / 2 + nodes.log_weights).sum()
    terms = np.multiply(shares, log_p - log_q, where=shares > 0, out=np.zeros(len(shares)))
    assert hellinger_distance(p, q) ** 2 == pytest.approx(max(1 - affinity, 0), abs=1e-12)
    assert kl_divergence(p, q) == pytest.approx(max(terms.sum(), 0), rel=1e-12, abs=1e-12)


def test_a_mixture_in_two_dimensions_on_a_grid():
    rng = np.random.default_rng(3)
    p, q = random_mixture(rng, 2, 2, spread=1.5), random_mixture(rng, 2, 2, spread=1.5)
    axis, step = np.linspace(-20, 20, 801, retstep=True)
    points = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    log_f, log_g = log_density(p, points), log_density(q, points)
    affinity = np.exp((log_f + log_g) / 2).sum() * step**2
    assert hellinger_distance(p, q) == pytest.approx(math.sqrt(1 - affinity), abs=0.004)
    assert kl_divergence(p, q) == pytest.approx((np.exp(log_f) * (log_f - log_g)).sum() * step**2, rel=0.03)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_the_same_density_is_at_no_distance(d):
    p = random_mixture(np.random.default_rng(d), 3, d)
    assert hellinger_distance(p, p) == pytest.approx(0, abs=1e-6)
    assert kl_divergence(p, p) == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize("d", [1, 2])
def test_the_order_of_components_plays_no_part(d):
    rng = np.random.default_rng(d)
    p, q = random_mixture(rng, 3, d), random_mixture(rng, 3, d)
    within = 1e-10 if d == 1 else 0.004
    for distance in (hellinger_distance, kl_divergence):
        moved = distance(p.permuted([2, 0, 1]), q.permuted([1, 2, 0]))
        assert moved == pytest.approx(distance(p, q), abs=within * max(1, 10 * distance(p, q)))


@pytest.mark.parametrize("d", [1, 2])
@pytest.mark.parametrize(("unit", "shift"), [(1e-6, 0), (1e6, 0), (1, 1e8)])
def test_units_and_origin_play_no_part(d, unit, shift):
    rng = np.random.default_rng(d)
    p, q = random_mixture(rng, 2, d), random_mixture(rng, 2, d)
    move = Scale(np.full(d, float(shift)), unit * np.eye(d)).restore_mixture
    for distance in (hellinger_distance, kl_divergence):
        assert distance(move(p), move(q)) == pytest.approx(distance(p, q), rel=1e-5)
    assert bayes_error(move(p)) == pytest.approx(bayes_error(p), rel=1e-6, abs=1e-9)


def test_densities_too_small_for_a_float_still_have_distances():
    """In 60 dimensions and small units the densities are 1e-390."""
    p = NormalMixture([1.0], [np.zeros(60)], [np.eye(60) * 1e12])
    q = NormalMixture([1.0], [np.full(60, 1e6) / math.sqrt(60)], [np.eye(60) * 1e12])
    assert hellinger_distance(p, q) == pytest.approx(closed_hellinger(p, q), abs=0.01)
    assert kl_divergence(p, q) == pytest.approx(0.5, abs=0.05)


# Bayes error ------------------------------------------------------------------------------------


@pytest.mark.parametrize("separation", [0.5, 1, 2, 4])
@pytest.mark.parametrize("weight", [0.5, 0.2])
def test_the_bayes_error_of_equal_variances_in_closed_form(separation, weight):
    mixture = NormalMixture.univariate([weight, 1 - weight], [0, separation], [1, 1])
    cut = separation / 2 + math.log(weight / (1 - weight)) / separation
    expected = weight * stats.norm.sf(cut) + (1 - weight) * stats.norm.cdf(cut - separation)
    assert bayes_error(mixture) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("d", [2, 3])
def test_the_bayes_error_in_several_dimensions(d):
    """Equal covariances: that of the Mahalanobis distance; quasi-Monte Carlo, to .003."""
    covariance = np.eye(d) + 0.4
    delta = np.linalg.cholesky(covariance) @ np.full(d, 2 / math.sqrt(d))
    mixture = NormalMixture([0.5, 0.5], [np.zeros(d), delta], [covariance, covariance])
    assert bayes_error(mixture) == pytest.approx(stats.norm.sf(1), abs=0.003)
    assert separation(mixture) == pytest.approx(2, rel=1e-12)


@pytest.mark.parametrize(("p", "_"), PAIRS)
def test_the_bayes_error_on_a_dense_grid(p, _):
    points, step = grid_1d(p)
    terms = [
        w * density_1d(normal(m, v), points)
        for w, m, v in zip(p.weights, p.means[:, 0], p.variances[:, 0], strict=True)
    ]
    assert bayes_error(p) == pytest.approx(1 - np.max(terms, axis=0).sum() * step, abs=1e-7)


def test_the_bayes_error_is_what_the_best_rule_errs():
    """100,000 simulated labels; 5 Monte Carlo errors, a false alarm in 6e-7."""
    mixture = NormalMixture.univariate([0.3, 0.7], [0, 2], [1, 3])
    dataset = simulate(mixture, 100_000, 8)
    joint = np.column_stack(
        [w * density_1d(normal(m, v), dataset.x[:, 0]) for w, m, v in ((0.3, 0, 1), (0.7, 2, 3))]
    )
    error, naive = (joint.argmax(axis=1) != dataset.labels).mean(), (dataset.x[:, 0] > 1) != dataset.labels
    margin = 5 * math.sqrt(error * (1 - error) / 100_000)
    assert bayes_error(mixture) == pytest.approx(error, abs=margin)
    assert bayes_error(mixture) != pytest.approx(naive.mean(), abs=margin)  # the control: not the best rule


def test_the_bayes_error_at_its_ends():
    assert bayes_error(normal(0, 1)) == pytest.approx(0, abs=1e-12)
    equal = NormalMixture.univariate([0.25, 0.75], [0, 0], [1, 1])
    assert bayes_error(equal) == pytest.approx(0.25, abs=1e-12)
    assert bayes_error(NormalMixture.univariate([0.0, 1.0], [0, 1], [1, 1])) == pytest.approx(0, abs=1e-12)


def test_what_is_kept_of_a_truth_changes_nothing():
    """The first answer for a mixture and a later one, with others in between, are the same bits."""
    truths = [random_mixture(np.random.default_rng(seed), 2, 1) for seed in range(20)]
    fresh = [NormalMixture(p.weights, p.means, p.covariances) for p in truths]
    for p, again in zip(truths, fresh, strict=True):
        assert bayes_error(p) == bayes_error(p) == bayes_error(again)
        assert density_distances(p, truths[0]) == density_distances(again, truths[0])
    assert [bayes_error(p) for p in truths] == [bayes_error(p) for p in fresh]
    assert len({bayes_error(p) for p in truths}) == 20


def test_separation_is_that_of_the_nearest_pair():
    mixture = NormalMixture.univariate([0.2, 0.3, 0.5], [0, 6, 10], [1, 3, 5])
    assert separation(mixture) == pytest.approx(4 / math.sqrt((3 + 5) / 2))
    assert separation(normal(0, 1)) == math.inf

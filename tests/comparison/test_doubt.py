"""Doubt, co-clustering and averages over draws, against loops, closed forms and known Monte Carlo errors."""

import math

import numpy as np
import pytest
from scipy.stats import t

from mixtures.comparison.averages import average_draws, batches
from mixtures.comparison.coclustering import co_clustering, co_clustering_of
from mixtures.comparison.doubt import SURE, Doubt, Source
from mixtures.model.density import responsibilities
from mixtures.model.fit import Draws
from mixtures.model.mixture import NormalMixture


def draws_about(shape, k, seed, spread=0.2):
    """Independent draws of univariate mixtures about components two apart."""
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.full(k, 20.0), shape)
    means = rng.normal(2.0 * np.arange(k), spread, (*shape, k))
    return Draws(weights, means[..., None], rng.gamma(50, 0.02, (*shape, k))[..., None])


def responsibilities_by_draw(draws, x):
    """One draw and data set at a time, (c s, n, k)."""
    rows = zip(
        *(v.reshape(-1, v.shape[2]) for v in (draws.weights, draws.means, draws.variances)), strict=True
    )
    return np.array([responsibilities(NormalMixture.univariate(*row), x) for row in rows])


def entropy(p):
    return -math.fsum(q * math.log(q) for q in p if q > 0)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_the_split_by_loops(k):
    draws, x = draws_about((2, 15), k, 1), np.array([-30.0, -1.0, 0.9, 1.1, 3.0])
    doubt, r = Doubt.at(draws, x), responsibilities_by_draw(draws, x)
    for i in range(len(x)):
        mean = [math.fsum(r[:, i, j]) / len(r) for j in range(k)]
        overlap = math.fsum(entropy(row) for row in r[:, i]) / len(r)
        assert doubt.responsibilities.values[i] == pytest.approx(mean, rel=1e-10, abs=1e-300)
        assert doubt.total.values[i] == pytest.approx(entropy(mean), rel=1e-9, abs=1e-15)
        assert doubt.overlap.values[i] == pytest.approx(overlap, rel=1e-9, abs=1e-15)
        assert doubt.parameters.values[i] == pytest.approx(entropy(mean) - overlap, rel=1e-7, abs=1e-12)
        same = sum(row.argmax() == np.argmax(mean) for row in r[:, i]) / len(r)
        assert doubt.stability.values[i] == pytest.approx(same, rel=1e-12)
    by_array = Doubt.of(r.reshape(2, 15, *r.shape[1:]))
    np.testing.assert_allclose(by_array.parameters.mcse, doubt.parameters.mcse, rtol=1e-8, atol=1e-14)


def test_known_parameters_leave_only_overlap_and_unknown_ones_all():
    """Halfway between two components all doubt is overlap; a draw that is sure of either, none."""
    same = np.full((1, 100, 1, 2), 0.5)
    either = np.eye(2)[np.arange(100) % 2][None, :, None]
    sure = np.full((1, 100, 1, 2), [0.95, 0.05])
    for r, overlap, parameters, source in (
        (same, math.log(2), 0, Source.OVERLAP),
        (either, 0, math.log(2), Source.PARAMETERS),
        (sure, entropy([0.95, 0.05]), 0, Source.NONE),
    ):
        doubt = Doubt.of(r)
        assert doubt.overlap.values[0] == pytest.approx(overlap, abs=1e-15)
        assert doubt.parameters.values[0] == pytest.approx(parameters, abs=1e-15)
        assert doubt.sources() == [source]
    assert SURE == 0.9


def test_blocks_of_observations_change_nothing(monkeypatch):
    draws, x = draws_about((4, 50), 3, 2), np.linspace(-3, 7, 40)
    whole = Doubt.at(draws, x)
    monkeypatch.setattr("mixtures.comparison.doubt._BLOCK", 2500)  # four observations at a time
    parts = Doubt.at(draws, x)
    for name in ("responsibilities", "total", "overlap", "parameters", "stability"):
        np.testing.assert_allclose(getattr(parts, name).values, getattr(whole, name).values, rtol=1e-13)
        np.testing.assert_allclose(getattr(parts, name).mcse, getattr(whole, name).mcse, rtol=1e-13)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_responsibilities_in_either_precision_are_taken(kind):
    logits = np.random.default_rng(3).normal(size=(2, 50, 30, 3)).astype(kind)
    r = np.exp(logits)
    r /= r.sum(axis=-1, keepdims=True)
    assert r.dtype == kind
    exact = r / r.sum(axis=-1, keepdims=True, dtype=np.float64)
    np.testing.assert_allclose(Doubt.of(r).parameters.values, Doubt.of(exact).parameters.values, rtol=1e-12)


def test_responsibilities_that_cannot_be_split_are_named():
    with pytest.raises(ValueError, match="sum to 1 over components"):
        Doubt.of(np.full((1, 2, 1, 2), 0.4))
    with pytest.raises(ValueError, match="sum to 1 over components"):
        Doubt.of(np.full((1, 2, 1, 2), 0.5 + 1e-6))
    with pytest.raises(ValueError, match="at least one draw"):
        Doubt.of(np.empty((1, 0, 1, 2)))


def two(**changes):
    """Three draws of two components."""
    parts = {"weights": np.full((1, 3, 2), 0.5)} | {
        name: np.ones((1, 3, 2, 1)) for name in ("means", "variances")
    }
    return Draws(**(parts | changes))


WRONG = {
    "two dimensions": (
        {"means": np.zeros((1, 3, 2, 2)), "variances": np.ones((1, 3, 2, 2))},
        "draws must be of univariate mixtures; got 2 dimensions",
    ),
    "nan": (
        {"means": np.full((1, 3, 2, 1), np.nan)},
        "means must be finite; got nan at position 0, 0, 0, 0",
    ),
    "no variance": ({"variances": np.zeros((1, 3, 2, 1))}, "variances must be positive; got 0"),
    "negative variances": ({"variances": -np.ones((1, 3, 2, 1))}, "variances must be positive; got -1"),
    "negative weights": (
        {"weights": np.full((1, 3, 2), [-1.0, 2.0])},
        "weights must not be negative; got -1",
    ),
    "no weight": ({"weights": np.zeros((1, 3, 2))}, "weights must sum to 1 within 1e-06 at each draw; got 0"),
    "weights of no distribution": ({"weights": np.ones((1, 3, 2))}, "weights must sum to 1 .* got 2"),
    "shapes": (
        {"means": np.zeros((1, 2, 2, 1))},
        r"must have shapes .* got \(1, 3, 2\), \(1, 2, 2, 1\) and \(1, 3, 2, 1\)",
    ),
    "no draws": (
        {name: np.ones((1, 0, 2, *last)) for name, *last in (("weights",), ("means", 1), ("variances", 1))},
        r"draws must not be empty; got means of shape \(1, 0, 2, 1\)",
    ),
    "no chains": (
        {"weights": np.full((3, 2), 0.5), "means": np.zeros((3, 2, 1)), "variances": np.ones((3, 2, 1))},
        r"draws must be of chains, with weights \(c, s, k\); got \(3, 2\)",
    ),
}


@pytest.mark.parametrize("measure", [Doubt.at, co_clustering])
@pytest.mark.parametrize(("changes", "message"), WRONG.values(), ids=WRONG)
def test_draws_of_no_univariate_mixtures_are_refused(measure, changes, message):
    with pytest.raises(ValueError, match=message):
        measure(two(**changes), [0.0, 1.0])


@pytest.mark.parametrize("measure", [Doubt.at, co_clustering])
def test_what_are_no_draws_is_refused(measure):
    with pytest.raises(TypeError, match="draws must be Draws; got NoneType"):
        measure(None, [0.0])


# Co-clustering ----------------------------------------------------------------------------------


def test_co_clustering_by_loops():
    draws, x = draws_about((2, 15), 3, 3), np.array([-1.0, 0.9, 1.1, 3.0])
    found, r = co_clustering(draws, x), responsibilities_by_draw(draws, x)
    for i, m in np.ndindex(4, 4):
        products = (math.fsum(a * b for a, b in zip(one[i], one[m], strict=True)) for one in r)
        exact = 1.0 if i == m else math.fsum(products) / len(r)
        assert found.values[i, m] == pytest.approx(exact, rel=1e-12)
    assert (found.mcse.diagonal() == 0).all()


def test_the_order_of_components_in_a_draw_does_not_touch_co_clustering():
    draws, x = draws_about((2, 50), 3, 4), np.linspace(-2, 6, 12)
    orders = np.random.default_rng(5).permuted(np.tile(np.arange(3), (2, 50, 1)), axis=-1)
    shuffled = Draws(
        np.take_along_axis(draws.weights, orders, -1),
        np.take_along_axis(draws.means, orders[..., None], 2),
        np.take_along_axis(draws.variances, orders[..., None], 2),
    )
    here, there = co_clustering(draws, x), co_clustering(shuffled, x)
    np.testing.assert_allclose(there.values, here.values, rtol=1e-12)
    np.testing.assert_allclose(there.mcse, here.mcse, rtol=1e-9, atol=1e-15)
    overlap = Doubt.at(draws, x), Doubt.at(shuffled, x)
    np.testing.assert_allclose(overlap[1].overlap.values, overlap[0].overlap.values, rtol=1e-12)
    assert (overlap[1].total.values > overlap[0].total.values + 0.1).any()  # which labels do touch


def test_co_clustering_of_responsibilities_is_that_of_the_draws():
    draws, x = draws_about((2, 60), 3, 3), np.linspace(-2, 6, 12)
    r = responsibilities_by_draw(draws, x).reshape(2, 60, 12, 3)
    found, expected = co_clustering_of(r), co_clustering(draws, x)
    assert found.n_batches == expected.n_batches == 40
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-12)
    np.testing.assert_allclose(found.mcse, expected.mcse, rtol=1e-8, atol=1e-15)


def test_draws_in_several_dimensions_by_loops(rng):
    """Doubt and pairs from responsibilities of planar mixtures with full covariances."""
    x, scatter = rng.normal(1, 2, size=(5, 2)), np.array([[1.0, 0.6], [0.6, 2.0]])
    r = np.array(
        [
            responsibilities(
                NormalMixture(rng.dirichlet([9, 9]), rng.normal([[0, 0], [2, 1]], 0.3), [scatter, np.eye(2)]),
                x,
            )
            for _ in range(20)
        ]
    )
    doubt, pairs = Doubt.of(r[None]), co_clustering_of(r[None])
    for i in range(5):
        overlap = math.fsum(entropy(row) for row in r[:, i]) / 20
        assert doubt.overlap.values[i] == pytest.approx(overlap, rel=1e-10)
        assert doubt.parameters.values[i] == pytest.approx(entropy(r[:, i].mean(axis=0)) - overlap, rel=1e-7)
        for m in range(5):
            together = 1.0 if i == m else math.fsum(one[i] @ one[m] for one in r) / 20
            assert pairs.values[i, m] == pytest.approx(together, rel=1e-12)
    assert (doubt.parameters.values > 0).all()


def test_what_are_no_responsibilities_are_not_paired():
    with pytest.raises(ValueError, match="sum to 1 over components"):
        co_clustering_of(np.full((1, 2, 3, 2), 0.4))
    with pytest.raises(ValueError, match="at most 4000 observations to be paired; got 4001"):
        co_clustering_of(np.ones((1, 1, 4001, 1)))


def test_pairs_are_limited():
    with pytest.raises(ValueError, match="at most 4000 observations to be paired; got 4001"):
        co_clustering(draws_about((1, 2), 2, 6), np.zeros(4001))


# Monte Carlo errors -----------------------------------------------------------------------------


@pytest.mark.parametrize(("n_chains", "n_draws"), [(4, 1000), (1, 500), (3, 7), (1, 1), (100, 2)])
def test_batches_cover_every_draw_once_and_no_two_chains(n_chains, n_draws):
    cuts = list(batches(n_chains, n_draws))
    assert np.concatenate([np.arange(n_chains * n_draws)[cut] for cut in cuts]).tolist() == list(
        range(n_chains * n_draws)
    )
    assert all(cut.start // n_draws == (cut.stop - 1) // n_draws for cut in cuts)
    assert len(cuts) >= min(40, n_chains * n_draws)


@pytest.mark.parametrize("correlation", [0.0, 0.5])
def test_batch_means_know_the_error_of_an_autoregression(correlation):
    """z-scores of 2,000 means have a variance near that of Student's t, 39 / 37: within 4 standard errors.

    The control is the error of independent draws, which at a correlation of .5 is too small by sqrt(3).
    """
    rng, shape = np.random.default_rng(7), (4, 1000, 2000)
    draws = rng.standard_normal(shape)
    for i in range(1, shape[1]):
        draws[:, i] = correlation * draws[:, i - 1] + math.sqrt(1 - correlation**2) * draws[:, i]
    row = draws.reshape(-1, shape[-1])
    found = average_draws(row, 4)
    np.testing.assert_allclose(found.values, row.mean(axis=0), rtol=1e-9, atol=1e-12)
    error = math.sqrt(2 / shape[-1])
    assert found.n_batches == 40
    assert (found.values / found.mcse).var() == pytest.approx(39 / 37, abs=4.5 * error)
    naive = (row.mean(axis=0) / (row.std(axis=0) / math.sqrt(len(row)))).var()
    assert (naive > 2.5) == (correlation > 0)


def test_a_single_batch_has_no_error():
    one = average_draws(np.array([[0.25, 0.5]]), 1)
    assert one.values.tolist() == [0.25, 0.5]
    assert np.isnan(one.mcse).all()


def test_errors_of_the_split_cover():
    """Intervals of one and of two errors, over 400 sets of draws: 3,600 of them, their shares within .03."""
    x = np.array([-0.5, 0.6, 2.0])
    long = Doubt.at(draws_about((1, 200_000), 2, 8, 0.4), x)
    z = []
    for seed in range(400):
        one = Doubt.at(draws_about((4, 100), 2, 1000 + seed, 0.4), x)
        for name in ("total", "overlap", "parameters"):
            truth, found = getattr(long, name), getattr(one, name)
            z.append(np.abs(found.values - truth.values) / found.mcse)
    for limit in (1, 2):
        assert np.mean(np.array(z) < limit) == pytest.approx(1 - 2 * t.sf(limit, 39), abs=0.03)

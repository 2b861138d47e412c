"""Which component is which: against every permutation, and the distance against an integral."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import brute_force_assignments, density_1d, grid_1d, random_mixture
from scipy import stats

from mixtures.model.labels import AMBIGUOUS_GAP, align, bhattacharyya_distances
from mixtures.model.mixture import NormalMixture
from mixtures.model.scale import Scale


@given(k=st.integers(2, 5), d=st.integers(1, 3), seed=st.integers(0, 2**32), spread=st.floats(0.1, 5))
def test_align_is_the_best_of_all_permutations(k, d, seed, spread):
    rng = np.random.default_rng(seed)
    reference, estimate = random_mixture(rng, k, d, spread=spread), random_mixture(rng, k, d, spread=spread)
    (best, permutation), (second, _), *_ = brute_force_assignments(
        bhattacharyya_distances(reference, estimate)
    )
    alignment = align(reference, estimate)
    assert alignment.permutation.tolist() == list(permutation)
    assert alignment.cost == pytest.approx(best, rel=1e-10)
    assert alignment.gap == pytest.approx(second - best, rel=1e-8, abs=1e-9)


@given(k=st.integers(1, 5), seed=st.integers(0, 2**32), data=st.data())
def test_align_undoes_any_permutation(k, seed, data):
    mixture = random_mixture(np.random.default_rng(seed), k, 2)
    shuffled = mixture.permuted(data.draw(st.permutations(range(k))))
    alignment = align(mixture, shuffled)
    assert np.array_equal(shuffled.permuted(alignment.permutation).means, mixture.means)
    assert alignment.cost == pytest.approx(0, abs=1e-10)


def test_one_component_has_no_second_best():
    alignment = align(
        random_mixture(np.random.default_rng(1), 1, 1), random_mixture(np.random.default_rng(2), 1, 1)
    )
    assert alignment.gap == math.inf
    assert not alignment.is_ambiguous


def test_weights_play_no_part():
    """An engine that swaps weights must be seen in their errors, not aligned away."""
    truth = NormalMixture.univariate([0.2, 0.8], [0, 3], [1, 1])
    swapped = NormalMixture.univariate([0.8, 0.2], [0, 3], [1, 1])
    assert align(truth, swapped).permutation.tolist() == [0, 1]


def test_equal_components_are_ambiguous_and_distant_ones_are_not():
    truth = NormalMixture.univariate([0.5, 0.5], [0, 4], [1, 1])
    blurred = NormalMixture.univariate([0.5, 0.5], [1.9, 2.1], [1, 1])
    assert align(truth, blurred).is_ambiguous
    assert not align(truth, truth).is_ambiguous
    gap = align(truth, blurred).gap  # D(0, 1.9) = 1.9^2 / 8, and so on
    assert gap == pytest.approx(2 * (2.1**2 - 1.9**2) / 8, rel=1e-10)
    assert pytest.approx(math.log(2)) == AMBIGUOUS_GAP


def test_the_alignment_is_read_only():
    alignment = align(*[NormalMixture.univariate([0.5, 0.5], [0, 4], [1, 1])] * 2)
    with pytest.raises(ValueError, match="read-only"):
        alignment.permutation[0] = 1


@pytest.mark.parametrize(("k", "d"), [(3, 1), (2, 2)])
def test_mixtures_of_other_sizes_are_refused(k, d):
    reference = random_mixture(np.random.default_rng(1), 2, 1)
    with pytest.raises(ValueError, match=rf"got \(k, d\) = \(2, 1\) and \({k}, {d}\)"):
        align(reference, random_mixture(np.random.default_rng(1), k, d))


@pytest.mark.parametrize(("mean", "variance"), [(0, 1), (2, 1), (0, 9), (5, 0.3), (-1, 2)])
def test_the_distance_is_that_of_the_overlap_integral(mean, variance):
    p = NormalMixture.univariate([1], [0], [1])
    q = NormalMixture.univariate([1], [mean], [variance])
    points, step = grid_1d(p, q)
    overlap = np.sqrt(density_1d(p, points) * density_1d(q, points)).sum() * step
    assert bhattacharyya_distances(p, q)[0, 0] == pytest.approx(-math.log(overlap), abs=1e-10)


def test_the_distance_in_two_dimensions_is_that_of_the_integral():
    rng = np.random.default_rng(8)
    p, q = random_mixture(rng, 1, 2, spread=1), random_mixture(rng, 1, 2, spread=1)
    axis, step = np.linspace(-15, 15, 1201, retstep=True)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1)
    log_p, log_q = (stats.multivariate_normal(m.means[0], m.covariances[0]).logpdf(grid) for m in (p, q))
    overlap = np.exp((log_p + log_q) / 2).sum() * step**2
    assert bhattacharyya_distances(p, q)[0, 0] == pytest.approx(-math.log(overlap), abs=1e-9)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_affine_maps_of_the_data_change_no_distance(d):
    rng = np.random.default_rng(d)
    first, second = random_mixture(rng, 3, d), random_mixture(rng, 3, d)
    factor = np.tril(rng.normal(size=(d, d))) * 1e3 + 2e3 * np.eye(d)
    scale = Scale(rng.normal(size=d) * 1e4, factor)
    moved = bhattacharyya_distances(scale.restore_mixture(first), scale.restore_mixture(second))
    assert moved == pytest.approx(bhattacharyya_distances(first, second), rel=1e-8)

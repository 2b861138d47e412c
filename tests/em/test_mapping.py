"""Coordinates, and EM as a map of vectors: the textbook's two steps, in one compiled pass."""

import numpy as np
import pytest
from oracles import STRUCTURES, random_mixture

from mixtures.em.coordinates import (
    DIAGONAL,
    SPHERICAL,
    Shape,
    empty_theta,
    normalise,
    pack,
    shape_of,
    size_of,
    to_mixture,
    to_vector,
    unpack,
    unpack_all,
)
from mixtures.em.mapping import (
    SOUND,
    em_map,
    empty_room,
    short_runs,
)
from mixtures.em.steps import e_step, m_step
from mixtures.em.triangles import factorise, multiply_lower, smallest_variance, solve
from mixtures.model.density import log_likelihood
from mixtures.model.kernel import as_data
from mixtures.model.mixture import NormalMixture
from mixtures.model.spec import MixtureSpec

CASES = [(k, d, covariance) for covariance in STRUCTURES for k, d in ((1, 1), (2, 1), (3, 1), (2, 4))]


def problem(k, d, covariance, seed=3, n=200):
    rng = np.random.default_rng(seed)
    spec = MixtureSpec(k, covariance)
    return random_mixture(rng, k, d, covariance), 3 * rng.normal(size=(n, d)), spec, shape_of(spec, d)


@pytest.mark.parametrize(("k", "d", "covariance"), CASES)
def test_a_vector_holds_a_mixture(k, d, covariance):
    mixture, _, _, shape = problem(k, d, covariance)
    vector = to_vector(mixture, shape)
    again = to_mixture(vector, shape)
    assert len(vector) == size_of(shape)
    assert again.weights == pytest.approx(mixture.weights, rel=1e-14)
    assert np.array_equal(again.means, mixture.means)
    assert again.covariances == pytest.approx(mixture.covariances, rel=1e-12, abs=1e-14)


@pytest.mark.parametrize(("k", "d", "covariance"), CASES)
def test_every_place_of_a_vector_is_used_once(k, d, covariance):
    shape = shape_of(MixtureSpec(k, covariance), d)
    vector = 0.1 + np.arange(size_of(shape)) / 100
    normalise(vector[:k])
    again, theta = np.full_like(vector, np.nan), empty_theta(shape)
    unpack(vector, shape, theta)
    pack(theta, shape, again)
    assert again == pytest.approx(vector, rel=1e-14)


def test_every_vector_is_a_mixture():
    """The coordinates know no bounds: any numbers make weights and covariances that are valid."""
    rng = np.random.default_rng(5)
    for covariance in STRUCTURES:
        shape = shape_of(MixtureSpec(3, covariance), 2)
        mixture = to_mixture(rng.normal(size=size_of(shape)) * 3, shape)
        NormalMixture(mixture.weights, mixture.means, mixture.covariances)  # checks itself


def test_a_constant_added_to_the_log_weights_changes_nothing():
    mixture, _, _, shape = problem(3, 2, "full")
    vector = to_vector(mixture, shape)
    vector[:3] += 700
    assert to_mixture(vector, shape).weights == pytest.approx(mixture.weights, rel=1e-12)
    normalise(vector[:3])
    assert np.exp(vector[:3]).sum() == pytest.approx(1, rel=1e-12)


def test_a_univariate_mixture_is_diagonal_unless_it_is_tied():
    assert shape_of(MixtureSpec(2, "full"), 1) == Shape(2, 1, DIAGONAL)
    assert shape_of(MixtureSpec(2, "spherical"), 1) == Shape(2, 1, DIAGONAL)
    assert shape_of(MixtureSpec(2, "spherical"), 2) == Shape(2, 2, SPHERICAL)
    assert size_of(shape_of(MixtureSpec(2, "tied"), 1)) == 5


def test_many_vectors_at_once():
    shape = Shape(2, 3, 0)
    vectors = np.random.default_rng(6).normal(size=(5, size_of(shape)))
    weights, covariances = unpack_all(vectors, shape)
    for row, vector in enumerate(vectors):
        mixture = to_mixture(vector, shape)
        assert weights[row] == pytest.approx(mixture.weights, rel=1e-14)
        assert covariances[row] == pytest.approx(mixture.covariances, rel=1e-14)


@pytest.mark.parametrize(("k", "d", "covariance"), CASES)
def test_the_map_is_an_e_step_and_an_m_step(k, d, covariance):
    mixture, x, spec, shape = problem(k, d, covariance)
    mapped = np.empty(size_of(shape))
    log_likelihood, collapsed = em_map(
        as_data(x), shape, to_vector(mixture, shape), empty_room(shape), mapped
    )
    expectation = e_step(mixture, x)
    expected = m_step(spec.covariance, x, expectation.responsibilities)
    found = to_mixture(mapped, shape)
    assert collapsed == SOUND
    assert log_likelihood == pytest.approx(expectation.log_likelihood, rel=1e-13)
    assert found.weights == pytest.approx(expected.weights, rel=1e-12)
    assert found.means == pytest.approx(expected.means, abs=1e-12)
    assert found.covariances == pytest.approx(expected.covariances, rel=1e-11, abs=1e-12)


@pytest.mark.parametrize(("k", "d", "covariance"), CASES)
def test_the_map_of_weighted_observations_is_that_of_repeated_ones(k, d, covariance):
    mixture, x, _, shape = problem(k, d, covariance)
    counts = np.random.default_rng(8).integers(0, 4, size=len(x))
    vector, room = to_vector(mixture, shape), empty_room(shape)
    weighted, repeated = np.empty(size_of(shape)), np.empty(size_of(shape))
    one = em_map(as_data(x, counts.astype(float)), shape, vector, room, weighted)
    other = em_map(as_data(np.repeat(x, counts, axis=0)), shape, vector, room, repeated)
    assert one[0] == pytest.approx(other[0], rel=1e-13)
    assert weighted == pytest.approx(repeated, abs=1e-12)


@pytest.mark.parametrize("covariance", STRUCTURES)
def test_a_mean_that_moves_far_keeps_the_digits_of_its_covariance(covariance):
    """From means a million standard deviations away; without a second pass nothing of it is left."""
    rng = np.random.default_rng(9)
    x = rng.normal(size=(300, 2))
    far = NormalMixture([1.0], [[1e6, -1e6]], [np.eye(2)])
    shape = shape_of(MixtureSpec(1, covariance), 2)
    mapped = np.empty(size_of(shape))
    em_map(as_data(x), shape, to_vector(far, shape), empty_room(shape), mapped)
    expected = m_step(MixtureSpec(1, covariance).covariance, x, np.ones((300, 1)))
    assert to_mixture(mapped, shape).covariances == pytest.approx(expected.covariances, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(("mean", "variance", "component"), [(40.0, 1e-4, 1), (0.0, 1e-14, 1)])
def test_a_component_that_empties_or_shrinks_onto_a_point_has_collapsed(mean, variance, component):
    x = np.concatenate([np.random.default_rng(2).normal(size=50), [0.0]])[:, None]
    mixture = NormalMixture.univariate([0.9, 0.1], [0, mean], [1, variance])
    shape = shape_of(MixtureSpec(2), 1)
    mapped = np.empty(6)
    _, collapsed = em_map(as_data(x), shape, to_vector(mixture, shape), empty_room(shape), mapped)
    assert collapsed == component


def test_short_runs_are_so_many_steps_of_the_map():
    mixture, x, spec, shape = problem(2, 1, "full")
    theta = mixture
    heights = []
    for _ in range(4):
        expectation = e_step(theta, x)
        heights.append(expectation.log_likelihood)
        theta = m_step(spec.covariance, x, expectation.responsibilities)
    vectors = to_vector(mixture, shape)[None].copy()
    (height,) = short_runs(as_data(x), shape, vectors, 4)
    assert height == pytest.approx(heights[-1], rel=1e-12)
    assert to_mixture(vectors[0], shape).means == pytest.approx(theta.means, abs=1e-11)
    assert log_likelihood(to_mixture(vectors[0], shape), x) > height


def test_triangles():
    rng = np.random.default_rng(3)
    root = rng.normal(size=(4, 4))
    matrix = root @ root.T
    factor = matrix.copy()
    assert factorise(factor)
    assert np.tril(factor) == pytest.approx(np.linalg.cholesky(matrix), rel=1e-10)
    assert not factorise(matrix - 100 * np.eye(4))
    product = np.zeros((4, 4))
    multiply_lower(np.tril(root), np.tril(factor), True, product)
    assert product == pytest.approx(np.tril(root) @ np.tril(factor), rel=1e-12)
    right = rng.normal(size=4)
    solution = right.copy()
    solve(factor, solution, solution)
    assert matrix @ solution == pytest.approx(right, rel=1e-9)
    assert empty_theta(Shape(2, 3, 0)).is_full


@pytest.mark.parametrize("is_full", [True, False])
def test_the_smallest_variance_is_that_of_all_directions_together(is_full):
    factor = np.tril(np.random.default_rng(4).normal(size=(4, 4)))
    factor = factor if is_full else np.diag(np.diag(factor))
    covariance = factor @ factor.T
    found = smallest_variance(factor, is_full)
    assert found == pytest.approx(1 / np.trace(np.linalg.inv(covariance)), rel=1e-10)
    least = np.linalg.eigvalsh(covariance)[0]
    assert least / 4 <= found <= least

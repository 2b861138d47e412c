"""How hard a design is: published overlaps, simulation, closed forms, and information by other means."""

import math

import numpy as np
import pytest
from oracles import random_mixture
from scipy.integrate import quad
from scipy.stats import norm

from mixtures.comparison.difficulty import Difficulty, expected_standard_errors, overlap
from mixtures.comparison.distances import bayes_error, separation
from mixtures.em.information import curve
from mixtures.model.data import simulate
from mixtures.model.density import joint_log_densities
from mixtures.model.mixture import NormalMixture
from mixtures.model.spec import Covariance


def normals(weights, means, variances):
    return NormalMixture.univariate(weights, means, variances)


EVEN = normals([0.5, 0.5], [0.0, 2.0], [1.0, 1.0])

# Overlap ----------------------------------------------------------------------------------------

PUBLISHED = [
    ([0.5, 0.5], [1.0, 1.0], 0.02275, 0.02275),
    ([0.85, 0.15], [1.0, 1.0], 0.00747, 0.05863),
    ([0.5, 0.5], [1.0, 9.0], 0.05092, 0.20591),
]


@pytest.mark.parametrize(("weights", "variances", "first", "second"), PUBLISHED)
def test_overlaps_as_published(weights, variances, first, second):
    found = overlap(normals(weights, [2.0, 6.0], variances))
    assert np.round(found.misassigned, 5).tolist() == [[0, first], [second, 0]]
    assert found.largest == found.mean == pytest.approx(first + second, abs=1e-5)


@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize("seed", range(3))
def test_overlaps_are_shares_of_simulated_observations(d, seed):
    """200,000 observations of each component: 5 Monte Carlo errors, and .002 for the points in space."""
    rng = np.random.default_rng(seed)
    mixture = random_mixture(rng, 3, d, spread=1.0)
    found = overlap(mixture).misassigned
    for i in range(3):
        x = rng.multivariate_normal(mixture.means[i], mixture.covariances[i], size=200_000)
        joint = joint_log_densities(mixture, x)
        shares = (joint > joint[:, [i]]).mean(axis=0)
        errors = 5 * np.sqrt(shares * (1 - shares) / 200_000) + (0.002 if d > 1 else 1e-5)
        assert (abs(found[i] - shares) < errors).all()


@pytest.mark.parametrize("d", [2, 4])
def test_overlaps_of_equal_covariances_in_closed_form(d):
    rng = np.random.default_rng(d)
    root = rng.normal(size=(d, d))
    covariance = root @ root.T + np.eye(d)
    means = np.array([np.zeros(d), rng.normal(size=d)])
    mixture = NormalMixture([0.3, 0.7], means, np.array([covariance, covariance]))
    distance = math.sqrt(means[1] @ np.linalg.solve(covariance, means[1]))
    log_odds = math.log(0.7 / 0.3)
    expected = [norm.cdf(-distance / 2 + sign * log_odds / distance) for sign in (1, -1)]
    found = overlap(mixture).misassigned
    assert [found[0, 1], found[1, 0]] == pytest.approx(expected, abs=0.0015)


@pytest.mark.parametrize("seed", range(5))
def test_several_dimensions_agree_with_the_roots(seed):
    """A second axis that says nothing changes no overlap."""
    line = random_mixture(np.random.default_rng(seed), 3, 1, spread=1.5)
    covariances = np.zeros((3, 2, 2))
    covariances[:, 0, 0], covariances[:, 1, 1] = line.variances[:, 0], 1.0
    plane = NormalMixture(line.weights, np.column_stack([line.means[:, 0], np.zeros(3)]), covariances)
    assert overlap(plane).misassigned == pytest.approx(overlap(line).misassigned, abs=0.002)


@pytest.mark.parametrize(
    ("mixture", "expected"),
    [
        (normals([0.5, 0.5], [1.0, 1.0], [2.0, 2.0]), [[0, 0], [0, 0]]),  # ties are not misassigned
        (normals([0.6, 0.4], [1.0, 1.0], [2.0, 2.0]), [[0, 0], [1, 0]]),
        (normals([0.999, 0.001], [0.0, 0.0], [1.0, 1.5]), [[0, 2 * norm.sf(6.45)], [1, 0]]),
        (normals([1.0, 0.0], [0.0, 3.0], [1.0, 1.0]), [[0, 0], [1, 0]]),
        (normals([0.5, 0.5], [0.0, 1e6], [1.0, 1e-6]), [[0, 0], [0, 0]]),
    ],
)
def test_overlaps_at_the_edges(mixture, expected):
    found = overlap(mixture).misassigned
    assert found == pytest.approx(np.array(expected), abs=2e-3)


def test_variances_that_are_all_but_equal_lose_no_digits():
    near = overlap(normals([0.4, 0.6], [0.0, 3.0], [1.0, 1.0 + 1e-13])).misassigned
    assert near == pytest.approx(overlap(normals([0.4, 0.6], [0.0, 3.0], [1.0, 1.0])).misassigned, rel=1e-9)


def test_overlap_does_not_depend_on_units_or_order():
    mixture = normals([0.2, 0.3, 0.5], [0.0, 2.0, 3.0], [1.0, 0.5, 4.0])
    found = overlap(mixture).misassigned
    moved = normals([0.2, 0.3, 0.5], [1e3, 1e3 + 20, 1e3 + 30], [100.0, 50.0, 400.0])
    assert overlap(moved).misassigned == pytest.approx(found, rel=1e-9)
    order = [2, 0, 1]
    assert overlap(mixture.permuted(np.array(order))).misassigned == pytest.approx(
        found[np.ix_(order, order)]
    )


def test_the_bayes_error_of_two_components_is_made_of_their_overlap():
    mixture = normals([0.3, 0.7], [0.0, 2.0], [1.0, 3.0])
    missed = overlap(mixture).misassigned
    assert bayes_error(mixture) == pytest.approx(0.3 * missed[0, 1] + 0.7 * missed[1, 0], abs=1e-6)


def test_mean_and_largest_overlap_are_over_pairs():
    found = overlap(normals([0.2, 0.3, 0.5], [0.0, 2.0, 9.0], [1.0, 0.5, 1.0]))
    assert len(found.pairwise) == 3
    assert found.mean == pytest.approx(found.pairwise.mean())
    assert found.largest == max(found.pairwise)
    one = overlap(normals([1.0], [0.0], [1.0]))
    assert math.isnan(one.mean)
    assert math.isnan(one.largest)


# Standard errors by information -----------------------------------------------------------------


def test_the_weight_at_separation_2_of_100_observations():
    assert expected_standard_errors(EVEN, 100).weights == pytest.approx([0.47, 0.47], abs=0.005)


def test_one_component_has_the_errors_of_a_normal_sample():
    errors = expected_standard_errors(normals([1.0], [3.0], [4.0]), 50)
    assert errors.weights == [0]
    assert errors.means[0, 0] == pytest.approx(2 / math.sqrt(50), rel=1e-9)
    assert errors.variances[0, 0] == pytest.approx(4 * math.sqrt(2 / 50), rel=1e-9)


def test_components_far_apart_have_the_errors_of_their_samples():
    mixture = normals([0.2, 0.3, 0.5], [0.0, 100.0, 1000.0], [1.0, 4.0, 0.01])
    for covariance in (Covariance.FULL, Covariance.DIAGONAL):
        errors = expected_standard_errors(mixture, 400, covariance)
        n = 400 * mixture.weights
        assert errors.weights == pytest.approx(
            np.sqrt(mixture.weights * (1 - mixture.weights) / 400), rel=1e-6
        )
        assert errors.means[:, 0] == pytest.approx(np.sqrt(mixture.variances[:, 0] / n), rel=1e-6)
        assert errors.variances[:, 0] == pytest.approx(mixture.variances[:, 0] * np.sqrt(2 / n), rel=1e-6)
    tied = expected_standard_errors(normals([0.2, 0.8], [0.0, 100.0], [3.0, 3.0]), 400, Covariance.TIED)
    assert tied.variances[:, 0] == pytest.approx([3 * math.sqrt(2 / 400)] * 2, rel=1e-6)


def test_the_information_by_differences_and_another_quadrature():
    """Scores by central differences of the log density, integrals by scipy's adaptive rule."""
    theta = np.array([0.3, -0.5, 1.5, 0.8, 2.0])  # w_1, means, variances

    def log_density(x, theta):
        w, m1, m2, v1, v2 = theta
        return math.log(w * norm.pdf(x, m1, math.sqrt(v1)) + (1 - w) * norm.pdf(x, m2, math.sqrt(v2)))

    def score(x):
        steps = 1e-5 * np.eye(5)
        return np.array([log_density(x, theta + h) - log_density(x, theta - h) for h in steps]) / 2e-5

    information = np.empty((5, 5))
    for a in range(5):
        for b in range(a + 1):

            def term(x, a=a, b=b):
                s = score(x)
                return s[a] * s[b] * math.exp(log_density(x, theta))

            information[a, b] = information[b, a] = quad(term, -8, 13, points=[0, 1], epsabs=1e-7)[0]
    expected = np.sqrt(np.diag(np.linalg.inv(200 * information)))
    found = expected_standard_errors(normals([0.3, 0.7], [-0.5, 1.5], [0.8, 2.0]), 200)
    assert [found.weights[0], *found.means[:, 0], *found.variances[:, 0]] == pytest.approx(expected, rel=1e-5)
    assert found.weights[1] == pytest.approx(found.weights[0], rel=1e-12)


@pytest.mark.parametrize("covariance", [Covariance.FULL, Covariance.TIED])
def test_the_scores_of_a_large_sample_have_that_information(covariance):
    """EM's scores at the truth, in its own coordinates: log odds, means in sds, shares of variances."""
    mixture = normals([0.4, 0.6], [0.0, 2.5], [2.0, 2.0] if covariance == Covariance.TIED else [1.0, 2.0])
    x = simulate(mixture, 200_000, np.random.default_rng(1)).x
    scores = curve(mixture, x, covariance).scores
    inverse = np.linalg.inv(scores.T @ scores)
    found = expected_standard_errors(mixture, 200_000, covariance)
    odds = 0.4 * 0.6 * math.sqrt(inverse[0, 0])
    means = mixture.sds[:, 0] * np.sqrt(np.diag(inverse)[1:3])
    variances = mixture.variances[:, 0] * np.sqrt(np.diag(inverse)[3:])
    assert found.weights[0] == pytest.approx(odds, rel=0.02)
    assert found.means[:, 0] == pytest.approx(means, rel=0.02)
    assert found.variances[:, 0] == pytest.approx(variances, rel=0.02)


def test_errors_shrink_with_n_and_scale_with_the_data():
    small, large = expected_standard_errors(EVEN, 100), expected_standard_errors(EVEN, 400)
    assert small.means == pytest.approx(2 * large.means)
    scaled = expected_standard_errors(normals([0.5, 0.5], [1e3, 1e3 + 20.0], [100.0, 100.0]), 100)
    assert scaled.weights == pytest.approx(small.weights, rel=1e-8)
    assert scaled.means == pytest.approx(10 * small.means, rel=1e-8)
    assert scaled.variances == pytest.approx(100 * small.variances, rel=1e-8)


@pytest.mark.parametrize(
    "mixture", [normals([0.5, 0.5], [1.0, 1.0], [2.0, 2.0]), normals([1.0, 0.0], [0.0, 3.0], [1.0, 1.0])]
)
def test_what_cannot_be_told_apart_has_no_finite_error(mixture):
    errors = expected_standard_errors(mixture, 100)
    assert np.isinf(errors.weights).all()
    assert np.isinf(errors.means).all()


def test_information_is_of_univariate_mixtures_within_the_model():
    with pytest.raises(ValueError, match="mixture must be univariate; got 2 dimensions"):
        expected_standard_errors(random_mixture(np.random.default_rng(1), 2, 2), 100)
    with pytest.raises(ValueError, match="tied variances must be equal; got"):
        expected_standard_errors(normals([0.5, 0.5], [0.0, 2.0], [1.0, 2.0]), 100, Covariance.TIED)
    with pytest.raises(ValueError, match="n must be at least 1; got 0"):
        expected_standard_errors(EVEN, 0)


# All of it --------------------------------------------------------------------------------------


def test_the_difficulty_of_a_design():
    mixture = normals([0.2, 0.8], [0.0, 3.0], [1.0, 2.0])
    found = Difficulty.of(mixture, 60)
    assert found.separation == separation(mixture)
    assert found.bayes_error == bayes_error(mixture)
    assert found.smallest_count == pytest.approx(12)
    assert found.overlap.misassigned == pytest.approx(overlap(mixture).misassigned)
    assert found.standard_errors.weights == pytest.approx(expected_standard_errors(mixture, 60).weights)
    assert Difficulty.of(mixture, 60, Covariance.TIED).standard_errors is None  # not in the model
    assert Difficulty.of(random_mixture(np.random.default_rng(1), 2, 2), 60).standard_errors is None

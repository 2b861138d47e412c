"""Label rules: functions of one mixture and the data, and what comes of a rule that knows the truth.

The posterior is exact: two normals of equal weight, with variances 1 and 3, all known; two means, on a grid,
with the same prior. Five observations leave much doubt about which is which.
"""

import itertools

import numpy as np
import pytest

from mixtures.comparison.calibration import holm, ranks_among, uniformity
from mixtures.comparison.label_rules import LabelRule, component_order, reference_by, reference_of
from mixtures.comparison.ranks import quantities
from mixtures.model.labels import align, bhattacharyya_distances
from mixtures.model.mixture import NormalMixture

POINTS = np.array([-1.0, 1.0])
N_DRAWS = 99
GRID = np.linspace(-3.5, 3.5, 71)
PRIOR = np.exp(-0.5 * GRID**2) / np.exp(-0.5 * GRID**2).sum()
WEIGHTS, VARIANCES = np.array([0.5, 0.5]), np.array([1.0, 3.0])


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_the_reference_is_the_best_of_all_partitions_of_the_sorted_data(k, rng):
    x = rng.normal(3, 2, size=(11, 1)).round(1)
    values = np.sort(x[:, 0])
    partitions = [np.split(values, cuts) for cuts in itertools.combinations(range(1, 11), k - 1)]
    sums = [sum(((group - group.mean()) ** 2).sum() for group in groups) for groups in partitions]
    best, found = partitions[int(np.argmin(sums))], reference_of(x, k)
    assert found.weights == pytest.approx([len(group) / 11 for group in best])
    assert found.means[:, 0] == pytest.approx([group.mean() for group in best])
    assert found.variances[:, 0] == pytest.approx(np.full(k, min(sums) / 11))


@pytest.mark.parametrize("distance", [0, 1e3, 1e6, 1e9, 1e12])
def test_however_far_an_outlier_is_the_others_are_cut_as_well(distance, rng):
    """The outlier by itself, and the others in the best of all their partitions into three."""
    for _ in range(10):
        near = np.sort(np.concatenate([rng.normal(0, 1, 5), rng.normal(4, 1, 5)]))
        x = np.append(near, 20 + distance)
        partitions = [np.split(near, cuts) for cuts in itertools.combinations(range(1, 10), 2)]
        sums = [sum(((group - group.mean()) ** 2).sum() for group in groups) for groups in partitions]
        best, found = partitions[int(np.argmin(sums))], reference_of(x[:, None], 4)
        assert found.weights == pytest.approx([*(len(group) / 11 for group in best), 1 / 11])
        assert found.variances[:, 0] == pytest.approx(np.full(4, min(sums) / 11))


def test_the_order_of_the_data_plays_no_part(rng):
    x = rng.normal(size=(30, 1))
    first, second = reference_of(x, 3), reference_of(rng.permutation(x), 3)
    assert first.means.tolist() == second.means.tolist()
    assert first.variances.tolist() == second.variances.tolist()


@pytest.mark.parametrize("rule", LabelRule)
@pytest.mark.parametrize("k", [2, 3])
def test_a_rule_forgets_the_order_of_components(rule, k, rng):
    for _ in range(30):
        x = rng.normal(size=(15, 1))
        weights, means, sds = rng.dirichlet(np.ones(k)), rng.normal(size=k), rng.lognormal(size=k)
        one, reference = NormalMixture.univariate(weights, means, sds**2), reference_by(rule, x, k)
        expected = quantities(one, x, POINTS, reference)
        for order in itertools.permutations(range(k)):
            assert quantities(one.permuted(order), x, POINTS, reference) == pytest.approx(expected, rel=1e-12)


def test_a_reference_is_another_rule_than_ordering():
    """Of two components right of both groups the wider may be the first although its mean is the larger."""
    x = np.array([[-1.1], [-0.9], [0.9], [1.1]])
    one = NormalMixture.univariate([0.5, 0.5], [2.0, 3.0], [0.01, 9.0])
    assert component_order(one).tolist() == [0, 1]
    assert component_order(one, reference_of(x, 2)).tolist() == [1, 0]
    assert reference_by("ordering", x, 2) is None


def test_what_has_no_reference_says_why():
    tied = np.array([[1.0], [2.0], [2.0], [1.0]])
    with pytest.raises(
        ValueError, match="more than 2 distinct values for a reference of 2 components; got 2"
    ):
        reference_by("reference", tied, 2)
    with pytest.raises(ValueError, match="label_rule must be one of ordering, reference; got 'truth'"):
        reference_by("truth", tied, 2)


def posterior_draws(x, rng):
    """Draws (L, 2) of both means, exact: by the distribution function over all pairs on the grid."""
    likelihoods = np.ones((len(GRID), len(GRID)))
    z = (x[:, None, None] - GRID[:, None]) / np.sqrt(VARIANCES)
    for first, second in np.moveaxis(np.exp(-0.5 * z**2) / np.sqrt(VARIANCES), 2, 1):
        likelihoods *= first[:, None] + second
    below = np.cumsum(PRIOR[:, None] * PRIOR * likelihoods)
    pairs = np.searchsorted(below, rng.uniform(0, below[-1], N_DRAWS))
    return GRID[np.stack(np.divmod(pairs, len(GRID)), axis=1)]


def assigned(means, reference):
    """Means (m, 2) of mixtures with known variances, all put in the order of a reference's at once."""
    components = means.reshape(-1, 1), np.tile(VARIANCES, len(means))[:, None, None]
    every = NormalMixture.unchecked(np.full(means.size, 1 / means.size), *components)
    costs = bhattacharyya_distances(reference, every).reshape(2, -1, 2)
    is_swapped = costs[0, :, 0] + costs[1, :, 1] > costs[0, :, 1] + costs[1, :, 0]
    return np.where(is_swapped[:, None], means[:, ::-1], means)


def exact_ranks(n_sets, seed):
    """Ranks (n_sets, 2) of both means by each rule, and with every draw aligned to the truth."""
    rng = np.random.default_rng(seed)
    ranks = {"ordering": [], "reference": [], "raw": [], "truth": []}
    for _ in range(n_sets):
        true = rng.choice(GRID, size=2, p=PRIOR)
        components = rng.integers(2, size=5)
        x = rng.normal(true[components], np.sqrt(VARIANCES[components]))
        both = np.vstack([true, posterior_draws(x, rng)])
        truth = NormalMixture.univariate(WEIGHTS, true, VARIANCES)
        by_rule = {
            "ordering": np.sort(both),
            "reference": assigned(both, reference_of(x[:, None], 2)),
            "raw": both,
            "truth": assigned(both, truth),
        }
        for name, means in by_rule.items():
            ranks[name].append(ranks_among(means[0], means[1:], rng))
    return {name: np.array(found) for name, found in ranks.items()}


def test_what_is_aligned_to_the_truth_is_not_calibrated():
    """4,000 data sets; an exact posterior passes by any rule but the one that knows the truth."""
    p = {
        name: holm([uniformity(column, N_DRAWS).value for column in ranks.T]).min()
        for name, ranks in exact_ranks(4000, seed=1).items()
    }
    print({name: f"{value:.2g}" for name, value in p.items()})
    assert min(p["ordering"], p["reference"], p["raw"]) > 0.01
    assert p["truth"] < 1e-6


def test_all_at_once_is_one_by_one(rng):
    """The rules of the test above are `component_order`, and what is aligned to the truth is `align`ed."""
    truth = NormalMixture.univariate(WEIGHTS, [1.0, -1.0], VARIANCES)
    reference, draws = reference_of(rng.normal(size=(5, 1)), 2), rng.normal(size=(50, 2))
    mixtures = [NormalMixture.univariate(WEIGHTS, pair, VARIANCES) for pair in draws]
    for found, orders in (
        (np.sort(draws), [component_order(one) for one in mixtures]),
        (assigned(draws, reference), [component_order(one, reference) for one in mixtures]),
        (assigned(draws, truth), [align(truth, one).permutation for one in mixtures]),
    ):
        assert found.tolist() == np.take_along_axis(draws, np.array(orders), axis=1).tolist()

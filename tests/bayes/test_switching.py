"""The relabelling algorithms against published numbers, brute force and known permutations."""

import itertools

import numpy as np
import pytest
from oracles import loop_responsibilities
from references import reference_file

from mixtures.bayes import switching
from mixtures.bayes.data_based import data_based
from mixtures.bayes.draws import MixtureDraws
from mixtures.bayes.memberships import (
    Hard,
    Soft,
    aligned_chains,
    allocations,
    average,
    overlap,
    responsibilities,
)
from mixtures.bayes.permutations import identities, reorder
from mixtures.bayes.relabel import relabel
from mixtures.model.fit import Draws
from mixtures.model.mixture import NormalMixture


@pytest.fixture(scope="module")
def toy():
    """300 draws of a mixture of two, n = 5, with allocations and their probabilities."""
    with np.load(reference_file("relabel_toy.npz")) as file:
        parameters = file["mcmc_pars"][None]
        log_densities = np.zeros((1, 300))
        log_densities[0, int(file["mapindex"][0]) - 1] = 1  # R counts from 1
        return {
            "draws": Draws(parameters[..., 2], parameters[..., :1], parameters[..., 1:2]),
            "x": file["x"],
            "allocations": file["z"].astype(int)[None] - 1,
            "responsibilities": file["p"][None],
            "log_densities": log_densities,
        }


PUBLISHED = {
    "ecr": (120, (-0.032604, 2.235485)),
    "ecr_iterative_1": (120, (-0.032604, 2.235485)),
    "ecr_iterative_2": (120, (-0.032604, 2.235485)),
    "stephens": (116, (0.080987, 2.121894)),
    "pra": (117, (-0.540445, 2.743326)),
    "ordering": (116, (-0.542366, 2.745247)),
    "data_based": (111, (0.043140, 2.159741)),
}


@pytest.mark.parametrize(("method", "published"), PUBLISHED.items(), ids=PUBLISHED)
def test_the_toy_chain_of_label_switching(toy, method, published):
    """Papastamoulis' package 1.8: draws swapped, modulo a swap of all, and means of the relabelled means."""
    found = relabel(method=method, **toy)
    swapped = int((found.permutations[0, :, 0] == 1).sum())
    n_swapped, means = published
    assert n_swapped in {swapped, 300 - swapped}
    relabelled = found.reordered(toy["draws"]).means.mean(axis=(0, 1))[:, 0]
    assert relabelled.round(6).tolist() == list(means)


def test_stephens_iterations_and_cost_on_the_toy_chain(toy):
    found = relabel(method="stephens", **toy)
    assert (found.n_iterations, round(found.costs.sum(), 4)) == (7, 481.5034)
    assert found.is_converged


def test_another_start_finds_a_lower_optimum_of_stephens_on_the_toy_chain(toy):
    """The published solution is a local one."""
    found = relabel(method="stephens", start="ordering", **toy)
    assert found.costs.sum() == pytest.approx(464.5785, abs=1e-4)


SMALL = [(2, 5, seed) for seed in range(6)] + [(3, 3, seed) for seed in range(4)]


@pytest.fixture(params=SMALL, ids=lambda case: "k={}, s={}, seed {}".format(*case))
def small(request):
    """A few draws of mixtures that differ, each in an order of its own, and a few observations."""
    k, s, seed = request.param
    rng = np.random.default_rng(seed)
    centres = 3.0 * np.arange(k)
    draws = MixtureDraws(
        rng.dirichlet(np.full(k, 8.0), size=s),
        centres + rng.normal(0, 0.7, (s, k)),
        rng.gamma(20, 1 / 20, (s, k)),
    )
    orders = rng.permuted(identities(s, k), axis=1)
    x = rng.choice(centres, 9) + rng.normal(size=9)
    return draws.reordered(orders), x


def every_order(s, k):
    """Permutations of all draws, the first as it is."""
    rest = itertools.product(itertools.permutations(range(k)), repeat=s - 1)
    return [np.array([tuple(range(k)), *orders]) for orders in rest]


def divergence(soft, orders):
    """Stephens' objective, with the responsibilities kept off the edges."""
    r = np.clip(soft.values, 1e-6, 1 - 1e-6)
    r = r / r.sum(axis=0)
    total = 0.0
    ordered = [[r[j, :, t] for j in order] for t, order in enumerate(orders)]
    for j in range(soft.n_components):
        mean = np.mean([draw[j] for draw in ordered], axis=0)
        total += sum(float((draw[j] * np.log(draw[j] / mean)).sum()) for draw in ordered)
    return total


def disagreement(hard, orders):
    """Observations of all draws whose relabelled allocation is not the observation's most frequent one."""
    places = [order.argsort()[hard.allocations[:, t]] for t, order in enumerate(orders)]
    return sum(len(row) - np.bincount(row).max() for row in np.array(places).T)


class TestBruteForce:
    """Over all permutations of all draws; an iterative method from its own start or a sorted one."""

    @staticmethod
    def best_of(method, draws, x):
        found = [
            relabel(draws, method, x=x, start=start)
            for start in ("none", "reference", "ordering", "ordering_sds", "ordering_weights")
        ]
        return min(found, key=lambda one: one.costs.sum())

    def test_stephens(self, small):
        draws, x = small
        soft = responsibilities(draws, x)
        least = min(divergence(soft, orders) for orders in every_order(*draws.means.shape))
        found = self.best_of("stephens", draws, x)
        assert found.costs.sum() == pytest.approx(least, rel=1e-9)
        assert divergence(soft, found.permutations) == pytest.approx(least, rel=1e-9)

    def test_ecr_iterative_1(self, small):
        draws, x = small
        hard = allocations(draws, x)
        least = min(disagreement(hard, orders) for orders in every_order(*draws.means.shape))
        found = self.best_of("ecr_iterative_1", draws, x)
        assert found.costs.sum() == least
        assert disagreement(hard, found.permutations) == least

    def test_methods_with_a_reference(self, small):
        """Their objective is a sum over draws, each of which may be permuted by itself."""
        draws, x = small
        s, k = draws.means.shape
        hard = allocations(draws, x).allocations
        theta = np.stack([draws.means, draws.variances, draws.weights], axis=-1)
        objectives = {
            "ecr": lambda t, order: (np.argsort(order)[hard[:, t]] != hard[:, 1]).sum(),
            "pra": lambda t, order: -(theta[1] * theta[t][list(order)]).sum(),
            "ordering": lambda t, order: -(np.arange(k) * draws.means[t, list(order)]).sum(),
            "ordering_sds": lambda t, order: -(np.arange(k) * draws.sds[t, list(order)]).sum(),
            "ordering_weights": lambda t, order: -(np.arange(k) * draws.weights[t, list(order)]).sum(),
        }
        is_pivot = np.arange(s) == 1
        for method, objective in objectives.items():
            found = relabel(draws, method, x=x, log_densities=is_pivot.astype(float))
            for t in range(s):
                ranked = sorted(objective(t, order) for order in itertools.permutations(range(k)))
                assert found.costs[t] == pytest.approx(ranked[0], rel=1e-9, abs=1e-9), method
                assert found.gaps[t] == pytest.approx(ranked[1] - ranked[0], rel=1e-6, abs=1e-9), method


def test_second_iterative_ecr_has_fewest_mismatches_with_its_pivot(small):
    draws, x = small
    s, k = draws.means.shape
    found = relabel(draws, "ecr_iterative_2", x=x)
    soft, hard = responsibilities(draws, x), allocations(draws, x)
    pivot = average(soft, found.permutations).argmax(axis=1)
    for t in range(s):
        by_order = {
            order: (np.argsort(order)[hard.allocations[:, t]] != pivot).sum()
            for order in itertools.permutations(range(k))
        }
        assert found.costs[t] == min(by_order.values())
        assert by_order[tuple(found.permutations[t])] == found.costs[t]


def test_data_based_gives_each_draw_the_least_distance(small):
    """From centres found by a plain loop over the draws as they come."""
    draws, x = small
    s, k = draws.means.shape
    hard = allocations(draws, x)
    groups = [[x[hard.allocations[:, t] == j] for j in range(k)] for t in range(s)]
    centres = x.min() + np.ptp(x) * np.arange(1, k + 1) / (k + 1)
    scales, n_centres, n_scales = np.full(k, np.ptp(x) / k), np.zeros(k), np.zeros(k)

    def cost(group, place):
        return (((group - centres[place]) / scales[place]) ** 2).sum()

    def ranked(t):
        orders = itertools.permutations(range(k))
        return sorted((sum(cost(groups[t][j], i) for i, j in enumerate(o)), o) for o in orders)

    for t in range(s):
        for place, j in enumerate(ranked(t)[0][1]):
            group = groups[t][j]
            if len(group) > 0:
                n_centres[place] += 1
                centres[place] += (group.mean() - centres[place]) / n_centres[place]
            if len(group) > 1:
                n_scales[place] += 1
                scales[place] += (group.std(ddof=1) - scales[place]) / n_scales[place]
    found = data_based(hard, x[:, None], identities(s, k))
    for t in range(s):
        (least, order), (second, _) = ranked(t)[:2]
        assert found.permutations[t].tolist() == list(order)
        assert found.costs[t] == pytest.approx(least)
        assert found.gaps[t] == pytest.approx(second - least)


def test_tied_values_are_no_scale():
    """A group of equal values has no spread, and says nothing of the scale of its component."""
    hard = Hard(np.array([[0, 0, 1, 1, 1]] * 3, dtype=np.int16).T, 2)
    found = data_based(hard, np.array([[0.1], [0.1], [5.0], [6.0], [7.0]]), identities(3, 2))
    assert np.isfinite(found.costs).all()
    assert (found.permutations == [0, 1]).all()


class TestMemberships:
    @pytest.fixture
    def draws(self, random_draws):
        return random_draws((7,), 3, seed=2)

    X = np.linspace(-3, 3, 11)

    def test_responsibilities_and_allocations_are_those_of_each_draw(self, draws):
        soft, hard = responsibilities(draws, self.X), allocations(draws, self.X)
        for t in range(7):
            mixture = NormalMixture.univariate(draws.weights[t], draws.means[t], draws.variances[t])
            expected = loop_responsibilities(mixture, self.X[:, None])
            np.testing.assert_allclose(soft.values[:, :, t].T, expected, rtol=1e-7)
            np.testing.assert_array_equal(hard.allocations[:, t], expected.argmax(axis=1))

    def test_averages_and_sums(self, draws):
        soft, hard = responsibilities(draws, self.X), allocations(draws, self.X)
        orders = np.random.default_rng(1).permuted(identities(7, 3), axis=1)
        scores = np.random.default_rng(2).normal(size=(11, 3))
        whole = (hard.allocations == np.arange(3)[:, None, None]).astype(float)
        for one, values in [(soft, soft.values), (hard, whole)]:
            ordered = np.stack([values[order, :, t] for t, order in enumerate(orders)])
            np.testing.assert_allclose(average(one, orders), ordered.mean(axis=0).T, atol=1e-6)
            expected = np.einsum("ij,lis->sjl", scores, values)
            np.testing.assert_allclose(overlap(one, scores), expected, atol=1e-12)

    def test_chains_are_put_in_the_order_of_the_first(self, draws):
        soft = responsibilities(draws, self.X)
        switched = Soft(np.concatenate([soft.values, soft.values[[2, 0, 1]]], axis=2))
        expected = np.repeat([[0, 1, 2], [1, 2, 0]], 7, axis=0)
        np.testing.assert_array_equal(aligned_chains(switched, 2), expected)


@pytest.mark.parametrize("method", [*PUBLISHED, "reference"])
@pytest.mark.parametrize("k", [2, 3, 5])
def test_known_permutations_are_recovered(method, k):
    """Draws near one mixture, each in a random order, and the same draws in another."""
    rng = np.random.default_rng(k)
    c, s, centres = 3, 60, 5.0 * np.arange(k)
    draws = Draws(
        rng.dirichlet(np.full(k, 60.0), size=(c, s)),
        (centres + rng.normal(0, 0.3, (c, s, k)))[..., None],
        rng.gamma(50, 0.02, (c, s, k, 1)),
    )
    x = np.repeat(centres, 12) + rng.normal(size=12 * k)
    log_densities = rng.normal(size=(c, s))
    orders = [rng.permuted(np.broadcast_to(np.arange(k), (c, s, k)), axis=-1) for _ in range(2)]
    start = "reference" if method.startswith(("ecr_", "stephens", "data")) else "none"
    for order in orders:
        switched = Draws(*(reorder(part, order) for part in (draws.weights, draws.means, draws.variances)))
        found = relabel(switched, method, x=x, log_densities=log_densities, start=start)
        np.testing.assert_array_equal(found.permutations, order.argsort(axis=-1))
        np.testing.assert_allclose(found.reordered(switched).means, draws.means)


@pytest.mark.parametrize("method", ["ecr_iterative_1", "ecr_iterative_2", "stephens", "data_based"])
def test_whole_chains_are_aligned_first(method):
    """Four chains, each in an order of its own throughout: iterative methods need no other start."""
    rng = np.random.default_rng(8)
    chains = np.array([[0, 1, 2, 3, 4], [3, 1, 4, 0, 2], [4, 3, 2, 1, 0], [1, 2, 3, 4, 0]])
    order = np.repeat(chains[:, None], 25, axis=1)
    means = (3.0 * np.arange(5) + rng.normal(0, 0.3, (4, 25, 5)))[..., None]
    draws = Draws(np.full((4, 25, 5), 0.2), means, np.ones((4, 25, 5, 1)))
    switched = Draws(*(reorder(part, order) for part in (draws.weights, draws.means, draws.variances)))
    x = np.repeat(3.0 * np.arange(5), 20) + rng.normal(size=100)
    found = relabel(switched, method, x=x)
    np.testing.assert_array_equal(found.permutations, order.argsort(axis=-1))
    np.testing.assert_array_equal(found.chain_orders, chains.argsort(axis=-1))
    assert found.n_switched.tolist() == [0, 0, 0, 0]


def test_iterations_end_where_the_objective_never_rests():
    """Costs that favour the other order each time; 100 passes, and said to be without rest."""
    flip = itertools.count()

    def costs(now):
        matrix = np.zeros((4, 2, 2))
        matrix[:, 0, 0] = next(flip) % 2 - 2
        return matrix

    found = switching.iterate(costs, identities(4, 2))
    assert (found.n_iterations, found.is_converged) == (100, False)


@pytest.mark.parametrize("n_iterations", [1, 2, 3])
def test_stephens_never_loses_in_an_iteration(small, monkeypatch, n_iterations):
    draws, x = small
    soft = responsibilities(draws, x)
    start = np.random.default_rng(n_iterations).permuted(identities(*draws.means.shape), axis=1)
    monkeypatch.setattr(switching, "_MOST_ITERATIONS", n_iterations)
    now = switching.stephens(soft, start).permutations
    monkeypatch.setattr(switching, "_MOST_ITERATIONS", 1)
    later = switching.stephens(soft, now).permutations
    assert divergence(soft, later) <= divergence(soft, now) + 1e-9
    assert divergence(soft, now) <= divergence(soft, start) + 1e-9


def test_a_swap_of_all_draws_changes_nothing(small):
    draws, x = small
    s, k = draws.means.shape
    turned = draws.reordered(np.tile(np.roll(np.arange(k), 1), (s, 1)))
    for method in (*PUBLISHED, "reference"):
        here, there = (relabel(one, method, x=x) for one in (draws, turned))
        np.testing.assert_allclose(
            draws.reordered(here.permutations).means, turned.reordered(there.permutations).means
        )

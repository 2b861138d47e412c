"""Permutations of draws against both solvers, plain loops and brute force."""

import itertools
import math

import numpy as np
import pytest

from mixtures.bayes import permutations as module
from mixtures.bayes.permutations import (
    agreement,
    by_assignment,
    by_enumeration,
    cheapest,
    modal,
    totals,
    two_cheapest,
)


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
def test_enumeration_and_assignment_agree(k):
    costs = np.random.default_rng(k).gamma(1, 1, (60, k, k))
    np.testing.assert_array_equal(by_enumeration(costs), by_assignment(costs))


@pytest.mark.parametrize("k", [2, 3, 4, 5, 6])
def test_costs_and_gaps_are_those_of_the_best_two(k):
    costs = np.random.default_rng(k).normal(0, 1, (20, k, k))
    found = cheapest(costs)
    every = [
        sorted(sum(matrix[i, j] for i, j in enumerate(places)) for places in itertools.permutations(range(k)))
        for matrix in costs
    ]
    permutations, paid, gaps = two_cheapest(costs)
    np.testing.assert_array_equal(permutations, found)
    np.testing.assert_allclose(totals(costs, found), [ranked[0] for ranked in every])
    np.testing.assert_allclose(paid, [ranked[0] for ranked in every])
    np.testing.assert_allclose(gaps, [ranked[1] - ranked[0] for ranked in every], atol=1e-12)


def test_one_component_leaves_no_doubt():
    assert two_cheapest(np.ones((3, 1, 1)))[2].tolist() == [math.inf] * 3


def test_equal_costs_leave_all_doubt():
    assert two_cheapest(np.ones((2, 3, 3)))[2].tolist() == [0, 0]


def test_the_most_frequent_permutation():
    rows = [[1, 0, 2], [0, 1, 2], [2, 1, 0], [0, 1, 2]]
    assert modal(np.array(rows)).tolist() == [0, 1, 2]
    assert modal(np.array(rows[:2])).tolist() == [0, 1, 2]


@pytest.mark.parametrize("k", [2, 15, 16])
def test_the_most_frequent_permutation_of_any_length(k):
    rng = np.random.default_rng(k)
    often, others = rng.permutation(k), rng.permuted(np.tile(np.arange(k), (20, 1)), axis=1)
    rows = rng.permutation(np.concatenate([others, np.tile(often, (21, 1))]))
    assert modal(rows).tolist() == often.tolist()


def test_agreement_is_up_to_one_permutation_of_places():
    rng = np.random.default_rng(4)
    first = rng.permuted(np.tile(np.arange(3), (50, 1)), axis=1)
    assert agreement(first, first[:, [2, 0, 1]]) == 1
    second = first.copy()
    second[:5] = second[:5, [1, 2, 0]]
    assert agreement(first, second[:, [1, 0, 2]]) == 0.9
    assert agreement(second, first) == 0.9


def test_values_of_any_rank_are_reordered():
    rng = np.random.default_rng(5)
    orders = rng.permuted(np.broadcast_to(np.arange(3), (2, 4, 3)), axis=-1)
    for rest in [(), (2,), (2, 2)]:
        values = rng.normal(size=(2, 4, 3, *rest))
        found = module.reorder(values, orders)
        for c, s, j in np.ndindex(2, 4, 3):
            np.testing.assert_array_equal(found[c, s, j], values[c, s, orders[c, s, j]])

"""Relabelling against known switches, a plain loop and both solvers against each other."""

import numpy as np
import pytest

from mixtures.bayes.draws import MixtureDraws
from mixtures.bayes.relabel import Relabel, by_assignment, by_enumeration, relabel
from mixtures.model.labels import align
from mixtures.model.mixture import NormalMixture


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_known_switches_are_undone(k):
    rng = np.random.default_rng(k)
    centres = np.arange(k) * 4.0
    ordered = MixtureDraws(
        rng.dirichlet(np.full(k, 50.0), size=(2, 40)),
        centres + rng.normal(0, 0.3, (2, 40, k)),
        rng.gamma(50, 0.02, (2, 40, k)),
    )
    switches = rng.permuted(np.broadcast_to(np.arange(k), (2, 40, k)), axis=-1)
    switched = ordered.reordered(switches)
    for method in (Relabel.REFERENCE, Relabel.ORDERING):
        found = relabel(switched, method, log_densities=rng.normal(size=(2, 40)))
        np.testing.assert_array_equal(found, switches.argsort(axis=-1))
        np.testing.assert_array_equal(switched.reordered(found).weights, ordered.weights)


@pytest.mark.parametrize("k", [2, 3, 5])
def test_reference_is_the_alignment_to_the_densest_draw(k, random_draws):
    draws = random_draws((2, 15), k, seed=k)
    log_densities = np.random.default_rng(1).normal(size=(2, 15))
    row = draws.in_one_row()
    rows = zip(row.weights, row.means, row.variances, strict=True)
    mixtures = [NormalMixture.univariate(*theta) for theta in rows]
    reference = mixtures[log_densities.argmax()]
    reference = reference.permuted(reference.means[:, 0].argsort())
    expected = [align(reference, theta).permutation for theta in mixtures]
    found = relabel(draws, Relabel.REFERENCE, log_densities=log_densities)
    np.testing.assert_array_equal(found.reshape(-1, k), expected)


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
def test_enumeration_and_assignment_agree(k):
    costs = np.random.default_rng(k).gamma(1, 1, (60, k, k))
    np.testing.assert_array_equal(by_enumeration(costs), by_assignment(costs))


def test_none_leaves_the_draws(random_draws):
    draws = random_draws((2, 5), 3, seed=1)
    found = relabel(draws, Relabel.NONE, log_densities=np.zeros((2, 5)))
    np.testing.assert_array_equal(draws.reordered(found).means, draws.means)


def test_auto_is_no_method_without_a_prior(random_draws):
    with pytest.raises(ValueError, match="method must be reference, ordering or none"):
        relabel(random_draws((1, 2), 2, seed=1), Relabel.AUTO, log_densities=np.zeros((1, 2)))

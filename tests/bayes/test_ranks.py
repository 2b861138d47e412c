"""Ranks of a truth among draws by NUTS: what they are worth, and that relabelling plays no part."""

from dataclasses import replace

import numpy as np
import pytest

from mixtures.comparison.ranks import N_DRAWS, quantities, rank_fit

POINTS = np.array([0.0, 2.0])


def test_draws_are_worth_the_least_that_the_fit_says(fit, truth, x):
    parts = fit.details.invariants, fit.details.parameters
    worth = min(min(part.ess_bulk.min(), part.ess_tail.min()) for part in parts)
    with pytest.raises(ValueError, match=rf"at least 1000000 independent ones to be ranked; got {worth:.0f}"):
        rank_fit(truth, x[:, None], fit, points=POINTS, rng=np.random.default_rng(1), n_draws=1_000_000)


def test_ranks_are_those_of_the_sampled_order_too(fit, truth, x):
    """Relabelled draws, and the same draws as the chains left them."""
    permutations = fit.details.permutations
    assert np.ptp(permutations[..., 0]) > 0
    back = permutations.argsort(axis=-1)
    draws = fit.draws
    sampled = replace(
        draws,
        weights=np.take_along_axis(draws.weights, back, axis=-1),
        means=np.take_along_axis(draws.means, back[..., None], axis=2),
        variances=np.take_along_axis(draws.variances, back[..., None], axis=2),
    )
    relabelled, as_sampled = (
        rank_fit(truth, x[:, None], one, points=POINTS, rng=np.random.default_rng(1))
        for one in (fit, replace(fit, draws=sampled))
    )
    assert relabelled.ranks.tolist() == as_sampled.ranks.tolist()
    at_estimate = quantities(fit.estimate, x[:, None], POINTS)
    errors = np.array([*at_estimate.values()]) - relabelled.mean
    assert np.abs(errors / relabelled.sd)[:3].max() < 4 / np.sqrt(N_DRAWS)

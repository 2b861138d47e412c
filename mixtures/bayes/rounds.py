"""Sampling in rounds until the draws are worth enough: pooling them, and planning the next.

nutpie cannot go on with its chains, so a round runs new ones, with a warmup and seeds of their own.
Their draws are put behind those of the rounds before: a chain of the pool is one chain of each round,
end to end. R-hat needs that. In expectation it depends on what each chain is worth, not on how many
there are: perfect chains worth 50 draws each have an R-hat above 1.01, however many. The seams cost
the effective sample size next to nothing.

The plan depends on the draws alone, never on the clock: the same seed gives the same draws.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import fields

import numpy as np

from mixtures.bayes.compile import Sample, SampleStats, SamplingTimeoutError
from mixtures.bayes.diagnostics import Diagnostics, Gate
from mixtures.bayes.draws import MixtureDraws
from mixtures.bayes.posterior import Posterior
from mixtures.model.arrays import Array

_MARGIN = 1.25  # effective sample sizes are estimates
_LEAST_GROWTH = 1.25  # a round smaller than this would be mostly warmup
_MOST_GROWTH = 8.0  # how little few draws are worth is poorly known


def sample_in_rounds(
    draw: Callable[[int], Sample],
    diagnose: Callable[[Sample], Posterior],
    *,
    n_draws: int,
    max_draws: int,
    target: Gate | None,
) -> Posterior:
    """Sample a round at a time until all that is reported keeps the limits of the target.

    Parameters
    ----------
    draw : callable
        Runs new chains that keep so many draws each.
    diagnose : callable
        Makes the posterior of the draws of all rounds so far.
    n_draws, max_draws : int
        Draws of each chain in the first round, and the most in all of them.
    target : Gate or None
        None for a single round.
    """
    samples = [draw(n_draws)]
    while True:
        sample = pooled(samples)
        posterior = diagnose(sample)
        if target is None:
            return posterior
        n_so_far = sample.draws.shape[1]
        n_more = next_round(target, posterior.reported(), n_draws=n_so_far, max_draws=max_draws)
        if not n_more:
            return posterior
        try:
            samples.append(draw(n_more))
        except SamplingTimeoutError:  # what there is stands
            return posterior


def next_round(target: Gate, diagnostics: Diagnostics, *, n_draws: int, max_draws: int) -> int:
    """Return the number of draws of each chain that the next round should make; 0 where none is needed.

    Parameters
    ----------
    target : Gate
        Limits of R-hat and effective sample size that every quantity must keep.
    diagnostics : Diagnostics
        Of the draws so far.
    n_draws, max_draws : int
        Draws of each chain so far, and the most that there may be.
    """
    if not target.failures(diagnostics):
        return 0
    least = np.minimum(diagnostics.ess_bulk, diagnostics.ess_tail).min()
    growth = _MARGIN * target.ess / least if least > 0 else _MOST_GROWTH  # NaN too
    wanted = math.ceil(n_draws * min(max(growth, _LEAST_GROWTH), _MOST_GROWTH))
    return max(0, min(wanted, max_draws) - n_draws)


def pooled(samples: Sequence[Sample]) -> Sample:
    """Return the draws of several rounds as of one: each chain of a round behind that of the last."""
    draws = [sample.draws for sample in samples]
    stats = [sample.stats for sample in samples]
    return Sample(MixtureDraws(**_end_to_end(draws)), SampleStats(**_end_to_end(stats)))


def _end_to_end(parts: Sequence[MixtureDraws] | Sequence[SampleStats]) -> dict[str, Array]:
    names = [field.name for field in fields(parts[0])]
    return {name: np.concatenate([getattr(part, name) for part in parts], axis=1) for name in names}

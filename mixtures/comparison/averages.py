"""Averages over draws that follow each other in chains, with Monte Carlo errors by batch means."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from mixtures.model.arrays import Array, freeze_arrays, restore_frozen

#: Batches over all chains, or a few more: the fewer, the longer, and the less one hangs together with
#: the next; of so many, a Monte Carlo error is itself known to 1 / sqrt(2 * 39), 11%.
N_BATCHES = 40


@dataclass(frozen=True, slots=True, eq=False)
class Averages:
    """Averages over draws, each with its Monte Carlo standard error.

    Attributes
    ----------
    values : array
    mcse : array
        Monte Carlo standard errors, of the same shape; NaN where all draws make up a single batch.
    n_batches : int
        Batches that they come from: (value - truth) / mcse has about Student's t distribution with
        one degree of freedom less.
    """

    values: Array
    mcse: Array
    n_batches: int

    def __post_init__(self) -> None:
        freeze_arrays(self)

    __setstate__ = restore_frozen


def batches(n_chains: int, n_draws: int) -> Iterator[slice]:
    """Cut draws, chain after chain in one row, into batches of successive ones, none across two chains."""
    edges = np.linspace(0, n_draws, min(n_draws, math.ceil(N_BATCHES / n_chains)) + 1).astype(np.int64)
    for chain in range(n_chains):
        for first, last in pairwise((edges + chain * n_draws).tolist()):
            yield slice(first, last)


def average(means: Iterable[tuple[int, Array]]) -> Averages:
    """Average of successive batches' means, each given with the size of its batch.

    Were batches independent, the mean of one of size m would have the variance sigma^2 / m; then
    sum_b m_b (mean_b - mean)^2 / (number of batches - 1) estimates sigma^2 without bias. Both sums
    are brought up to date batch by batch (West 1979).
    """
    n_batches, n_draws, mean, squares = 0, 0, np.zeros(()), np.zeros(())
    for size, values in means:
        n_batches, n_draws = n_batches + 1, n_draws + size
        gap, share = values - mean, size / n_draws
        mean = mean + share * gap
        squares = squares + (size * (1 - share)) * gap**2
    if n_batches < 2:
        return Averages(mean, np.full_like(mean, np.nan), n_batches)
    return Averages(mean, np.sqrt(squares / ((n_batches - 1) * n_draws)), n_batches)


def average_draws(draws: Array, n_chains: int) -> Averages:
    """Average draws (c s, ...), chain after chain, over their first axis."""
    cuts = batches(n_chains, len(draws) // n_chains)
    return average((cut.stop - cut.start, draws[cut].mean(axis=0)) for cut in cuts)

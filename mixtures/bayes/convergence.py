"""R-hat, effective sample sizes and Monte Carlo errors of many quantities at once.

The definitions are those of Vehtari, Gelman, Simpson, Carpenter & Bürkner (2021), in ArviZ's reading
of them, to which the tests hold every number. Chains are split in halves. One sort of a quantity gives
both of its ranks, and autocovariances are summed only up to the lag where the autocorrelation time ends:
of chains that mix a few lags, which is what makes a fit's diagnostics a matter of milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixtures.model.arrays import Array, Integers
from mixtures.model.compiled import compiled, compiled_sums

_TAILS = (0.05, 0.95)
_LEAST_DRAWS = 4  # of each chain: halves of two
_BLOM = 3 / 8  # offset of ranks (Blom 1958)


@dataclass(frozen=True, slots=True, eq=False)
class Convergence:
    """Convergence diagnostics, each with the batch's shape.

    Attributes
    ----------
    rhat : array
        Rank-normalised split R-hat, the larger of bulk and folded.
    ess_bulk, ess_tail : array
        Effective sample sizes of the bulk, and of the 5% and 95% quantiles (the smaller).
    mcse : array
        Monte Carlo standard error of the mean.
    """

    rhat: Array
    ess_bulk: Array
    ess_tail: Array
    mcse: Array


def convergence(draws: Array) -> Convergence:
    """Diagnose draws of many quantities at once.

    Parameters
    ----------
    draws : (..., c, s) array
        c chains of s draws of each quantity of a batch.

    Returns
    -------
    Convergence
        NaN for a quantity with a draw that is not finite, and throughout for fewer than four draws a
        chain. R-hat is NaN for one chain and for what never varies, whose effective sample sizes are
        the number of draws.
    """
    found = np.full((4, *draws.shape[:-2]), np.nan)
    sound = np.isfinite(draws).all(axis=(-2, -1))
    if draws.shape[-1] >= _LEAST_DRAWS and sound.any():
        found[:, sound] = _of_finite(draws[sound])
    return Convergence(*found)


def _of_finite(draws: Array) -> tuple[Array, Array, Array, Array]:
    """R-hat, bulk and tail ESS, and the error of the mean, of finite draws (q, c, s), each (q,)."""
    from scipy.special import ndtri

    n_chains, n_draws = draws.shape[-2:]
    half = n_draws // 2
    split = np.concatenate([draws[..., :half], draws[..., -half:]], axis=-2)  # of an odd number all but one
    size = split[0].size
    ranks = np.arange(1, size + 0.5, 0.5)  # all that there can be: ties share whole ranks or halves
    scores = ndtri((ranks - _BLOM) / (size - 2 * _BLOM + 1))
    orders = split.reshape(len(split), size).argsort(axis=-1)
    bulk, folded = _rank_normalised(split, orders, scores)
    with np.errstate(invalid="ignore", divide="ignore"):
        rhat = np.fmax(_rhat(bulk), _rhat(folded))
    ess_tail = np.minimum(*(_ess((split <= end).astype(np.float64)) for end in _tail_ends(draws)))
    mcse = draws.std(axis=(-2, -1), ddof=1) / np.sqrt(_ess(split))
    return rhat if n_chains > 1 else np.full_like(rhat, np.nan), _ess(bulk), ess_tail, mcse


def _tail_ends(draws: Array) -> Array:
    """Order statistics of draws (q, c, s) at the 5% and the 95% quantile, (2, q, 1, 1)."""
    ascending = np.sort(draws.reshape(len(draws), -1), axis=-1)
    # no draw lies between them and the linearly interpolated quantiles
    last = (np.array(_TAILS) * (ascending.shape[-1] - 1)).astype(np.int64)
    return ascending.T[last][..., None, None]


@compiled
def _rank_normalised(split: Array, orders: Integers, scores: Array) -> Array:
    """Normal scores of the draws' ranks, and of those of their distances from the median; (2, q, c, s).

    Parameters
    ----------
    split : (q, c, s) array
        An even number of draws of each quantity.
    orders : (q, c s) array of int
        Places of each quantity's draws, all chains one after another, in ascending order.
    scores : (2 c s - 1,) array
        Normal scores of the ranks 1, 1.5, 2, ..., c s.
    """
    result = np.empty((2, *split.shape))
    for i in range(len(split)):  # numba takes what it iterates over for strided: several times slower
        values, order = split[i].ravel(), orders[i]
        half = len(order) // 2
        distances = np.abs(values - (values[order[half - 1]] + values[order[half]]) / 2)
        _score(values, order, scores, result[0, i].ravel())
        _score(distances, _outward(distances, order), scores, result[1, i].ravel())
    return result


@compiled
def _outward(distances: Array, order: Integers) -> Integers:
    """Places of distances from the median in ascending order: of values below it and above it, merged."""
    size = len(order)
    outward = np.empty_like(order)
    below, above = size // 2 - 1, size // 2
    for i in range(size):
        if above == size or (below >= 0 and distances[order[below]] <= distances[order[above]]):
            outward[i] = order[below]
            below -= 1
        else:
            outward[i] = order[above]
            above += 1
    return outward


@compiled
def _score(values: Array, order: Integers, scores: Array, result: Array) -> None:
    """Give each value the score of its rank; ties share the mean of their ranks."""
    first = 0
    while first < len(order):
        last = first
        while last + 1 < len(order) and values[order[last + 1]] == values[order[first]]:
            last += 1
        for i in range(first, last + 1):
            result[order[i]] = scores[first + last]
        first = last + 1


def _rhat(chains: Array) -> Array:
    """Potential scale reduction of chains (q, c, s)."""
    s = chains.shape[-1]
    between, within = chains.mean(axis=-1).var(axis=-1, ddof=1), chains.var(axis=-1, ddof=1).mean(axis=-1)
    rhat: Array = np.sqrt(between / within + (s - 1) / s)
    return rhat


def _ess(split: Array) -> Array:
    """Effective sample size of the mean of chains (q, c, s), at most c s log10(c s).

    What never varies is worth all its draws.
    """
    c, s = split.shape[-2:]
    means = split.mean(axis=-1, keepdims=True)
    times = _autocorrelation_times(split - means, means[..., 0].var(axis=-1, ddof=1))
    varies = (split != split[:, :1, :1]).any(axis=(-2, -1))
    return np.where(varies, c * s / np.maximum(times, 1 / np.log10(c * s)), c * s)


@compiled
def _autocorrelation_times(deviations: Array, between: Array) -> Array:
    """Integrated autocorrelation times of quantities, (q,).

    Pairs of autocorrelations are summed up to the first that is not positive, and none counts for
    more than the one before it (Geyer 1992: the initial monotone sequence).

    Parameters
    ----------
    deviations : (q, c, s) array
        Of draws from the mean of their chain.
    between : (q,) array
        Variances of the chains' means.
    """
    s = deviations.shape[-1]
    last = max(0, (s - 1) // 2 - 1)  # the last pair that is looked at
    times = np.full(len(deviations), -1.0)
    for i in range(len(deviations)):  # numba takes what it iterates over for strided, nine times slower
        chains = deviations[i]
        variance, _ = _autocovariances(chains, 0)
        within, total = variance * s / (s - 1), variance + between[i]
        smallest = np.inf
        for j in range(last + 1):
            at_even, at_odd = _autocovariances(chains, 2 * j)
            even = 1 - (within - at_even) / total if j > 0 else 1.0
            pair = even + 1 - (within - at_odd) / total
            if j == last or not pair > 0:
                times[i] += even if pair >= 0 else max(even, 0.0)
                break
            smallest = min(smallest, pair)
            times[i] += 2 * smallest
    return times


@compiled_sums
def _autocovariances(chains: Array, lag: int) -> tuple[float, float]:
    """Autocovariances of deviations (c, s) at a lag and at the next, averaged over chains."""
    here, there = 0.0, 0.0
    for j in range(len(chains)):
        chain, ahead, further = chains[j], chains[j, lag:], chains[j, lag + 1 :]
        for i in range(len(further)):
            here += chain[i] * ahead[i]
            there += chain[i] * further[i]
        here += chain[len(further)] * ahead[-1]
    return here / chains.size, there / chains.size

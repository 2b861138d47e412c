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
        found[:, sound] = _of_finite(draws.reshape(-1, *draws.shape[-2:]) if sound.all() else draws[sound])
    return Convergence(*found)


def _of_finite(draws: Array) -> tuple[Array, Array, Array, Array]:
    """R-hat, bulk and tail ESS, and the error of the mean, of finite draws (q, c, s), each (q,)."""
    from scipy.special import ndtri

    n_chains, n_draws = draws.shape[-2:]
    size = n_chains * (n_draws - n_draws % 2)
    ranks = np.arange(1, size + 0.5, 0.5)  # all that there can be: ties share whole ranks or halves
    scores = ndtri((ranks - _BLOM) / (size - 2 * _BLOM + 1))
    # no draw lies between these and the linearly interpolated quantiles
    ends = (np.array(_TAILS) * (n_chains * n_draws - 1)).astype(np.int64)
    rhat, ess_bulk, ess_tail, ess_mean = np.transpose([_of_one(chains, scores, ends) for chains in draws])
    mcse = draws.std(axis=(-2, -1), ddof=1) / np.sqrt(ess_mean)
    return rhat if n_chains > 1 else np.full_like(rhat, np.nan), ess_bulk, ess_tail, mcse


def _of_one(chains: Array, scores: Array, ends: Integers) -> tuple[float, float, float, float]:
    """R-hat, and effective sample sizes of the bulk, of the tails (the smaller) and of the mean.

    Of one quantity, whose draws then stay in the processor's cache.

    Parameters
    ----------
    chains : (c, s) array
    scores : (m,) array
        Normal scores of the ranks 1, 1.5, 2, ... of the draws, but for the middle one of an odd number.
    ends : (2,) array of int
        Ranks, from 0, of the draws where the tails end.
    """
    n_chains, n_draws = chains.shape
    order = chains.argsort(axis=None)
    tails = chains.ravel()[order[ends]]
    if n_draws % 2:
        chains = np.delete(chains, n_draws // 2, axis=-1)
        order = chains.argsort(axis=None)
    return _diagnosed(chains.reshape(2 * n_chains, -1), order, scores, tails)


@compiled
def _diagnosed(
    chains: Array, order: Integers, scores: Array, tails: Array
) -> tuple[float, float, float, float]:
    """R-hat and effective sample sizes of split chains, as above.

    Parameters
    ----------
    chains : (c, s) array
    order : (c s,) array of int
        Places of the draws, all chains one after another, in ascending order.
    scores : (2 c s - 1,) array
        Normal scores of the ranks 1, 1.5, 2, ..., c s.
    tails : (2,) array
        Where the tails end.
    """
    s, values, work = chains.shape[1], chains.ravel(), np.empty(chains.shape)
    ascending = values[order]
    _score(*_outward(ascending, order), scores, work.ravel())
    folded = _rhat(*_centre(work), s)
    _score(ascending, order, scores, work.ravel())
    spread = _centre(work)
    bulk = _rhat(*spread, s)
    ess_bulk, ess_tail = _ess(work, *spread), np.inf
    for end in tails:
        _indicate(values, end, work.ravel())
        ess_tail = min(ess_tail, _ess(work, *_centre(work)))
    work[:] = chains
    ess_mean = _ess(work, *_centre(work))
    return folded if folded > bulk or np.isnan(bulk) else bulk, ess_bulk, ess_tail, ess_mean


@compiled
def _outward(ascending: Array, order: Integers) -> tuple[Array, Integers]:
    """Distances of an even number of values from their median in ascending order, and their places.

    Values below the median and above it are merged, from the median outward and from the ends inward at
    once: neither waits for the other, and there are no branches that no processor can foresee.
    """
    size = len(ascending)
    half = size // 2
    middle = (ascending[half - 1] + ascending[half]) / 2
    distances, places = np.empty(size), np.empty_like(order)
    near_below, near_above, far_below, far_above = half - 1, half, 0, size - 1
    for i in range(half):
        down, up = middle - ascending[near_below], ascending[near_above] - middle
        is_below = down <= up
        distances[i], places[i] = down if is_below else up, order[near_below if is_below else near_above]
        near_below -= is_below
        near_above += not is_below
        down, up = middle - ascending[far_below], ascending[far_above] - middle
        is_above, last = up >= down, size - 1 - i
        distances[last], places[last] = up if is_above else down, order[far_above if is_above else far_below]
        far_above -= is_above
        far_below += not is_above
    return distances, places


@compiled
def _score(ascending: Array, places: Integers, scores: Array, result: Array) -> None:
    """Write the score of each value's rank to its place; ties share the mean of their ranks."""
    first = 0
    while first < len(ascending):
        last = first
        while last + 1 < len(ascending) and ascending[last + 1] == ascending[first]:
            last += 1
        for i in range(first, last + 1):
            result[places[i]] = scores[first + last]
        first = last + 1


@compiled_sums
def _indicate(values: Array, end: float, result: Array) -> None:
    """Say of each value by 1 or 0 whether it is at most the end of a tail."""
    for i in range(len(values)):
        result[i] = 1.0 if values[i] <= end else 0.0


@compiled_sums
def _centre(chains: Array) -> tuple[float, float]:
    """Take the mean from each of the chains (c, s), in place.

    Returns the variance of the means, and the mean of the chains' variances; 0 for what never varies.
    """
    c, s = chains.shape
    means, squares, origin = np.empty(c), 0.0, chains[0, 0]
    for j in range(c):
        chain, total = chains[j], 0.0
        first = chain[0]
        for i in range(s):
            chain[i] -= first  # or means of large numbers would lose what these differ by
            total += chain[i]
        mean = total / s
        means[j] = first - origin + mean
        for i in range(s):
            chain[i] -= mean
            squares += chain[i] ** 2
    return means.var() * c / (c - 1), squares / (c * (s - 1))


@compiled
def _rhat(between: float, within: float, s: int) -> float:
    """Potential scale reduction of chains of s draws; NaN for what never varies."""
    return np.sqrt(between / within + (s - 1) / s)


@compiled
def _ess(deviations: Array, between: float, within: float) -> float:
    """Effective sample size of the mean of chains, at most c s log10(c s).

    What never varies is worth all its draws. Pairs of autocorrelations are summed up to the first that
    is not positive, and none counts for more than the one before it (Geyer 1992: the initial monotone
    sequence).

    Parameters
    ----------
    deviations : (c, s) array
        Of draws from the mean of their chain.
    between, within : float
        Variance of the chains' means, and mean of the chains' variances.
    """
    size, s = deviations.size, deviations.shape[1]
    total = within * (s - 1) / s + between
    if total == 0:
        return float(size)
    last = max(0, (s - 1) // 2 - 1)  # the last pair that is looked at
    time, smallest = -1.0, np.inf
    for j in range(last + 1):
        at_even, at_odd = _autocovariances(deviations, 2 * j)
        even = 1 - (within - at_even) / total if j > 0 else 1.0
        pair = even + 1 - (within - at_odd) / total
        if j == last or not pair > 0:
            time += even if pair >= 0 else max(even, 0.0)
            break
        smallest = min(smallest, pair)
        time += 2 * smallest
    return size / max(time, 1 / np.log10(size))


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

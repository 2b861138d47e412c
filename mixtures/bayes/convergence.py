"""R-hat, effective sample sizes and Monte Carlo errors of many quantities at once.

The definitions are those of Vehtari, Gelman, Simpson, Carpenter & Bürkner (2021), in ArviZ's reading
of them, to which the tests hold every number. Chains are split in halves; all quantities are sorted
and transformed together, which is what makes a fit's diagnostics a matter of milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixtures.model.arrays import Array

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
    sound = np.isfinite(draws).all(axis=(-2, -1))
    if draws.shape[-1] < _LEAST_DRAWS or not sound.any():
        return Convergence(*np.full((4, *draws.shape[:-2]), np.nan))
    split = _split(np.where(sound[..., None, None], draws, 0.0))
    bulk, folded = _normal_scores(split)
    ess_tails = [_ess(_split(tail)) for tail in _in_tails(draws)]
    with np.errstate(invalid="ignore", divide="ignore"):
        rhat = np.fmax(_rhat(bulk), _rhat(folded))
        mcse = draws.std(axis=(-2, -1), ddof=1) / np.sqrt(_ess(split))
    several = sound & (draws.shape[-2] > 1)
    return Convergence(
        rhat=np.where(several, rhat, np.nan),
        ess_bulk=np.where(sound, _ess(bulk), np.nan),
        ess_tail=np.where(sound, np.minimum(*ess_tails), np.nan),
        mcse=np.where(sound, mcse, np.nan),
    )


def _split(draws: Array) -> Array:
    """Halves of chains as chains, (..., 2 c, s // 2); of an odd number of draws the middle is left out."""
    half = draws.shape[-1] // 2
    return np.concatenate([draws[..., :half], draws[..., -half:]], axis=-2)


def _in_tails(draws: Array) -> Array:
    """Whether each draw is at most the 5% and the 95% quantile, as 0 or 1; (2, ..., c, s)."""
    ascending = np.sort(draws.reshape(*draws.shape[:-2], -1), axis=-1)
    # up to this order statistic, below which a linearly interpolated quantile never falls
    last = (np.array(_TAILS) * (ascending.shape[-1] - 1)).astype(np.int64)
    ends = np.moveaxis(ascending[..., last], -1, 0)
    return (draws <= ends[..., None, None]).astype(np.float64)


def _normal_scores(split: Array) -> tuple[Array, Array]:
    """Normal scores of the ranks of draws, and of those of their distances from the median."""
    flat = split.reshape(*split.shape[:-2], -1)
    order = flat.argsort(axis=-1)
    ascending = np.take_along_axis(flat, order, axis=-1)
    half = flat.shape[-1] // 2  # of an even number
    distances = np.abs(ascending - ascending[..., half - 1 : half + 1].mean(axis=-1, keepdims=True))
    turn = distances.argsort(axis=-1, kind="stable")  # they fall, then rise: merged in one pass
    outward = np.take_along_axis(order, turn, axis=-1)
    bulk, folded = np.empty_like(flat), np.empty_like(flat)
    np.put_along_axis(bulk, order, _scores_in_order(ascending), axis=-1)
    sorted_distances = np.take_along_axis(distances, turn, axis=-1)
    np.put_along_axis(folded, outward, _scores_in_order(sorted_distances), axis=-1)
    return bulk.reshape(split.shape), folded.reshape(split.shape)


def _scores_in_order(ascending: Array) -> Array:
    """Normal scores of values that are sorted along the last axis; ties share the mean of their ranks."""
    from scipy.special import ndtri

    size = ascending.shape[-1]
    twice_ranks = np.arange(2.0, 2 * size + 1)  # all that there can be: ties share whole ranks or halves
    scores = ndtri((twice_ranks / 2 - _BLOM) / (size - 2 * _BLOM + 1))
    result = np.tile(scores[::2], (*ascending.shape[:-1], 1))
    is_first = np.ones(ascending.shape, dtype=bool)
    np.not_equal(ascending[..., 1:], ascending[..., :-1], out=is_first[..., 1:])
    later = np.flatnonzero(~is_first)
    tied = np.union1d(later - 1, later)  # few, of a sampler that moves
    heads = np.flatnonzero(is_first.flat[tied])
    lengths = np.diff(heads, append=tied.size)
    result.flat[tied] = np.repeat(scores[2 * (tied[heads] % size) + lengths - 1], lengths)
    return result


def _rhat(split: Array) -> Array:
    """Potential scale reduction of chains (..., c, s)."""
    s = split.shape[-1]
    between, within = split.mean(axis=-1).var(axis=-1, ddof=1), split.var(axis=-1, ddof=1).mean(axis=-1)
    rhat: Array = np.sqrt(between / within + (s - 1) / s)
    return rhat


def _ess(split: Array) -> Array:
    """Effective sample size of the mean of chains (..., c, s), at most c s log10(c s).

    The autocorrelation time sums pairs of autocorrelations up to the first that is not positive, and
    none counts for more than the one before it (Geyer 1992: the initial monotone sequence). What
    never varies is worth all its draws.
    """
    c, s = split.shape[-2:]
    rho = _autocorrelations(split)
    pairs = rho[..., 0 : s - s % 2 : 2] + rho[..., 1::2]
    most = max(0, (s - 1) // 2 - 1)  # the last pair that is looked at
    n_pairs = np.minimum(np.logical_and.accumulate(pairs > 0, axis=-1).sum(axis=-1), most)
    counted = np.arange(pairs.shape[-1]) < n_pairs[..., None]
    monotone = np.minimum.accumulate(pairs, axis=-1)
    beyond = n_pairs[..., None]
    even, pair = (np.take_along_axis(part, beyond, axis=-1)[..., 0] for part in (rho[..., ::2], pairs))
    time = -1 + 2 * np.where(counted, monotone, 0).sum(axis=-1) + np.where(pair >= 0, even, even.clip(min=0))
    ess: Array = c * s / np.maximum(time, 1 / np.log10(c * s))
    return np.where(np.ptp(split, axis=(-2, -1)) == 0, c * s, ess)


def _autocorrelations(split: Array) -> Array:
    """Autocorrelations at lags 0 to s - 1 of chains (..., c, s), with the variance between them; (..., s)."""
    from scipy.fft import next_fast_len

    s = split.shape[-1]
    means = split.mean(axis=-1, keepdims=True)
    size = next_fast_len(2 * s, real=True)
    spectra = np.fft.rfft(split - means, size)
    power = (spectra.real**2 + spectra.imag**2).mean(axis=-2)  # one way back for all chains
    covariances = np.fft.irfft(power, size)[..., :s] / s
    within = covariances[..., :1] * s / (s - 1)
    total = covariances[..., :1] + means[..., 0].var(axis=-1, ddof=1)[..., None]
    with np.errstate(invalid="ignore", divide="ignore"):
        rho = 1 - (within - covariances) / total
    rho[..., 0] = 1
    return rho

"""Simulation-based calibration: ranks of truths among posterior draws, and whether they are uniform.

Where truths are drawn from the prior and data from each truth, the rank of a truth among L independent
draws of its posterior is uniform on 0, ..., L. That holds for every function of parameter and data
(Talts et al. 2018; Modrák et al. 2023). Everything here takes plain arrays.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from mixtures.comparison.performance import Measure, Proportion, proportion
from mixtures.model.arrays import Array, Integers, as_count, as_floats, freeze, freeze_arrays, restore_frozen

_MOST_BINS = 20  # of the chi-square test
_LEAST_EXPECTED = 5  # ranks in a bin, below which the chi-square distribution is a poor guide


@dataclass(frozen=True, slots=True)
class PValue(Measure):
    """A p-value: exact given the ranks, so that its Monte Carlo error is 0; NaN without ranks."""


@dataclass(frozen=True, slots=True, eq=False)
class Band:
    """Limits that the ECDF of uniform ranks keeps everywhere at once, with a given probability.

    Attributes
    ----------
    n, n_draws : int
        Ranks, and draws that each is among, L.
    level : float
        Probability asked for.
    probability : float
        Exact probability that all limits are kept: `level`, or a little more as counts are whole.
    lower, upper : (L,) array
        Limits, both included, of the ECDF at the ranks 0, ..., L - 1 less its expectation.
    """

    n: int
    n_draws: int
    level: float
    probability: float
    lower: Array
    upper: Array

    def __post_init__(self) -> None:
        freeze_arrays(self)

    __setstate__ = restore_frozen


@dataclass(frozen=True, slots=True, eq=False)
class Coverage:
    """Coverage of central posterior intervals at every level that the draws resolve.

    Attributes
    ----------
    levels : (m,) array
        Nominal, increasing.
    shares : tuple of Proportion
        Intervals of each level that hold the truth.
    """

    levels: Array
    shares: tuple[Proportion, ...]

    def nearest(self, level: float) -> Proportion:
        """Return the coverage at the level nearest to one; missing where one draw resolves no level."""
        return self.shares[int(np.abs(self.levels - level).argmin())] if self.shares else proportion([])


def thinned_places(n_draws: int, n_kept: int) -> Integers:
    """Places of `n_kept` draws out of `n_draws`, equally spaced: the middles of equal stretches.

    Raises
    ------
    ValueError
        If there are fewer draws than are kept.
    """
    total, kept = as_count("n_draws", n_draws), as_count("n_kept", n_kept)
    if total < kept:
        raise ValueError(f"n_draws must be at least the {kept} that are kept; got {total}")
    return (2 * np.arange(kept) + 1) * total // (2 * kept)


def ranks_among(truth: ArrayLike, draws: ArrayLike, rng: np.random.Generator) -> Integers:
    """Rank of each true value among its draws: how many lie below it, ties broken at random.

    Parameters
    ----------
    truth : (q,) array_like
        One value for each quantity; infinite ones are ranked too.
    draws : (L, q) array_like
    rng : numpy.random.Generator
        Decides between tied draws, each of which is below or above with no preference for any rank.

    Returns
    -------
    (q,) array of int
        Between 0 and L.

    Raises
    ------
    ValueError
        If the shapes do not match, there is no draw, or a value is NaN.
    """
    true, drawn = np.asarray(truth, dtype=np.float64), np.asarray(draws, dtype=np.float64)
    if drawn.ndim != 2 or true.shape != drawn.shape[1:] or not len(drawn):
        raise ValueError(f"truth and draws must have shapes (q,) and (L, q); got {true.shape}, {drawn.shape}")
    if np.isnan(true).any() or np.isnan(drawn).any():
        raise ValueError("truth and draws must not be NaN; got some that are")
    return (drawn < true).sum(axis=0) + rng.integers(0, (drawn == true).sum(axis=0), endpoint=True)


def ecdf_differences(ranks: ArrayLike, n_draws: int) -> Array:
    """ECDF of ranks at 0, ..., L - 1 less that of the uniform distribution, (L,).

    Parameters
    ----------
    ranks : (n,) array_like of int
    n_draws : int
        Draws that each rank is among, L.

    Raises
    ------
    TypeError, ValueError
        If a rank is not a whole number between 0 and L.
    """
    counts = _counts(ranks, n_draws)
    return counts.cumsum()[:-1] / max(int(counts.sum()), 1) - _places(n_draws)


@lru_cache(maxsize=64)
def simultaneous_band(n: int, n_draws: int, level: float) -> Band:
    """Simultaneous band of the ECDF of n uniform ranks (Säilynoja, Bürkner & Vehtari 2022).

    At each place the limits leave out counts whose two-sided tail probability is at most gamma. The
    largest gamma is taken at which all limits together are kept with probability `level` or more.

    Raises
    ------
    TypeError, ValueError
        If `n` or `n_draws` is not a count, or `level` not between 0 and 1.
    """
    as_count("n", n), as_count("n_draws", n_draws)
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1; got {level}")
    tails = _tails(n, n_draws)
    gammas = np.concatenate([[0.0], np.unique(tails)])
    least, most = 0, len(gammas)  # at the first the probability is 1
    while most - least > 1:
        middle = (least + most) // 2
        is_wide = _probability(tails, gammas[middle]) >= level
        least, most = (middle, most) if is_wide else (least, middle)
    low, high = _limits(tails > gammas[least])
    places = _places(n_draws)
    probability = _probability(tails, gammas[least])
    return Band(n, n_draws, level, probability, low / n - places, high / n - places)


def uniformity(ranks: ArrayLike, n_draws: int) -> PValue:
    """Test of uniform ranks: the smallest 1 - level whose simultaneous band they leave.

    Exact: the probability that the most extreme tail of the ECDF of uniform ranks is no larger than
    the one observed.

    Parameters and errors are those of `ecdf_differences`.
    """
    counts = _counts(ranks, n_draws)
    n = int(counts.sum())
    if n == 0:
        return PValue(math.nan, math.nan, 0)
    tails = _tails(n, n_draws)
    observed = tails[np.arange(n_draws), counts.cumsum()[:-1]].min()
    return PValue(max(1 - _probability(tails, observed), 0.0), 0.0, n)


def chi_square(ranks: ArrayLike, n_draws: int) -> PValue:
    """Pearson's test of uniform ranks in up to 20 bins, of equally many ranks or as nearly as these divide.

    As many bins as expect five ranks or more each, in proportion to their width; NaN where that is one.

    Parameters and errors are those of `ecdf_differences`.
    """
    from scipy.stats import chi2

    counts = _counts(ranks, n_draws)
    n, width = int(counts.sum()), len(counts)
    n_bins = min(_MOST_BINS, width)
    while n_bins > 1 and n * (width // n_bins) < _LEAST_EXPECTED * width:
        n_bins -= 1
    if n_bins == 1:
        return PValue(math.nan, math.nan, n)
    first = np.arange(n_bins) * width // n_bins
    observed, expected = np.add.reduceat(counts, first), n * np.diff(first, append=width) / width
    statistic = ((observed - expected) ** 2 / expected).sum()
    return PValue(float(chi2.sf(statistic, n_bins - 1)), 0.0, n)


def central_coverage(ranks: ArrayLike, n_draws: int) -> Coverage:
    """Coverage of the intervals between the m-th smallest and the m-th largest draw, for every m.

    Their level is that with which a truth falls between them where ranks are uniform,
    1 - 2 m / (L + 1).

    Parameters and errors are those of `ecdf_differences`.
    """
    counts = _counts(ranks, n_draws)
    given = np.repeat(np.arange(n_draws + 1), counts)
    outside = np.arange((n_draws + 1) // 2, 0, -1)
    outside = outside[2 * outside < n_draws + 1]  # m draws on each side, the widest interval last
    shares = tuple(proportion((given >= m) & (given <= n_draws - m)) for m in outside)
    return Coverage(1 - 2 * outside / (n_draws + 1), shares)


def z_scores(truth: ArrayLike, means: ArrayLike, sds: ArrayLike) -> Array:
    """Posterior mean less truth in posterior standard deviations; NaN where the posterior is a point."""
    true, mean, sd = (np.asarray(values, dtype=np.float64) for values in (truth, means, sds))
    with np.errstate(invalid="ignore"):
        return (mean - true) / np.where(sd > 0, sd, np.nan)


def contraction(sds: ArrayLike, truths: ArrayLike) -> Measure:
    """Posterior contraction: 1 less the mean posterior variance as a share of the prior's.

    The prior variance is that of the truths, which are draws from it. The Monte Carlo error is that
    of a ratio of two means over the same replicates. Missing for fewer than two truths, or equal ones.

    Parameters
    ----------
    sds : (n,) array_like
        Posterior standard deviations.
    truths : (n,) array_like

    Raises
    ------
    TypeError, ValueError
        If these are not finite numbers, as many of each, or a standard deviation is negative.
    """
    sd, truth = as_floats("sds", sds, 1), as_floats("truths", truths, 1)
    if sd.shape != truth.shape:
        raise ValueError(f"sds and truths must have the same shape (n,); got {sd.shape}, {truth.shape}")
    if (sd < 0).any():
        raise ValueError(f"sds must not be negative; got {sd.min()}")
    n = len(truth)
    if n < 2 or np.ptp(truth) == 0:
        return Measure(math.nan, math.nan, n)
    within = sd**2
    prior = (truth - truth.mean()) ** 2 * n / (n - 1)
    share = within.mean() / prior.mean()
    mcse = (within - share * prior).std(ddof=1) / math.sqrt(n) / prior.mean()
    return Measure(float(1 - share), float(mcse), n)


def holm(p_values: ArrayLike) -> Array:
    """P-values adjusted for their number (Holm 1979): to reject those below alpha errs with alpha in all.

    NaN stays NaN and is not counted.

    Raises
    ------
    ValueError
        If a p-value does not lie between 0 and 1, or they are not in one row.
    """
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1:
        raise ValueError(f"p_values must be in one row; got shape {p.shape}")
    is_wrong = (p < 0) | (p > 1)
    if is_wrong.any():
        raise ValueError(f"p_values must lie between 0 and 1, or be NaN; got {p[is_wrong][0]}")
    known = np.flatnonzero(~np.isnan(p))
    order = known[p[known].argsort(kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted = np.full(p.shape, np.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * p[order]), 1.0)
    return adjusted


def _counts(ranks: ArrayLike, n_draws: int) -> Integers:
    """Count the ranks 0, ..., L, (L + 1,)."""
    as_count("n_draws", n_draws)
    given = np.asarray(ranks)
    if given.ndim != 1 or (given.size and given.dtype.kind not in "iu"):
        raise TypeError(f"ranks must be whole numbers in one row; got {given.dtype} of shape {given.shape}")
    if given.size and not 0 <= given.min() <= given.max() <= n_draws:
        raise ValueError(f"ranks must lie between 0 and {n_draws}; got {given.min()} to {given.max()}")
    return np.bincount(given.astype(np.int64), minlength=n_draws + 1)


def _places(n_draws: int) -> Array:
    """Distribution function of a uniform rank at 0, ..., L - 1."""
    return np.arange(1, n_draws + 1) / (n_draws + 1)


@lru_cache(maxsize=8)
def _tails(n: int, n_draws: int) -> Array:
    """Two-sided tail probability of each count 0, ..., n of ranks at or below 0, ..., L - 1; (L, n + 1)."""
    from scipy.stats import binom

    counts, places = np.arange(n + 1), _places(n_draws)[:, None]
    below, above = binom.cdf(counts, n, places), binom.sf(counts - 1, n, places)
    return freeze(np.minimum(2 * np.minimum(below, above), 1.0))


def _limits(inside: np.ndarray) -> tuple[Integers, Integers]:
    """First and last count inside at each place; (L,) each."""
    return inside.argmax(axis=1), inside.shape[1] - 1 - inside[:, ::-1].argmax(axis=1)


def _probability(tails: Array, gamma: float) -> float:
    """Probability that no tail of the ECDF of uniform ranks is gamma or smaller.

    Counts of n uniform ranks are independent Poisson counts, given that these add up to n. Their
    cumulative sums are a Markov chain, carried from place to place within the limits.
    """
    from scipy.stats import poisson

    inside = tails > gamma
    if not inside.any(axis=1).all():
        return 0.0
    low, high = _limits(inside)
    n = inside.shape[1] - 1
    step: Array = poisson.pmf(np.arange(n + 1), n / (len(inside) + 1))
    start, state = 0, np.ones(1)
    for first, last in zip([*low, n], [*high, n], strict=True):
        state = np.convolve(state, step[: last - start + 1])[first - start : last - start + 1]
        start = first
    return float(state[0] / poisson.pmf(n, n))

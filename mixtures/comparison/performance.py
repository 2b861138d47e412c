"""Performance of a method over replicates, each measure with its Monte Carlo standard error.

After Morris, White & Crowther (2019, Table 6), with robust Monte Carlo errors for ratios. Everywhere
`errors` are estimate minus truth, one for each replicate that returned an estimate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mixtures.model.arrays import Array


@dataclass(frozen=True, slots=True)
class Measure:
    """A number estimated from replicates.

    Attributes
    ----------
    value : float
        NaN where it cannot be computed.
    mcse : float
        Monte Carlo standard error; NaN where one replicate, or none, leaves it unknown.
    n : int
        Number of replicates that the measure uses.
    """

    value: float
    mcse: float
    n: int


@dataclass(frozen=True, slots=True)
class Proportion(Measure):
    """A proportion, whose interval is Wilson's: at 0 and 1 the standard error says nothing."""


def mean(values: ArrayLike) -> Measure:
    """Mean over replicates of any score or distance; missing values are left out and lower n."""
    kept = _finite(values)
    if not len(kept):
        return Measure(math.nan, math.nan, 0)
    return Measure(float(kept.mean()), _sd(kept) / math.sqrt(len(kept)), len(kept))


def bias(errors: ArrayLike) -> Measure:
    """Mean error."""
    return mean(errors)


def relative_bias(errors: ArrayLike, truth: float) -> Measure:
    """Mean error as a share of a constant truth; missing where the truth is 0."""
    e = _finite(errors)
    return mean(e / truth) if truth != 0 else Measure(math.nan, math.nan, len(e))


def empirical_se(errors: ArrayLike) -> Measure:
    """Standard deviation of the errors, with the robust Monte Carlo error of its square as a ratio."""
    e = _finite(errors)
    n, s = len(e), _sd(e)
    if not s > 0:
        return Measure(s, math.nan, n)
    factor = n / (n - 1)
    spread = _ratio_se(factor * (e - e.mean()) ** 2, np.ones(n))
    return Measure(s, math.sqrt(factor) * spread / (2 * s), n)


def mse(errors: ArrayLike) -> Measure:
    """Mean squared error."""
    return mean(_finite(errors) ** 2)


def rmse(errors: ArrayLike) -> Measure:
    """Root mean squared error."""
    squared = mse(errors)
    root = math.sqrt(squared.value)
    return Measure(root, squared.mcse / (2 * root) if root > 0 else math.nan, squared.n)


def model_se(standard_errors: ArrayLike) -> Measure:
    """Root mean squared standard error that the method claims."""
    v = _finite(standard_errors) ** 2
    if not len(v):
        return Measure(math.nan, math.nan, 0)
    m = math.sqrt(v.mean())
    return Measure(m, _sd(v) / (2 * m * math.sqrt(len(v))) if m > 0 else math.nan, len(v))


def coverage(lower: ArrayLike, upper: ArrayLike, truth: ArrayLike) -> Proportion:
    """Share of intervals, closed, that hold the truth; a missing interval is a miss."""
    low, high, target = np.broadcast_arrays(lower, upper, truth)
    with np.errstate(invalid="ignore"):
        return proportion((low <= target) & (target <= high))


def interval_width(lower: ArrayLike, upper: ArrayLike) -> Measure:
    """Mean width of the intervals that there are."""
    return mean(np.asarray(upper, dtype=float) - np.asarray(lower, dtype=float))


def failure_rate(failed: ArrayLike) -> Proportion:
    """Share of attempted fits that failed."""
    return proportion(failed)


def proportion(events: ArrayLike) -> Proportion:
    """Share of replicates in which an event happened."""
    happened = np.asarray(events, dtype=bool)
    n = len(happened)
    if n == 0:
        return Proportion(math.nan, math.nan, 0)
    p = float(happened.mean())
    return Proportion(p, math.sqrt(p * (1 - p) / n), n)


def paired_difference(a: ArrayLike, b: ArrayLike) -> Measure:
    """Mean of a - b over the replicates where both methods have a value: the only fair comparison.

    With errors it is the difference in bias, with squared errors that in MSE, with 0 and 1 for
    intervals that cover that in coverage.
    """
    return mean(np.asarray(a, dtype=float) - np.asarray(b, dtype=float))


def wilson_interval(p: Measure, z: float) -> tuple[float, float]:
    """Wilson's score interval of a proportion, `z` standard errors wide on each side (Wilson 1927)."""
    if p.n == 0:
        return 0.0, 1.0
    centre = (p.value + z**2 / (2 * p.n)) / (1 + z**2 / p.n)
    half = z / (1 + z**2 / p.n) * math.sqrt(p.value * (1 - p.value) / p.n + z**2 / (4 * p.n**2))
    return max(centre - half, 0.0), min(centre + half, 1.0)


def monte_carlo_interval(measure: Measure, level: float) -> tuple[float, float]:
    """Interval of a measure for Monte Carlo error, at a level such as 0.99.

    Wilson's for a proportion; else as many standard errors to each side as Student's t with n - 1
    degrees of freedom asks for. NaN where the Monte Carlo error is not known, or is 0 because all
    replicates say the same: how far the next could differ is then not known.
    """
    from scipy.stats import norm, t

    tail = (1 + level) / 2
    if isinstance(measure, Proportion):
        return wilson_interval(measure, float(norm.ppf(tail)))
    is_known = measure.n > 1 and measure.mcse > 0
    half = float(t.ppf(tail, measure.n - 1)) * measure.mcse if is_known else math.nan
    return measure.value - half, measure.value + half


def ratio_of_sums(numerators: ArrayLike, denominators: ArrayLike) -> Measure:
    """Ratio of two sums over replicates, with the robust standard error for clustered counts."""
    top, bottom = np.asarray(numerators, dtype=float), np.asarray(denominators, dtype=float)
    n = int((bottom > 0).sum())
    if n == 0:
        return Measure(math.nan, math.nan, 0)
    se = _ratio_se(top, bottom) * math.sqrt(n / (n - 1)) if n > 1 else math.nan
    return Measure(float(top.sum() / bottom.sum()), se, n)


def _ratio_se(numerators: Array, denominators: Array) -> float:
    ratio = numerators.sum() / denominators.sum()
    return float(np.sqrt(np.square(numerators - ratio * denominators).sum()) / denominators.sum())


def _sd(values: Array) -> float:
    with np.errstate(invalid="ignore"):  # an infinite score has no standard deviation
        return float(values.std(ddof=1)) if len(values) > 1 else math.nan


def _finite(values: ArrayLike) -> Array:
    array = np.asarray(values, dtype=np.float64)
    return array[~np.isnan(array)]

"""Performance of a method over replicates, each measure with its Monte Carlo standard error.

After Morris, White & Crowther (2019, Table 6), with robust Monte Carlo errors for ratios. Everywhere
`errors` are estimate minus truth, one for each replicate that returned an estimate; of two methods, or
of errors and standard errors, entry i is of the same replicate.

Measures that rest on variances of errors have two Monte Carlo errors. The robust one, the default, is that
of a ratio of sums and holds whatever the errors' distribution; the one by normal theory is the published
one, and too small where errors have heavy tails.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixtures.model.arrays import Array, as_regular

#: Where a Monte Carlo error comes from, for measures that rest on variances of errors.
type Theory = Literal["robust", "normal"]
THEORIES = ("robust", "normal")

_Z = 1.959964  # of a 95% interval
_BISECTIONS = 60  # halve an interval of length 2 to rounding


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


@dataclass(frozen=True, slots=True)
class ProportionDifference(Measure):
    """Paired difference of two proportions, whose interval is Tango's: Wilson's, for pairs."""


@dataclass(frozen=True, slots=True)
class Positive(Measure):
    """A positive number, whose interval is made on the log scale and so stays positive."""


@dataclass(frozen=True, slots=True)
class Excess(Measure):
    """A positive ratio r as 100 (r - 1), in per cent, whose interval is made on the log scale of r."""


def check_theory(theory: str) -> None:
    """Raise a ValueError for a theory of Monte Carlo errors that there is not."""
    if theory not in THEORIES:
        raise ValueError(f"theory must be one of {', '.join(THEORIES)}; got {theory!r}")


def mean(values: ArrayLike) -> Measure:
    """Mean over replicates of any score or distance; missing values are left out and lower n."""
    kept = _given("values", values)
    if not len(kept):
        return Measure(math.nan, math.nan, 0)
    return Measure(float(kept.mean()), _sd(kept) / math.sqrt(len(kept)), len(kept))


def bias(errors: ArrayLike) -> Measure:
    """Mean error."""
    return mean(_given("errors", errors))


def relative_bias(errors: ArrayLike, truth: ArrayLike) -> Measure:
    """Mean error as a share of a constant truth; missing where the truth is 0 or differs by replicate."""
    rows, of_rows = _aligned(errors=errors, truth=_each(truth, errors))
    e, truths = _given("errors", rows), np.unique(of_rows)
    if len(truths) != 1 or truths[0] == 0:
        return Measure(math.nan, math.nan, len(e))
    return mean(e / truths[0])


def empirical_se(errors: ArrayLike, theory: Theory = "robust") -> Positive:
    """Standard deviation of the errors."""
    check_theory(theory)
    e = _given("errors", errors)
    n, s = len(e), _sd(e)
    if not s > 0:
        return Positive(s, math.nan, n)
    if theory == "normal":
        return Positive(s, s / math.sqrt(2 * (n - 1)), n)
    spread = _ratio_se(_squares(e), np.ones(n))
    return Positive(s, math.sqrt(n / (n - 1)) * spread / (2 * s) if n > 2 else math.nan, n)


def mse(errors: ArrayLike) -> Positive:
    """Mean squared error."""
    return _positive(mean(_given("errors", errors) ** 2))


def rmse(errors: ArrayLike) -> Positive:
    """Root mean squared error."""
    squared = mse(errors)
    root = math.sqrt(squared.value)
    return Positive(root, squared.mcse / (2 * root) if root > 0 else math.nan, squared.n)


def model_se(standard_errors: ArrayLike) -> Positive:
    """Root mean squared standard error that the method claims."""
    v = _given("standard_errors", standard_errors) ** 2
    if not len(v):
        return Positive(math.nan, math.nan, 0)
    m = math.sqrt(v.mean())
    return Positive(m, _sd(v) / (2 * m * math.sqrt(len(v))) if m > 0 else math.nan, len(v))


def relative_error_model_se(
    errors: ArrayLike, standard_errors: ArrayLike, theory: Theory = "robust"
) -> Excess:
    """Relative error of the model SE M against the empirical SE s, 100 (M / s - 1), in per cent.

    A replicate without a standard error still counts for s; `n` is the number of those with one.
    """
    check_theory(theory)
    e, errors_of_model = _aligned(errors=errors, standard_errors=standard_errors)
    v = np.square(errors_of_model[~np.isnan(e)])
    e = _given("errors", e)
    is_given = ~np.isnan(v)
    n, m, s = len(e), int(is_given.sum()), _sd(e)
    if m == 0 or not s > 0:
        return Excess(math.nan, math.nan, m)
    mean_v = float(v[is_given].mean())
    ratio = math.sqrt(mean_v) / s
    value = 100 * (ratio - 1)
    if m == 1 or ratio == 0:
        return Excess(value, math.nan, m)
    if theory == "normal":
        shares = _sd(v[is_given]) ** 2 / (4 * m * mean_v**2) + 1 / (2 * (n - 1))
        return Excess(value, 100 * ratio * math.sqrt(shares), m)
    # The mean over those given, as a sum over all: a missing one is at the mean.
    claimed = np.where(is_given, mean_v + (v - mean_v) * n / m, mean_v)
    return Excess(value, 100 * _ratio_se(claimed, _squares(e)) / (2 * ratio), m)


def relative_precision(errors: ArrayLike, versus: ArrayLike, theory: Theory = "robust") -> Excess:
    """Relative precision against another method, 100 ((s_versus / s)^2 - 1), in per cent.

    Over the replicates where both have an error: how many more replicates or, roughly, observations
    the other method would need.
    """
    check_theory(theory)
    a, b = _aligned(versus=versus, errors=errors)
    is_paired = ~(np.isnan(a) | np.isnan(b))
    a, b = a[is_paired], b[is_paired]
    n, s_a, s_b = len(a), _sd(a), _sd(b)
    if not (s_a > 0 and s_b > 0):
        return Excess(math.nan, math.nan, n)
    ratio = (s_a / s_b) ** 2
    if n == 2:
        mcse = math.nan
    elif theory == "normal":
        mcse = 200 * ratio * math.sqrt((1 - np.corrcoef(a, b)[0, 1] ** 2) / (n - 1))
    else:
        mcse = 100 * _ratio_se(_squares(a), _squares(b))
    return Excess(100 * (ratio - 1), mcse, n)


def reversed_precision(precision: Measure) -> Excess:
    """Relative precision of the other method against the one, from that of the one against the other.

    Missing where that is -100% to rounding, which leaves the other unknown.
    """
    ratio = 1 + precision.value / 100
    if not ratio > 0:
        return Excess(math.nan, math.nan, precision.n)
    return Excess(100 * (1 / ratio - 1), precision.mcse / ratio**2, precision.n)


def coverage(lower: ArrayLike, upper: ArrayLike, truth: ArrayLike) -> Proportion:
    """Share of intervals, closed, that hold the truth, never missing; a missing interval is a miss."""
    low, high, target = _aligned(lower=lower, upper=upper, truth=_each(truth, lower))
    is_finite = np.isfinite(target)
    if not is_finite.all():
        row = int(is_finite.argmin())
        raise ValueError(f"truth must be finite; got {target[row]} in row {row}")
    with np.errstate(invalid="ignore"):
        return proportion((low <= target) & (target <= high))


def bias_eliminated_coverage(
    lower: ArrayLike, upper: ArrayLike, truth: ArrayLike, errors: ArrayLike
) -> Proportion:
    """Share of intervals, closed, that hold the truth moved by the bias; a missing interval is a miss.

    Missing where the bias is not known, or not finite.
    """
    low, high, _ = _aligned(lower=lower, upper=upper, errors=errors)
    moved_by = bias(errors).value
    if not math.isfinite(moved_by):
        return Proportion(math.nan, math.nan, 0)
    return coverage(low, high, np.asarray(truth, dtype=float) + moved_by)


def interval_width(lower: ArrayLike, upper: ArrayLike) -> Positive:
    """Mean width of the intervals that there are."""
    low, high = _aligned(lower=lower, upper=upper)
    return _positive(mean(high - low))


def failure_rate(failed: ArrayLike) -> Proportion:
    """Share of attempted fits that failed; `failed` as the events of `proportion`."""
    return proportion(failed)


def proportion(events: ArrayLike) -> Proportion:
    """Share of replicates in which an event happened: true or false, or 1 or 0, and never missing."""
    happened = _happened("events", events)
    n = len(happened)
    if n == 0:
        return Proportion(math.nan, math.nan, 0)
    p = float(happened.mean())
    return Proportion(p, math.sqrt(p * (1 - p) / n) if n > 1 else math.nan, n)


def paired_difference(a: ArrayLike, b: ArrayLike) -> Measure:
    """Mean of a - b over the replicates where both methods have a value: the only fair comparison.

    With errors it is the difference in bias, with squared errors that in MSE.
    """
    of_a, of_b = _aligned(a=a, b=b)
    return mean(of_a - of_b)


def paired_proportions(a: ArrayLike, b: ArrayLike) -> ProportionDifference:
    """Share of replicates in which an event happened to a, less that to b: the difference in coverage."""
    of_a, of_b = _aligned(a=_happened("a", a), b=_happened("b", b))
    difference = of_a - of_b
    n = len(difference)
    if n == 0:
        return ProportionDifference(math.nan, math.nan, 0)
    mcse = float(difference.std()) / math.sqrt(n) if n > 1 else math.nan
    return ProportionDifference(float(difference.mean()), mcse, n)


def wilson_interval(p: Measure, z: float) -> tuple[float, float]:
    """Wilson's score interval of a proportion, `z` standard errors wide on each side (Wilson 1927)."""
    if p.n == 0:
        return 0.0, 1.0
    centre = (p.value + z**2 / (2 * p.n)) / (1 + z**2 / p.n)
    half = z / (1 + z**2 / p.n) * math.sqrt(p.value * (1 - p.value) / p.n + z**2 / (4 * p.n**2))
    return max(centre - half, 0.0), min(centre + half, 1.0)


def tango_interval(difference: ProportionDifference, z: float) -> tuple[float, float]:
    """Score interval of a paired difference of proportions, `z` standard errors wide (Tango 1998).

    Known, as Wilson's is, where the two never differed.
    """
    n, d = difference.n, difference.value
    if n == 0:
        return -1.0, 1.0
    differing = d**2 + (n * difference.mcse**2 if n > 1 else 0)  # share of pairs in which they differ
    return -_score_limit(n, -d, differing, z), _score_limit(n, d, differing, z)


def _score_limit(n: int, d: float, differing: float, z: float) -> float:
    """Largest difference that the score test does not reject, by bisection."""
    lost = (differing - d) / 2
    low, high = d, 1.0
    for _ in range(_BISECTIONS):
        delta = (low + high) / 2
        # Likeliest probability that only the second happens, where the difference is delta.
        b = (2 - d) * delta - differing
        q = (math.sqrt(max(b**2 + 8 * lost * delta * (1 - delta), 0.0)) - b) / 4
        is_tenable = n * (d - delta) ** 2 <= z**2 * (2 * q + delta * (1 - delta))
        low, high = (delta, high) if is_tenable else (low, delta)
    return high


def monte_carlo_interval(measure: Measure, level: float) -> tuple[float, float]:
    """Interval of a measure for Monte Carlo error, at a level such as 0.99.

    Wilson's for a proportion, Tango's for a paired difference of two; else as many standard errors to
    each side as Student's t with n - 1 degrees of freedom asks for, on the log scale for what is positive.
    NaN where the Monte Carlo error is not known, or is 0 because all replicates say the same: how far the
    next could differ is then not known.
    """
    from scipy.stats import norm, t

    tail = (1 + level) / 2
    if isinstance(measure, Proportion):
        return wilson_interval(measure, float(norm.ppf(tail)))
    if isinstance(measure, ProportionDifference):
        return tango_interval(measure, float(norm.ppf(tail)))
    is_known = measure.n > 1 and measure.mcse > 0
    half = float(t.ppf(tail, measure.n - 1)) * measure.mcse if is_known else math.nan
    if isinstance(measure, Positive):
        return _log_interval(measure.value, half)
    if isinstance(measure, Excess):
        low, high = _log_interval(1 + measure.value / 100, half / 100)
        return 100 * (low - 1), 100 * (high - 1)
    return measure.value - half, measure.value + half


def _log_interval(value: float, half: float) -> tuple[float, float]:
    """Interval of a positive value whose logarithm has a standard error smaller by as many times."""
    if not value > 0:
        return math.nan, math.nan
    with np.errstate(over="ignore"):  # of two replicates it may reach from 0 to infinity
        factor = float(np.exp(half / value))
    return value / factor, value * factor


def replicates_needed(measure: Measure, mcse: float) -> int | None:
    """Replicates at which the Monte Carlo error would be `mcse`, if the measure stayed where it is.

    (s / mcse)^2 for a bias, c (1 - c) / mcse^2 for a coverage c. A proportion of 0 or 1 is taken to be at
    the centre of its 95% Wilson interval. None where the error is not known.

    Raises
    ------
    ValueError
        If `mcse` is not positive.
    """
    if not mcse > 0:
        raise ValueError(f"mcse must be positive; got {mcse}")
    if isinstance(measure, Proportion) and measure.value in (0, 1) and measure.n > 1:
        share = _Z**2 / 2 / (measure.n + _Z**2)  # how far the centre is from the edge
        return math.ceil(share * (1 - share) / mcse**2)
    if not (measure.mcse > 0 and math.isfinite(measure.mcse)):
        return None
    return math.ceil(measure.n * (measure.mcse / mcse) ** 2 * (1 - 1e-12))  # less what is rounding


def ratio_of_sums(numerators: ArrayLike, denominators: ArrayLike) -> Measure:
    """Ratio of two sums over replicates, with the robust standard error for clustered counts."""
    top, bottom = _aligned(numerators=numerators, denominators=denominators)
    n = int((bottom > 0).sum())
    if n == 0:
        return Measure(math.nan, math.nan, 0)
    se = _ratio_se(top, bottom) * math.sqrt(n / (n - 1)) if n > 1 else math.nan
    return Measure(float(top.sum() / bottom.sum()), se, n)


def _ratio_se(numerators: Array, denominators: Array) -> float:
    ratio = numerators.sum() / denominators.sum()
    return float(np.sqrt(np.square(numerators - ratio * denominators).sum()) / denominators.sum())


def _squares(values: Array) -> Array:
    """Squared deviations from the mean, whose mean is the variance with n - 1."""
    return np.square(values - values.mean()) * len(values) / (len(values) - 1)


def _positive(measure: Measure) -> Positive:
    return Positive(measure.value, measure.mcse, measure.n)


def _sd(values: Array) -> float:
    with np.errstate(invalid="ignore"):  # an infinite score has no standard deviation
        return float(values.std(ddof=1)) if len(values) > 1 else math.nan


def _given(name: str, values: ArrayLike) -> Array:
    """Numbers that are not missing, (m,)."""
    array = np.asarray(as_regular(name, values), dtype=np.float64)
    _check_row(name, array)
    return array[~np.isnan(array)]


def _check_row(name: str, array: NDArray[Any]) -> None:
    if array.ndim != 1:
        raise ValueError(f"{name} must be in one row; got shape {array.shape}")


def _happened(name: str, events: ArrayLike) -> NDArray[np.bool_]:
    """Events as true or false, (n,)."""
    given = as_regular(name, events)
    if given.dtype == object:
        given = as_regular(name, given.tolist())
    if given.size and given.dtype.kind not in "biuf":
        others = (each for each in given.flat if not isinstance(each, (bool, int, float)))
        what = next(others, given.dtype) if given.dtype == object else given.dtype
        raise TypeError(f"{name} must be true or false, or 1 or 0; got {what}")
    _check_row(name, given)
    is_right = np.isin(given, (0, 1))
    if not is_right.all():
        raise ValueError(f"{name} must be true or false, or 1 or 0; got {given[~is_right][0]}")
    return given.astype(bool)


def _aligned(**columns: ArrayLike) -> list[Array]:
    """Columns of numbers of which entry i is of the same replicate, (n,) each."""
    arrays = [np.asarray(as_regular(name, column), dtype=np.float64) for name, column in columns.items()]
    if arrays[0].ndim != 1 or any(array.shape != arrays[0].shape for array in arrays):
        shapes = ", ".join(str(array.shape) for array in arrays)
        raise ValueError(f"{' and '.join(columns)} must have the same shape (n,); got {shapes}")
    return arrays


def _each(constant: ArrayLike, rows: ArrayLike) -> ArrayLike:
    """A constant for every row; what is given by row as it is."""
    return np.full(np.shape(rows), constant, dtype=np.float64) if np.ndim(constant) == 0 else constant

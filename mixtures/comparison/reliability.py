"""Reliability curves: whether soft assignments come true as often as they say, with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from mixtures.comparison.assignments import Reliability
from mixtures.comparison.performance import Measure, Proportion, ratio_of_sums, wilson_interval

LEVEL = 0.95  # of the intervals


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Soft assignments of one bin, over one or more data sets.

    Attributes
    ----------
    bin : int
        Counted from 1.
    count : int
        Soft assignments in it.
    assigned : float
        Their mean.
    belonging : Measure
        Share of them that belonged to their component; its n counts data sets.
    lower, upper : float
        95% interval of that share (see `clustered_interval`).
    """

    bin: int
    count: int
    assigned: float
    belonging: Measure
    lower: float
    upper: float

    @classmethod
    def of(cls, index: int, counts: ArrayLike, assigned: ArrayLike, belonging: ArrayLike) -> Self:
        """Add one bin over data sets (r,): its counts, sums of soft assignments, and hits in each."""
        count = int(np.asarray(counts).sum())
        share = ratio_of_sums(belonging, counts)
        lower, upper = clustered_interval(share, count, LEVEL)
        return cls(index, count, float(np.asarray(assigned).sum() / count), share, lower, upper)


def reliability_curve(data_sets: Sequence[Reliability]) -> list[ReliabilityBin]:
    """Add the bins of soft assignments over data sets; empty ones are left out."""
    counts, assigned, belonging = (
        np.array([getattr(one, name) for one in data_sets]) for name in ("counts", "assigned", "belonging")
    )
    return [
        ReliabilityBin.of(b + 1, counts[:, b], assigned[:, b], belonging[:, b])
        for b in np.flatnonzero(counts.sum(axis=0)).tolist()
    ]


def clustered_interval(share: Measure, count: int, level: float) -> tuple[float, float]:
    """Interval of a share of `count` events in data sets, those of one data set hanging together.

    Wilson's, with the number of independent events that would have the share's Monte Carlo error
    between data sets, at most `count`, and less by the square of the ratio of normal to Student's
    quantile, for an error known from few data sets (Korn & Graubard 1998). Of a single data set, and
    where all events say the same, that error is not known, and `count` stands.
    """
    from scipy.stats import norm, t

    p, n, z = share.value, float(count), float(norm.ppf((1 + level) / 2))
    if share.n > 1 and 0 < p < 1:
        between = share.mcse * float(t.ppf((1 + level) / 2, share.n - 1)) / z
        n = min(n, p * (1 - p) / between**2) if between > 0 else n
    lower, upper = wilson_interval(Proportion(p, math.nan, max(int(n), 1)), z)
    return min(lower, p), max(upper, p)  # at 0 and 1 equal to it, up to rounding

"""The Monte Carlo errors that planned replicates will reach, and the replicates that given errors need."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mixtures.comparison.performance import Measure, Proportion, wilson_interval
from mixtures.study.design import Method
from mixtures.study.methods import level_of

_Z = 1.959964  # of a 95% interval


@dataclass(frozen=True, slots=True)
class Expectation:
    """What is expected of the Monte Carlo error of a measure, at the component where it is the largest.

    Attributes
    ----------
    name : str
        The measure, with the parameter if it is of one.
    is_proportion : bool
    spread : float
        Monte Carlo error of a single replicate; that of n is smaller by the root of n. Of a coverage it is
        taken where that is nominal, of anything else where the pilot found it; NaN where it did not tell.
    share : float
        Replicates that the measure uses, of all: those with an estimate.
    """

    name: str
    is_proportion: bool
    spread: float
    share: float

    def mcse(self, n: int) -> float:
        """Monte Carlo error that n replicates will reach."""
        return self.spread / math.sqrt(n * self.share) if self.share > 0 else math.nan

    def worst_mcse(self, n: int) -> float:
        """Monte Carlo error that n replicates will reach whatever the value; NaN where it has no bound."""
        return 0.5 / math.sqrt(n * self.share) if self.is_proportion and self.share > 0 else math.nan

    def n_needed(self, mcse: float) -> int | None:
        """Replicates that reach a Monte Carlo error; None where it is not known."""
        return _n_needed(self.spread, self.share, mcse)

    def n_needed_at_worst(self, mcse: float) -> int | None:
        """Replicates that reach it whatever the value of a proportion; None where there is no bound."""
        return _n_needed(0.5, self.share, mcse) if self.is_proportion else None


def expect(name: str, measures: Sequence[Measure], method: Method, n_tried: int) -> Expectation:
    """Expect of a measure of one method what a pilot of `n_tried` replicates found for each component."""
    nominal = level_of(method) if "coverage" in name else None
    spreads = [_spread(measure, nominal) for measure in measures]
    share = min(measure.n for measure in measures) / n_tried if n_tried else math.nan
    is_proportion = all(isinstance(measure, Proportion) for measure in measures)
    largest = math.nan if any(map(math.isnan, spreads)) else max(spreads)
    return Expectation(name, is_proportion, largest, share)


def _spread(measure: Measure, nominal: float | None) -> float:
    if not isinstance(measure, Proportion):
        return measure.mcse * math.sqrt(measure.n)
    low, high = wilson_interval(measure, _Z)
    p = (low + high) / 2 if nominal is None else nominal  # not 0 where it has not happened yet
    return math.sqrt(p * (1 - p))


def _n_needed(spread: float, share: float, mcse: float) -> int | None:
    if not (spread > 0 and share > 0):
        return None
    return math.ceil((spread / mcse) ** 2 / share * (1 - 1e-12))  # less what is rounding

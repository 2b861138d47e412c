"""When a condition has replicates enough: the rule `until` of a study, applied to what is stored.

The number of replicates follows from the rows alone, so that neither the number of workers nor an
interruption changes it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mixtures.comparison.performance import Measure, Proportion, wilson_interval
from mixtures.comparison.replicates import Replicates, measure_replicates
from mixtures.study.catalogue import Catalogue
from mixtures.study.claim import INTERVAL_MEASURES, PARAMETER_MEASURES
from mixtures.study.conditions import Condition
from mixtures.study.design import Method, Study
from mixtures.study.measures import average_fits, parameters_of
from mixtures.study.shares import mark_badly_wrong
from mixtures.study.store import Store
from mixtures.study.tables import Tables, methods_with_intervals
from mixtures.study.until import Until

if TYPE_CHECKING:
    import pandas as pd

_Z = 1.959964  # of a 95% interval
_NEEDED = ("fits", "parameters")  # tables that the measures of the rule are of


@dataclass(frozen=True, slots=True)
class Stop:
    """How far the rule has taken one condition.

    Attributes
    ----------
    condition : Condition
    n_asked : int
        Replicates that the rule asks for, as far as the stored rows tell.
    caps : dict of str to int
        Replicates of each method at most, which end it however large the error.
    errors : dict of str to float
        At the last look, the largest Monte Carlo error of each method that has a say, over parameters
        and components; NaN where one is not known. Empty before the first look.
    is_over : bool
        Whether nothing more is asked for.
    """

    condition: Condition
    n_asked: int
    caps: dict[str, int]
    errors: dict[str, float]
    is_over: bool

    def outcome(self, method: str, until: Until) -> str:
        """Say in words how the rule stands for one method."""
        if method not in self.errors:
            return "has no say" if self.errors else "not looked at yet"
        if self.errors[method] <= until.mcse:
            return "reached"
        return "all replicates made" if self.is_over else "not yet reached"


def look(study: Study, store: Store, most: int | None = None, earlier: Iterable[Stop] = ()) -> Iterator[Stop]:
    """Look at what is stored of every condition, `most` replicates at most.

    Conditions that were over at an `earlier` look stay so, and the others go on from there.
    """
    before = {stop.condition.key: stop for stop in earlier}
    catalogue = Catalogue(store)
    for condition in study.conditions:
        stop = before.get(condition.key)
        if stop is None or not stop.is_over:
            rows = Tables.of(catalogue, study, condition, _NEEDED)
            stop = stop_of(study, condition, rows, most, 0 if stop is None else stop.n_asked)
        yield stop


def stop_of(
    study: Study, condition: Condition, rows: Tables, most: int | None = None, begin: int = 0
) -> Stop:
    """Apply the rule to the rows of one condition, from the look at `begin` replicates on.

    The looks are at `least` replicates, a `batch` more, and so on to the cap. The condition is over at
    the first at which every method that has a say has reached the error, or its own cap.
    """
    until = _until(study)
    caps = {method.name: study.replicates_of(method, most) for method in study.method}
    cap = max(caps.values())
    rows = mark_badly_wrong(condition, rows) if until.measure == "badly_wrong" else rows
    errors: dict[str, float] = {}
    n = min(max(begin, until.least), cap)
    while _has(rows, caps, n):
        errors = dict(_errors(study, until, rows, n))
        is_enough = all(error <= until.mcse or caps[name] <= n for name, error in errors.items())
        if is_enough or n == cap:
            return Stop(condition, n, caps, errors, is_over=True)
        n = min(n + until.batch, cap)
    return Stop(condition, n, caps, errors, is_over=False)


def error_of(measure: Measure) -> float:
    """Monte Carlo error by which replicates are stopped; NaN where it is not known.

    Of a proportion half the width of its Wilson interval over the normal quantile, so that 0 of n, or n
    of n, have one too. Where all replicates say the same, how far the next could differ is not known.
    """
    if isinstance(measure, Proportion):
        lower, upper = wilson_interval(measure, _Z)
        return (upper - lower) / (2 * _Z)
    return measure.mcse if measure.mcse > 0 else math.nan


def _until(study: Study) -> Until:
    if study.until is None:
        raise ValueError("the study must have a rule until; got none")
    return study.until


def _has(rows: Tables, caps: dict[str, int], n: int) -> bool:
    """Whether the first n replicates are there, or of a method with fewer all of its own."""
    made = rows.fits.loc[rows.fits["replicate"] < n, "method"].value_counts()
    return all(made.get(name, 0) >= min(n, cap) for name, cap in caps.items())


def _errors(study: Study, until: Until, rows: Tables, n: int) -> Iterator[tuple[str, float]]:
    """Largest error over the first n replicates of each method that gives the measure."""
    with_intervals = methods_with_intervals(study)
    for method in study.method:
        if until.measure not in INTERVAL_MEASURES or method.name in with_intervals:
            measures = _measures(until, rows, method, n)
            errors = [error_of(measure) for measure in measures]
            yield method.name, float(np.max(errors)) if errors else math.nan


def _measures(until: Until, rows: Tables, method: Method, n: int) -> Iterator[Measure]:
    """The measure of the rule by parameter and component, or that of whole fits."""
    if until.measure in PARAMETER_MEASURES:
        own = _first(rows.parameters, method, n)
        if until.parameter is not None:
            own = own[own["parameter"] == until.parameter]
        for _, cell in parameters_of(own):
            yield measure_replicates(Replicates.of(cell))[until.measure]
    elif until.measure in (found := average_fits(_first(rows.fits, method, n))):
        yield found[until.measure]


def _first(frame: pd.DataFrame, method: Method, n: int) -> pd.DataFrame:
    """Rows of the first n replicates of a method."""
    return frame[(frame["method"] == method.name) & (frame["replicate"] < n)]

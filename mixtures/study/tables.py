"""Stored rows as tables, each method under its name."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from mixtures.comparison.replicates import UNCERTAINTY
from mixtures.study.catalogue import Catalogue
from mixtures.study.conditions import ORACLE, Condition
from mixtures.study.design import Study
from mixtures.study.ledger import Ledger
from mixtures.study.methods import gives_intervals
from mixtures.study.rows import TABLES, FitRow, table

if TYPE_CHECKING:
    import pandas as pd


_TOGETHER = ("fits", "parameters", "ranks", "pairs", "diagnostics")
_OF_NO_MEASURE = {"message", "error_type", "data_hash", "seed", "host", "worker"}
_SPURIOUS = "spurious_set_aside"


@dataclass(frozen=True, slots=True, eq=False)
class Tables:
    """Rows of one condition that one measure may be of several of, those of each method under its name.

    `spurious` are the fits of the diagnostic that is 1 where a higher, spurious maximum was met, as `value`.
    """

    fits: pd.DataFrame
    parameters: pd.DataFrame
    ranks: pd.DataFrame
    pairs: pd.DataFrame
    spurious: pd.DataFrame

    @classmethod
    def of(
        cls, catalogue: Catalogue, study: Study, condition: Condition, kinds: Collection[str] = _TOGETHER
    ) -> Self:
        """Read the rows of one condition by a study's methods; of tables not among `kinds`, none."""

        def rows_of(kind: str, columns: Collection[str] | None = None, **values: str) -> pd.DataFrame:
            if kind not in kinds:
                return _empty(kind)
            return read(catalogue, study, condition, kind, columns=columns, values=values)

        fits = rows_of("fits", {*FitRow._fields} - _OF_NO_MEASURE)
        uncertainty = UNCERTAINTY if methods_with_intervals(study) else ()
        parameters = rows_of("parameters", ("truth", "estimate", *uncertainty))
        fits["soft_coverage"] = _with_misses(fits, study)
        spurious = rows_of("diagnostics", name=_SPURIOUS)
        return cls(fits, parameters, rows_of("ranks"), rows_of("pairs"), spurious)


def read(
    catalogue: Catalogue,
    study: Study,
    condition: Condition,
    kind: str,
    *,
    columns: Collection[str] | None = None,
    method: str | None = None,
    values: Mapping[str, str | int] | None = None,
) -> pd.DataFrame:
    """Read one table of a condition, each method under its name; or its rows of one, or with given values.

    Of columns, all, or those of the key and some others, without text that is the same throughout.
    """
    names = {one.key: one.name for one in study.method} | {ORACLE: ORACLE}
    values = dict(values or {})
    if method is not None:
        values["method"] = next(key for key in names if names[key] == method)
    frame = catalogue.read(kind, condition.key, columns, values)
    if kind == "pairs":
        frame = _with_both_fits(frame, catalogue.done, condition.key)
    for column in {"method", "versus"} & set(frame.columns):
        frame[column] = frame[column].map(names)
    return frame


def _empty(kind: str) -> pd.DataFrame:
    """Return a table without rows."""
    frame: pd.DataFrame = table(TABLES[kind], []).to_pandas()
    return frame


def methods_with_intervals(study: Study) -> set[str]:
    """Names of the methods that give intervals: where one is missing they refused it."""
    return {method.name for method in study.method if gives_intervals(method)}


def _with_misses(fits: pd.DataFrame, study: Study) -> pd.Series[float]:
    """Coverage of soft assignments, 0 for an estimate whose method gives intervals, but refused these."""
    coverage = fits["soft_coverage"].astype(float)
    if study.components == 1:  # every assignment is certain: there is nothing to cover
        return coverage
    is_refused = coverage.isna() & fits["method"].isin(methods_with_intervals(study)) & fits["has_estimate"]
    return coverage.mask(is_refused, 0.0)


def _with_both_fits(pairs: pd.DataFrame, done: Ledger, condition: str) -> pd.DataFrame:
    """Leave out pairs of a fit whose part was set aside: it will be run again."""
    keep, replicates = np.ones(len(pairs), dtype=bool), pairs["replicate"].to_numpy()
    for column in ("method", "versus"):
        for method, rows in pairs.groupby(column).indices.items():
            keep[rows] &= done.has((condition, str(method)), replicates[rows])
    return pairs[keep]

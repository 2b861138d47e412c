"""Stored rows as tables, each method under its name."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from mixtures.study.conditions import Condition
from mixtures.study.design import Study
from mixtures.study.ledger import Ledger
from mixtures.study.methods import gives_intervals
from mixtures.study.replicate import ORACLE
from mixtures.study.rows import TABLES, table
from mixtures.study.store import Store

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, eq=False)
class Tables:
    """Rows of one condition, those of each method under its name."""

    fits: pd.DataFrame
    parameters: pd.DataFrame
    ranks: pd.DataFrame
    pairs: pd.DataFrame
    reliability: pd.DataFrame
    diagnostics: pd.DataFrame

    @classmethod
    def of(cls, store: Store, study: Study, kinds: Collection[str] = tuple(TABLES)) -> Self:
        """Read the rows of a study's conditions and methods, and name the methods.

        Tables that are not among `kinds` are left empty.
        """
        done = store.done()
        frames = {
            field.name: _read(store, study, field.name, done)
            if field.name in kinds
            else table(TABLES[field.name], []).to_pandas()
            for field in fields(cls)
        }
        frames["fits"]["soft_coverage"] = _with_misses(frames["fits"], study)
        return cls(**frames)

    def within(self, condition: Condition) -> Self:
        """Return the rows of one condition."""
        frames = (getattr(self, field.name) for field in fields(self))
        return type(self)(*(frame[frame["condition"] == condition.key] for frame in frames))


def read_fits(store: Store, study: Study) -> pd.DataFrame:
    """Read the rows of fits alone, the methods by their names."""
    return _read(store, study, "fits", store.done())


def _read(store: Store, study: Study, kind: str, done: Ledger) -> pd.DataFrame:
    names = {method.key: method.name for method in study.method} | {ORACLE: ORACLE}
    frame = _of_fits(store.read(kind), done)
    for column in {"method", "versus"} & set(frame.columns):
        frame[column] = frame[column].map(names)
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


def _of_fits(frame: pd.DataFrame, done: Ledger) -> pd.DataFrame:
    """Leave out rows whose fit is not there: storing it was interrupted, and it will be run again."""
    at_truth, replicates = done.of_any_method(), frame["replicate"].to_numpy()
    keep = np.ones(len(frame), dtype=bool)
    for column in {"method", "versus"} & set(frame.columns):
        of_method: Mapping[Any, Any] = frame.groupby(["condition", column]).indices
        for (condition, method), rows in of_method.items():
            ledger, of = (at_truth, (condition,)) if method == ORACLE else (done, (condition, method))
            keep[rows] &= ledger.has(of, replicates[rows])
    return frame[keep]

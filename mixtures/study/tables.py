"""Stored rows as tables, each method under its name."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Self

import numpy as np

from mixtures.study.conditions import Condition
from mixtures.study.design import Study
from mixtures.study.replicate import ORACLE
from mixtures.study.store import Store

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, eq=False)
class Tables:
    """Rows of one condition, those of each method under its name."""

    fits: pd.DataFrame
    parameters: pd.DataFrame
    pairs: pd.DataFrame
    reliability: pd.DataFrame
    diagnostics: pd.DataFrame

    @classmethod
    def of(cls, store: Store, study: Study) -> Self:
        """Read the rows of a study's conditions and methods, and name the methods."""
        names = {method.key: method.name for method in study.method} | {ORACLE: ORACLE}
        frames, done = [], store.done()
        for kind in (field.name for field in fields(cls)):
            frame = _of_fits(store.read(kind), done)
            frame["method"] = frame["method"].map(names)
            if kind == "pairs":
                frame["versus"] = frame["versus"].map(names)
            frames.append(frame)
        return cls(*frames)

    def within(self, condition: Condition) -> Self:
        """Return the rows of one condition."""
        frames = (getattr(self, field.name) for field in fields(self))
        return type(self)(*(frame[frame["condition"] == condition.key] for frame in frames))


def _of_fits(frame: pd.DataFrame, done: set[tuple[str, int, str]]) -> pd.DataFrame:
    """Leave out rows whose fit is not there: storing it was interrupted, and it will be run again."""
    replicates = {key[:2] for key in done}
    keep = np.ones(len(frame), dtype=bool)
    for column in {"method", "versus"} & set(frame.columns):
        keys = zip(frame["condition"], frame["replicate"], frame[column], strict=True)
        keep &= np.array(
            [key[:2] in replicates if key[2] == ORACLE else key in done for key in keys], dtype=bool
        )
    return frame[keep]

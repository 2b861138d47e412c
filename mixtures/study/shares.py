"""Shares of data sets: where a fit went badly wrong, and where its likelihood is lower than another's."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mixtures.comparison.performance import Proportion, proportion
from mixtures.study.claim import BADLY_WRONG, PARAMETERS
from mixtures.study.conditions import Condition
from mixtures.study.tables import Tables

if TYPE_CHECKING:
    import pandas as pd

_FAR = 4.0  # expected standard errors: a normal estimate is as far off in one case of 15,800
_LOWER = 1e-6  # log-likelihood: well above what is left to gain where a run ends


def mark_badly_wrong(condition: Condition, rows: Tables) -> Tables:
    """Mark the fits of one condition that went badly wrong.

    A fit is badly wrong without an estimate, and where a weight, mean or variance, aligned to the truth, is
    more than four expected standard errors of the condition off. Where these are not known none is marked.
    """
    errors = condition.expected_errors()
    if errors is None:
        return rows
    limits = {
        (name, j + 1): _FAR * float(error)
        for name in PARAMETERS
        for j, error in enumerate(getattr(errors, name).ravel())
    }
    cells, keys = rows.parameters, ["method", "replicate"]
    places = zip(cells["parameter"], cells["component"], strict=True)
    limit = np.array([limits[place] for place in places], dtype=float)
    off = cells.loc[(cells["estimate"] - cells["truth"]).abs() > limit, keys]
    are_off = set(off.itertuples(index=False, name=None))
    is_off = [fit in are_off for fit in rows.fits[keys].itertuples(index=False, name=None)]
    is_wrong = np.array(is_off, dtype=bool) | ~rows.fits["has_estimate"].to_numpy(dtype=bool)
    return replace(rows, fits=rows.fits.assign(**{BADLY_WRONG: is_wrong}))


def lower_likelihood(fits: pd.DataFrame, method: str, versus: str) -> Proportion:
    """Share of data sets, of those where both have an estimate, on which a method's likelihood is the lower.

    By more than 1e-6 of the log-likelihood; a spurious maximum may be the higher.
    """
    own, other = (
        fits.loc[fits["method"] == name].set_index("replicate")["log_likelihood"].astype(float).dropna()
        for name in (method, versus)
    )
    common = own.index.intersection(other.index)
    return proportion(own.loc[common].to_numpy() < other.loc[common].to_numpy() - _LOWER)

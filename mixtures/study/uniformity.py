"""From the ranks of one condition to measures: whether the posterior of each method is calibrated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import numpy as np

from mixtures.comparison.calibration import (
    Band,
    Coverage,
    PValue,
    central_coverage,
    chi_square,
    contraction,
    ecdf_differences,
    holm,
    simultaneous_band,
    uniformity,
    z_scores,
)
from mixtures.comparison.performance import Measure, mean
from mixtures.comparison.ranks import LOG_LIKELIHOOD
from mixtures.model.arrays import Array
from mixtures.model.fit import Status
from mixtures.study.conditions import Condition, key_of
from mixtures.study.design import Study
from mixtures.study.methods import gives_draws
from mixtures.study.tables import Tables
from mixtures.study.verdict import LEVEL

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, eq=False)
class RankSummary:
    """Calibration of one method's posterior of one quantity in one condition.

    Attributes
    ----------
    n_draws : int
        Draws that each truth is ranked among, L.
    p_value, chi_square : PValue
        Of uniform ranks: by the ECDF everywhere at once, and by counts in bins.
    adjusted : PValue
        The first for as many quantities as the study has (Holm).
    differences : (L,) array
        ECDF of the ranks less that of the uniform distribution.
    band : Band
        Simultaneous, at 99%.
    coverage : Coverage
        Of central intervals.
    z : Measure
        Mean of posterior mean less truth in posterior standard deviations.
    z_squared : Measure
        Mean square of the same.
    contraction : Measure
        Missing for the log-likelihood, which has no prior apart from the data.
    """

    condition: Condition
    method: str
    quantity: str
    n_draws: int
    p_value: PValue
    chi_square: PValue
    adjusted: PValue
    differences: Array
    band: Band
    coverage: Coverage
    z: Measure
    z_squared: Measure
    contraction: Measure


@dataclass(frozen=True, slots=True)
class RankAccount:
    """What became of the fits whose truth was to be ranked.

    Attributes
    ----------
    n_attempted, n_ranked : int
        Fits stored, and those of them with ranks.
    failing : tuple of int
        Replicates whose fit did not end as converged.
    has_prior_of_truth : bool
        Whether the method's prior is the one that truths are drawn from: ranks are uniform only then.
    """

    condition: Condition
    method: str
    n_attempted: int
    n_ranked: int
    failing: tuple[int, ...]
    has_prior_of_truth: bool


def account_for_ranks(study: Study, condition: Condition, rows: Tables) -> Iterator[RankAccount]:
    """Account for the fits of one condition by every method whose draws were to be ranked there, or were."""
    ranked = rows.ranks.groupby("method")["replicate"].nunique()
    for method in study.method:
        fits = rows.fits[rows.fits["method"] == method.name]
        is_to_be_ranked = condition.truth.prior is not None and gives_draws(method) and len(fits) > 0
        if not is_to_be_ranked and method.name not in ranked.index:
            continue
        failing = fits.loc[fits["status"] != Status.CONVERGED, "replicate"].sort_values()
        priors = {"method": method.settings.get("prior"), "truth": condition.truth.prior}
        yield RankAccount(
            condition,
            method.name,
            len(fits),
            int(ranked.get(method.name, 0)),
            tuple(failing.tolist()),
            key_of({"prior": priors["method"]}) == key_of({"prior": priors["truth"]}),
        )


def measure_ranks(condition: Condition, rows: Tables) -> Iterator[RankSummary]:
    """Measure the calibration of every method on every quantity of one condition, not yet adjusted."""
    for group, cell in rows.ranks.groupby(["method", "quantity"], sort=False):
        method, quantity = cast("tuple[str, str]", group)
        ranks, n_draws = cell["rank"].to_numpy(), int(cell["n_draws"].iloc[0])
        scores = z_scores(cell["truth"], cell["mean"], cell["sd"])
        p_value = uniformity(ranks, n_draws)
        yield RankSummary(
            condition,
            method,
            quantity,
            n_draws,
            p_value,
            chi_square(ranks, n_draws),
            p_value,
            ecdf_differences(ranks, n_draws),
            simultaneous_band(len(ranks), n_draws, LEVEL),
            central_coverage(ranks, n_draws),
            mean(scores),
            mean(scores**2),
            _contraction(quantity, cell),
        )


def adjusted(summaries: Sequence[RankSummary]) -> list[RankSummary]:
    """Return the same summaries with p-values adjusted for their number (Holm)."""
    values = holm(np.array([one.p_value.value for one in summaries]))
    return [
        replace(one, adjusted=replace(one.p_value, value=float(value)))
        for one, value in zip(summaries, values, strict=True)
    ]


def smallest(summaries: Sequence[RankSummary]) -> PValue:
    """Return the smallest adjusted p-value; NaN without any."""
    found = [one.adjusted for one in summaries]
    return min(found, key=lambda p: p.value, default=PValue(float("nan"), float("nan"), 0))


def _contraction(quantity: str, cell: pd.DataFrame) -> Measure:
    if quantity == LOG_LIKELIHOOD:
        return Measure(float("nan"), float("nan"), 0)
    finite = cell[np.isfinite(cell["truth"]) & np.isfinite(cell["sd"])]
    return contraction(finite["sd"].to_numpy(), finite["truth"].to_numpy())

"""Every measure of performance at once, of replicates of one method or of two on the same data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from mixtures.comparison.performance import (
    Measure,
    Theory,
    bias,
    bias_eliminated_coverage,
    coverage,
    empirical_se,
    interval_width,
    model_se,
    mse,
    paired_difference,
    paired_proportions,
    relative_bias,
    relative_error_model_se,
    relative_precision,
    rmse,
)
from mixtures.model.arrays import Array

if TYPE_CHECKING:
    import pandas as pd

#: Measures of one method, in the order of tables; those of standard errors and intervals where it gives them.
MEASURES = (
    "bias",
    "relative_bias",
    "empirical_se",
    "mse",
    "rmse",
    "model_se",
    "relative_error_model_se",
    "coverage",
    "coverage_given_interval",
    "bias_eliminated_coverage",
    "interval_width",
)
#: Columns that a method may do without.
UNCERTAINTY = ("standard_error", "lower", "upper")


@dataclass(frozen=True, slots=True, eq=False)
class Replicates:
    """Estimates of one parameter by one method, one for each replicate that returned an estimate.

    Attributes
    ----------
    estimates, truths : (r,) array
    standard_errors : (r,) array or None
        NaN for a replicate without one; None where the method gives none. Likewise the ends of intervals.
    lower, upper : (r,) array or None
    """

    estimates: Array
    truths: Array
    standard_errors: Array | None = None
    lower: Array | None = None
    upper: Array | None = None

    @classmethod
    def of(cls, rows: pd.DataFrame) -> Self:
        """Take the replicates with an estimate from rows with columns as `measure_performance` names them."""
        kept = rows[rows["estimate"].notna()]
        given = (kept[name].to_numpy(dtype=float) if name in kept else None for name in UNCERTAINTY)
        return cls(kept["estimate"].to_numpy(dtype=float), kept["truth"].to_numpy(dtype=float), *given)

    @property
    def errors(self) -> Array:
        """Estimate minus truth, (r,)."""
        return self.estimates - self.truths

    @property
    def covers(self) -> Array | None:
        """Whether each interval holds the truth, (r,): 1 or 0, a missing interval being a miss."""
        if self.lower is None or self.upper is None:
            return None
        with np.errstate(invalid="ignore"):
            return ((self.lower <= self.truths) & (self.truths <= self.upper)).astype(float)


def measure_replicates(replicates: Replicates, theory: Theory = "robust") -> dict[str, Measure]:
    """Measure one method on one parameter by name: those of `MEASURES` that its columns allow.

    Where intervals are open, and so their mean width infinite, that of the others is
    "interval_width_finite".
    """
    errors, truths = replicates.errors, replicates.truths
    measures: dict[str, Measure] = {
        "bias": bias(errors),
        "relative_bias": relative_bias(errors, truths),
        "empirical_se": empirical_se(errors, theory),
        "mse": mse(errors),
        "rmse": rmse(errors),
    }
    if replicates.standard_errors is not None:
        measures["model_se"] = model_se(replicates.standard_errors)
        measures["relative_error_model_se"] = relative_error_model_se(
            errors, replicates.standard_errors, theory
        )
    if replicates.lower is not None and replicates.upper is not None:
        lower, upper = replicates.lower, replicates.upper
        given = ~(np.isnan(lower) | np.isnan(upper))
        measures |= {
            "coverage": coverage(lower, upper, truths),
            "coverage_given_interval": coverage(lower[given], upper[given], truths[given]),
            "bias_eliminated_coverage": bias_eliminated_coverage(lower, upper, truths, errors),
            "interval_width": interval_width(lower, upper),
        }
        is_closed = np.isfinite(lower) & np.isfinite(upper)
        if is_closed.sum() < given.sum():
            measures["interval_width_finite"] = interval_width(lower[is_closed], upper[is_closed])
    return measures


def compare_replicates(
    replicates: Replicates, versus: Replicates, theory: Theory = "robust"
) -> dict[str, Measure]:
    """Compare two methods on one parameter; entry i of both is of the same replicate.

    Returns
    -------
    dict of str to Measure
        Differences in bias, mse and coverage, the first method's minus the second's, and the
        relative precision of the first against the second.
    """
    a, b = replicates.errors, versus.errors
    measures: dict[str, Measure] = {
        "bias": paired_difference(a, b),
        "mse": paired_difference(a**2, b**2),
        "relative_precision": relative_precision(a, b, theory),
    }
    if replicates.covers is not None and versus.covers is not None:
        measures["coverage"] = paired_proportions(replicates.covers, versus.covers)
    return measures

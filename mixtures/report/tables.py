"""Rows of text for the terminal: the same numbers as in the report, side by side."""

from __future__ import annotations

from collections.abc import Iterator

from mixtures.comparison.single import spread
from mixtures.model.arrays import Array
from mixtures.model.fit import Fit
from mixtures.report.data_fit import DataFit


def fit_rows(result: DataFit) -> list[list[str]]:
    """Weights, means and standard deviations of every fit, with standard errors where there are any."""
    columns = [dict(_entries(fit, result.data.columns)) for fit in result.fits]
    names = list(dict.fromkeys(name for column in columns for name in column))
    return [[name, *(column.get(name, "") for column in columns)] for name in names]


def score_rows(result: DataFit) -> list[list[str]]:
    """Scores of every fit against the known groups."""
    columns = []
    for score in result.scores:
        column = {"observations": str(score.n), "adjusted Rand index": f"{score.adjusted_rand_index:.3f}"}
        if score.error_after_best_mapping is not None:
            column["error after best mapping, chosen on the labels"] = f"{score.error_after_best_mapping:.3f}"
        if score.scores is not None:
            column["error rate, hard assignment"] = f"{score.scores.error_rate:.3f}"
            column["log score"] = f"{score.scores.log_score:.3f}"
            column["Brier score"] = f"{score.scores.brier:.3f}"
            column["calibration error"] = f"{score.scores.calibration_error:.3f}"
        columns.append(column)
    return [[name, *(column[name] for column in columns)] for name in columns[0]]


def _entries(fit: Fit, columns: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    yield "status", fit.status.value
    sds = spread(fit)
    if fit.estimate is None or sds is None:
        return
    yield "log-likelihood", f"{fit.log_likelihood:.4f}"
    errors = None if fit.intervals is None else fit.intervals.standard_errors
    parts: list[tuple[str, Array, Array | None]] = [
        ("weight", fit.estimate.weights[:, None], None if errors is None else errors.weights[:, None]),
        ("mean", fit.estimate.means, None if errors is None else errors.means),
        ("sd", sds.estimate, sds.standard_error),
    ]
    for name, values, own_errors in parts:
        for j in range(values.shape[0]):
            for axis in range(values.shape[1]):
                place = f"{name} {j + 1}" + (
                    f", {columns[axis]}" if name != "weight" and len(columns) > 1 else ""
                )
                error = "" if own_errors is None else f" (SE {own_errors[j, axis]:.3g})"
                yield place, f"{values[j, axis]:.5g}{error}"

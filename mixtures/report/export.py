"""The files that `mixtures fit` leaves behind: soft assignments, numbers, draws and a page."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mixtures.comparison.assignments import AssignmentScores
from mixtures.comparison.doubt import Doubt
from mixtures.comparison.single import GroupScores, information_criteria, spread
from mixtures.model.arrays import Array, Integers
from mixtures.model.fit import Fit, Intervals, Parameters
from mixtures.model.mixture import NormalMixture
from mixtures.report.data_fit import DataFit, em_details, invariant_rows, parameter_rows, posterior_of
from mixtures.report.files import forget_files, write_text, write_with
from mixtures.report.fit_page import render_fit
from mixtures.report.observations import DoubtCount
from mixtures.study.environment import environment

if TYPE_CHECKING:
    import pandas as pd

    from mixtures.bayes.posterior import Posterior
    from mixtures.em.bootstrap import Bootstrap

_FILES = ("assignments.csv", "posterior.nc", "posterior-*.nc", "report.html", "fit.json")  # in their order
_MOST_NUMBERS = 20_000_000  # of a pointwise log-likelihood in posterior.nc: 160 MB


def write_fit(folder: str | Path, result: DataFit) -> list[Path]:
    """Write `assignments.csv`, `fit.json`, `report.html` and, where there are draws, `posterior.nc`.

    The draws of a second fit go to `posterior-2.nc`, and so on. The files replace those of an earlier
    fit in the folder, and are there all or not at all.

    Parameters
    ----------
    folder : str or Path
        Made if it is missing.
    result : DataFit

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    ValueError
        Naming the folder, if it cannot be written.
    """
    folder = Path(folder)
    account = as_json(result)
    forget_files(folder, _FILES)  # none of an earlier fit stays beside those of this one
    try:
        write_text(folder / "assignments.csv", assignments(result).to_csv(index=False, lineterminator="\n"))
        pairs = zip(map(posterior_of, result.fits), result.orders, strict=True)
        trees = [_datatree(posterior, order) for posterior, order in pairs if posterior is not None]
        for n, tree in enumerate(trees, 1):
            name = "posterior.nc" if n == 1 else f"posterior-{n}.nc"
            write_with(folder / name, partial(tree.to_netcdf, engine="h5netcdf"))
        write_text(folder / "report.html", render_fit(result, account["environment"]))
        write_text(folder / "fit.json", json.dumps(account, indent=2, allow_nan=False) + "\n")
    except BaseException:  # an interrupt too leaves no part of the set
        forget_files(folder, _FILES)
        raise
    return [path for pattern in _FILES for path in sorted(folder.glob(pattern))]


def assignments(result: DataFit) -> pd.DataFrame:
    """Return the soft and hard assignments of every engine, a row for each observation.

    `data_row` counts the rows of data in the file from 1; components count from 1 too.
    """
    import pandas as pd

    data = result.data
    columns: dict[str, Any] = {"data_row": data.rows + 1}
    for axis, name in enumerate(data.columns):
        columns[name] = data.dataset.x[:, axis]
    if result.known is not None:
        names = np.array([*result.known.names, ""], dtype=object)  # the label -1 takes the last
        columns[result.label_column or "group"] = names[result.known.labels]
    for fit, doubt in zip(result.fits, result.doubts, strict=True):
        columns |= _of_fit(fit, doubt)
    return pd.DataFrame(columns)


def _of_fit(fit: Fit, doubt: Doubt | None) -> dict[str, Any]:
    """Columns of one fit: soft assignments with their intervals, the hard one, and the doubt in nats."""
    if fit.responsibilities is None or fit.assignments is None:
        return {}
    columns: dict[str, Any] = {}
    for j, soft in enumerate(fit.responsibilities.T):
        name = f"{fit.method}_component_{j + 1}"
        columns[name] = soft
        if fit.responsibility_intervals is not None:
            columns[f"{name}_lower"], columns[f"{name}_upper"] = fit.responsibility_intervals[:, j].T
    columns[f"{fit.method}_assignment"] = fit.assignments + 1
    if doubt is not None:
        columns[f"{fit.method}_doubt_overlap"] = doubt.overlap.values
        columns[f"{fit.method}_doubt_parameters"] = doubt.parameters.values
        columns[f"{fit.method}_stability"] = doubt.stability.values
        columns[f"{fit.method}_in_doubt_by"] = [source.value for source in doubt.sources()]
    return columns


def as_json(result: DataFit) -> dict[str, Any]:
    """Return everything that a fit of a data file gave, save draws and assignments, as plain JSON values.

    What is not known or not finite is null.
    """
    data = result.data
    plain: dict[str, Any] = _plain(
        {
            "command": result.command,
            "seed": result.seed,
            "data": {
                "file": result.source,
                "columns": list(data.columns),
                "n_rows": data.n_rows,
                "n_excluded": data.n_excluded,
                "n_missing": data.n_missing,
                "n_observations": data.dataset.n_observations,
            },
            "model": {
                "n_components": result.spec.n_components,
                "covariance": str(result.spec.covariance),
                "n_parameters": result.spec.n_parameters(len(data.columns)),
            },
            "fits": [_fit(result, i) for i in range(len(result.fits))],
            "agreement": _agreement(result),
            "known_groups": _known(result),
            "environment": environment(),
        }
    )
    return plain


def _fit(result: DataFit, i: int) -> dict[str, Any]:
    fit = result.fits[i]
    return {
        "method": fit.method,
        "status": fit.status.value,
        "message": fit.message,
        "warnings": list(fit.warnings),
        "log_likelihood": fit.log_likelihood,
        "estimate": None if fit.estimate is None else _mixture(fit.estimate),
        "intervals": None if fit.intervals is None else _intervals(fit, fit.intervals),
        "doubt": _doubt(result.doubts[i]),
        "em": _em(result, fit),
        "posterior": _posterior(fit, result.orders[i]),
    }


def _doubt(doubt: Doubt | None) -> dict[str, int] | None:
    if doubt is None:
        return None
    return {f"n_{name}": n for name, n in asdict(DoubtCount.of(doubt)).items()}


def _mixture(mixture: NormalMixture) -> dict[str, Any]:
    """A mixture's parameters; with one dimension, plain lists."""
    parts = {"means": mixture.means, "sds": mixture.sds, "variances": mixture.variances}
    entries = {"weights": mixture.weights.tolist()} | {name: _by_axis(part) for name, part in parts.items()}
    return entries if mixture.n_dims == 1 else entries | {"covariances": mixture.covariances.tolist()}


def _intervals(fit: Fit, intervals: Intervals) -> dict[str, Any]:
    sds = spread(fit)
    assert sds is not None, "a fit with intervals has an estimate"
    ends = {
        "standard_errors": (intervals.standard_errors, sds.standard_error),
        "lower": (intervals.lower, sds.lower),
        "upper": (intervals.upper, sds.upper),
    }
    return {"level": intervals.level} | {name: _parameters(*parts) for name, parts in ends.items()}


def _parameters(values: Parameters, sds: Any) -> dict[str, Any]:
    return {
        "weights": values.weights.tolist(),
        "means": _by_axis(values.means),
        "sds": None if sds is None else _by_axis(sds),
        "variances": _by_axis(values.variances),
    }


def _em(result: DataFit, fit: Fit) -> dict[str, Any] | None:
    details = em_details(fit)
    if details is None:
        return None
    certificate, criteria = details.certificate, information_criteria(fit, result.data.dataset.x)
    spurious = None if details.spurious is None else _mixture(details.spurious)
    return {
        "aic": criteria.aic,
        "bic": criteria.bic,
        "n_steps": max(len(details.trace) - 1, 0),
        "newton_decrement": None if certificate is None else certificate.newton_decrement,
        "is_negative_definite": None if certificate is None else certificate.is_negative_definite,
        "is_maximum": None if certificate is None else certificate.is_maximum,
        "n_starts": details.n_starts,
        "n_reached_best": details.n_reached_best,
        "n_collapsed": details.n_collapsed,
        "n_spurious": details.n_spurious,
        "bootstrap": None if details.bootstrap is None else _bootstrap(fit, details.bootstrap),
        "spurious": None
        if spurious is None
        else {"log_likelihood": details.spurious_log_likelihood, "estimate": spurious},
    }


def _bootstrap(fit: Fit, bootstrap: Bootstrap) -> dict[str, Any]:
    """Counts of resamples, and the largest Monte Carlo errors of the intervals that were made of them."""
    values = {one.name: one.value for one in fit.diagnostics}
    return {
        "n_resamples": bootstrap.n_resamples,
        "n_flipped": bootstrap.n_flipped,
        "n_collapsed": bootstrap.n_collapsed,
        "n_not_converged": bootstrap.n_not_converged,
        "mcse_of_errors": values.get("resamples_mcse_of_errors"),
        "mcse_of_ends": values.get("resamples_mcse_of_ends"),
    }


def _posterior(fit: Fit, order: Integers) -> dict[str, Any] | None:
    posterior = posterior_of(fit)
    if posterior is None:
        return None
    n_chains, n_draws = posterior.log_likelihoods.shape
    return {
        "n_chains": n_chains,
        "n_draws": n_draws,
        "n_divergent": int(posterior.stats.diverging.sum()),
        "n_max_depth": int(posterior.stats.max_depth_reached.sum()),
        "diagnostics": {
            "gate": [asdict(row) for row in invariant_rows(posterior)],
            "parameters": [asdict(row) for row in parameter_rows(posterior, order)],
        },
    }


def _agreement(result: DataFit) -> dict[str, Any] | None:
    if result.agreement is None:
        return None
    return {
        "between": [fit.method for fit in result.fits if fit.estimate is not None][:2],
        "is_ambiguous": result.agreement.alignment.is_ambiguous,
        **asdict(result.agreement.distance),
    }


def _known(result: DataFit) -> dict[str, Any] | None:
    known = result.known
    if known is None:
        return None
    return {
        "column": result.label_column,
        "groups": list(known.names),
        "components": list(known.component_names) or None,
        "is_assumed": known.is_assumed,
        "n_unlabelled": int((known.labels < 0).sum()),
        "scores": [_score(score) for score in result.scores],
    }


def _score(score: GroupScores) -> dict[str, Any]:
    return {
        "method": score.method,
        "n": score.n,
        "adjusted_rand_index": score.adjusted_rand_index,
        "error_after_best_mapping": score.error_after_best_mapping,
        "scores": None if score.scores is None else _numbers(score.scores),
        "counts": score.counts.tolist(),
    }


def _datatree(posterior: Posterior, order: Integers) -> Any:
    """The posterior as a DataTree with its components in the common order."""
    is_small = posterior.log_likelihoods.size * len(posterior.x) <= _MOST_NUMBERS
    tree: Any = posterior.to_datatree(with_log_likelihood=is_small)
    draws = tree["posterior"].to_dataset()
    ordered = draws.isel(component=order).assign_coords(component=draws["component"].values)
    tree["posterior"] = type(tree)(ordered)
    return tree


def _by_axis(values: Array) -> Any:
    """Numbers (k, d) as lists; with one dimension, as one list."""
    return values[:, 0].tolist() if values.shape[1] == 1 else values.tolist()


def _numbers(scores: AssignmentScores) -> dict[str, Any]:
    """Scores of one fit, without the bins, which mean something only added over many."""
    return {name: value for name, value in asdict(scores).items() if name != "reliability"}


def _plain(value: Any) -> Any:
    """Numbers that JSON does not have as null."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

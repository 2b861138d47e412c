"""The HTML report of one data file's fits. Computes nothing statistical."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mixtures.comparison.single import Criteria, information_criteria, spread
from mixtures.em.details import EMDetails
from mixtures.model.fit import Fit
from mixtures.model.mixture import NormalMixture
from mixtures.report import figures, numbers
from mixtures.report.data_fit import (
    DataFit,
    DiagnosticRow,
    em_details,
    invariant_rows,
    parameter_rows,
    posterior_of,
)
from mixtures.report.illustrations import Picture, picture
from mixtures.report.observations import count_doubts, draw_doubt, draw_reliability, most_doubtful
from mixtures.report.page import environment

if TYPE_CHECKING:
    from mixtures.bayes.posterior import Posterior


@dataclass(frozen=True, slots=True)
class Entry:
    """One number of a fit as a table shows it: estimate, standard error and interval in words."""

    estimate: str = numbers.MISSING
    error: str = numbers.MISSING
    interval: str = numbers.MISSING


@dataclass(frozen=True, slots=True)
class ParameterLine:
    """A parameter with its entry for each fit, dashes for a fit without an estimate."""

    name: str
    entries: list[Entry]


@dataclass(frozen=True, slots=True, eq=False)
class MaximumView:
    """A fit by EM as its section shows it."""

    anchor: str
    fit: Fit
    details: EMDetails
    criteria: Criteria
    pictures: list[Picture]


@dataclass(frozen=True, slots=True, eq=False)
class PosteriorView:
    """A fit by NUTS as its section shows it: diagnostics that decide, and those of the parameters."""

    anchor: str
    fit: Fit
    posterior: Posterior
    gate: list[DiagnosticRow]
    parameters: list[DiagnosticRow]


def render_fit(result: DataFit, versions: dict[str, Any]) -> str:
    """Return the report of the fits of a data file as the text of a page.

    Parameters
    ----------
    result : DataFit
    versions : dict
        When and on what the fits were computed, and the versions of packages.
    """
    return (
        environment()
        .get_template("fit.html")
        .render(
            result=result,
            versions=versions,
            estimated=[fit for fit in result.fits if fit.estimate is not None],
            lines=parameter_lines(result),
            maxima=list(_maxima(result)),
            posteriors=list(_posteriors(result)),
            doubts=count_doubts(result),
            observations=most_doubtful(result),
            pictures=_pictures(result),
            n_unlabelled=0 if result.known is None else int((result.known.labels < 0).sum()),
        )
    )


def _maxima(result: DataFit) -> Iterator[MaximumView]:
    """The fits by EM, with what EM says of them."""
    n = 0
    for fit in result.fits:
        details = em_details(fit)
        if details is not None:
            n += 1
            anchor = _anchor("em", n)
            criteria = information_criteria(fit, result.data.dataset.x)
            yield MaximumView(anchor, fit, details, criteria, _convergence(details, n))


def _posteriors(result: DataFit) -> Iterator[PosteriorView]:
    """The fits by NUTS, with their diagnostics."""
    n = 0
    for fit, order in zip(result.fits, result.orders, strict=True):
        posterior = posterior_of(fit)
        if posterior is not None:
            n += 1
            parameters = parameter_rows(posterior, order)
            yield PosteriorView(
                _anchor("posterior", n), fit, posterior, invariant_rows(posterior), parameters
            )


def _anchor(kind: str, n: int) -> str:
    return kind if n == 1 else f"{kind}-{n}"


def parameter_lines(result: DataFit) -> list[ParameterLine]:
    """Weights, means and standard deviations of every fit, side by side, in words.

    All fits show a parameter to the same decimals: two significant digits of the smallest standard
    error, or five significant digits of the value where there is none.
    """
    columns = [list(_values(fit, result.data.columns)) for fit in result.fits]
    n_lines = max(map(len, columns))
    at_line = [[column[i] if column else None for column in columns] for i in range(n_lines)]
    return [
        ParameterLine(next(value.name for value in values if value is not None), _entries(values))
        for values in at_line
    ]


@dataclass(frozen=True, slots=True)
class _Value:
    """A parameter of a fit; NaN for what is not known."""

    name: str
    estimate: float
    error: float
    lower: float
    upper: float


def _values(fit: Fit, columns: tuple[str, ...]) -> Iterator[_Value]:
    """Weights, means and standard deviations of a fit; nothing without an estimate."""
    estimate, intervals, sds = fit.estimate, fit.intervals, spread(fit)
    if estimate is None or sds is None:
        return
    ends = () if intervals is None else (intervals.standard_errors, intervals.lower, intervals.upper)
    kinds = {
        "weight": [estimate.weights[:, None], *(end.weights[:, None] for end in ends)],
        "mean": [estimate.means, *(end.means for end in ends)],
        "sd": [sds.estimate, *(a for a in (sds.standard_error, sds.lower, sds.upper) if a is not None)],
    }
    for kind, arrays in kinds.items():
        known = np.stack([*arrays, *[np.full_like(arrays[0], np.nan)] * (4 - len(arrays))])
        for j, axis in np.ndindex(*known.shape[1:]):
            suffix = f", {columns[axis]}" if known.shape[2] > 1 else ""
            yield _Value(f"{kind} {j + 1}{suffix}", *known[:, j, axis].tolist())


def _entries(values: list[_Value | None]) -> list[Entry]:
    errors = [value.error for value in values if value is not None and value.error > 0]
    decimals = numbers.decimals_of(min(errors)) if errors else None
    return [Entry() if value is None else _entry(value, decimals) for value in values]


def _entry(value: _Value, decimals: int | None) -> Entry:
    if decimals is None:
        return Entry(numbers.number(value.estimate, 5))
    if np.isnan(value.error):
        return Entry(numbers.fixed(value.estimate, decimals))
    return Entry(
        numbers.fixed(value.estimate, decimals),
        numbers.fixed(value.error, decimals),
        f"[{numbers.fixed(value.lower, decimals)}, {numbers.fixed(value.upper, decimals)}]",
    )


def _pictures(result: DataFit) -> dict[str, list[Picture]]:
    drawn: dict[str, list[Picture]] = {
        "densities": [],
        "assignments": [],
        "reliability": [],
    }
    fits = {fit.method: fit for fit in result.fits if fit.estimate is not None}
    if fits:
        drawn["densities"] = [_densities(result, fits)]
        drawn["assignments"] = [
            _along_x(result, fits),
            *_against_each_other(result, list(fits.values())),
            *draw_doubt(result),
        ]
        drawn["reliability"] = list(draw_reliability(result))
    return drawn


def _convergence(details: EMDetails, n: int) -> list[Picture]:
    """How the n-th run of the page converged, if it took a step."""
    if len(details.trace) < 2:
        return []
    caption = (
        "Log-likelihood that EM still had to gain at each step of the reported run; "
        "a straight line is linear convergence."
    )
    return [picture(figures.convergence(details.trace), _anchor("convergence", n), caption)]


def _densities(result: DataFit, fits: dict[str, Fit]) -> Picture:
    """The data with the fitted densities, along the first column."""
    x = result.data.dataset.x[:, 0]
    mixtures = {name: _marginal(fit.estimate) for name, fit in fits.items() if fit.estimate is not None}
    caption = (
        f"{result.data.columns[0]}: data (histogram and ticks), and the densities fitted by "
        f"{' and '.join(fits)}, with each component times its weight as a thin line."
    )
    return picture(figures.components(x, mixtures, result.data.columns[0]), "densities", caption)


def _along_x(result: DataFit, fits: dict[str, Fit]) -> Picture:
    x, known = result.data.dataset.x, result.known
    soft = {name: fit.responsibilities for name, fit in fits.items() if fit.responsibilities is not None}
    bands = {
        name: fit.responsibility_intervals
        for name, fit in fits.items()
        if fit.responsibility_intervals is not None
    }
    labels = None if known is None else known.components
    caption = f"Soft assignments along {result.data.columns[0]}"
    caption += ", with intervals as bands" if bands else ""
    if labels is not None:
        caption += (
            "; ticks above are observations that belong to the component, ticks below those that do not"
        )
    figure = figures.along_x(
        x[:, 0], soft, result.data.columns[0], labels=labels, intervals=bands, is_function=x.shape[1] == 1
    )
    return picture(figure, "along-x", f"{caption}.")


def _against_each_other(result: DataFit, fits: list[Fit]) -> Iterator[Picture]:
    if len(fits) < 2:
        return
    first, second = (
        np.exp(fit.log_responsibilities) for fit in fits[:2] if fit.log_responsibilities is not None
    )
    k, known = first.shape[1], result.known
    shown = slice(1, 2) if k == 2 else slice(None)
    is_scored = known is not None and known.components is not None and (known.components >= 0).all()
    member = np.eye(k)[known.components][:, shown].ravel() if known is not None and is_scored else None
    names = (fits[0].method, fits[1].method)
    what = "the second component" if k == 2 else "each component"
    ends = [fit.responsibility_intervals for fit in fits[:2]]
    intervals = [None if one is None else one[:, shown].reshape(-1, 2) for one in ends]
    caption = f"Soft assignments to {what}, {names[1]} against {names[0]}; on the line they agree."
    caption += " Bars are intervals." if any(one is not None for one in ends) else ""
    figure = figures.against_each_other(
        first[:, shown].ravel(), second[:, shown].ravel(), member, names, intervals=intervals
    )
    yield picture(figure, "agreement", caption)


def _marginal(mixture: NormalMixture) -> NormalMixture:
    return NormalMixture.univariate(mixture.weights, mixture.means[:, 0], mixture.variances[:, 0])

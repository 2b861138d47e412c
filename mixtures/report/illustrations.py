"""From the rows of a study to figures with captions: what is drawn of each condition, and in which words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from markupsafe import Markup

from mixtures.comparison.reliability import ReliabilityBin
from mixtures.model.arrays import Array, Integers
from mixtures.model.mixture import NormalMixture
from mixtures.report import figures
from mixtures.report.canvas import to_svg, width_of
from mixtures.study.catalogue import Catalogue
from mixtures.study.claim import PARAMETERS
from mixtures.study.conditions import ORACLE, Condition
from mixtures.study.design import Study
from mixtures.study.replicate import MOST_EXAMPLES
from mixtures.study.store import Store
from mixtures.study.summary import Summary, parameter_name
from mixtures.study.tables import read

if TYPE_CHECKING:
    import pandas as pd

_UNIT = "x, in the data's units"
_UNITS = {
    "weights": "weight",
    "means": "mean, in the data's units",
    "variances": "variance, in the data's units squared",
}


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure as it stands in a page."""

    svg: Markup
    caption: str
    width: int


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """The exemplary replicate of a condition, along the first dimension.

    Attributes
    ----------
    x : (n,) array
    labels : (n,) array of int
        True components, from 0.
    soft : dict of str to (n, k) array
        Soft assignments of each method, and of the oracle.
    truth : NormalMixture or None
    fits : dict of str to NormalMixture
    n_dims : int
        Dimensions of the data, of which these are the first.
    """

    x: Array
    labels: Integers
    soft: dict[str, Array]
    truth: NormalMixture | None
    fits: dict[str, NormalMixture]
    n_dims: int


@dataclass(frozen=True, slots=True, eq=False)
class Gallery:
    """What the figures of a study are drawn from; rows are read one condition at a time."""

    study: Study
    summary: Summary
    catalogue: Catalogue

    @classmethod
    def of(cls, store: Store, summary: Summary) -> Self:
        """Find the rows of a study."""
        return cls(summary.study, summary, Catalogue(store))

    @property
    def methods(self) -> list[str]:
        """Names of the methods, in the study's order."""
        return [method.name for method in self.study.method]

    def fits(self, condition: Condition, *columns: str) -> pd.DataFrame:
        """Some columns of the fits of a condition, beside their keys."""
        return read(self.catalogue, self.study, condition, "fits", columns=columns)

    def parameters(self, condition: Condition, **values: str | int) -> pd.DataFrame:
        """Truths and estimates of some parameters of a condition."""
        columns = ("truth", "estimate")
        return read(self.catalogue, self.study, condition, "parameters", columns=columns, values=values)

    def example(self, condition: Condition) -> Example | None:
        """Return the exemplary replicate of a condition, if its rows are there."""
        own = read(self.catalogue, self.study, condition, "examples")
        own = own[own["replicate"] == own["replicate"].min()]
        if own.empty:
            return None
        replicate = own["replicate"].iloc[0]
        observed = own.drop_duplicates("observation").sort_values("observation")
        rows = self.parameters(condition, replicate=int(replicate))
        n_dims = int(rows["axis"].max()) if len(rows) else 1
        rows = rows[rows["axis"] == 1]
        by_method = {name: rows[rows["method"] == name] for name in self.methods}
        fits = {name: _marginal(cell, "estimate") for name, cell in by_method.items() if len(cell)}
        truths = [_marginal(cell, "truth") for cell in by_method.values() if len(cell)]
        return Example(
            observed["x"].to_numpy(),
            observed["label"].to_numpy() - 1,
            dict(_soft(own, [ORACLE, *self.methods])),
            truths[0] if truths else _constant(condition),
            fits,
            n_dims,
        )

    def densities(self, condition: Condition, example: Example) -> Iterator[Picture]:
        """Draw the true density with the fits to the exemplary replicate."""
        fits = " and ".join(example.fits) or "no method, since none gave an estimate"
        caption = (
            f"{condition.name}: the data of {_first_of(condition)} (histogram and ticks), the true density, "
            f"and the densities fitted by {fits}."
        )
        figure = figures.densities(example.x, example.fits, example.truth, _UNIT)
        yield picture(figure, f"density-{condition.key}", caption)

    def recovery(self, condition: Condition) -> Iterator[Picture]:
        """Draw the estimates of all replicates about the true parameters."""
        for kind in PARAMETERS:
            cell = self.parameters(condition, parameter=kind)
            if cell.empty:
                continue
            if condition.truth.prior is None:
                figure = figures.errors(
                    list(self._strips(condition, kind, cell)),
                    self.methods,
                    f"Estimate less true {_UNITS[kind]}",
                )
                caption = (
                    f"{condition.name}: estimates of the {kind} less the true ones, with quartiles and "
                    "the mean error."
                )
            else:
                pairs = {
                    i: cell.loc[cell["method"] == name, ["truth", "estimate"]].to_numpy()
                    for i, name in enumerate(self.methods)
                    if (cell["method"] == name).any()
                }
                figure = figures.against_truth(cell["truth"].to_numpy(), pairs, self.methods, _UNITS[kind])
                caption = (
                    f"{condition.name}: estimated against true {kind}, all components; on the line they are "
                    "equal."
                )
            n = cell.groupby(["method", "component", "axis"]).size().max()
            yield picture(figure, f"recovery-{kind}-{condition.key}", caption + _of_points(n))

    def assignments(self, condition: Condition, example: Example | None) -> Iterator[Picture]:
        """Draw soft assignments: along x, of one method against another, and their calibration."""
        if example is not None and example.soft:
            yield from self._along_x(condition, example)
            yield from self._against_each_other(condition, example)
        curves = dict(self._curves(condition))
        if curves:
            caption = (
                f"{condition.name}: calibration of the soft assignments of all replicates, in ten bins of "
                "equal width, with 95% intervals that allow for what assignments of one data set have in "
                "common; on the line, assignments come true as often as they say. The oracle, in black, "
                "shows what finite data alone do."
            )
            yield picture(figures.calibration(curves), f"calibration-{condition.key}", caption)

    def ranks(self, condition: Condition, method: str) -> Iterator[Picture]:
        """Draw the ECDF of the ranks of each quantity in the simultaneous band."""
        own = [one for one in self.summary.ranks if (one.condition, one.method) == (condition, method)]
        if own:
            band = own[0].band
            caption = (
                f"{condition.name}, {method}: ECDF of the ranks of each quantity less that of uniform ranks. "
                f"Uniform ranks of one quantity stay in the grey band everywhere with probability "
                f"{band.probability:.3f}."
            )
            figure = figures.rank_ecdfs(
                {one.quantity: one.differences for one in own}, band.lower, band.upper
            )
            yield picture(figure, f"ranks-{condition.key}-{self.methods.index(method)}", caption)

    def timing(self) -> Iterator[Picture]:
        """Draw the seconds of every fit."""
        seconds = {
            (condition.name, i): cell["seconds"].to_numpy()
            for condition in self.study.conditions
            for fits in [self.fits(condition, "seconds")]
            for i, name in enumerate(self.methods)
            if len(cell := fits[(fits["seconds"] > 0) & (fits["method"] == name)])
        }
        if seconds:
            caption = (
                "Seconds of each fit, with the median as a bar; compilation of the sampler is not included."
            )
            n = max(map(len, seconds.values()))
            yield picture(figures.timing(seconds, self.methods), "timing", caption + _of_points(n))

    def _strips(self, condition: Condition, kind: str, cell: pd.DataFrame) -> Iterator[figures.Strip]:
        for one in self.summary.parameters:
            if (one.condition, one.parameter) != (condition, kind):
                continue
            is_own = (
                (cell["method"] == one.method)
                & (cell["component"] == one.component)
                & (cell["axis"] == one.axis)
            )
            errors = (cell["estimate"] - cell["truth"])[is_own].to_numpy()
            label = parameter_name(one.parameter, one.component, one.axis)
            yield figures.Strip(label, self.methods.index(one.method), errors, one.measures["bias"])

    def _along_x(self, condition: Condition, example: Example) -> Iterator[Picture]:
        caption = (
            f"{condition.name}: soft assignments of {_first_of(condition)} along x; ticks above are "
            "observations that belong to the component, ticks below those that do not. The oracle knows "
            "the true parameters."
        )
        figure = figures.along_x(
            example.x, example.soft, _UNIT, labels=example.labels, is_function=example.n_dims == 1
        )
        yield picture(figure, f"along-x-{condition.key}", caption)

    def _against_each_other(self, condition: Condition, example: Example) -> Iterator[Picture]:
        fitted = [name for name in self.methods if name in example.soft]
        for other in fitted[1:]:
            shown = slice(1, 2) if example.soft[other].shape[1] == 2 else slice(None)
            first, second = (example.soft[name][:, shown] for name in (fitted[0], other))
            member = np.eye(example.soft[other].shape[1])[example.labels][:, shown]
            what = "the second component" if shown.start == 1 else "each component"
            caption = (
                f"{condition.name}: soft assignments of {_first_of(condition)} to {what}, {other} against "
                f"{fitted[0]}; on the line they agree."
            )
            figure = figures.against_each_other(
                first.ravel(), second.ravel(), member.ravel(), (fitted[0], other)
            )
            yield picture(figure, f"agreement-{condition.key}-{fitted.index(other)}", caption)

    def _curves(self, condition: Condition) -> Iterator[tuple[str, list[ReliabilityBin]]]:
        for name in (*self.methods, ORACLE):
            for one in self.summary.calibration:
                if (one.condition, one.method) == (condition, name):
                    yield name, one.bins


def _of_points(n: int) -> str:
    """Say how many of n points are drawn, unless all are."""
    most = figures.MOST_POINTS
    return "" if n <= most else f" Of {n:,} points of a kind {most:,} are drawn."


def _first_of(condition: Condition) -> str:
    """The exemplary replicate, in words."""
    some = f"{MOST_EXAMPLES:,} observations of " if condition.n > MOST_EXAMPLES else ""
    return f"{some}the first replicate"


def _soft(rows: pd.DataFrame, names: list[str]) -> Iterator[tuple[str, Array]]:
    for name in names:
        own = rows[rows["method"] == name]
        if len(own):
            yield (
                name,
                own.pivot(index="observation", columns="component", values="responsibility").to_numpy(),
            )


def _constant(condition: Condition) -> NormalMixture | None:
    """The first dimension of a truth that no fit's rows hold."""
    if condition.truth.prior is not None:
        return None
    truth = condition.truth.as_mixture()
    return NormalMixture.univariate(truth.weights, truth.means[:, 0], truth.variances[:, 0])


def _marginal(rows: pd.DataFrame, column: str) -> NormalMixture:
    """The mixture of the first dimension, from the rows of one fit."""
    parts = [
        rows[rows["parameter"] == kind].sort_values("component")[column].to_numpy() for kind in PARAMETERS
    ]
    return NormalMixture.univariate(*parts)


def picture(figure: Any, name: str, caption: str) -> Picture:
    """Put a figure in the form that a page takes; `name` is unique in the page."""
    return Picture(Markup(to_svg(figure, name, caption)), caption, round(width_of(figure)))

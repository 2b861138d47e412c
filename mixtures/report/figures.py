"""Figures: tables in, Figure out. With `canvas` the only importer of matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from mixtures.comparison.performance import Measure, monte_carlo_interval
from mixtures.comparison.reliability import ReliabilityBin
from mixtures.model.arrays import Array, Integers
from mixtures.model.density import log_density
from mixtures.model.mixture import NormalMixture
from mixtures.report.canvas import (
    COLOURS,
    FAINT,
    MARGIN,
    MARKERS,
    POWERS,
    STYLE,
    TRUE,
    canvas,
    jitter,
    legend,
    legend_of,
    line_of,
    plain_logarithmic,
    points_of,
    span_of,
    thinned,
)
from mixtures.report.numbers import LEVEL

MOST_POINTS = 1000  # of one kind that are drawn: more are a bar of one colour
_MANY = 400  # points beyond which they are drawn as pixels: 90 bytes each otherwise
_MOST_TICKS = 300  # of a rug: more would be a solid bar


@dataclass(frozen=True, slots=True, eq=False)
class Strip:
    """Errors of one method on one parameter, one for each replicate, and their mean with its error."""

    label: str
    method: int
    values: Array
    mean: Measure


@rc_context(STYLE)
def densities(x: Array, fits: Mapping[str, NormalMixture], truth: NormalMixture | None, unit: str) -> Figure:
    """Data (n,) as a histogram with the true density, where it is known, and each fit's."""
    figure, axes = canvas(4.8, 3.0)
    axes.hist(x, bins="auto", density=True, color="#e4e4e4", edgecolor="white", linewidth=0.4)
    axes.plot(
        thinned(x, _MOST_TICKS),
        np.zeros(min(len(x), _MOST_TICKS)),
        "|",
        color=FAINT,
        markersize=5,
        markeredgewidth=0.4,
    )
    grid = _grid(x)
    if truth is not None:
        axes.plot(grid, _density(truth, grid), color=TRUE, linewidth=2.2, alpha=0.85, label="truth")
    for i, (name, mixture) in enumerate(fits.items()):
        axes.plot(grid, _density(mixture, grid), **line_of(i), label=name)
    axes.set(xlabel=unit, ylabel="Density", xlim=(grid[0], grid[-1]))
    legend(axes)
    return figure


@rc_context(STYLE)
def components(x: Array, fits: Mapping[str, NormalMixture], unit: str) -> Figure:
    """Data (n,) as a histogram with each fit's density, thin lines for its weighted components."""
    figure = densities(x, fits, None, unit)
    axes, grid = figure.axes[0], _grid(x)
    for i, mixture in enumerate(fits.values()):
        for j in range(mixture.n_components):
            part = NormalMixture.unchecked(
                np.ones(1), mixture.means[j : j + 1], mixture.covariances[j : j + 1]
            )
            style = line_of(i) | {"linewidth": 0.7}
            axes.plot(grid, mixture.weights[j] * _density(part, grid), **style)
    return figure


@rc_context(STYLE)
def errors(strips: Sequence[Strip], methods: Sequence[str], unit: str) -> Figure:
    """Errors of each method on each parameter: replicates, quartiles, and the mean with its interval."""
    labels = list(dict.fromkeys(strip.label for strip in strips))
    figure, axes = canvas(3.6, 0.9 + 0.22 * len(strips) + 0.15 * len(labels))
    low, high = _widened_to_zero(*span_of(np.concatenate([strip.values for strip in strips])))
    axes.axvline(0, color=TRUE, linewidth=0.8)
    y, places, ends = 0.0, [], []
    is_many = sum(len(strip.values) for strip in strips) > _MANY
    for label in labels:
        own = [strip for strip in strips if strip.label == label]
        places.append(y - (len(own) - 1) / 2)
        for strip in own:
            _draw_strip(axes, strip, y, (low, high), rasterized=is_many)
            y -= 1
        ends.append(y)
        y -= 0.7
    axes.set(xlim=(low, high), ylim=(y + 1.1, 0.8), xlabel=unit)
    axes.set_yticks(places, labels)
    axes.tick_params(axis="y", length=0)
    legend_of(axes, methods, {strip.method for strip in strips})
    return figure


@rc_context(STYLE)
def against_truth(truth: Array, estimates: Mapping[int, Array], methods: Sequence[str], unit: str) -> Figure:
    """True and estimated values, (r, 2) by the method's place, about the diagonal."""
    figure, axes = canvas(3.4, 3.1)
    low, high = span_of(truth)
    is_many = sum(len(pairs) for pairs in estimates.values()) > _MANY
    for i, pairs in estimates.items():
        some = thinned(pairs, MOST_POINTS)
        axes.plot(
            some[:, 0],
            np.clip(some[:, 1], low, high),
            **points_of(i),
            markersize=3,
            alpha=0.5,
            rasterized=is_many,
        )
    axes.plot([low, high], [low, high], color=TRUE, linewidth=0.8, zorder=0)
    axes.set(xlabel=f"True {unit}", ylabel=f"Estimated {unit}", xlim=(low, high), ylim=(low, high))
    legend_of(axes, methods, set(estimates))
    return figure


@rc_context(STYLE)
def against_each_other(
    first: Array,
    second: Array,
    member: Array | None,
    names: Sequence[str],
    *,
    intervals: Sequence[Array | None] = (None, None),
) -> Figure:
    """Soft assignments of one method against those of another; `member` says which belong, if known.

    Intervals (m, 2) of either method are thin bars.
    """
    figure, axes = canvas(3.4, 3.1)
    axes.plot([0, 1], [0, 1], color=TRUE, linewidth=0.7, zorder=0)
    bars: dict[str, Any] = {"color": FAINT, "linewidth": 0.5, "alpha": 0.5, "zorder": 1}
    is_many = len(first) > _MANY
    if intervals[0] is not None:
        axes.hlines(second, *intervals[0].T, **bars, rasterized=is_many)
    if intervals[1] is not None:
        axes.vlines(first, *intervals[1].T, **bars, rasterized=is_many)
    known = np.zeros(len(first), dtype=bool) if member is None else member.astype(bool)
    style: dict[str, Any] = {
        "linestyle": "",
        "markersize": 3.5,
        "alpha": 0.6,
        "markeredgewidth": 0,
        "rasterized": is_many,
    }
    labels = ("all observations", "") if member is None else ("does not belong", "belongs")
    for i, part in enumerate((~known, known)):
        if part.any():
            axes.plot(
                first[part], second[part], MARKERS[i], color=COLOURS[3 - 3 * i], label=labels[i], **style
            )
    axes.set(xlabel=f"P(component | x), {names[0]}", ylabel=f"P(component | x), {names[1]}")
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    if member is not None:
        legend(axes)
    return figure


@rc_context(STYLE)
def calibration(curves: Mapping[str, Sequence[ReliabilityBin]]) -> Figure:
    """Share that belonged against mean soft assignment, in bins, with 95% intervals; "oracle" in black."""
    figure, axes = canvas(3.4, 3.1)
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=0.7, zorder=0)
    methods = [name for name in curves if name != "oracle"]
    for name, bins in curves.items():
        i = methods.index(name) if name in methods else None
        style: dict[str, Any] = {"color": TRUE, "linestyle": ":"} if i is None else line_of(i)
        x = [one.assigned for one in bins]
        ends = np.array([[one.belonging.value, one.lower, one.upper] for one in bins])
        y, lower, upper = ends.reshape(-1, 3).T
        style |= {"marker": "o", "markersize": 3, "elinewidth": 0.8, "capsize": 1.5, "label": name}
        axes.errorbar(x, y, [y - lower, upper - y], **style)
    axes.set(
        xlabel="Mean soft assignment", ylabel="Share that belonged", xlim=(-0.03, 1.03), ylim=(-0.03, 1.03)
    )
    legend(axes)
    return figure


@rc_context(STYLE)
def rank_ecdfs(curves: Mapping[str, Array], lower: Array, upper: Array) -> Figure:
    """ECDF of ranks less that of the uniform distribution, (L,), of each quantity, in one band (L,)."""
    columns = min(len(curves), 4)
    shape = (-(-len(curves) // columns), columns)
    figure = Figure(figsize=(1.9 * columns, 0.4 + 1.3 * shape[0]), layout="constrained")
    panels = figure.subplots(*shape, sharex=True, sharey=True, squeeze=False).ravel()
    places = np.arange(1, len(lower) + 1) / (len(lower) + 1)
    for axes, (name, differences) in zip(panels, curves.items(), strict=False):
        axes.fill_between(places, lower, upper, color="#e4e4e4", linewidth=0, step="post")
        axes.axhline(0, color=TRUE, linewidth=0.6)
        axes.step(places, differences, where="post", color=COLOURS[0])
        axes.set_title(name)
    for axes in panels[len(curves) :]:
        axes.set_axis_off()
    figure.supxlabel("Rank as a share of the draws", fontsize=8.5)
    figure.supylabel("ECDF less uniform", fontsize=8.5)
    return figure


@rc_context(STYLE)
def timing(seconds: Mapping[tuple[str, int], Array], methods: Sequence[str]) -> Figure:
    """Seconds of each fit, by condition and the method's place, on a logarithmic axis."""
    rows = list(dict.fromkeys(condition for condition, _ in seconds))
    figure, axes = canvas(5.2, 0.9 + 0.2 * len(seconds) + 0.12 * len(rows))
    is_many = sum(map(len, seconds.values())) > _MANY
    y, places = 0.0, []
    for condition in rows:
        own = [(i, values) for (row, i), values in seconds.items() if row == condition]
        places.append(y - (len(own) - 1) / 2)
        for i, values in own:
            some = thinned(values, MOST_POINTS)
            axes.plot(
                some,
                y + jitter(len(some)),
                **points_of(i),
                markersize=2.5,
                alpha=0.35,
                rasterized=is_many,
            )
            axes.plot(
                np.median(values), y, "|", color=COLOURS[i % len(COLOURS)], markersize=11, markeredgewidth=2
            )
            y -= 1
        y -= 0.6
    axes.set(xscale="log", xlabel="Seconds of one fit, one processor", ylim=(y + 1, 0.8))
    axes.set_yticks(places, rows)
    axes.tick_params(axis="y", length=0)
    plain_logarithmic(axes.xaxis)
    legend_of(axes, methods, {i for _, i in seconds})
    return figure


@rc_context(STYLE)
def along_x(
    x: Array,
    soft: Mapping[str, Array],
    unit: str,
    *,
    labels: Integers | None = None,
    intervals: Mapping[str, Array] | None = None,
    is_function: bool = True,
) -> Figure:
    """Soft assignments (n, k) of each method along x (n,), with intervals (n, k, 2) where there are any.

    One panel for each component, save that of two components the second's is enough. Labels (n,),
    from 0, are shown as ticks above (belongs) and below. Where x is one of several dimensions, soft
    assignments are no function of it, and are drawn as points.
    """
    k = next(iter(soft.values())).shape[1]
    shown = [1] if k == 2 else list(range(k))
    figure = Figure(figsize=(4.0, 1.2 + 1.9 * len(shown)), layout="constrained")
    panels = figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
    order = np.argsort(x, kind="stable")
    for axes, j in zip(panels, shown, strict=True):
        methods = [name for name in soft if name != "oracle"]
        for name, r in soft.items():
            style: dict[str, Any] = (
                {"color": TRUE, "linewidth": 2.2} if name == "oracle" else line_of(methods.index(name))
            )
            if not is_function:
                style |= {
                    "linestyle": "",
                    "marker": ".",
                    "markersize": 3,
                    "alpha": 0.5,
                    "rasterized": len(x) > _MANY,
                }
            elif intervals is not None and name in intervals:
                band = intervals[name][order, j]
                axes.fill_between(
                    x[order], band[:, 0], band[:, 1], color=style["color"], alpha=0.18, linewidth=0
                )
            axes.plot(x[order], r[order, j], label=name, **style)
        _draw_members(axes, x, labels, j)
        axes.set(ylabel=f"P(component {j + 1} | x)", ylim=(-0.09, 1.09))
    panels[-1].set(xlabel=unit)
    legend(panels[0])
    return figure


@rc_context(STYLE)
def doubt_along_x(x: Array, doubts: Mapping[str, tuple[Array, Array]], unit: str) -> Figure:
    """Doubt along x (n,) of each method in a panel of its own: by overlap (n,), and on top by parameters."""
    figure = Figure(figsize=(4.0, 1.0 + 1.5 * len(doubts)), layout="constrained")
    panels = figure.subplots(len(doubts), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    order = np.argsort(x, kind="stable")
    for i, (axes, (name, parts)) in enumerate(zip(panels, doubts.items(), strict=True)):
        overlap, parameters = (part[order] for part in parts)
        colour, at = COLOURS[i % len(COLOURS)], x[order]
        axes.fill_between(at, 0, overlap, color=colour, alpha=0.25, linewidth=0, label="overlap")
        axes.fill_between(
            at, overlap, overlap + parameters, color=colour, alpha=0.8, linewidth=0, label="parameters"
        )
        axes.set(ylabel=f"Doubt, {name} (nats)")
        axes.set_ylim(bottom=0)
        legend(axes)
    panels[-1].set(xlabel=unit)
    return figure


@rc_context(STYLE)
def convergence(trace: Array) -> Figure:
    """Log-likelihood (t,) that EM still had to gain at each step, on a logarithmic axis."""
    figure, axes = canvas(4.4, 2.8)
    gap = trace[-1] - trace
    shown = gap > 0
    axes.plot(
        np.flatnonzero(shown),
        gap[shown],
        **line_of(0),
        marker="o" if shown.sum() < 60 else "",
        markersize=2.5,
    )
    axes.set(yscale="log", xlabel="Step of EM", ylabel="Log-likelihood still to gain")
    axes.locator_params(axis="x", integer=True)
    if gap[shown].max(initial=0) < 100 * gap[shown].min(initial=np.inf):
        plain_logarithmic(axes.yaxis)
    axes.yaxis.set_major_formatter(POWERS)
    axes.yaxis.set_minor_formatter(NullFormatter())
    return figure


def _widened_to_zero(low: float, high: float) -> tuple[float, float]:
    """Ends of an axis that holds 0 too, if 0 is no further away than the axis is long."""
    length = high - low
    if 0 <= low <= length:
        return -MARGIN * length, high
    if -length <= high <= 0:
        return low, MARGIN * length
    return low, high


def _draw_strip(axes: Axes, strip: Strip, y: float, ends: tuple[float, float], *, rasterized: bool) -> None:
    colour = COLOURS[strip.method % len(COLOURS)]
    inside = np.clip(thinned(strip.values, MOST_POINTS), *ends)
    axes.plot(
        inside,
        y + jitter(len(inside)),
        **points_of(strip.method),
        markersize=2.5,
        alpha=0.3,
        rasterized=rasterized,
        clip_on=False,
    )
    axes.plot(
        np.quantile(strip.values, [0.25, 0.75]),
        [y, y],
        color=colour,
        linewidth=4,
        alpha=0.45,
        solid_capstyle="butt",
    )
    lower, upper = monte_carlo_interval(strip.mean, LEVEL)
    if np.isfinite([lower, upper]).all():
        axes.plot([lower, upper], [y, y], color=TRUE, linewidth=1.1, marker="|", markersize=5)
    axes.plot(strip.mean.value, y, "o", color=TRUE, markersize=3)


def _draw_members(axes: Axes, x: Array, labels: Integers | None, component: int) -> None:
    if labels is None:
        return
    for belongs, place in ((True, 1.055), (False, -0.055)):
        ticks = thinned(x[(labels == component) == belongs], _MOST_TICKS)
        axes.plot(ticks, np.full(len(ticks), place), "|", color=FAINT, markersize=5, markeredgewidth=0.5)


def _grid(x: Array) -> Array:
    margin = 0.08 * (float(np.ptp(x)) or 1.0)
    return np.linspace(float(x.min()) - margin, float(x.max()) + margin, 241)


def _density(mixture: NormalMixture, grid: Array) -> Array:
    density: Array = np.exp(log_density(mixture, grid[:, None]))
    return density

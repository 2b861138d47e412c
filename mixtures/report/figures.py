"""Figures: tables in, Figure out. The only importer of matplotlib.

Methods keep their colour and line style from figure to figure, in a palette that colour-blind
readers can tell apart (Okabe & Ito 2008); what is true is black. The file is longer than others so
that one place alone knows matplotlib.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from mixtures.comparison.performance import Measure, monte_carlo_interval
from mixtures.comparison.reliability import ReliabilityBin
from mixtures.model.arrays import Array, Integers
from mixtures.model.density import log_density
from mixtures.model.mixture import NormalMixture
from mixtures.report.numbers import LEVEL
from mixtures.report.svg import as_element

TRUE = "#111111"
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_DASHES = ("-", (0, (5, 1.5)), "-.", (0, (1, 1)), (0, (3, 1, 1, 1, 1, 1)), (0, (7, 2)))
_MARKERS = ("o", "s", "^", "D", "v", "P")
_FAINT = "#8a8a8a"
_MANY = 400  # points beyond which they are drawn as pixels: 90 bytes each otherwise
_MOST_TICKS = 300  # of a rug: more would be a solid bar
_POWERS = FuncFormatter(lambda value, _: f"{value:g}")
_INCHES_OF_LETTER, _INCHES_OF_LINE, _INCHES_OF_MARGIN = 0.065, 0.45, 0.4  # of a legend, about
_STYLE: dict[Any, Any] = {
    "font.size": 8.5,
    "axes.labelsize": 8.5,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "axes.linewidth": 0.7,
    "axes.labelcolor": "#222222",
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "legend.handlelength": 2.2,
    "legend.borderaxespad": 0.2,
    "lines.linewidth": 1.4,
    "text.parse_math": False,
    "svg.fonttype": "none",
    "savefig.dpi": 200,
}


@dataclass(frozen=True, slots=True, eq=False)
class Strip:
    """Errors of one method on one parameter, one for each replicate, and their mean with its error."""

    label: str
    method: int
    values: Array
    mean: Measure


@rc_context(_STYLE)
def densities(x: Array, fits: Mapping[str, NormalMixture], truth: NormalMixture | None, unit: str) -> Figure:
    """Data (n,) as a histogram with the true density, where it is known, and each fit's."""
    figure, axes = _canvas(4.8, 3.0)
    axes.hist(x, bins="auto", density=True, color="#e4e4e4", edgecolor="white", linewidth=0.4)
    axes.plot(
        _thinned(x, _MOST_TICKS),
        np.zeros(min(len(x), _MOST_TICKS)),
        "|",
        color=_FAINT,
        markersize=5,
        markeredgewidth=0.4,
    )
    grid = _grid(x)
    if truth is not None:
        axes.plot(grid, _density(truth, grid), color=TRUE, linewidth=2.2, alpha=0.85, label="truth")
    for i, (name, mixture) in enumerate(fits.items()):
        axes.plot(grid, _density(mixture, grid), **_line(i), label=name)
    axes.set(xlabel=unit, ylabel="Density", xlim=(grid[0], grid[-1]))
    _legend(axes)
    return figure


@rc_context(_STYLE)
def components(x: Array, fits: Mapping[str, NormalMixture], unit: str) -> Figure:
    """Data (n,) as a histogram with each fit's density, thin lines for its weighted components."""
    figure = densities(x, fits, None, unit)
    axes, grid = figure.axes[0], _grid(x)
    for i, mixture in enumerate(fits.values()):
        for j in range(mixture.n_components):
            part = NormalMixture.unchecked(
                np.ones(1), mixture.means[j : j + 1], mixture.covariances[j : j + 1]
            )
            style = _line(i) | {"linewidth": 0.7}
            axes.plot(grid, mixture.weights[j] * _density(part, grid), **style)
    return figure


@rc_context(_STYLE)
def errors(strips: Sequence[Strip], methods: Sequence[str], unit: str) -> Figure:
    """Errors of each method on each parameter: replicates, quartiles, and the mean with its interval."""
    labels = list(dict.fromkeys(strip.label for strip in strips))
    figure, axes = _canvas(3.6, 0.9 + 0.22 * len(strips) + 0.15 * len(labels))
    low, high = _range(np.concatenate([strip.values for strip in strips]))
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
    _legend_of(axes, methods, {strip.method for strip in strips})
    return figure


@rc_context(_STYLE)
def against_truth(truth: Array, estimates: Mapping[int, Array], methods: Sequence[str], unit: str) -> Figure:
    """True and estimated values, (r, 2) by the method's place, about the diagonal."""
    figure, axes = _canvas(3.4, 3.1)
    low, high = _range(truth)
    is_many = sum(len(pairs) for pairs in estimates.values()) > _MANY
    for i, pairs in estimates.items():
        inside = np.clip(pairs[:, 1], low, high)
        axes.plot(pairs[:, 0], inside, **_points(i), markersize=3, alpha=0.5, rasterized=is_many)
    axes.plot([low, high], [low, high], color=TRUE, linewidth=0.8, zorder=0)
    axes.set(xlabel=f"True {unit}", ylabel=f"Estimated {unit}", xlim=(low, high), ylim=(low, high))
    _legend_of(axes, methods, set(estimates))
    return figure


@rc_context(_STYLE)
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
    figure, axes = _canvas(3.4, 3.1)
    axes.plot([0, 1], [0, 1], color=TRUE, linewidth=0.7, zorder=0)
    bars: dict[str, Any] = {"color": _FAINT, "linewidth": 0.5, "alpha": 0.5, "zorder": 1}
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
                first[part], second[part], _MARKERS[i], color=_COLOURS[3 - 3 * i], label=labels[i], **style
            )
    axes.set(xlabel=f"P(component | x), {names[0]}", ylabel=f"P(component | x), {names[1]}")
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    if member is not None:
        _legend(axes)
    return figure


@rc_context(_STYLE)
def calibration(curves: Mapping[str, Sequence[ReliabilityBin]]) -> Figure:
    """Share that belonged against mean soft assignment, in bins, with 95% intervals; "oracle" in black."""
    figure, axes = _canvas(3.4, 3.1)
    axes.plot([0, 1], [0, 1], color=_FAINT, linewidth=0.7, zorder=0)
    methods = [name for name in curves if name != "oracle"]
    for name, bins in curves.items():
        i = methods.index(name) if name in methods else None
        style: dict[str, Any] = {"color": TRUE, "linestyle": ":"} if i is None else _line(i)
        x = [one.assigned for one in bins]
        ends = np.array([[one.belonging.value, one.lower, one.upper] for one in bins])
        y, lower, upper = ends.reshape(-1, 3).T
        style |= {"marker": "o", "markersize": 3, "elinewidth": 0.8, "capsize": 1.5, "label": name}
        axes.errorbar(x, y, [y - lower, upper - y], **style)
    axes.set(
        xlabel="Mean soft assignment", ylabel="Share that belonged", xlim=(-0.03, 1.03), ylim=(-0.03, 1.03)
    )
    _legend(axes)
    return figure


@rc_context(_STYLE)
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
        axes.step(places, differences, where="post", color=_COLOURS[0])
        axes.set_title(name)
    for axes in panels[len(curves) :]:
        axes.set_axis_off()
    figure.supxlabel("Rank as a share of the draws", fontsize=8.5)
    figure.supylabel("ECDF less uniform", fontsize=8.5)
    return figure


@rc_context(_STYLE)
def timing(seconds: Mapping[tuple[str, int], Array], methods: Sequence[str]) -> Figure:
    """Seconds of each fit, by condition and the method's place, on a logarithmic axis."""
    rows = list(dict.fromkeys(condition for condition, _ in seconds))
    figure, axes = _canvas(5.2, 0.9 + 0.2 * len(seconds) + 0.12 * len(rows))
    is_many = sum(map(len, seconds.values())) > _MANY
    y, places = 0.0, []
    for condition in rows:
        own = [(i, values) for (row, i), values in seconds.items() if row == condition]
        places.append(y - (len(own) - 1) / 2)
        for i, values in own:
            axes.plot(
                values, y + _jitter(len(values)), **_points(i), markersize=2.5, alpha=0.35, rasterized=is_many
            )
            axes.plot(
                np.median(values), y, "|", color=_COLOURS[i % len(_COLOURS)], markersize=11, markeredgewidth=2
            )
            y -= 1
        y -= 0.6
    axes.set(xscale="log", xlabel="Seconds of one fit, one processor", ylim=(y + 1, 0.8))
    axes.set_yticks(places, rows)
    axes.tick_params(axis="y", length=0)
    _plain_logarithmic(axes.xaxis)
    _legend_of(axes, methods, {i for _, i in seconds})
    return figure


@rc_context(_STYLE)
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
                {"color": TRUE, "linewidth": 2.2} if name == "oracle" else _line(methods.index(name))
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
    _legend(panels[0])
    return figure


@rc_context(_STYLE)
def doubt_along_x(x: Array, doubts: Mapping[str, tuple[Array, Array]], unit: str) -> Figure:
    """Doubt along x (n,) of each method in a panel of its own: by overlap (n,), and on top by parameters."""
    figure = Figure(figsize=(4.0, 1.0 + 1.5 * len(doubts)), layout="constrained")
    panels = figure.subplots(len(doubts), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    order = np.argsort(x, kind="stable")
    for i, (axes, (name, parts)) in enumerate(zip(panels, doubts.items(), strict=True)):
        overlap, parameters = (part[order] for part in parts)
        colour, at = _COLOURS[i % len(_COLOURS)], x[order]
        axes.fill_between(at, 0, overlap, color=colour, alpha=0.25, linewidth=0, label="overlap")
        axes.fill_between(
            at, overlap, overlap + parameters, color=colour, alpha=0.8, linewidth=0, label="parameters"
        )
        axes.set(ylabel=f"Doubt, {name} (nats)")
        axes.set_ylim(bottom=0)
        _legend(axes)
    panels[-1].set(xlabel=unit)
    return figure


@rc_context(_STYLE)
def convergence(trace: Array) -> Figure:
    """Log-likelihood (t,) that EM still had to gain at each step, on a logarithmic axis."""
    figure, axes = _canvas(4.4, 2.8)
    gap = trace[-1] - trace
    shown = gap > 0
    axes.plot(
        np.flatnonzero(shown), gap[shown], **_line(0), marker="o" if shown.sum() < 60 else "", markersize=2.5
    )
    axes.set(yscale="log", xlabel="Step of EM", ylabel="Log-likelihood still to gain")
    if gap[shown].max(initial=0) < 100 * gap[shown].min(initial=np.inf):
        _plain_logarithmic(axes.yaxis)
    axes.yaxis.set_major_formatter(_POWERS)
    axes.yaxis.set_minor_formatter(NullFormatter())
    return figure


def to_svg(figure: Figure, name: str, description: str) -> str:
    """Return a figure as an SVG element to put into a page: the same figure gives the same text.

    Parameters
    ----------
    figure : Figure
    name : str
        Unique in the page: what the figure's parts are called by.
    description : str
        What the figure shows, for readers who do not see it.
    """
    buffer = io.StringIO()
    with rc_context(_STYLE | {"svg.hashsalt": name}):
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    return as_element(buffer.getvalue(), description)


def width_of(figure: Figure) -> float:
    """Width that a figure was drawn for, in CSS pixels."""
    return float(figure.get_figwidth() * 96)


def _plain_logarithmic(axis: Axis) -> None:
    """Label 1, 2 and 5 of each power of ten, as numbers."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(_POWERS)
    axis.set_minor_formatter(NullFormatter())


def _canvas(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _line(i: int) -> dict[str, Any]:
    return {"color": _COLOURS[i % len(_COLOURS)], "linestyle": _DASHES[i % len(_DASHES)]}


def _points(i: int) -> dict[str, Any]:
    return {
        "color": _COLOURS[i % len(_COLOURS)],
        "marker": _MARKERS[i % len(_MARKERS)],
        "linestyle": "",
        "markeredgewidth": 0,
    }


def _legend(axes: Axes) -> None:
    """Name the lines above the axes, where nothing is hidden."""
    labels = axes.get_legend_handles_labels()[1]
    if labels:
        width = _INCHES_OF_LINE + _INCHES_OF_LETTER * max(map(len, labels))
        room = cast("Figure", axes.figure).get_figwidth() - _INCHES_OF_MARGIN
        columns = max(1, min(len(labels), 4, int(room / width)))
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.01), ncols=columns, columnspacing=1.4)


def _legend_of(axes: Axes, methods: Sequence[str], shown: set[int]) -> None:
    for i in sorted(shown):
        axes.plot([], [], **_points(i), markersize=4, label=methods[i])
    _legend(axes)


def _draw_strip(axes: Axes, strip: Strip, y: float, ends: tuple[float, float], *, rasterized: bool) -> None:
    colour = _COLOURS[strip.method % len(_COLOURS)]
    inside = np.clip(strip.values, *ends)
    axes.plot(
        inside,
        y + _jitter(len(inside)),
        **_points(strip.method),
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
        ticks = _thinned(x[(labels == component) == belongs], _MOST_TICKS)
        axes.plot(ticks, np.full(len(ticks), place), "|", color=_FAINT, markersize=5, markeredgewidth=0.5)


def _jitter(n: int) -> Array:
    """Offsets that tell points apart, the same every time: multiples of the golden ratio."""
    return (np.arange(n, dtype=np.float64) * 0.6180339887 % 1 - 0.5) * 0.5


def _range(values: Array) -> tuple[float, float]:
    """Ends of an axis that holds all but a few far values, and the truth, 0, where it is within reach."""
    low, high = np.quantile(values, [0.005, 0.995])
    margin = 0.06 * (high - low) or 0.06 * abs(high) or 1.0
    return float(low - margin), float(high + margin)


def _grid(x: Array) -> Array:
    margin = 0.08 * (float(np.ptp(x)) or 1.0)
    return np.linspace(float(x.min()) - margin, float(x.max()) + margin, 241)


def _density(mixture: NormalMixture, grid: Array) -> Array:
    density: Array = np.exp(log_density(mixture, grid[:, None]))
    return density


def _thinned(values: Array, most: int) -> Array:
    return values if len(values) <= most else values[np.linspace(0, len(values) - 1, most).astype(np.int64)]

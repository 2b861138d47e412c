"""What all figures share: style, colours, legends, and the way into a page.

Methods keep their colour and line style from figure to figure, in a palette that colour-blind
readers can tell apart (Okabe & Ito 2008); what is true is black.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from mixtures.model.arrays import Array
from mixtures.report.svg import as_element

TRUE = "#111111"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_DASHES = ("-", (0, (5, 1.5)), "-.", (0, (1, 1)), (0, (3, 1, 1, 1, 1, 1)), (0, (7, 2)))
MARKERS = ("o", "s", "^", "D", "v", "P")
FAINT = "#8a8a8a"
MARGIN = 0.06  # of an axis, as a share of what it holds
POWERS = FuncFormatter(lambda value, _: f"{value:g}")
_INCHES_OF_LETTER, _INCHES_OF_LINE, _INCHES_OF_MARGIN = 0.065, 0.45, 0.4  # of a legend, about
STYLE: dict[Any, Any] = {
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
_MOST_FOR_FIVES = 100.0  # times from end to end of a logarithmic axis, up to which ticks at 2 and 5 have room


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
    with rc_context(STYLE | {"svg.hashsalt": name}):
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    return as_element(buffer.getvalue(), description)


def width_of(figure: Figure) -> float:
    """Width that a figure was drawn for, in CSS pixels."""
    return float(figure.get_figwidth() * 96)


def plain_logarithmic(axis: Axis) -> None:
    """Label 1, 2 and 5 of each power of ten, as numbers; the powers alone on a long axis."""
    low, high = axis.get_view_interval()
    has_room = high < _MOST_FOR_FIVES * low
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if has_room else (1,)))
    axis.set_major_formatter(POWERS)
    axis.set_minor_formatter(NullFormatter())


def canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """Return an empty figure of so many inches, and its axes."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def line_of(i: int) -> dict[str, Any]:
    """Colour and dashes of a method's line."""
    return {"color": COLOURS[i % len(COLOURS)], "linestyle": _DASHES[i % len(_DASHES)]}


def points_of(i: int) -> dict[str, Any]:
    """Colour and marker of a method's points."""
    return {
        "color": COLOURS[i % len(COLOURS)],
        "marker": MARKERS[i % len(MARKERS)],
        "linestyle": "",
        "markeredgewidth": 0,
    }


def legend(axes: Axes) -> None:
    """Name the lines above the axes, where nothing is hidden."""
    labels = axes.get_legend_handles_labels()[1]
    if labels:
        width = _INCHES_OF_LINE + _INCHES_OF_LETTER * max(map(len, labels))
        room = cast("Figure", axes.figure).get_figwidth() - _INCHES_OF_MARGIN
        columns = max(1, min(len(labels), 4, int(room / width)))
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.01), ncols=columns, columnspacing=1.4)


def legend_of(axes: Axes, methods: Sequence[str], shown: set[int]) -> None:
    """Name the methods whose points are shown."""
    for i in sorted(shown):
        axes.plot([], [], **points_of(i), markersize=4, label=methods[i])
    legend(axes)


def jitter(n: int) -> Array:
    """Offsets that tell points apart, the same every time: multiples of the golden ratio."""
    return (np.arange(n, dtype=np.float64) * 0.6180339887 % 1 - 0.5) * 0.5


def span_of(values: Array) -> tuple[float, float]:
    """Ends of an axis that holds all but a few far values."""
    low, high = np.quantile(values, [0.005, 0.995])
    margin = MARGIN * (high - low) or MARGIN * abs(high) or 1.0
    return float(low - margin), float(high + margin)


def thinned(values: Array, most: int) -> Array:
    """Return at most so many of the values, evenly spaced."""
    return values if len(values) <= most else values[np.linspace(0, len(values) - 1, most).astype(np.int64)]

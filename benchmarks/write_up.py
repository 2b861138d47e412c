"""Draw the figures of docs/benchmarks.md and fill in its table: ``python -m benchmarks.write_up FOLDER``."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.timing import Measured

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DOCS = Path("docs")
_BEGIN, _END = "<!-- results -->\n", "<!-- end of results -->"
_ORDER = (
    *("passes", "passes-avx2", "threads", "memory", "modes"),
    *("fits", "posterior", "studies", "coordinator", "command"),
)
_COLOURS = {"this library": "#0072b2", "scikit-learn": "#d55e00"}


def load(folder: Path, name: str) -> list[Measured]:
    """Read one benchmark's result."""
    return [Measured(**entry) for entry in json.loads((folder / f"{name}.json").read_text())["measured"]]


def table(results: dict[str, list[Measured]]) -> str:
    """Everything measured, as a table for each benchmark."""
    head = "| what | where | target | median | quartiles | n | |\n|---|---|---|---|---|---|---|\n"
    return "\n".join(f"\n### {name}\n\n{head}{''.join(map(_row, rows))}" for name, rows in results.items())


def _row(result: Measured) -> str:
    where = ", ".join(f"{key} = {_number(value)}" for key, value in result.at.items())
    sign, bound = ("≤", result.at_most) if result.at_most is not None else ("≥", result.at_least)
    target = "" if bound is None else f"{sign} {bound:g}"
    spread = "" if result.n == 1 else f"{_rounded(result.low)} to {_rounded(result.high)}"
    verdict = {True: "met", False: "**missed**", None: ""}[result.is_met]
    median = f"{_rounded(result.median)} {result.unit}"
    return f"| {result.name} | {where} | {target} | {median} | {spread} | {result.n} | {verdict} |\n"


def _rounded(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _number(value: str | float) -> str:
    if isinstance(value, str):
        return value
    return f"{value:g}" if value < 1_000_000 else f"{value:.0e}".replace("e+0", "e")


def draw_growth(growth: list[Measured], studies: list[Measured], path: Path) -> None:
    """Times over n, k, d and starts, and a study's rate over workers."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6), layout="constrained")
    axes = figure.subplots(2, 3).ravel()
    _lines(axes[0], growth, "EM pass", "n", "observations n (k = 2, d = 1)")
    _lines(axes[1], growth, "EM pass", "k", "components k (n = 10,000, d = 1)")
    _lines(axes[2], growth, "EM pass", "d", "dimensions d (n = 10,000, k = 3)")
    _lines(axes[3], growth, "fit", "n", "observations n (k = 2, ten starts)")
    _lines(axes[4], growth, "fit", "starts", "starts (n = 500, k = 2)")
    rates = [one for one in studies if one.name == "replicates a second and core"]
    axes[5].errorbar([one.at["workers"] for one in rates], *_with_spread(rates), fmt="o", color="#0072b2")
    axes[5].set(
        xlabel="workers", ylabel="replicates a second and core", xticks=[1, 2], xlim=(0.5, 2.5), ylim=(0, 500)
    )
    for axis in axes[:3]:
        axis.set_ylabel("microseconds an EM step")
    for axis in axes[3:5]:
        axis.set_ylabel("microseconds a fit")
    axes[0].legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})


def _lines(axis: Axes, results: list[Measured], name: str, over: str, label: str) -> None:
    """One line for each contestant, on logarithmic scales, with quartiles."""
    chosen = [one for one in results if one.name == name and one.at["over"] == over]
    for by, colour in _COLOURS.items():
        own = [one for one in chosen if one.at.get("by", "this library") == by]
        if own:
            axis.errorbar(
                [one.at[over] for one in own], *_with_spread(own), fmt="o-", ms=4, color=colour, label=by
            )
    axis.set(xscale="log", yscale="log", xlabel=label)


def _with_spread(results: list[Measured]) -> tuple[list[float], list[list[float]]]:
    medians = [one.median for one in results]
    down, up = [one.median - one.low for one in results], [one.high - one.median for one in results]
    return medians, [down, up]


def draw_targets(results: dict[str, list[Measured]], path: Path) -> None:
    """Every figure with a target, as a multiple of it: above 1 it is met."""
    from matplotlib.figure import Figure

    rows = [(name, one) for name, several in results.items() for one in several if one.is_met is not None]
    # Memory is thousands of times below its target, and "none" or "the same" has no multiples.
    rows = [row for row in rows if row[1].unit in {"x", "%", "1/s", "s", "ms"}][::-1]
    figure = Figure(figsize=(10, 0.3 * len(rows) + 1), layout="constrained")
    axis = figure.subplots()
    for place, (_, one) in enumerate(rows):
        multiple = _multiple(one)
        ends = sorted(map(multiple, (max(one.low, 1e-9), max(one.high, 1e-9))))
        colour = "#0072b2" if one.is_met else "#d55e00"
        axis.plot(ends, [place, place], color=colour)
        axis.plot(multiple(one.median), place, "o", color=colour)
    axis.set_yticks(range(len(rows)), [_label(name, one) for name, one in rows])
    axis.axvline(1, color="black", lw=1)
    axis.set(xscale="log", xlabel="measured against target: right of 1 it is met")
    figure.savefig(path, metadata={"Date": None})


def _multiple(one: Measured) -> Callable[[float], float]:
    at_least, at_most = one.at_least, one.at_most
    if at_least is not None:
        return lambda value: value / at_least
    return lambda value: (at_most or 0.0) / value


def _label(name: str, one: Measured) -> str:
    where = ", ".join(
        f"{key} = {_number(value)}" for key, value in one.at.items() if key not in {"data sets", "replicates"}
    )
    where += ", no AVX-512" if name == "passes-avx2" else ""
    return f"{one.name} ({where})" if where else one.name


def main() -> None:
    """Write the table into docs/benchmarks.md, and the figures and results beside it."""
    from matplotlib import rcParams

    folder, beside = Path(sys.argv[1]), _DOCS / "benchmarks"
    beside.mkdir(exist_ok=True)
    results = {name: load(folder, name) for name in _ORDER if (folder / f"{name}.json").exists()}
    rcParams.update({"svg.hashsalt": "benchmarks", "svg.fonttype": "none", "font.size": 9})
    rcParams.update(
        {"axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.3}
    )
    draw_growth(load(folder, "growth"), results["studies"], beside / "growth.svg")
    draw_targets(results, beside / "targets.svg")
    if folder.resolve() != beside.resolve():
        for path in folder.glob("*.json"):
            shutil.copy(path, beside)
    page = _DOCS / "benchmarks.md"
    before, rest = page.read_text().split(_BEGIN)
    page.write_text(before + _BEGIN + table(results) + "\n" + _END + rest.split(_END)[1])


if __name__ == "__main__":
    main()

"""What the report of a fit says observation by observation: soft assignments and the doubt about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

from mixtures.comparison.doubt import SETTLED, Doubt, Source
from mixtures.comparison.performance import Measure
from mixtures.comparison.reliability import reliability_curve
from mixtures.model.fit import Fit
from mixtures.report import figures, numbers
from mixtures.report.data_fit import DataFit
from mixtures.report.illustrations import Picture, picture

_MOST_LINES = 20


@dataclass(frozen=True, slots=True)
class ObservationEntry:
    """One fit's soft assignment of an observation to the line's component, and its doubt, in words."""

    probability: str = numbers.MISSING
    interval: str = numbers.MISSING
    overlap: str = numbers.MISSING
    parameters: str = numbers.MISSING
    stability: str = numbers.MISSING


@dataclass(frozen=True, slots=True)
class ObservationLine:
    """An observation, the component that the first fit gives most, and an entry for each fit.

    `row` is the first row of data with these values, and `n` the number of them.
    """

    row: int
    n: int
    values: list[str]
    component: int
    entries: list[ObservationEntry]


@dataclass(frozen=True, slots=True)
class DoubtCount:
    """How many observations of a fit are in doubt, by its larger part, and whose hard assignment is open."""

    in_doubt: int
    by_overlap: int
    by_parameters: int
    not_settled: int

    @classmethod
    def of(cls, doubt: Doubt) -> Self:
        """Count the observations."""
        counts = Counter(doubt.sources())
        overlap, parameters = counts[Source.OVERLAP], counts[Source.PARAMETERS]
        not_settled = int((doubt.stability.values < SETTLED).sum())
        return cls(overlap + parameters, overlap, parameters, not_settled)


def count_doubts(result: DataFit) -> dict[str, DoubtCount]:
    """Count the observations in doubt under each fit whose doubt can be split, by its method."""
    return {fit.method: DoubtCount.of(doubt) for fit, doubt in _split_fits(result)}


def most_doubtful(result: DataFit) -> list[ObservationLine]:
    """Return the distinct observations that some fit is least sure of, by its soft assignments' entropy."""
    from scipy.special import entr

    soft = [fit.responsibilities for fit in result.fits if fit.responsibilities is not None]
    if not soft or result.spec.n_components == 1:
        return []
    _, first, counts = np.unique(result.data.dataset.x, axis=0, return_index=True, return_counts=True)
    entropies = np.max([entr(r[first]).sum(axis=1) for r in soft], axis=0)
    worst = np.sort(np.argsort(-entropies, kind="stable")[:_MOST_LINES])  # in the order of their values
    return [
        _line(result, i, n, int(soft[0][i].argmax()))
        for i, n in zip(first[worst].tolist(), counts[worst].tolist(), strict=True)
    ]


def draw_doubt(result: DataFit) -> Iterator[Picture]:
    """Draw the split of the doubt along x, where it is known."""
    parts = {
        fit.method: (doubt.overlap.values, doubt.parameters.values) for fit, doubt in _split_fits(result)
    }
    if parts:
        unit = result.data.columns[0]
        caption = (
            f"Doubt about the component of an observation along {unit}, in nats: by overlap of the "
            "components (faint), which remains however well the parameters are known, and on top of it by "
            "uncertainty of the parameters (full). Two equally probable components make 0.69."
        )
        figure = figures.doubt_along_x(result.data.dataset.x[:, 0], parts, unit)
        yield picture(figure, "doubt", caption)


def draw_reliability(result: DataFit) -> Iterator[Picture]:
    """Draw how often soft assignments came true, where the known groups make up the components."""
    curves = {
        one.method: reliability_curve([one.scores.reliability])
        for one in result.scores
        if one.scores is not None
    }
    if curves:
        caption = (
            "Share of the soft assignments that belonged to their component, against their mean, in ten "
            "bins of equal width, with 95% Wilson intervals; on the line, assignments come true as often as "
            "they say. The intervals take the fit as it is: what all observations owe to one estimate is "
            "not in them."
        )
        yield picture(figures.calibration(curves), "reliability", caption)


def _split_fits(result: DataFit) -> Iterator[tuple[Fit, Doubt]]:
    for fit, doubt in zip(result.fits, result.doubts, strict=True):
        if doubt is not None:
            yield fit, doubt


def _line(result: DataFit, i: int, n: int, component: int) -> ObservationLine:
    entries = [
        _entry(fit, doubt, i, component)
        for fit, doubt in zip(result.fits, result.doubts, strict=True)
        if fit.estimate is not None
    ]
    values = [numbers.number(value) for value in result.data.dataset.x[i].tolist()]
    return ObservationLine(int(result.data.rows[i]) + 1, n, values, component + 1, entries)


def _entry(fit: Fit, doubt: Doubt | None, i: int, component: int) -> ObservationEntry:
    if fit.responsibilities is None:
        return ObservationEntry()
    probability, interval = numbers.fixed(fit.responsibilities[i, component], 3), numbers.MISSING
    if fit.responsibility_intervals is not None:
        lower, upper = fit.responsibility_intervals[i, component]
        interval = f"[{numbers.fixed(lower, 3)}, {numbers.fixed(upper, 3)}]"
    if doubt is None:
        return ObservationEntry(probability, interval)
    parts = [
        numbers.estimate(Measure(part.values[i], part.mcse[i], part.n_batches))
        for part in (doubt.overlap, doubt.parameters, doubt.stability)
    ]
    return ObservationEntry(probability, interval, *parts)

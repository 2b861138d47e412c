"""What a study stores: one row for each fit, parameter, rank, pair of fits, bin and exemplary observation.

Every row begins with what it is of: a condition, a replicate and a method, the condition and the method
by the hashes of their content. Rows are named tuples, because a study makes them by the million.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from types import NoneType
from typing import TYPE_CHECKING, Any, NamedTuple, get_args, get_type_hints

if TYPE_CHECKING:
    import pyarrow as pa


class FitRow(NamedTuple):
    """One fit: how it ended and, where there is an estimate, what it recovered (see `Recovery`).

    `has_estimate` is false for a fit without one; its measures are then missing. `data_hash` is that
    of the observations; with `seed`, the root seed of the study, as text for its many digits, the
    condition, the replicate and the method it is what the fit is made again from. `error_type` names
    the exception of a fit with status `error`. `host` and `worker` are the name of the machine and the
    number of the process.
    """

    condition: str
    replicate: int
    method: str
    status: str
    has_estimate: bool
    message: str
    warnings: str
    error_type: str
    seconds: float
    data_hash: str
    seed: str
    host: str
    worker: int
    log_likelihood: float | None = None
    is_ambiguous: bool | None = None
    alignment_gap: float | None = None
    hellinger: float | None = None
    kl: float | None = None
    total_variation: float | None = None
    oracle_kl: float | None = None
    largest_difference: float | None = None
    oracle_disagreement: float | None = None
    log_score: float | None = None
    n_infinite: int | None = None
    brier: float | None = None
    error_rate: float | None = None
    adjusted_rand_index: float | None = None
    calibration_error: float | None = None
    oracle_log_score: float | None = None
    oracle_brier: float | None = None
    oracle_error_rate: float | None = None
    oracle_adjusted_rand_index: float | None = None
    oracle_calibration_error: float | None = None
    bayes_error: float | None = None
    soft_coverage: float | None = None
    soft_interval_width: float | None = None


class ParameterRow(NamedTuple):
    """One parameter of one fit, components in the truth's order: `component` and `axis` count from 1."""

    condition: str
    replicate: int
    method: str
    parameter: str
    component: int
    axis: int
    truth: float
    estimate: float
    standard_error: float | None
    lower: float | None
    upper: float | None


class RankRow(NamedTuple):
    """Rank of one true quantity, drawn from a prior, among `n_draws` posterior draws of one fit.

    `mean` and `sd` are those of the draws.
    """

    condition: str
    replicate: int
    method: str
    quantity: str
    rank: int
    n_draws: int
    truth: float
    mean: float
    sd: float


class PairRow(NamedTuple):
    """Soft assignments of one method against those of another, `versus`, on the same data."""

    condition: str
    replicate: int
    method: str
    versus: str
    is_ambiguous: bool
    soft_assignment_distance: float
    kl: float
    largest_difference: float
    hard_assignment_disagreement: float


class ReliabilityRow(NamedTuple):
    """Soft assignments of one fit in one of ten bins of equal width; method "oracle" is at the truth."""

    condition: str
    replicate: int
    method: str
    bin: int
    count: int  # type: ignore[assignment]  # a column; tuples have a method of that name, which no one calls
    assigned: float
    belonging: int


class ExampleRow(NamedTuple):
    """One soft assignment of an exemplary replicate; method "oracle" is at the truth.

    `x` is the first column of the observation; `label` its true component, from 1, or -1.
    """

    condition: str
    replicate: int
    method: str
    observation: int
    component: int
    x: float
    label: int
    responsibility: float


class DiagnosticRow(NamedTuple):
    """One number by which an engine says how well one fit worked; missing where it is not finite."""

    condition: str
    replicate: int
    method: str
    name: str
    value: float | None


#: Tables of a results folder. `fits` comes last: a fit counts as done when its row there is on disk.
TABLES: dict[str, type[tuple[Any, ...]]] = {
    "parameters": ParameterRow,
    "ranks": RankRow,
    "pairs": PairRow,
    "reliability": ReliabilityRow,
    "examples": ExampleRow,
    "diagnostics": DiagnosticRow,
    "fits": FitRow,
}


@dataclass(slots=True)
class Rows:
    """Rows gathered for every table."""

    parameters: list[ParameterRow]
    ranks: list[RankRow]
    pairs: list[PairRow]
    reliability: list[ReliabilityRow]
    examples: list[ExampleRow]
    diagnostics: list[DiagnosticRow]
    fits: list[FitRow]

    @classmethod
    def empty(cls) -> Rows:
        """No rows yet."""
        return cls([], [], [], [], [], [], [])


@cache
def schema(row: type[tuple[Any, ...]]) -> pa.Schema:
    """Arrow schema of a kind of row, from its annotations."""
    import pyarrow as pa

    kinds = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    fields = []
    for name, hint in get_type_hints(row).items():
        kind, *others = get_args(hint) or (hint,)
        fields.append(pa.field(name, kinds[kind], nullable=NoneType in others))
    return pa.schema(fields)


def table(kind: type[tuple[Any, ...]], rows: list[Any]) -> pa.Table:
    """Arrow table of rows of one kind."""
    import pyarrow as pa

    layout = schema(kind)
    columns = zip(*rows, strict=True) if rows else ([] for _ in layout)
    return pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, layout, strict=True)], schema=layout
    )

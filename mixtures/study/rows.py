"""What a study stores: one row for each fit, parameter, pair of fits, bin and exemplary observation."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What every row is of: a condition, a replicate and a method, by the hashes of their content."""

    condition: str
    replicate: int
    method: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FitRow(Key):
    """One fit: how it ended and, where there is an estimate, what it recovered (see `Recovery`).

    `has_estimate` is false for a fit without one; its measures are then missing. `data_hash` is that
    of the observations. `error_type` names the exception of a fit with status `error`.
    """

    status: str
    has_estimate: bool
    message: str
    warnings: str
    error_type: str
    seconds: float
    data_hash: str
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterRow(Key):
    """One parameter of one fit, components in the truth's order: `component` and `axis` count from 1."""

    parameter: str
    component: int
    axis: int
    truth: float
    estimate: float
    standard_error: float | None
    lower: float | None
    upper: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PairRow(Key):
    """Soft assignments of one method against those of another, `versus`, on the same data."""

    versus: str
    is_ambiguous: bool
    soft_assignment_distance: float
    kl: float
    largest_difference: float
    hard_assignment_disagreement: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ReliabilityRow(Key):
    """Soft assignments of one fit in one of ten bins of equal width; method "oracle" is at the truth."""

    bin: int
    count: int
    assigned: float
    belonging: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleRow(Key):
    """One soft assignment of an exemplary replicate; method "oracle" is at the truth.

    `x` is the first column of the observation; `label` its true component, from 1, or -1.
    """

    observation: int
    component: int
    x: float
    label: int
    responsibility: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DiagnosticRow(Key):
    """One number by which an engine says how well one fit worked; missing where it is not finite."""

    name: str
    value: float | None


#: Tables of a results folder. `fits` comes last: a fit counts as done when its row there is on disk.
TABLES: dict[str, type[Key]] = {
    "parameters": ParameterRow,
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
    pairs: list[PairRow]
    reliability: list[ReliabilityRow]
    examples: list[ExampleRow]
    diagnostics: list[DiagnosticRow]
    fits: list[FitRow]

    @classmethod
    def empty(cls) -> Rows:
        """No rows yet."""
        return cls([], [], [], [], [], [])


def schema(row: type[Key]) -> pa.Schema:
    """Arrow schema of a kind of row, from its annotations."""
    import pyarrow as pa

    kinds = {"str": pa.string(), "int": pa.int64(), "float": pa.float64(), "bool": pa.bool_()}
    return pa.schema(
        [
            pa.field(field.name, kinds[str(field.type).split(" | ")[0]], nullable="None" in str(field.type))
            for field in fields(row)
        ]
    )


def table(kind: type[Key], rows: list[Any]) -> pa.Table:
    """Arrow table of rows of one kind."""
    import pyarrow as pa

    columns = {field.name: [getattr(row, field.name) for row in rows] for field in fields(kind)}
    return pa.table(columns, schema=schema(kind))

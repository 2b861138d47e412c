"""Parts: the rows of some fits as immutable Parquet files, one for each table, that can be proved whole.

The files of a part are named by a hash of what their rows are of, so that rows computed twice lie side by
side, and by a checksum of their bytes. The file of `fits`, written last, names the others: with it the
part is there, and without it nothing is.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Self

from mixtures.study.rows import TABLES, FitRow, Rows, schema, table

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_COMPANIONS = b"mixtures.companions"
_ENDING = ".parquet"
_DIGITS = 16


class DamagedPartError(ValueError):
    """A file that is not what was written."""


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of some fits and pairs, encoded by whoever computed them: all that is left is to write them.

    Attributes
    ----------
    files : dict of (str, str) to bytes
        Parquet, by table and name, in the order in which they have to be written.
    statuses : Counter
        Fits by condition, method and status.
    seconds : dict
        Seconds that the fits took, by condition and method.
    failures : tuple of FitRow
        Fits without an estimate.
    """

    files: dict[tuple[str, str], bytes]
    statuses: Counter[tuple[str, str, str]]
    seconds: dict[tuple[str, str], float]
    failures: tuple[FitRow, ...]

    @classmethod
    def of(cls, rows: Rows) -> Self:
        """Encode rows."""
        gathered = {kind: getattr(rows, kind) for kind in TABLES}
        seconds: dict[tuple[str, str], float] = defaultdict(float)
        for row in rows.fits:
            if math.isfinite(row.seconds):  # those of a fit whose worker died are not known
                seconds[row.condition, row.method] += row.seconds
        return cls(
            files=encode({kind: table(TABLES[kind], new) for kind, new in gathered.items() if new}),
            statuses=Counter((row.condition, row.method, row.status) for row in rows.fits),
            seconds=dict(seconds),
            failures=tuple(row for row in rows.fits if not row.has_estimate),
        )


def encode(tables: Mapping[str, pa.Table]) -> dict[tuple[str, str], bytes]:
    """Encode the tables of a part: Parquet, by table and name, in the order in which to write them."""
    keys = _hash_of_keys(tables)
    files: dict[tuple[str, str], bytes] = {}
    names: dict[str, str] = {}
    for kind in (kind for kind in TABLES if kind in tables):
        content = _as_parquet(tables[kind], names if kind == "fits" else {})
        names[kind] = f"{keys}-{_checksum(content)}{_ENDING}"
        files[kind, names[kind]] = content
    return files


def decode(
    kind: str, name: str, content: bytes, columns: Sequence[str] | None = None
) -> tuple[pa.Table, dict[str, str]]:
    """Return the rows of a file, all columns or some, and the names of its companions by table.

    Columns that may be missing, and came after the file was written, are.

    Raises
    ------
    DamagedPartError
        If it is not what was written under this name, or not of this table.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not name.endswith(f"-{_checksum(content)}{_ENDING}"):
        raise DamagedPartError("its bytes do not have the checksum in its name")
    whole = schema(TABLES[kind])
    wanted = whole if columns is None else pa.schema([whole.field(at) for at in columns])
    try:
        with pq.ParquetFile(pa.BufferReader(content)) as file:
            own = file.schema_arrow
            rows = file.read([at for at in wanted.names if at in own.names], use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise DamagedPartError(str(error).splitlines()[0]) from None
    if not own.equals(pa.schema([at for at in whole if at.name in own.names or not at.nullable])):
        raise DamagedPartError(f"its columns are not those of {kind}")
    companions = json.loads((own.metadata or {}).get(_COMPANIONS, b"{}"))
    return pa.table({at.name: _column(rows, at) for at in wanted}, schema=wanted), companions


def end_to_end(rows: Iterable[pa.Table]) -> pa.Table:
    """Put the rows of several files of one table behind one another."""
    import pyarrow as pa

    return pa.concat_tables(rows)


def in_order(parts: Iterable[pa.Table], keys: Sequence[str]) -> pa.Table:
    """Put the rows of several files of one table in the order of their keys, each once.

    Of a fit that ended differently in two runs the row with an estimate is left, or the first by status.
    """
    import pyarrow as pa

    ordered = [_in_order(part, keys) for part in parts]
    ordered.sort(key=lambda part: [part[key][0].as_py() for key in keys] if len(part) else [])
    rows = end_to_end(ordered)
    del ordered
    pa.default_memory_pool().release_unused()  # what decoding took
    return rows if _is_in_order(rows, keys) else _in_order(rows, keys)


def frame_of(rows: pa.Table) -> pd.DataFrame:
    """Return rows as a DataFrame, taking their memory; what was needed on the way is given back."""
    import pyarrow as pa

    frame: pd.DataFrame = rows.to_pandas(split_blocks=True, self_destruct=True)
    pa.default_memory_pool().release_unused()
    return frame


def is_of_seed(fits: pa.Table, seed: int) -> bool:
    """Whether fits are of a study with this seed, not of one begun on the folder at the same time."""
    return bool(fits["seed"].unique().to_pylist() == [str(seed)])


def where(rows: pa.Table, values: Mapping[str, str | int]) -> pa.Table:
    """Return the rows that have given values in some columns."""
    from pyarrow import compute

    for column, value in values.items():
        rows = rows.filter(compute.field(column) == value)
    return rows


def is_part(name: str) -> bool:
    """Whether a file is one of a part, not what a killed writer left."""
    return name.endswith(_ENDING) and not name.startswith(".")


def keys_of(name: str) -> str:
    """What of a file's name says what its rows are of."""
    return name.partition("-")[0]


def _in_order(rows: pa.Table, keys: Sequence[str]) -> pa.Table:
    """Sort rows by their keys, and leave each of the same keys once."""
    import pyarrow as pa
    from pyarrow import compute

    by = [(key, "ascending") for key in keys]
    if "has_estimate" in rows.column_names:
        by += [("has_estimate", "descending"), ("status", "ascending")]
    rows = rows.take(compute.sort_indices(rows, sort_keys=by))
    if _is_in_order(rows, keys):
        return rows
    is_same = reduce(compute.and_, (compute.equal(rows[key][1:], rows[key][:-1]) for key in keys))
    return rows.filter(pa.chunked_array([[True], *compute.invert(is_same).chunks]))


def _is_in_order(rows: pa.Table, keys: Sequence[str]) -> bool:
    """Whether every row has larger keys than the one before."""
    from pyarrow import compute

    if len(rows) < 2:
        return True
    here, before = ([rows[key][part] for key in reversed(keys)] for part in (slice(1, None), slice(-1)))
    is_larger = compute.greater(here[0], before[0])
    for own, other in zip(here[1:], before[1:], strict=True):
        is_larger = compute.or_(
            compute.greater(own, other), compute.and_(compute.equal(own, other), is_larger)
        )
    return bool(compute.all(is_larger).as_py())


def _hash_of_keys(tables: Mapping[str, pa.Table]) -> str:
    digest = hashlib.sha256()
    for kind in ("fits", "pairs"):
        if kind in tables:
            columns = ("condition", "replicate", "method", *(["versus"] if kind == "pairs" else []))
            rows = sorted(zip(*(tables[kind][name].to_pylist() for name in columns), strict=True))
            digest.update(json.dumps([kind, rows]).encode())
    return digest.hexdigest()[:_DIGITS]


def _checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:_DIGITS]


def _as_parquet(rows: pa.Table, companions: Mapping[str, str]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if companions:
        rows = rows.replace_schema_metadata({_COMPANIONS: json.dumps(companions).encode()})
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, compression="zstd")
    return sink.getvalue().to_pybytes()


def _column(rows: pa.Table, field: pa.Field) -> pa.ChunkedArray | pa.Array:
    """One column, missing throughout where the file has none."""
    import pyarrow as pa

    is_there = field.name in rows.column_names
    return rows[field.name] if is_there else pa.nulls(len(rows), field.type)

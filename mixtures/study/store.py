"""Rows to and from disk: immutable Parquet parts; the only reader and writer of results.

A results folder holds `study.toml` (the study as it was run), `manifest.json` (versions, platform,
when each claim was made, and hashes of what may not change) and, under `rows/`, a folder of parts for
each table. A part is written under a temporary name, synced, and renamed, so that it is there whole or
not at all.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from mixtures.model.files import replacing
from mixtures.study.changes import list_changes, list_tampering
from mixtures.study.conditions import key_of
from mixtures.study.design import Study, read_text
from mixtures.study.environment import environment, now
from mixtures.study.ledger import Ledger
from mixtures.study.rows import TABLES, FitRow, Rows, schema, table

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

SCHEMA_VERSION = 1
_MANIFEST = {"runs": list, "claims": dict}
_KEYS = {
    "fits": ["condition", "replicate", "method"],
    "parameters": ["condition", "replicate", "method", "parameter", "component", "axis"],
    "ranks": ["condition", "replicate", "method", "quantity"],
    "pairs": ["condition", "replicate", "method", "versus"],
    "reliability": ["condition", "replicate", "method", "bin"],
    "diagnostics": ["condition", "replicate", "method", "name"],
    "examples": ["condition", "replicate", "method", "observation", "component"],
}


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of some fits and pairs, encoded by whoever computed them: all that is left is to write them.

    Attributes
    ----------
    name : str
        Hash of what the rows are of: computed again, they are the same part.
    statuses : Counter
        Fits by condition, method and status.
    seconds : dict
        Seconds that the fits took, by condition and method.
    failures : tuple of FitRow
        Fits without an estimate.
    files : dict of str to bytes
        Parquet, by table.
    """

    name: str
    statuses: Counter[tuple[str, str, str]]
    seconds: dict[tuple[str, str], float]
    failures: tuple[FitRow, ...]
    files: dict[str, bytes]

    @classmethod
    def of(cls, rows: Rows) -> Self:
        """Encode rows."""
        gathered = {kind: getattr(rows, kind) for kind in TABLES}
        files = {kind: _as_parquet(table(TABLES[kind], new)) for kind, new in gathered.items() if new}
        seconds: dict[tuple[str, str], float] = defaultdict(float)
        for row in rows.fits:
            if math.isfinite(row.seconds):  # those of a fit whose worker died are not known
                seconds[row.condition, row.method] += row.seconds
        return cls(
            name=_part_name(rows),
            statuses=Counter((row.condition, row.method, row.status) for row in rows.fits),
            seconds=dict(seconds),
            failures=tuple(row for row in rows.fits if not row.has_estimate),
            files=files,
        )


@dataclass(frozen=True, slots=True)
class Store:
    """A results folder.

    Attributes
    ----------
    folder : Path
    """

    folder: Path

    @classmethod
    def open(cls, folder: str | Path) -> Self:
        """Open the results of a study that has been run.

        Raises
        ------
        ValueError
            If the folder holds no results, results of a newer schema, or a study file that was
            changed by hand.
        """
        store = cls._find(folder)
        if changes := list_tampering(store.study(), store.manifest()):
            raise ValueError(
                f"{store._study_path}: the file must be as the study was run; "
                + "; ".join(changes)
                + ". To go on, run the study file that was meant"
            )
        return store

    @classmethod
    def _find(cls, folder: str | Path) -> Self:
        store = cls(Path(folder))
        if not store._manifest_path.is_file() or not store._study_path.is_file():
            raise ValueError(f"{folder}: the folder must hold results of a study; got none")
        store.manifest()
        return store

    @classmethod
    def prepare(cls, folder: str | Path, text: str) -> Self:
        """Make a results folder for a study, or go on with the one that is there.

        Parameters
        ----------
        folder : str or Path
        text : str
            The study file, which is kept beside the rows.

        Raises
        ------
        ValueError
            If the folder cannot be written, holds something else, or holds results of a study that
            the given one does not extend; the message says what changed.
        """
        store = cls(Path(folder))
        study = Study.from_toml(text)
        if store._study_path.exists():
            earlier, manifest = cls._find(folder).study(), store.manifest()
            changes = list_changes(earlier, study) or list_tampering(study, manifest, may_grow=True)
            if changes:
                raise ValueError(
                    f"{folder}: the results must be of the same study, which may only grow; "
                    + "; ".join(changes)
                    + ". To start afresh, give another folder"
                )
        elif store.folder.is_dir() and not store._is_free():
            raise ValueError(
                f"{folder}: the folder must be empty or hold results of the study; got other files"
            )
        try:
            store._write_heads(study, text)
        except OSError as error:
            raise ValueError(f"{folder}: the folder must be writable; {error.strerror}") from None
        return store

    @property
    def _study_path(self) -> Path:
        return self.folder / "study.toml"

    @property
    def _manifest_path(self) -> Path:
        return self.folder / "manifest.json"

    def _is_free(self) -> bool:
        """Whether the folder holds nothing, or what is left of heads that could not be written."""
        names = {
            entry.name
            for entry in self.folder.iterdir()
            if not entry.name.startswith((".manifest.json.", ".study.toml."))
        }
        return not names or (names == {"manifest.json"} and self._holds_manifest())

    def _holds_manifest(self) -> bool:
        try:
            return bool(self.manifest())
        except ValueError:
            return False

    def study(self) -> Study:
        """The study as it was last run."""
        return Study.read(self._study_path)

    def manifest(self) -> dict[str, Any]:
        """Versions, platform, and when each claim was made."""
        try:
            manifest = json.loads(read_text(self._manifest_path))
        except json.JSONDecodeError as error:
            raise ValueError(f"{self._manifest_path}: the file must be valid JSON; {error}") from None
        if not isinstance(manifest, dict):
            raise ValueError(f"{self._manifest_path}: the file must hold an object")
        _check_manifest(self._manifest_path, manifest)
        return manifest

    def write(self, part: Part) -> None:
        """Write a part of each table that has rows, `fits` last; OSError where the disk fails."""
        for kind in TABLES:
            if kind in part.files:
                path = self.folder / "rows" / kind / f"{part.name}.parquet"
                path.parent.mkdir(parents=True, exist_ok=True)
                _write(path, part.files[kind])

    def read(self, kind: str) -> pd.DataFrame:
        """Return a table, each row once however often it was computed.

        Raises
        ------
        ValueError
            Naming the part, if one cannot be read.
        """
        import pyarrow as pa

        empty = table(TABLES[kind], [])
        parts = [_read_part(path, empty.schema) for path in self._parts(kind)]
        frame: pd.DataFrame = pa.concat_tables([empty, *parts]).to_pandas()
        return frame.drop_duplicates(_KEYS[kind], ignore_index=True)

    def _parts(self, kind: str) -> list[Path]:
        return sorted((self.folder / "rows" / kind).glob("*.parquet"))

    def done(self) -> Ledger:
        """Replicates of every condition and method whose fit is stored with all of its parameters.

        One with an estimate but without rows of parameters, a part of which was lost, is missing.
        """
        parameters, done = self._ledger("parameters"), Ledger()
        for of, rows in self._by_method("fits", ["has_estimate"]):
            replicates = rows["replicate"].to_numpy()
            done.add(of, replicates[~rows["has_estimate"].to_numpy() | parameters.has(of, replicates)])
        return done

    def has_pair(self) -> Ledger:
        """Replicates of every condition and two methods whose pair is stored."""
        return self._ledger("pairs")

    def _ledger(self, kind: str) -> Ledger:
        ledger = Ledger()
        for of, rows in self._by_method(kind):
            ledger.add(of, rows["replicate"].to_numpy())
        return ledger

    def _by_method(
        self, kind: str, columns: Sequence[str] = ()
    ) -> Iterator[tuple[tuple[str, ...], pd.DataFrame]]:
        """Rows of each condition and method, or two, one part after another: replicates and `columns`."""
        whole = schema(TABLES[kind])
        keys = [name for name in ("condition", "method", "versus") if name in whole.names]
        for path in self._parts(kind):
            part = _read_part(path, whole, [*keys, "replicate", *columns])
            yield from part.to_pandas().groupby(keys, sort=False)

    def _write_heads(self, study: Study, text: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        is_new = not self._study_path.exists()
        manifest: dict[str, Any] = (
            {"schema_version": SCHEMA_VERSION, "runs": [], "claims": {}} if is_new else self.manifest()
        )
        manifest["content"] = key_of(study.content())
        _note_run(manifest["runs"])
        n_fits = 0 if is_new else len(self._ledger("fits"))
        for claim in study.claim:
            noted = manifest["claims"].setdefault(claim.id, {"made": now(), "fits_before": n_fits})
            noted["content"] = key_of(claim.content())
        _write(self._manifest_path, json.dumps(manifest, indent=2).encode())
        _write(self._study_path, text.encode())


def _check_manifest(path: Path, manifest: dict[str, Any]) -> None:
    version = manifest.get("schema_version")
    if version != SCHEMA_VERSION:
        raise ValueError(f"{path}: the results must be of schema version {SCHEMA_VERSION}; got {version}")
    for key, kind in _MANIFEST.items():
        if not isinstance(manifest.get(key), kind):
            raise ValueError(f"{path}: the file must hold {key}; got {manifest.get(key)!r}")


def _note_run(runs: list[dict[str, Any]]) -> None:
    """Add this run to those noted, unless it is like the last one in all but its time."""
    current = environment()
    if not runs or any(runs[-1].get(key) != value for key, value in current.items() if key != "created"):
        runs.append(current)


def _part_name(rows: Rows) -> str:
    keys = sorted((row.condition, row.replicate, row.method) for row in rows.fits)
    keys += sorted((row.condition, row.replicate, f"{row.method}/{row.versus}") for row in rows.pairs)
    return hashlib.sha256(json.dumps(keys).encode()).hexdigest()[:20]


def _as_parquet(table: pa.Table) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue().to_pybytes()


def _write(path: Path, content: bytes) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def _column(part: pa.Table, field: pa.Field) -> pa.ChunkedArray | pa.Array:
    """One column of a part, missing throughout where the part has none."""
    import pyarrow as pa

    is_there = field.name in part.column_names
    return part[field.name] if is_there else pa.nulls(len(part), field.type)


def _read_part(path: Path, schema: pa.Schema, columns: list[str] | None = None) -> pa.Table:
    """Read a part, or some of its columns; ValueError where it is not whole.

    Columns that may be missing, and came after the part was written, are.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as part:
            own = part.schema_arrow
            if not own.equals(pa.schema([at for at in schema if at.name in own.names or not at.nullable])):
                raise pa.ArrowInvalid(f"its columns are not those of {path.parent.name}")
            read = part.read(None if columns is None else [name for name in columns if name in own.names])
        wanted = schema if columns is None else pa.schema([schema.field(name) for name in columns])
        return pa.table({at.name: _column(read, at) for at in wanted}, schema=wanted)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(
            f"{path}: the part of the results must be whole; {str(error).splitlines()[0]} "
            "(move it away and run the study again to compute it anew)"
        ) from None

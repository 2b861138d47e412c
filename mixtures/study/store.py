"""Rows to and from disk: immutable Parquet parts; the only reader and writer of results.

A results folder holds `study.toml` (the study as it was run), `manifest.json` (hashes of what may not
change, and when each claim was made), under `runs/` the versions and the platform of every run and,
under `rows/`, a folder of parts for each table. Nobody locks anything: every file is written once, by
one writer, and is there whole or not at all; rows that were computed twice count once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

from mixtures.study.changes import ChangedStudyError, list_changes, list_tampering
from mixtures.study.conditions import key_of
from mixtures.study.design import Study
from mixtures.study.environment import environment, now
from mixtures.study.ledger import Ledger
from mixtures.study.parts import DamagedPartError, Part, decode, in_order, is_of_seed, is_part, where
from mixtures.study.places import Place, is_uri
from mixtures.study.rows import TABLES, schema, table
from mixtures.study.shards import Shard

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

SCHEMA_VERSION = 2
_STUDY, _MANIFEST = "study.toml", "manifest.json"
_MOST_TRIES = 5  # to read parts while others join them
#: Columns by which a row is known.
KEYS = {
    "fits": ["condition", "replicate", "method"],
    "parameters": ["condition", "replicate", "method", "parameter", "component", "axis"],
    "ranks": ["condition", "replicate", "method", "quantity"],
    "pairs": ["condition", "replicate", "method", "versus"],
    "reliability": ["condition", "replicate", "method", "bin"],
    "diagnostics": ["condition", "replicate", "method", "name"],
    "examples": ["condition", "replicate", "method", "observation", "component"],
}
#: Columns of a fit by which one of two of its rows is preferred.
PREFERENCE = ("has_estimate", "status")


@dataclass(frozen=True, slots=True)
class Store:
    """A results folder.

    Attributes
    ----------
    place : Place
    set_aside : tuple of str
        Files of parts that were found damaged when the folder was opened, and why: they lie in
        `quarantine/` now, and what they held counts as missing.
    """

    place: Place
    set_aside: tuple[str, ...] = field(default=(), compare=False)

    @classmethod
    def open(cls, folder: str | Path) -> Self:
        """Open the results of a study that has been run, and set damaged parts aside.

        Raises
        ------
        ValueError
            If the folder holds no results, results of another schema, a study file that was changed by
            hand, or a damaged part that cannot be moved.
        """
        store = cls._find(Place.of(folder))
        if changes := list_tampering(store.study(), store.manifest()):
            raise ValueError(
                f"{store.place.child(_STUDY)}: the file must be as the study was run; "
                + "; ".join(changes)
                + ". To go on, run the study file that was meant"
            )
        return store._verified()

    @classmethod
    def _find(cls, place: Place) -> Self:
        store = cls(place)
        if not place.exists(_MANIFEST) or not place.exists(_STUDY):
            raise ValueError(f"{place.name}: the folder must hold results of a study; got none")
        store.manifest()
        return store

    @classmethod
    def prepare(cls, folder: str | Path, text: str, *, shard: Shard | None = None) -> Self:
        """Make a results folder for a study, or go on with the one that is there.

        Parameters
        ----------
        folder : str or Path
            A path, or the URI of a folder in an object store, such as ``s3://bucket/folder``.
        text : str
            The study file, which is kept beside the rows.
        shard : Shard, optional
            Part of the study that this run is to do, which is noted.

        Raises
        ------
        ValueError
            If the folder cannot be written or holds something else.
        ChangedStudyError
            If it holds results of a study that the given one does not extend; the message says what
            changed. A ValueError.
        """
        store = cls(Place.of(folder))
        study = Study.from_toml(text)
        try:
            is_new = not store.place.exists(_STUDY)
            if is_new and not store._is_free():
                is_new = not store.place.exists(_STUDY)  # another shard may have begun meanwhile
                if is_new:
                    raise ValueError(
                        f"{folder}: the folder must be empty or hold results of the study; got other files"
                    )
            if not is_new:
                store = cls._find(store.place)
                store._check_growth(study)
                store = store._verified()
            store._write_heads(study, text, shard, is_new=is_new)
        except OSError as error:
            raise ValueError(f"{folder}: the folder must be writable; {error.strerror or error}") from None
        return store

    @property
    def folder(self) -> str | Path:
        """The folder as it was given: a path, or a URI."""
        return self.place.name if is_uri(self.place.name) else Path(self.place.name)

    def _check_growth(self, study: Study) -> None:
        changes = list_changes(self.study(), study) or list_tampering(study, self.manifest(), may_grow=True)
        if changes:
            raise ChangedStudyError(
                f"{self.folder}: the results must be of the same study, which may only grow; "
                + "; ".join(changes)
                + ". To start afresh, give another folder"
            )

    def _is_free(self) -> bool:
        """Whether the folder holds nothing, or what is left of heads that could not be written."""
        names = {
            name for name in self.place.names() if not name.startswith((".manifest.json.", ".study.toml."))
        }
        return names <= {_MANIFEST, "runs"} and (_MANIFEST not in names or self._holds_manifest())

    def _holds_manifest(self) -> bool:
        try:
            return bool(self.manifest())
        except ValueError:
            return False

    def text(self) -> str:
        """The study file as it was last run."""
        return self.place.read(_STUDY).decode("utf-8")

    def study(self) -> Study:
        """The study as it was last run."""
        name = self.place.child(_STUDY)
        try:
            return Study.from_toml(self.text(), name)
        except UnicodeDecodeError as error:
            raise ValueError(f"{name}: the file must be text in UTF-8; {error}") from None

    def manifest(self) -> dict[str, Any]:
        """Hashes of what may not change, when each claim was made, and the versions of every run."""
        name = self.place.child(_MANIFEST)
        try:
            manifest = json.loads(self.place.read(_MANIFEST).decode("utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{name}: the file must be valid JSON; {error}") from None
        _check_manifest(name, manifest)
        return manifest | {"runs": self.runs()}

    def runs(self) -> list[dict[str, Any]]:
        """Versions, platform and shard of the runs so far, each different one once, by their time."""
        names = [f"runs/{name}" for name in self.place.names("runs") if not name.startswith(".")]
        try:
            runs = [json.loads(self.place.read(name)) for name in names]
            return sorted(runs, key=lambda run: str(run["created"]))
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{self.place.child('runs')}: each file must tell of a run; {error}") from None

    def write(self, part: Part) -> None:
        """Write a part; OSError where the disk fails."""
        for (kind, name), content in part.files.items():
            self.place.write(f"rows/{kind}/{name}", content)

    def read(self, kind: str, **values: str | int) -> pd.DataFrame:
        """Return a table in the order of its keys, each row once however often it was computed.

        Parameters
        ----------
        kind : str
        **values : str or int
            Values that columns must have, such as ``condition`` and ``replicate``: these rows alone, in
            little memory.

        Raises
        ------
        ValueError
            Naming the file, if one is damaged.
        """
        rows: pd.DataFrame = settled(lambda: self.gather(kind, self._committed(kind), values)).to_pandas()
        return rows

    def gather(
        self,
        kind: str,
        names: Iterable[str],
        values: Mapping[str, str | int],
        columns: Collection[str] | None = None,
    ) -> pa.Table:
        """Return the rows of some files of a table, in the order of their keys, each once.

        Parameters
        ----------
        kind : str
        names : iterable of str
            Of files.
        values : mapping of str to str or int
            Values that columns must have.
        columns : collection of str, optional
            To return; by default all. Keys that are not among them must be fixed by `values`.

        Raises
        ------
        FileNotFoundError
            If a file has been made into a larger one.
        ValueError
            Naming the file, if one is damaged.
        """
        returned = [one for one in schema(TABLES[kind]).names if columns is None or one in columns]
        needed = [*dict.fromkeys([*returned, *values])]
        parts = (where(self.rows(kind, name, needed)[0], values) for name in names)
        rows = (part.select(returned) for part in chain([table(TABLES[kind], [])], parts))
        return in_order(rows, [key for key in KEYS[kind] if key in returned])

    def parts(self, kind: str) -> list[str]:
        """Names of the files that hold a table, sorted."""
        return [name for name in self.place.names(f"rows/{kind}") if is_part(name)]

    def _committed(self, kind: str) -> list[str]:
        """Names of the files of a table that `fits` name: others are those of a part that was cut short."""
        if kind == "fits":
            return self.parts(kind)
        companions = (self.rows("fits", name, ())[1] for name in self.parts("fits"))
        return [*dict.fromkeys(its[kind] for its in companions if kind in its)]

    def rows(
        self, kind: str, name: str, columns: Sequence[str] | None = None
    ) -> tuple[pa.Table, dict[str, str]]:
        """Return the rows of one file, all columns or some, and the names of its companions by table."""
        path = f"rows/{kind}/{name}"
        try:
            return decode(kind, name, self.place.read(path), columns)
        except FileNotFoundError:
            raise
        except (DamagedPartError, OSError) as error:
            raise ValueError(
                f"{self.place.child(path)}: the part of the results must be whole; {error} "
                "(opened again, the results do without it)"
            ) from None

    def _verified(self) -> Self:
        """Check every file of every part, and set aside those that are not what was written.

        `fits` is listed first: what its files name was there before them.
        """
        seed = self.study().seed
        names = {kind: self.parts(kind) for kind in reversed(TABLES)}
        sound: dict[str, set[str]] = {kind: set() for kind in TABLES}
        set_aside = []
        for kind in TABLES:
            for name in names[kind]:
                try:
                    content = self.place.read(f"rows/{kind}/{name}")
                    rows, companions = decode(kind, name, content)
                    if kind == "fits" and not is_of_seed(rows, seed):
                        raise DamagedPartError(
                            f"its rows are those of another study, whose seed is not {seed}"
                        )
                    lost = [other for other, its in companions.items() if its not in sound[other]]
                    if lost:
                        raise DamagedPartError(f"its {' and '.join(lost)} are damaged or gone")
                    sound[kind].add(name)
                except DamagedPartError as error:
                    set_aside.append(self._set_aside(kind, name, str(error)))
                except FileNotFoundError:
                    pass  # made into a larger part meanwhile
        return type(self)(self.place, tuple(set_aside))

    def _set_aside(self, kind: str, name: str, reason: str) -> str:
        """Move a file to the quarantine, with a note beside it; return what happened."""
        place = f"quarantine/{kind}/{name}"
        while self.place.exists(place):
            place += "~"
        path, note = f"rows/{kind}/{name}", f"{self.place.child(place)}: {reason}"
        try:
            self.place.move(path, place)
            self.place.write(f"{place}.txt", f"{now()}: {reason}\n".encode())
        except FileNotFoundError:
            pass  # another process has just set it aside
        except OSError as error:
            raise ValueError(
                f"{self.place.child(path)}: the part of the results must be whole; {reason}, and it cannot "
                f"be moved to quarantine: {error.strerror or error}"
            ) from None
        return note

    def done(self, again: Collection[str] = ()) -> Ledger:
        """Replicates of every condition and method whose fit is stored, but for those of some statuses."""
        return self._ledger("fits", again)

    def has_pair(self) -> Ledger:
        """Replicates of every condition and two methods whose pair is stored."""
        return self._ledger("pairs")

    def _ledger(self, kind: str, again: Collection[str] = ()) -> Ledger:
        columns = ["condition", "method", *(["versus"] if kind == "pairs" else [])]

        def frames() -> Iterator[pd.DataFrame]:
            if again:  # rows of several files may be of one fit
                rows = self.gather(kind, self._committed(kind), {}, [*KEYS[kind], *PREFERENCE]).to_pandas()
                yield rows[~rows["status"].isin(again)]
                return
            for name in self._committed(kind):
                yield self.rows(kind, name, [*columns, "replicate"])[0].to_pandas()

        def gather() -> Ledger:
            ledger = Ledger()
            for rows in frames():
                for of, its in rows.groupby(columns, sort=False):
                    ledger.add(cast("tuple[str, ...]", of), its["replicate"].to_numpy())
            return ledger

        return settled(gather)

    def _write_heads(self, study: Study, text: str, shard: Shard | None, *, is_new: bool) -> None:
        self._note_run(shard)
        before: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "claims": {}}
        if not is_new:
            before = self.manifest()
            del before["runs"]
        manifest = before | {"content": key_of(study.content()), "claims": dict(before["claims"])}
        claims = manifest["claims"]
        new = [claim for claim in study.claim if claim.id not in claims]
        n_fits = len(self.done()) if new and not is_new else 0
        for claim in new:
            claims[claim.id] = {"made": now(), "fits_before": n_fits, "content": key_of(claim.content())}
        if manifest != before:
            self.place.write(_MANIFEST, json.dumps(manifest, indent=2).encode())
        if is_new or text != self.text():
            self.place.write(_STUDY, text.encode())
        if self.text() != text:  # another run has begun at the same time, with a study of its own
            self._check_growth(study)

    def _note_run(self, shard: Shard | None) -> None:
        """Note versions, platform and shard, unless a run like this was noted before."""
        run = environment()
        created = run.pop("created")
        run["shard"] = None if shard is None else str(shard)
        name = f"runs/{hashlib.sha256(json.dumps(run).encode()).hexdigest()[:16]}.json"
        if not self.place.exists(name):
            self.place.write(name, json.dumps({"created": created, **run}, indent=2).encode())


def settled[R](gather: Callable[[], R]) -> R:
    """Gather from all parts; once more where some were made into larger ones meanwhile."""
    for _ in range(_MOST_TRIES - 1):
        try:
            return gather()
        except FileNotFoundError:
            pass
    return gather()


def _check_manifest(name: str, manifest: Any) -> None:
    if not isinstance(manifest, dict):
        raise ValueError(f"{name}: the file must hold an object")
    version = manifest.get("schema_version")
    if version != SCHEMA_VERSION:
        raise ValueError(f"{name}: the results must be of schema version {SCHEMA_VERSION}; got {version}")
    if not isinstance(manifest.get("claims"), dict):
        raise ValueError(f"{name}: the file must hold claims; got {manifest.get('claims')!r}")

"""One replicate of a study again: the same data and fits, and the stored rows beside the new ones."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from mixtures.model.arrays import Array
from mixtures.study.conditions import ORACLE, Condition
from mixtures.study.design import Method, Study
from mixtures.study.environment import environment, list_other
from mixtures.study.outcomes import message_of
from mixtures.study.replicate import (
    Attempt,
    Replicate,
    attempt,
    generate,
    hash_of,
    record,
    record_oracle,
    record_pair,
)
from mixtures.study.rows import TABLES, FitRow, Rows
from mixtures.study.runner import prepare
from mixtures.study.store import Store

if TYPE_CHECKING:
    import pandas as pd

#: What rows are of: no two of a table have the same of these.
_KEYS = ("versus", "parameter", "component", "axis", "quantity", "bin", "name", "observation")
#: What is not computed from the key, and the hash of the data, which is compared apart.
_NOT_COMPARED = {"condition", "replicate", "method", "seconds", "host", "worker", "data_hash"}
_MOST_LISTED = 20  # ranges of replicates that a message names


@dataclass(frozen=True, slots=True)
class Difference:
    """A column of some rows that is not what is stored.

    Attributes
    ----------
    table, column : str
        With column "rows", rows that are stored or computed, but not both.
    n_differ, n_rows : int
        Rows that differ, of so many.
    largest, largest_share : float or None
        Largest difference of two numbers, and largest as a share of the stored one; None where what
        differs is no number.
    stored, again : object
        What is stored in the first row that differs, and what was computed now.
    """

    table: str
    column: str
    n_differ: int
    n_rows: int
    largest: float | None
    largest_share: float | None
    stored: object
    again: object


@dataclass(frozen=True, slots=True)
class Comparison:
    """Rows of one method beside those that are stored: how many values are the same, and which are not."""

    n_values: int
    differences: tuple[Difference, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Replayed:
    """A replicate that was computed again.

    Attributes
    ----------
    study : Study
    replicate : Replicate
    stored : dict of str to FitRow
        Rows of the fits, as they are stored, by the name of the method.
    attempts : dict of str to Attempt
        The fits, as they were made now.
    comparisons : dict of str to Comparison
        By the name of the method, and "oracle" for the rows at the truth.
    data_hash : str
        Of the observations, as they were drawn now.
    elsewhere : list of (str, list of str)
        Runs of the study under other versions, or on another platform: when, and what was other.
    """

    study: Study
    replicate: Replicate
    stored: dict[str, FitRow]
    attempts: dict[str, Attempt]
    comparisons: dict[str, Comparison]
    data_hash: str
    elsewhere: list[tuple[str, list[str]]]

    @property
    def has_same_data(self) -> bool:
        """Whether the data are those of every stored fit, bit for bit, as far as their hash is known."""
        return all(row.data_hash in {"", self.data_hash} for row in self.stored.values())

    @property
    def is_same(self) -> bool:
        """Whether the data and all rows are as they are stored."""
        return self.has_same_data and not any(one.differences for one in self.comparisons.values())


def replay_command(folder: str | Path, condition: str, replicate: int, method: str) -> str:
    """Return the command that computes one fit again, as it is typed."""
    words = ["--condition", condition, "--replicate", str(replicate), "--method", method]
    return shlex.join(["mixtures", "replay", str(folder), *words])


def find_condition(study: Study, given: str) -> Condition:
    """Return the condition with a name or a key, or whose key alone begins so.

    Raises
    ------
    ValueError
        If there is none, or are several; the message lists them.
    """
    of_name = [one for one in study.conditions if given in {one.name, one.key}]
    found = of_name or [one for one in study.conditions if given and one.key.startswith(given)]
    if len(found) == 1:
        return found[0]
    listed = "".join(f"\n  {one.key}  {one.name}" for one in found or study.conditions)
    rule = "begin the key of one alone" if found else "be the key or the name of one"
    raise ValueError(f"condition must {rule} of these; got {given!r}{listed}")


def find_replicate(
    store: Store, condition: str, index: int, method: str | None = None
) -> tuple[Condition, tuple[Method, ...]]:
    """Return the condition and the methods of a stored replicate, all that are stored of it by default.

    Raises
    ------
    ValueError
        If the condition, the replicate or the method is not there; the message lists what is.
    """
    study, done = store.study(), store.done()
    found = find_condition(study, condition)
    names = [one.name for one in study.method]
    if method is not None and method not in names:
        raise ValueError(f"method must be one of {', '.join(names)}; got {method!r}")
    asked = [one for one in study.method if method in {None, one.name}]
    at = np.array([index])
    kept = tuple(one for one in asked if done.has((found.key, one.key), at)[0])
    if not kept:
        stored = sorted({entry[1] for entry in done if entry[0] == found.key and entry[2] in _keys(asked)})
        of = f"{found.name}" if method is None else f"{found.name}, {method}"
        raise ValueError(f"replicate must be one that is stored of {of}: {_ranges(stored)}; got {index}")
    return found, kept


def replay(store: Store, condition: Condition, index: int, methods: Sequence[Method]) -> Replayed:
    """Compute a stored replicate again, and compare its rows with those that are stored.

    Parameters
    ----------
    store : Store
    condition : Condition
    index : int
    methods : sequence of Method
        Of those whose fits are stored (see `find_replicate`).

    Raises
    ------
    ValueError
        If the data cannot be drawn.
    """
    study = store.study()
    names = {one.key: one.name for one in methods}
    stored = _read(store, condition, index, {*names, ORACLE})
    rows = Rows.empty()
    replicate = _draw(study, condition, index)
    attempts = {}
    for method in methods:
        attempted = attempt(prepare(method, condition.spec), method.key, replicate, study.seed)
        attempts[method.name] = record(rows, method.key, replicate, attempted)
    fits = {one.key: attempts[one.name].fit for one in methods}
    for pair in _pairs(methods, stored["pairs"]):
        record_pair(rows, pair, replicate, (fits[pair[0]], fits[pair[1]]))
    record_oracle(rows, replicate)
    has_oracle = any(ORACLE in set(frame["method"]) for frame in stored.values())  # a lone lost fit has none
    compared = names | ({ORACLE: ORACLE} if has_oracle else {})
    return Replayed(
        study,
        replicate,
        {names[row.method]: row for row in _fit_rows(stored["fits"])},
        attempts,
        {name: _compare(stored, rows, key) for key, name in compared.items()},
        hash_of(replicate.dataset.x),
        _elsewhere(store.runs()),
    )


def _draw(study: Study, condition: Condition, index: int) -> Replicate:
    try:
        return generate(study.seed, condition, index)
    except Exception as error:
        said = f"{type(error).__name__}: {message_of(error)}"
        raise ValueError(f"replicate {index} of {condition.name} must have data; got {said}") from error


def _keys(methods: Iterable[Method]) -> set[str]:
    return {method.key for method in methods}


def _ranges(numbers: Sequence[Any]) -> str:
    """Write whole numbers in order as ranges: "0-99, 120"; the first of them, where there are many."""
    if not numbers:
        return "none"
    starts = [i for i, n in enumerate(numbers) if i == 0 or n != numbers[i - 1] + 1]
    ends = [*[i - 1 for i in starts[1:]], len(numbers) - 1]
    said = [
        f"{numbers[a]}" if a == b else f"{numbers[a]}-{numbers[b]}" for a, b in zip(starts, ends, strict=True)
    ]
    more = len(said) - _MOST_LISTED
    return ", ".join(said[:_MOST_LISTED]) + (f" and {more} more" if more > 0 else "")


def _read(store: Store, condition: Condition, index: int, methods: set[str]) -> dict[str, pd.DataFrame]:
    """The rows of a replicate that are of these methods alone."""
    frames = {}
    for kind in TABLES:
        frame = store.read(kind, condition=condition.key, replicate=index)
        for column in {"method", "versus"} & set(frame.columns):
            frame = frame[frame[column].isin(methods)]
        frames[kind] = frame
    return frames


def _fit_rows(fits: pd.DataFrame) -> Iterator[FitRow]:
    for values in fits[[*FitRow._fields]].itertuples(index=False, name=None):
        yield FitRow(*values)


def _pairs(methods: Sequence[Method], stored: pd.DataFrame) -> Iterator[tuple[str, str]]:
    """Keys of every two methods, in the order in which they are stored: the study's may have changed."""
    known = set(zip(stored["versus"], stored["method"], strict=True))
    for first, second in combinations(methods, 2):
        pair = (first.key, second.key)
        yield pair[::-1] if pair[::-1] in known else pair


def _compare(stored: Mapping[str, pd.DataFrame], rows: Rows, key: str) -> Comparison:
    n_values, differences = 0, []
    for kind, row in TABLES.items():
        keys = [name for name in row.__annotations__ if name in _KEYS]
        columns = [name for name in row.__annotations__ if name not in {*_NOT_COMPARED, *_KEYS}]
        then = _by_key(stored[kind][stored[kind]["method"] == key], keys, columns)
        new = [one for one in getattr(rows, kind) if one.method == key]
        now = {_values(one, keys): _values(one, columns) for one in new}
        n_alone = len(then.keys() ^ now.keys())
        if n_alone:
            n_rows = len(then.keys() | now.keys())
            differences.append(Difference(kind, "rows", n_alone, n_rows, None, None, len(then), len(now)))
        common = [(then[place], now[place]) for place in then if place in now]
        for i, name in enumerate(columns):
            pairs = [(before[i], after[i]) for before, after in common]
            n_values += len(pairs)
            differences += _compare_column(kind, name, pairs)
    return Comparison(n_values, tuple(differences))


def _by_key(
    frame: pd.DataFrame, keys: Sequence[str], columns: Sequence[str]
) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    places = zip(*(frame[name].tolist() for name in keys), strict=True) if keys else [()] * len(frame)
    return dict(zip(places, zip(*(frame[name].tolist() for name in columns), strict=True), strict=True))


def _values(row: Any, names: Sequence[str]) -> tuple[Any, ...]:
    return tuple(getattr(row, name) for name in names)


def _compare_column(kind: str, column: str, pairs: Sequence[tuple[Any, Any]]) -> Iterator[Difference]:
    differing = [(before, after) for before, after in pairs if _bits(before) != _bits(after)]
    if differing:
        first = (None if _is_missing(value) else value for value in differing[0])
        yield Difference(kind, column, len(differing), len(pairs), *_by_how_much(differing), *first)


def _bits(value: object) -> object:
    """A value as what it must be the same in: of a number, whole or not, every bit."""
    if _is_missing(value):
        return None
    return float(value).hex() if _is_number(value) and float(value) == value else value


def _is_missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _by_how_much(differing: list[tuple[Any, Any]]) -> tuple[float | None, float | None]:
    """Largest difference of two numbers, and largest as a share of the first."""
    numbers = [pair for pair in differing if all(_is_number(value) for value in pair)]
    if not numbers:
        return None, None
    before, after = np.array(numbers, dtype=float).T
    with np.errstate(divide="ignore", invalid="ignore"):
        sizes: Array = np.abs(after - before)
        return float(sizes.max()), float((sizes / np.abs(before)).max())


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _elsewhere(runs: Iterable[Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    here = environment()
    found = [(str(run.get("created", "at an unknown time")), list_other(run, here)) for run in runs]
    return [(created, other) for created, other in found if other]

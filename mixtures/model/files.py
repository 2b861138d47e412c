"""A user's files: observations from CSV and Parquet, mixtures from TOML and JSON."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mixtures.model.arrays import Array, Integers, freeze
from mixtures.model.data import UNLABELLED, Dataset
from mixtures.model.mixture import NormalMixture

if TYPE_CHECKING:
    import pandas as pd

_NOT_NUMBERS = {
    "boolean": "true and false",
    "datetime64": "dates",
    "datetime": "dates",
    "timedelta64": "durations",
}


@dataclass(frozen=True, slots=True, eq=False)
class DataFile:
    """What was read from a user's file, with an account of what was left out.

    Attributes
    ----------
    dataset : Dataset
        The complete rows; labels index `groups`.
    rows : (n,) array of int
        Place of each observation in the file: the first row of data is 0.
    n_rows, n_excluded, n_missing : int
        Rows of data in the file; how many of them were not asked for; and how many of the others
        miss a value in one of `columns`.
    columns : tuple of str
        The columns that were read, in the order asked for.
    groups : tuple of str
        Names of the known groups, sorted; empty without a label column.
    """

    dataset: Dataset
    rows: Integers
    n_rows: int
    n_excluded: int
    n_missing: int
    columns: tuple[str, ...]
    groups: tuple[str, ...] = ()


def read_data(
    path: str | Path,
    columns: Sequence[str],
    *,
    label_column: str | None = None,
    where: tuple[str, Sequence[str]] | None = None,
) -> DataFile:
    """Read observations from a CSV or Parquet file by column name.

    Rows with a missing value in one of `columns` are left out and counted. A missing label leaves
    its row in, as unlabelled, so that known groups never change what is fitted.

    Parameters
    ----------
    path : str or Path
        A file that ends in .csv, .csv.gz, .parquet or .pq; a CSV file has commas between its columns
        and their names, around which blanks do not count, in its first row.
    columns : sequence of str
        Numeric columns, one for each dimension.
    label_column : str, optional
        Column with the known group of each row.
    where : (str, sequence of str), optional
        A column and the values that it may have: other rows are not read.

    Returns
    -------
    DataFile

    Raises
    ------
    ValueError
        If the file is missing, unreadable or of another kind, a column is missing or repeated, a
        value to select by does not occur, or a number is text or infinite, or no complete row is left.
    """
    if len(set(columns)) < len(columns) or not columns:
        raise ValueError(f"columns must be named once each, at least one; got {list(columns)}")
    frame = _read_frame(Path(path))
    _check_columns(path, frame, [*columns, *([label_column] if label_column else [])])
    if where is not None:
        _check_columns(f"{path}: to select rows by", frame, [where[0]])
    if frame.empty:
        raise ValueError(f"{path}: the file must have rows of data; got a header only")
    selected = frame if where is None else frame[_select(path, frame[where[0]], where[1])]
    x = np.column_stack([_numbers(path, selected[name]) for name in columns])
    complete = ~np.isnan(x).any(axis=1)
    if not complete.any():
        raise ValueError(f"{path}: {', '.join(columns)} must have a complete row; got {len(x)} without")
    labels, groups = _groups(selected[label_column][complete]) if label_column else (None, ())
    return DataFile(
        dataset=Dataset(x[complete], labels),
        rows=freeze(selected.index.to_numpy(dtype=np.int64)[complete]),
        n_rows=len(frame),
        n_excluded=len(frame) - len(selected),
        n_missing=int((~complete).sum()),
        columns=tuple(columns),
        groups=groups,
    )


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary name to write to; what is there at the end is synced and takes its place.

    So a file is there whole or not at all. OSError where the disk or the folder does not allow it.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")  # machines share folders, and numbers
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        with suppress(OSError):  # where the folder cannot even be looked into, nothing was written
            temporary.unlink(missing_ok=True)


def write_data(path: str | Path, dataset: Dataset) -> None:
    """Write a data set as CSV: x (or x1, x2, ...) and, where they are known, components from 1.

    Raises
    ------
    ValueError
        If the file does not end in .csv, its folder does not exist, or it cannot be written.
    """
    import pandas as pd

    path = Path(path)
    if path.suffix != ".csv":
        raise ValueError(f"{path}: a file to write must end in .csv; got {path.suffix or 'no ending'}")
    if not path.parent.exists():
        raise ValueError(f"{path}: the folder {path.parent} must exist; got none")
    d = dataset.x.shape[1]
    names = ["x"] if d == 1 else [f"x{axis + 1}" for axis in range(d)]
    frame = pd.DataFrame(dataset.x, columns=names)
    if dataset.labels is not None:
        frame["component"] = dataset.labels + 1
    try:
        with replacing(path) as temporary:
            frame.to_csv(temporary, index=False)
    except OSError as error:
        raise ValueError(f"{path}: the file must be writable; {error.strerror or error}") from None


def read_mixture(path: str | Path) -> NormalMixture:
    """Read a mixture from a .toml or .json file; ValueError, naming the file, where it holds none."""
    path = Path(path)
    readers = {".toml": NormalMixture.from_toml, ".json": NormalMixture.from_json}
    if path.suffix not in readers:
        raise ValueError(
            f"{path}: a mixture file must end in .toml or .json; got {path.suffix or 'no ending'}"
        )
    try:
        return readers[path.suffix](path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path}: the file must be readable; {error.strerror}") from None
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from None


def _read_frame(path: Path) -> pd.DataFrame:
    import pandas as pd

    name = path.name.lower()
    if not name.endswith((".csv", ".csv.gz", ".parquet", ".pq")):
        raise ValueError(f"{path}: a data file must end in .csv, .csv.gz, .parquet or .pq")
    if not path.is_file():
        raise ValueError(f"{path}: the file must exist; got none")
    try:
        if ".csv" not in name[-7:]:
            return pd.read_parquet(path).reset_index(drop=True)
        names = _read_header(path)
        frame = pd.read_csv(path)
        if not frame.index.equals(pd.RangeIndex(len(frame))):  # the first column was taken for row names
            raise ValueError("its rows have more entries than its header has names")
        frame.columns = pd.Index(names)  # pandas would give a repeated name a number
        return frame
    except OSError as error:
        raise ValueError(f"{path}: the file must be readable; {error.strerror or error}") from None
    except ValueError as error:  # also pandas' ParserError, EmptyDataError and pyarrow's ArrowInvalid
        raise ValueError(f"{path}: the file must be a table; {str(error).splitlines()[0]}") from None


def _read_header(path: Path) -> list[str]:
    """Return the names of the columns as the file has them, without blanks around them."""
    import pandas as pd

    header = pd.read_csv(path, header=None, nrows=1, dtype=str, keep_default_na=False)
    names = [str(name).strip() for name in header.iloc[0]]
    if len(names) == 1 and (";" in names[0] or "\t" in names[0]):
        raise ValueError(f"its columns must be separated by commas; got the header {names[0]!r}")
    return names


def _check_columns(place: str | Path, frame: pd.DataFrame, columns: Sequence[str]) -> None:
    for name in columns:
        n_times = int((frame.columns == name).sum())
        if n_times == 0:
            known = ", ".join(map(str, frame.columns))
            raise ValueError(f"{place}: column {name!r} must be in the file; got {known}")
        if n_times > 1:
            raise ValueError(f"{place}: column {name!r} must be in the file once; got it {n_times} times")


def _numbers(path: str | Path, column: pd.Series) -> Array:
    """Return a column as floats, missing entries as NaN; ValueError naming the row of text or infinity."""
    import pandas as pd

    is_missing = column.isna().to_numpy()
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    kind = pd.api.types.infer_dtype(column, skipna=True)
    if kind in _NOT_NUMBERS:
        raise ValueError(f"{path}: column {column.name!r} must hold numbers; got {_NOT_NUMBERS[kind]}")
    wrong = np.flatnonzero((np.isnan(numbers) & ~is_missing) | np.isinf(numbers))
    if len(wrong):
        value = column.iloc[wrong[0]]
        raise ValueError(
            f"{path}: column {column.name!r} must hold finite numbers; "
            f"got {str(value)!r} in data row {column.index[wrong[0]] + 1}"
            + (f" and {len(wrong) - 1} more" if len(wrong) > 1 else "")
        )
    return numbers


def _select(path: str | Path, column: pd.Series, values: Sequence[str]) -> pd.Series:
    texts = column.astype(str)
    known = sorted(column.dropna().astype(str).unique())
    unknown = [value for value in values if value not in known]
    if unknown or not values:
        raise ValueError(
            f"{path}: column {column.name!r} must hold the values asked for; "
            f"got {unknown}, not {', '.join(known[:10])}"
        )
    return texts.isin(list(values))


def _groups(column: pd.Series) -> tuple[Integers, tuple[str, ...]]:
    names = column.dropna().astype(str)
    groups = tuple(sorted(names.unique()))
    labels = np.full(len(column), UNLABELLED, dtype=np.int64)
    labels[column.notna().to_numpy()] = [groups.index(name) for name in names]
    return labels, groups

"""Observations: what engines are given, data drawn from a mixture, and reading a user's file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from mixtures.model.arrays import Array, Integers, as_count, as_floats, freeze
from mixtures.model.mixture import NormalMixture
from mixtures.model.spec import Covariance, MixtureSpec

if TYPE_CHECKING:
    import pandas as pd

UNLABELLED = -1

#: What pandas finds in a column that it would turn into numbers, although they are none.
_NOT_NUMBERS = {
    "boolean": "true and false",
    "datetime64": "dates",
    "datetime": "dates",
    "timedelta64": "durations",
}


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Observations and, where they are known, the components that they came from.

    Parameters
    ----------
    x : (n,) or (n, d) array_like
        Observations; kept as (n, d), read-only.
    labels : (n,) array_like of int, optional
        Component of each observation, counted from 0; -1 where it is not known.

    Raises
    ------
    TypeError
        If `x` does not hold numbers, or `labels` whole numbers.
    ValueError
        If `x` is empty or not finite, or `labels` has another length or values below -1.
    """

    x: Array
    labels: Integers | None = None

    def __post_init__(self) -> None:
        x = as_observations(self.x)
        object.__setattr__(self, "x", freeze(x))
        if self.labels is not None:
            object.__setattr__(self, "labels", freeze(_as_labels(self.labels, len(x))))

    def __getstate__(self) -> tuple[Array, Integers | None]:
        return self.x, self.labels

    def __setstate__(self, state: tuple[Array, Integers | None]) -> None:
        x, labels = state
        object.__setattr__(self, "x", freeze(x))
        object.__setattr__(self, "labels", None if labels is None else freeze(labels))

    @property
    def n_observations(self) -> int:
        """Number of observations, n."""
        return len(self.x)


@dataclass(frozen=True, slots=True, eq=False)
class DataFile:
    """What was read from a user's file, with an account of what was left out.

    Attributes
    ----------
    dataset : Dataset
        The complete rows; labels index `groups`.
    rows : (n,) array of int
        Place of each observation in the file: the first row of data is 0.
    n_rows, n_missing : int
        Rows of data in the file, and how many of them miss a value in one of `columns`.
    columns : tuple of str
        The columns that were read, in the order asked for.
    groups : tuple of str
        Names of the known groups, sorted; empty without a label column.
    """

    dataset: Dataset
    rows: Integers
    n_rows: int
    n_missing: int
    columns: tuple[str, ...]
    groups: tuple[str, ...] = ()


def as_observations(x: ArrayLike, n_dims: int | None = None) -> Array:
    """Return observations as a float64 array (n, d), (n,) taken as univariate.

    Raises
    ------
    TypeError
        If `x` does not hold real numbers.
    ValueError
        If `x` is empty, has more than two axes, is not finite, or has not `n_dims` columns.
    """
    array = as_floats("x", x, ndim=min(max(np.ndim(x), 1), 2))
    array = array[:, None] if array.ndim == 1 else array
    if array.size == 0:
        raise ValueError(f"x must hold at least one observation; got shape {np.shape(x)}")
    if n_dims is not None and array.shape[1] != n_dims:
        raise ValueError(f"x must have {n_dims} columns, as the mixture has dimensions; got {array.shape[1]}")
    return array


def check_fittable(spec: MixtureSpec, x: ArrayLike) -> Array:
    """Return `x` as (n, d) if a mixture of `spec` can be fitted to it.

    Raises
    ------
    TypeError
        If `spec` is not a `MixtureSpec`, or `x` does not hold numbers.
    ValueError
        If there are fewer than two observations or fewer than components, a column is constant, or
        columns are linearly dependent where the covariances are full or tied.
    """
    if not isinstance(spec, MixtureSpec):
        raise TypeError(f"spec must be a MixtureSpec; got {type(spec).__name__}")
    array = as_observations(x)
    n, d = array.shape
    if n < max(2, spec.n_components):
        raise ValueError(
            f"x must hold at least 2 observations and as many as components ({spec.n_components}); got {n}"
        )
    constant = np.flatnonzero(array.min(axis=0) == array.max(axis=0))
    if len(constant):
        raise ValueError(f"x must vary; got the constant {array[0, constant[0]]} in column {constant[0]}")
    if d > 1 and spec.covariance in (Covariance.FULL, Covariance.TIED):
        rank = np.linalg.matrix_rank((array - array.mean(axis=0)) / array.std(axis=0))
        if rank < d:
            raise ValueError(
                f"x must have linearly independent columns for {spec.covariance} covariances; "
                f"got rank {rank} of {d} (diagonal or spherical covariances do without)"
            )
    return array


def simulate(mixture: NormalMixture, n: int, rng: np.random.Generator | int) -> Dataset:
    """Draw n independent observations from a mixture, with the component that each came from.

    Parameters
    ----------
    mixture : NormalMixture
    n : int
        Number of observations, at least 1.
    rng : numpy.random.Generator or int
        Source of randomness, or the seed of one.

    Returns
    -------
    Dataset
        With labels.

    Raises
    ------
    TypeError
        If `n` is not a whole number, or `rng` neither a Generator nor an int.
    ValueError
        If `n` is below 1.
    """
    n, rng = as_count("n", n), as_generator(rng)
    labels = rng.choice(mixture.n_components, size=n, p=mixture.weights)
    noise = rng.standard_normal((n, mixture.n_dims))
    factors = np.linalg.cholesky(mixture.covariances)
    return Dataset(mixture.means[labels] + np.einsum("nde,ne->nd", factors[labels], noise), labels)


def as_generator(rng: np.random.Generator | int) -> np.random.Generator:
    """Return `rng` itself, or the Generator that a seed makes; TypeError for anything else."""
    if isinstance(rng, np.random.Generator):
        return rng
    if isinstance(rng, int | np.integer) and not isinstance(rng, bool):
        return np.random.default_rng(as_count("a seed", rng, least=0))
    raise TypeError(f"rng must be a numpy.random.Generator or an int; got {type(rng).__name__}")


def read_data(path: str | Path, columns: list[str], label_column: str | None = None) -> DataFile:
    """Read observations from a CSV or Parquet file by column name.

    Rows with a missing value in one of `columns` are left out and counted. A missing label leaves
    its row in, as unlabelled, so that known groups never change what is fitted.

    Parameters
    ----------
    path : str or Path
        A file that ends in .csv, .csv.gz, .parquet or .pq.
    columns : list of str
        Numeric columns, one for each dimension.
    label_column : str, optional
        Column with the known group of each row.

    Returns
    -------
    DataFile

    Raises
    ------
    ValueError
        If the file is missing, unreadable or of another kind, a column is missing or repeated, or a
        value is text or infinite, or no complete row is left.
    """
    if len(set(columns)) < len(columns) or not columns:
        raise ValueError(f"columns must be named once each, at least one; got {columns}")
    frame = _read_frame(Path(path))
    for name in [*columns, *([label_column] if label_column else [])]:
        if name not in frame.columns:
            raise ValueError(
                f"{path}: column {name!r} must be in the file; got {', '.join(map(str, frame.columns))}"
            )
    x = np.column_stack([_numbers(path, frame[name]) for name in columns])
    complete = ~np.isnan(x).any(axis=1)
    if not complete.any():
        raise ValueError(
            f"{path}: {', '.join(columns)} must have at least one complete row; got {len(x)} without"
        )
    labels, groups = _groups(frame[label_column][complete]) if label_column else (None, ())
    return DataFile(
        dataset=Dataset(x[complete], labels),
        rows=freeze(np.flatnonzero(complete)),
        n_rows=len(x),
        n_missing=int((~complete).sum()),
        columns=tuple(columns),
        groups=groups,
    )


def write_data(path: str | Path, dataset: Dataset) -> None:
    """Write a data set as CSV: x (or x1, x2, ...) and, where they are known, components from 1."""
    import pandas as pd

    d = dataset.x.shape[1]
    names = ["x"] if d == 1 else [f"x{axis + 1}" for axis in range(d)]
    frame = pd.DataFrame(dataset.x, columns=names)
    if dataset.labels is not None:
        frame["component"] = dataset.labels + 1
    try:
        frame.to_csv(path, index=False)
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


def _as_labels(labels: ArrayLike, n: int) -> Integers:
    array = np.asarray(labels)
    if array.dtype.kind not in "iu":
        raise TypeError(f"labels must be whole numbers; got {array.dtype}")
    if array.shape != (n,):
        raise ValueError(
            f"labels must have one entry for each of the {n} observations; got shape {array.shape}"
        )
    if array.min() < UNLABELLED:
        raise ValueError(f"labels must be at least {UNLABELLED}; got {array.min()}")
    return np.array(array, dtype=np.int64)


def _read_frame(path: Path) -> pd.DataFrame:
    import pandas as pd

    name = path.name.lower()
    if not name.endswith((".csv", ".csv.gz", ".parquet", ".pq")):
        raise ValueError(f"{path}: a data file must end in .csv, .csv.gz, .parquet or .pq")
    if not path.is_file():
        raise ValueError(f"{path}: the file must exist; got none")
    try:
        return pd.read_csv(path) if ".csv" in name[-7:] else pd.read_parquet(path)
    except OSError as error:
        raise ValueError(f"{path}: the file must be readable; {error.strerror or error}") from None
    except ValueError as error:  # also pandas' ParserError, EmptyDataError and pyarrow's ArrowInvalid
        raise ValueError(f"{path}: the file must be a table; {str(error).splitlines()[0]}") from None


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
            f"got {str(value)!r} in data row {wrong[0] + 1}"
            + (f" and {len(wrong) - 1} more" if len(wrong) > 1 else "")
        )
    return numbers


def _groups(column: pd.Series) -> tuple[Integers, tuple[str, ...]]:
    names = column.dropna().astype(str)
    groups = tuple(sorted(names.unique()))
    labels = np.full(len(column), UNLABELLED, dtype=np.int64)
    labels[column.notna().to_numpy()] = [groups.index(name) for name in names]
    return labels, groups

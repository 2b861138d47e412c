"""Read a user's file, fit it with the engines asked for, and put the fits side by side."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mixtures.bayes.fitter import NUTS
from mixtures.comparison.single import KnownGroups
from mixtures.em.fitter import EM
from mixtures.em.uncertainty import IntervalMethod
from mixtures.model.arrays import Array
from mixtures.model.data import check_fittable
from mixtures.model.files import DataFile, read_data
from mixtures.model.fit import Fitter
from mixtures.model.spec import Covariance, MixtureSpec
from mixtures.report.data_fit import DataFit


def analyse(
    path: Path,
    *,
    columns: Sequence[str],
    components: int,
    covariance: str,
    engine: str,
    intervals: str | None,
    labels: str | None,
    groups: str | None,
    where: str | None,
    seed: int,
    command: str,
) -> DataFit:
    """Fit one data file, by what the command line gives.

    Parameters
    ----------
    path : Path
        CSV or Parquet file.
    columns : sequence of str
    components : int
    covariance : str
    engine : str
        "em", "nuts" or "both".
    intervals : str or None
        How EM's are made, as in `EM`, by default of the observed information; NUTS has its own.
    labels : str or None
        Column of the known groups.
    groups : str or None
        Which groups make up which component, as in "Adelie+Chinstrap,Gentoo".
    where : str or None
        Rows to read, as in "species=Adelie,Gentoo".
    seed : int
        Each engine draws from a stream of its own.
    command : str
        What computes this again.

    Raises
    ------
    ValueError
        If the file, a column or an argument is wrong, or an engine does not support the model.
    """
    data = read_data(path, columns, label_column=labels, where=None if where is None else _where(where))
    spec = MixtureSpec(components, Covariance(covariance))
    x = _check_data(path, data, spec)
    parts = None if groups is None else [_names(part, "+") for part in groups.split(",")]
    _check_groups(data, labels, components, parts)
    engines = _engines(engine, intervals)
    for one in engines:  # what an engine does not support is said before any of them works
        _check_engine(one, spec, x.shape[1], engine)
    streams = np.random.default_rng(seed).spawn(2)
    fits = [one.fit(spec, x, streams[one.name == "NUTS"]) for one in engines]
    return DataFit.of(str(path), data, fits, seed=seed, command=command, label_column=labels, groups=parts)


def _engines(engine: str, intervals: str | None) -> list[Fitter]:
    if engine == "nuts" and intervals is not None:
        raise ValueError(f"intervals must be left out where EM does not fit; got {intervals!r}")
    engines: list[Fitter] = [
        EM(intervals=intervals or IntervalMethod.INFORMATION),
        NUTS(cores=os.cpu_count() or 1),
    ]
    return engines if engine == "both" else [one for one in engines if one.name.lower() == engine]


def _check_data(path: Path, data: DataFile, spec: MixtureSpec) -> Array:
    """Return the observations; ValueError, in the words of the file, if no mixture can be fitted to them."""
    try:
        return check_fittable(spec, data.dataset.x)
    except ValueError as error:
        noun = "column" if len(data.columns) == 1 else "columns"
        said = re.sub(r"\bcolumn (\d+)", lambda place: f"column {data.columns[int(place[1])]!r}", str(error))
        said = re.sub(r"^x must", "the observations must", said)
        raise ValueError(f"{path}, {noun} {', '.join(data.columns)}: {said}") from None


def _check_engine(one: Fitter, spec: MixtureSpec, n_dims: int, engine: str) -> None:
    try:
        one.check(spec, n_dims)
    except ValueError as error:
        if one.name == "NUTS" and n_dims > 1:
            raise ValueError(f"NUTS takes one column; got {n_dims}. Fit by EM alone: --engine em") from None
        remedy = ". Fit by EM alone: --engine em" if one.name == "NUTS" and engine == "both" else ""
        raise ValueError(f"{one.name}: {error}{remedy}") from None


def _names(text: str, separator: str) -> list[str]:
    return [name.strip() for name in text.split(separator)]


def _where(text: str) -> tuple[str, list[str]]:
    column, equals, values = text.partition("=")
    if not (column.strip() and equals and all(_names(values, ","))):
        raise ValueError(f"where must be a column and values, NAME=A,B; got {text!r}")
    return column.strip(), _names(values, ",")


def _check_groups(data: DataFile, labels: str | None, k: int, parts: list[list[str]] | None) -> None:
    """Raise before anything is fitted if groups are asked for that the file does not have."""
    if parts is not None and labels is None:
        raise ValueError("groups need labels: name the column of the known groups")
    if data.dataset.labels is not None:
        KnownGroups.of(data.dataset.labels, data.groups, k, parts)

"""A replicate that was computed again, in words, and as the fits of one data file."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mixtures.model.files import DataFile
from mixtures.model.fit import Status
from mixtures.report import numbers
from mixtures.report.data_fit import DataFit
from mixtures.study.replay import Replayed
from mixtures.study.replicate import Replicate

_COLUMN = "component"  # the known groups are the components that the observations were drawn from


def as_data_fit(replayed: Replayed, command: str) -> DataFit:
    """Return the fits as those of a data file whose groups are the true components.

    Parameters
    ----------
    replayed : Replayed
    command : str
        What computes all this again.
    """
    replicate = replayed.replicate
    names = [f"component {j + 1}" for j in range(replicate.truth.n_components)]
    return DataFit.of(
        f"replicate {replicate.index} of {replicate.condition.name}, study {replayed.study.name}",
        _data_file(replicate, names),
        [attempted.fit for attempted in replayed.attempts.values()],
        seed=replayed.study.seed,
        command=command,
        label_column=_COLUMN,
        groups=[[name] for name in names],
    )


def _data_file(replicate: Replicate, names: list[str]) -> DataFile:
    n, d = replicate.dataset.x.shape
    columns = ("x",) if d == 1 else tuple(f"x{axis + 1}" for axis in range(d))
    return DataFile(replicate.dataset, np.arange(n), n, 0, 0, columns, tuple(names))


def fit_rows(replayed: Replayed) -> list[list[str]]:
    """How each fit ended, stored and now, and how many values were compared and differ, as a table."""
    rows = []
    for name, one in replayed.comparisons.items():
        stored, attempted = replayed.stored.get(name), replayed.attempts.get(name)
        n_differ = sum(difference.n_differ for difference in one.differences)
        rows.append(
            [
                name,
                numbers.MISSING if stored is None else stored.status,
                numbers.MISSING if attempted is None else attempted.fit.status.value,
                str(one.n_values),
                str(n_differ),
            ]
        )
    return rows


def difference_rows(replayed: Replayed) -> list[list[str]]:
    """Columns that differ and by how much, as a table."""
    return [
        [
            name,
            f"{one.table}.{one.column}",
            f"{one.n_differ} of {one.n_rows}",
            numbers.number(one.largest, 3),
            numbers.number(one.largest_share, 3),
            _say(one.stored),
            _say(one.again),
        ]
        for name, compared in replayed.comparisons.items()
        for one in compared.differences
    ]


def say_data(replayed: Replayed) -> Iterator[str]:
    """Say whether the data are those that were fitted and, where anything differs, what may be why."""
    replicate = replayed.replicate
    n, seen = replicate.dataset.n_observations, replayed.data_hash
    place = f"replicate {replicate.index} of {replicate.condition.name} ({replicate.condition.key})"
    if replayed.has_same_data:
        yield f"{place}: the data are as stored, {n} observations, hash {seen}"
    else:
        stored = ", ".join(
            f"{row.data_hash} ({name})"
            for name, row in replayed.stored.items()
            if row.data_hash not in {"", seen}
        )
        yield f"{place}: the data drawn now, hash {seen}, are not those that were fitted then, {stored}"
    for name, row in replayed.stored.items():
        if row.status == Status.TIMEOUT:
            yield f"{name} ran out of time then; nothing limits it now"
    if replayed.is_same:
        return
    if not replayed.elsewhere:
        yield (
            "versions and platform are those noted when the study ran; the processor, by which libraries "
            "choose their code, is not noted"
        )
        return
    yield "rows differ under other versions, which does not make the stored ones wrong:"
    for created, other in replayed.elsewhere:
        yield f"  run of {created}: {'; '.join(other)}"


def _say(value: object) -> str:
    if value is None:
        return "missing"
    return repr(float(value)) if isinstance(value, float) else str(value)

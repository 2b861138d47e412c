"""Which replicates are stored: one flag each, so that a long study is remembered in little room."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from mixtures.model.arrays import Integers

type Flags = NDArray[np.bool_]


class Ledger:
    """Set of replicates by what they are of: a condition and a method, or a condition and two.

    In and out of it, an entry is the condition, the number of the replicate, and the methods.
    """

    def __init__(self) -> None:
        self._flags: dict[tuple[str, ...], Flags] = {}

    def add(self, of: tuple[str, ...], replicates: Integers) -> None:
        """Add replicates (m,) of a condition and methods."""
        n = int(replicates.max(initial=-1)) + 1
        before = self._flags.get(of, np.zeros(0, dtype=bool))
        if n > len(before):
            before = np.concatenate([before, np.zeros(max(n, 2 * len(before)) - len(before), dtype=bool)])
        before[replicates] = True
        self._flags[of] = before

    def has(self, of: tuple[str, ...], replicates: Integers) -> Flags:
        """Whether each of the replicates (m,) of a condition and methods is there."""
        flags = self._flags.get(of, np.zeros(0, dtype=bool))
        found = np.zeros(len(replicates), dtype=bool)
        known = replicates < len(flags)
        found[known] = flags[replicates[known]]
        return found

    def __contains__(self, entry: tuple[str, int, *tuple[str, ...]]) -> bool:
        condition, replicate, *methods = entry
        return bool(self.has((condition, *methods), np.array([replicate]))[0])

    def __len__(self) -> int:
        return sum(int(flags.sum()) for flags in self._flags.values())

    def __iter__(self) -> Iterator[tuple[str | int, ...]]:
        for (condition, *methods), flags in self._flags.items():
            for replicate in np.flatnonzero(flags).tolist():
                yield (condition, replicate, *methods)

"""Make many small parts into a few larger ones, which are quicker to list and to read."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mixtures.study.parts import decode, encode, end_to_end, keys_of
from mixtures.study.store import Store

if TYPE_CHECKING:
    import pyarrow as pa

_BYTES = 16_000_000  # of a larger part, all tables together, as stored: some 150 MB in memory


@dataclass(frozen=True, slots=True)
class Compaction:
    """Parts before and after."""

    n_before: int
    n_after: int


def compact(store: Store, *, n_bytes: int = _BYTES) -> Compaction:
    """Make the parts of a study into larger ones of about so many bytes each.

    A larger part is written before the parts that it holds are deleted, and of these `fits` first:
    whoever reads meanwhile, or goes on after a kill, finds every row, some of them twice, which count
    once. It may be done while the study runs.

    A larger part is of as few conditions as can be, which is how they are read.

    Parameters
    ----------
    store : Store
        As it was opened: damaged parts have been set aside.
    n_bytes : int
        Size of a larger part.

    Raises
    ------
    ValueError
        If a part is damaged meanwhile.
    OSError
        If the folder cannot be written; nothing is lost.
    """
    n_before = n_after = 0
    group = _Group()
    names = store.parts("fits")
    first = {name: store.rows("fits", name, ["condition"])[0]["condition"][0].as_py() for name in names}
    for name in sorted(names, key=lambda name: (first[name], name)):
        n_before += 1
        if group.size >= n_bytes and not group.shares_files_with(name):
            n_after += group.join(store)
            group = _Group()
        group.add(store, name)
    return Compaction(n_before, n_after + group.join(store))


@dataclass(slots=True)
class _Group:
    """Parts to be made into one: their rows and the names of their files, by table."""

    tables: dict[str, list[pa.Table]] = field(default_factory=lambda: defaultdict(list))
    names: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    size: int = 0

    def shares_files_with(self, name: str) -> bool:
        """Whether another part may have files in common with the last: a task done twice has."""
        return keys_of(self.names["fits"][-1]) == keys_of(name)

    def add(self, store: Store, name: str) -> None:
        """Take up the part whose `fits` have this name."""
        companions = self._take("fits", name, store)
        for kind, its in companions.items():
            self._take(kind, its, store)

    def _take(self, kind: str, name: str, store: Store) -> dict[str, str]:
        content = store.place.read(f"rows/{kind}/{name}")
        rows, companions = decode(kind, name, content)
        self.tables[kind].append(rows)
        self.names[kind].append(name)
        self.size += len(content)
        return companions

    def join(self, store: Store) -> int:
        """Put one part in the place of these; return how many there are then."""
        if len(self.names["fits"]) < 2:
            return len(self.names["fits"])
        files = encode({kind: end_to_end(rows) for kind, rows in self.tables.items()})
        for (kind, name), content in files.items():
            store.place.write(f"rows/{kind}/{name}", content)
        for kind in ("fits", *(kind for kind in self.names if kind != "fits")):
            for name in self.names[kind]:
                store.place.delete(f"rows/{kind}/{name}")
        return 1

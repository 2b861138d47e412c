"""Which files hold the rows of which condition, so that a long study is read one condition at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from mixtures.study.ledger import Ledger
from mixtures.study.parts import frame_of, is_of_seed
from mixtures.study.rows import TABLES, schema
from mixtures.study.store import KEYS, PREFERENCE, Store, settled

if TYPE_CHECKING:
    import pandas as pd


class Catalogue:
    """The parts of a results folder by the conditions that they are of.

    Parameters
    ----------
    store : Store

    Attributes
    ----------
    store : Store
    done : Ledger
        Replicates of every condition and method whose fit is stored.

    Raises
    ------
    ValueError
        Naming the file, if one is damaged.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.done = Ledger()
        self._names: dict[tuple[str, str], dict[str, None]] = {}
        settled(self._list)

    def read(
        self, kind: str, condition: str, columns: Collection[str] | None, values: Mapping[str, str | int]
    ) -> pd.DataFrame:
        """Return the rows of a condition, in the order of their keys, each once.

        Those that are no part's, because writing it was cut short, are left out.

        Parameters
        ----------
        kind : str
            A table.
        condition : str
            The key of a condition.
        columns : collection of str or None
            To return beside the keys, or all.
        values : mapping of str to str or int
            Values that further columns must have.

        Returns
        -------
        DataFrame
            Without the columns of text that are the same in every row by this.
        """
        fixed: dict[str, str | int] = {"condition": condition, **values}
        wanted = schema(TABLES[kind]).names if columns is None else (*columns, *KEYS[kind], *PREFERENCE)
        returned = {*wanted} - {name for name, value in fixed.items() if isinstance(value, str)}

        def gather() -> pd.DataFrame:
            names = self._names.get((kind, condition), {})
            try:
                return frame_of(self.store.gather(kind, names, fixed, returned))
            except FileNotFoundError:
                self._list()  # some were made into larger ones meanwhile
                raise

        return settled(gather)

    def _list(self) -> None:
        done, seed = Ledger(), self.store.study().seed
        names: dict[tuple[str, str], dict[str, None]] = defaultdict(dict)  # a set, in the order of `fits`
        for name in self.store.parts("fits"):
            rows, companions = self.store.rows("fits", name, ["condition", "method", "replicate", "seed"])
            if not is_of_seed(rows, seed):
                continue
            for (condition, method), its in rows.to_pandas().groupby(["condition", "method"], sort=False):
                done.add((condition, method), its["replicate"].to_numpy())
            for condition in rows["condition"].unique().to_pylist():
                for kind, its_name in {"fits": name, **companions}.items():
                    names[kind, condition][its_name] = None
        self.done, self._names = done, names

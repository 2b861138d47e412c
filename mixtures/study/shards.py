"""Shards of a study: every N-th replicate of each condition, for array jobs without a coordinator."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Self

import numpy as np

from mixtures.model.arrays import Integers
from mixtures.study.design import Study
from mixtures.study.ledger import Flags, Ledger

_FORM = re.compile(r"([1-9][0-9]*)/([1-9][0-9]*)")


@dataclass(frozen=True, slots=True)
class Shard:
    """The replicates of every condition and method that one job of several does.

    Attributes
    ----------
    number : int
        From 1 to `n_shards`.
    n_shards : int
    """

    number: int
    n_shards: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.n_shards:
            raise ValueError(f"a shard must be one of 1 to {self.n_shards}; got {self.number}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``i/N``.

        Raises
        ------
        ValueError
            If it is anything else.
        """
        found = _FORM.fullmatch(text.strip())
        if not found:
            raise ValueError(f"a shard must be given as i/N, such as 1/4; got {text!r}")
        return cls(*map(int, found.groups()))

    def holds(self, replicates: Integers) -> Flags:
        """Whether each of the replicates (m,), counted from 0, is one of this shard's."""
        held: Flags = np.asarray(replicates) % self.n_shards == self.number - 1
        return held

    def __str__(self) -> str:
        return f"{self.number}/{self.n_shards}"


@dataclass(frozen=True, slots=True)
class ShardAccount:
    """How far one shard has come.

    Attributes
    ----------
    shard : Shard
    n_fits, n_missing : int
        Fits that are the shard's, and those of them that are not stored.
    has_begun : bool
        Whether a run of it was noted.
    """

    shard: Shard
    n_fits: int
    n_missing: int
    has_begun: bool


def account_for_shards(study: Study, done: Ledger, runs: Sequence[dict[str, Any]]) -> Iterator[ShardAccount]:
    """Say how far each shard has come; of every number of shards that any run was one of."""
    begun = {Shard.parse(run["shard"]) for run in runs if run.get("shard")}
    numbers = sorted({shard.n_shards for shard in begun})
    for shard in (Shard(i, n_shards) for n_shards in numbers for i in range(1, n_shards + 1)):
        n_fits = n_missing = 0
        for condition, method in product(study.conditions, study.method):
            planned = np.arange(study.replicates_of(method))
            own = planned[shard.holds(planned)]
            n_fits += len(own)
            n_missing += int((~done.has((condition.key, method.key), own)).sum())
        yield ShardAccount(shard, n_fits, n_missing, shard in begun)

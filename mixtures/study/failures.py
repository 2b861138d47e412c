"""Fits that did not end as converged, by kind: how they ended and what they said, numbers left out."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from mixtures.model.fit import Status
from mixtures.study.catalogue import Catalogue
from mixtures.study.conditions import Condition
from mixtures.study.store import Store
from mixtures.study.tables import read

_NUMBER = re.compile(r"0x[0-9a-fA-F]+|[-−+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?|[-−+]?\b(?:inf|nan)\b")
_SAID = ("status", "error_type", "message")


@dataclass(frozen=True, slots=True)
class Failure:
    """A fit that did not end as converged.

    Attributes
    ----------
    condition : Condition
    replicate : int
        Counted from 0.
    method : str
        Name of the method.
    message : str
        What the fit said.
    """

    condition: Condition
    replicate: int
    method: str
    message: str


@dataclass(frozen=True, slots=True)
class FailureKind:
    """Fits that ended alike.

    Attributes
    ----------
    status : str
    has_estimate : bool
        Without an estimate a fit counts in `failure_rate`; all count in `not_converged_rate`.
    error_type : str
        Name of the exception, or empty.
    message : str
        What the fits said, "#" for each number.
    fits : tuple of Failure
        By condition, replicate and method, in the study's order.
    """

    status: str
    has_estimate: bool
    error_type: str
    message: str
    fits: tuple[Failure, ...]

    @property
    def conditions(self) -> Counter[str]:
        """Fits by the name of their condition."""
        return Counter(fit.condition.name for fit in self.fits)

    @property
    def methods(self) -> Counter[str]:
        """Fits by the name of their method."""
        return Counter(fit.method for fit in self.fits)


def without_numbers(text: str) -> str:
    """Return a text with "#" for each number: texts that differ only in numbers are of one kind."""
    return _NUMBER.sub("#", text)


def list_failures(store: Store) -> list[FailureKind]:
    """Gather the fits of a study that did not end as converged.

    Returns
    -------
    list of FailureKind
        Those without an estimate first, then by how many there are.
    """
    study, catalogue = store.study(), Catalogue(store)
    order = {one.name: i for i, one in enumerate(study.method)}
    kinds: dict[tuple[bool, str, str, str], list[Failure]] = {}
    columns = ["has_estimate", *_SAID, "replicate", "method"]
    for condition in study.conditions:
        fits = read(catalogue, study, condition, "fits", columns=_SAID).dropna(subset=["method"])
        failed = fits[fits["status"] != Status.CONVERGED].assign(rank=lambda rows: rows["method"].map(order))
        rows = failed.sort_values(["replicate", "rank"])[columns]
        for has_estimate, status, error, message, replicate, method in rows.itertuples(
            index=False, name=None
        ):
            one = Failure(condition, int(replicate), method, message)
            kinds.setdefault((bool(has_estimate), status, error, without_numbers(message)), []).append(one)
    found = [
        FailureKind(status, has_estimate, error, message, tuple(those))
        for (has_estimate, status, error, message), those in kinds.items()
    ]
    return sorted(found, key=lambda kind: (kind.has_estimate, -len(kind.fits)))

"""Conditions of a study: true mixtures, or priors of them, and numbers of observations."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from pydantic import Field, field_validator, model_validator

from mixtures.comparison.difficulty import expected_standard_errors
from mixtures.comparison.label_rules import LabelRule
from mixtures.model.fit import Parameters
from mixtures.model.mixture import NormalMixture
from mixtures.model.prior import Prior
from mixtures.model.spec import Covariance, MixtureSpec
from mixtures.study.claim import StudyTable

#: What stands for a method where soft assignments are those at the truth.
ORACLE = "oracle"
_MOST_OBSERVATIONS = 10**9  # 8 GB each column: what is in a results folder can no longer be taken back


class Truth(StudyTable):
    """A true mixture, or a prior that true mixtures are drawn from."""

    name: str = Field(min_length=1)
    weights: list[float] | None = None
    means: list[Any] | None = None
    variances: list[float] | None = None
    covariances: list[Any] | None = None
    prior: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _is_mixture_or_prior(self) -> Self:
        self.as_prior() if self.prior is not None else self.as_mixture()
        return self

    def content(self) -> dict[str, Any]:
        """What determines the truth: everything but its name."""
        return self.model_dump(exclude={"name"}, exclude_none=True)

    def as_mixture(self) -> NormalMixture:
        """Return the true mixture, the same object every time: what is known of it is computed once."""
        return self._mixture

    @cached_property
    def _mixture(self) -> NormalMixture:
        return _as_value_error(NormalMixture.from_dict, self.content())

    @property
    def n_dims(self) -> int:
        """Number of dimensions of the data; priors are those of univariate mixtures."""
        return 1 if self.prior is not None else self.as_mixture().n_dims

    def as_prior(self) -> Prior:
        """Return the prior of true mixtures."""
        if set(self.content()) != {"prior"}:
            raise ValueError("a truth must be a mixture or a prior, not both")
        return _as_value_error(Prior.from_dict, self.content()["prior"])


class Grid(StudyTable):
    """Conditions of the study: every true mixture with every number of observations."""

    n: list[int] = Field(min_length=1)
    truth: list[Truth] = Field(min_length=1)

    @field_validator("n")
    @classmethod
    def _are_counts(cls, n: list[int]) -> list[int]:
        if min(n) < 2 or len(set(n)) < len(n):
            raise ValueError(f"n must hold distinct numbers of observations, at least 2; got {n}")
        if max(n) > _MOST_OBSERVATIONS:
            raise ValueError(f"n must be at most {_MOST_OBSERVATIONS}; got {max(n)}")
        return n

    @field_validator("truth")
    @classmethod
    def _have_names(cls, truth: list[Truth]) -> list[Truth]:
        return distinct("truth", truth)


@dataclass(frozen=True, slots=True)
class Condition:
    """One cell of the grid.

    Attributes
    ----------
    truth : Truth
    n : int
        Number of observations.
    spec : MixtureSpec
        The model that is fitted.
    key : str
        Hash of everything that determines the condition's data and model.
    label_rule : LabelRule
        By which truths from a prior are ranked.
    """

    truth: Truth
    n: int
    spec: MixtureSpec
    key: str
    label_rule: LabelRule

    @property
    def name(self) -> str:
        """How tables call the condition."""
        return f"{self.truth.name}, n = {self.n}"

    def expected_errors(self) -> Parameters | None:
        """Return the standard errors of the expected information at the truth, where they are known.

        They are not for truths drawn from a prior, in several dimensions, where variances differ that the
        model ties, and where the information is singular.
        """
        if self.truth.prior is not None or self.truth.n_dims > 1:
            return None
        truth, covariance = self.truth.as_mixture(), self.spec.covariance
        if covariance == Covariance.TIED and np.ptp(truth.variances) > 0:
            return None
        errors = expected_standard_errors(truth, self.n, covariance)
        return errors if np.isfinite(errors.means).all() else None


def key_of(content: Mapping[str, Any]) -> str:
    """Hash of plain content, the same in every process and on every machine; 16 hexadecimal digits."""
    text = json.dumps(_plain(content), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    """Content with whole numbers as floats, so that 1 and 1.0 are the same value."""
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def distinct[T](kind: str, entries: list[T], key: str = "name") -> list[T]:
    """Return the entries if each has a name of its own; ValueError naming one that has not."""
    names = [getattr(entry, key) for entry in entries]
    repeated = [name for name in names if names.count(name) > 1]
    if repeated:
        raise ValueError(
            f"each {kind} must have a {key} of its own; got {repeated[0]!r} {len(repeated)} times"
        )
    return entries


def _as_value_error(build: Any, content: Mapping[str, Any]) -> Any:
    """Build a value; a wrong kind becomes a ValueError, which pydantic gathers with the key."""
    try:
        return build(content)
    except TypeError as error:
        raise ValueError(str(error)) from None

"""What a study is: conditions, methods, replicates, and claims written before it ran."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from mixtures.model.mixture import NormalMixture
from mixtures.model.prior import Prior
from mixtures.model.spec import Covariance, MixtureSpec
from mixtures.study.claim import Claim, StudyTable, one_of


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
        """Return the true mixture."""
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
        return n

    @field_validator("truth")
    @classmethod
    def _have_names(cls, truth: list[Truth]) -> list[Truth]:
        return _distinct("truth", truth)


class Method(BaseModel):
    """A method: the name of an engine and the engine's settings, which are any further keys."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    name: str = Field(min_length=1)
    engine: str
    replicates: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _is_plain(self) -> Self:
        for name, value in self.settings.items():
            try:
                key_of({name: value})
            except (TypeError, OverflowError):
                raise ValueError(
                    f"{name} must be numbers, text, true or false, in lists or tables; got {_short(value)}"
                ) from None
        return self

    @property
    def settings(self) -> dict[str, Any]:
        """The engine's settings as the file gives them."""
        return dict(self.model_extra or {})

    def content(self) -> dict[str, Any]:
        """What determines the method's results: the engine and its settings, not the name."""
        return {"engine": self.engine, **self.settings}

    @property
    def key(self) -> str:
        """Hash of `content`."""
        return key_of(self.content())


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
    """

    truth: Truth
    n: int
    spec: MixtureSpec
    key: str

    @property
    def name(self) -> str:
        """How tables call the condition."""
        return f"{self.truth.name}, n = {self.n}"


class Study(StudyTable):
    """A recovery study, as its TOML file states it.

    Attributes
    ----------
    name, title, aims : str
    seed : int
        Root of every stream of randomness.
    components : int
        Number of components k that is fitted.
    covariance : Covariance
    replicates : int
        Data sets for each condition; a method may ask for fewer or more.
    grid : Grid
    method : list of Method
    claim : list of Claim
    """

    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$")
    title: str = Field(min_length=1)
    aims: str = Field(min_length=1)
    seed: int = Field(ge=0)
    components: int = Field(ge=1)
    covariance: str = Covariance.FULL.value
    replicates: int = Field(ge=1)
    grid: Grid
    method: list[Method] = Field(min_length=1)
    claim: list[Claim] = Field(default_factory=list)

    @field_validator("covariance")
    @classmethod
    def _is_covariance(cls, covariance: str) -> str:
        one_of("covariance", covariance, tuple(Covariance))
        return covariance

    @field_validator("method")
    @classmethod
    def _have_names(cls, method: list[Method]) -> list[Method]:
        if len({one.key for one in method}) < len(method):
            raise ValueError("methods must differ in engine or settings; got the same twice")
        return _distinct("method", method)

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        _distinct("claim", self.claim, "id")
        for truth in self.grid.truth:
            k = truth.as_mixture().n_components if truth.prior is None else truth.as_prior().n_components
            if k not in (None, self.components):
                raise ValueError(f"grid.truth {truth.name!r} must have {self.components} components; got {k}")
        for claim in self.claim:
            self._check_names(claim)
        return self

    def _check_names(self, claim: Claim) -> None:
        methods = [method.name for method in self.method]
        named: dict[str, tuple[list[Any], list[Any]]] = {
            "method": ([claim.method], methods),
            "versus": ([claim.versus] if claim.versus else [], methods),
            "truth": (claim.truth or [], [truth.name for truth in self.grid.truth]),
            "n": (claim.n or [], self.grid.n),
        }
        for key, (used, known) in named.items():
            for value in used:
                one_of(f"claim {claim.id!r}: {key}", value, known)
        if claim.versus == claim.method:
            raise ValueError(f"claim {claim.id!r}: versus must be another method; got {claim.versus!r}")
        if (claim.component or 1) > self.components:
            raise ValueError(
                f"claim {claim.id!r}: component must be at most {self.components}; got {claim.component}"
            )

    @property
    def spec(self) -> MixtureSpec:
        """The model that every method fits."""
        return MixtureSpec(self.components, Covariance(self.covariance))

    @property
    def conditions(self) -> list[Condition]:
        """Every true mixture with every n."""
        return [self._condition(truth, n) for truth in self.grid.truth for n in self.grid.n]

    def _condition(self, truth: Truth, n: int) -> Condition:
        content = {
            "truth": truth.content(),
            "n": n,
            "components": self.components,
            "covariance": self.covariance,
        }
        return Condition(truth, n, self.spec, key_of(content))

    def replicates_of(self, method: Method, most: int | None = None) -> int:
        """Number of replicates of a method, `most` at most."""
        planned = method.replicates or self.replicates
        return planned if most is None else min(planned, most)

    def conditions_of(self, claim: Claim) -> list[Condition]:
        """Conditions that a claim is about."""
        return [
            condition
            for condition in self.conditions
            if (claim.truth is None or condition.truth.name in claim.truth)
            and (claim.n is None or condition.n in claim.n)
        ]

    @classmethod
    def from_toml(cls, text: str, source: str = "study") -> Self:
        """Build a study from the text of its file.

        Raises
        ------
        ValueError
            Naming `source`, each key that is wrong, the rule, and what came.
        """
        try:
            return cls.model_validate(tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"{source}: the file must be valid TOML; {error}") from None
        except ValidationError as error:
            raise ValueError("\n".join(f"{source}: {line}" for line in _say(error))) from None

    def to_toml(self) -> str:
        """Return the study as the text of a study file."""
        import tomli_w

        return tomli_w.dumps(self.model_dump(exclude_none=True))

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a study file; ValueError, naming the file and key, where it cannot be read or is wrong."""
        return cls.from_toml(read_text(path), str(path))


def read_text(path: str | Path) -> str:
    """Return the text of a file; ValueError, naming it, where it cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"{path}: the file must be readable; {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path}: the file must be text in UTF-8") from None


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


def _say(error: ValidationError) -> list[str]:
    lines = []
    for one in error.errors():
        key = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in one["loc"]).lstrip(
            "."
        )
        rule = one["msg"].removeprefix("Value error, ")
        came = "" if one["type"] in ("missing", "value_error") else f"; got {_short(one['input'])}"
        lines.append(f"{key}: {rule}{came}" if key else rule)
    return lines


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _distinct[T](kind: str, entries: list[T], key: str = "name") -> list[T]:
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

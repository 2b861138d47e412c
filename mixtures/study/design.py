"""What a study is: conditions, methods, replicates, and claims written before it ran."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from mixtures.comparison.label_rules import LabelRule
from mixtures.model.spec import Covariance, MixtureSpec
from mixtures.study.claim import BADLY_WRONG, UNIFORMITY, Claim, StudyTable, one_of
from mixtures.study.conditions import ORACLE, Condition, Grid, Truth, distinct, key_of
from mixtures.study.until import Until

_MOST_REPLICATES = 10**8  # 2 GB to plan them


class Method(BaseModel):
    """A method: the name of an engine and the engine's settings, which are any further keys."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    name: str = Field(min_length=1)
    engine: str
    replicates: int | None = Field(default=None, ge=1, le=_MOST_REPLICATES)

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
    label_rule : LabelRule
        By which components are put in order where truths from a prior are ranked.
    replicates : int
        Data sets for each condition, with `until` at most; a method may ask for fewer or more.
    until : Until or None
        The rule by which a condition may end before it has them all.
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
    label_rule: str = LabelRule.ORDERING.value
    replicates: int = Field(ge=1, le=_MOST_REPLICATES)
    until: Until | None = None
    grid: Grid
    method: list[Method] = Field(min_length=1)
    claim: list[Claim] = Field(default_factory=list)

    @field_validator("covariance")
    @classmethod
    def _is_covariance(cls, covariance: str) -> str:
        one_of("covariance", covariance, tuple(Covariance))
        return covariance

    @field_validator("label_rule")
    @classmethod
    def _is_label_rule(cls, label_rule: str) -> str:
        one_of("label_rule", label_rule, tuple(LabelRule))
        return label_rule

    @field_validator("method")
    @classmethod
    def _have_names(cls, method: list[Method]) -> list[Method]:
        if len({one.key for one in method}) < len(method):
            raise ValueError("methods must differ in engine or settings; got the same twice")
        if any(one.name == ORACLE for one in method):
            raise ValueError(f"no method must be called {ORACLE!r}: reports call what the truth says so")
        return distinct("method", method)

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        distinct("claim", self.claim, "id")
        if self.label_rule != LabelRule.ORDERING and all(one.prior is None for one in self.grid.truth):
            raise ValueError(
                f"label_rule must be left out where no truth is drawn from a prior; got {self.label_rule!r}"
            )
        if self.label_rule == LabelRule.REFERENCE and min(self.grid.n) <= self.components:
            raise ValueError(
                f"grid.n must be more than components, {self.components}, where label_rule is 'reference'; "
                f"got {min(self.grid.n)}"
            )
        for truth in self.grid.truth:
            k = truth.as_mixture().n_components if truth.prior is None else truth.as_prior().n_components
            if k not in (None, self.components):
                raise ValueError(f"grid.truth {truth.name!r} must have {self.components} components; got {k}")
        for claim in self.claim:
            self._check_names(claim)
        if len({condition.key for condition in self.conditions}) < len(self.conditions):
            raise ValueError("grid.truth must differ in more than their names; got the same twice")
        self._check_until()
        return self

    def _check_until(self) -> None:
        if self.until is None:
            return
        most = max(self.replicates_of(method) for method in self.method)
        if self.until.least >= most:
            raise ValueError(
                f"until.least must be below the replicates, of which there are {most} at most; "
                f"got {self.until.least}"
            )
        for condition in self.conditions:
            _check_truth("until", self.until.measure, condition)

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
        for condition in self.conditions_of(claim):
            _check_truth(f"claim {claim.id!r}", claim.measure, condition)
        if (claim.component or 1) > self.components:
            raise ValueError(
                f"claim {claim.id!r}: component must be at most {self.components}; got {claim.component}"
            )

    def content(self) -> dict[str, Any]:
        """What every result depends on, and what may not change."""
        kept = self.model_dump(include={"name", "components", "covariance"})
        if self.label_rule != LabelRule.ORDERING:  # so that results from before there was a choice stay valid
            kept["label_rule"] = self.label_rule
        return kept | {"seed": str(self.seed)}  # whose every digit counts

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
        return Condition(truth, n, self.spec, key_of(content), LabelRule(self.label_rule))

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


def _check_truth(where: str, measure: str, condition: Condition) -> None:
    truth, needs = condition.truth, f"{where}: measure {measure} needs"
    if measure == UNIFORMITY and truth.prior is None:
        raise ValueError(f"{needs} truths drawn from a prior; got {truth.name!r}")
    if measure == BADLY_WRONG and condition.expected_errors() is None:
        raise ValueError(
            f"{needs} univariate mixtures as truths, of different components with positive weights, "
            f"and of equal variances where they are tied; got {truth.name!r}"
        )


def read_text(path: str | Path) -> str:
    """Return the text of a file; ValueError, naming it, where it cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"{path}: the file must be readable; {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path}: the file must be text in UTF-8") from None


def _say(error: ValidationError) -> list[str]:
    lines = []
    for one in error.errors():
        key = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in one["loc"]).lstrip(
            "."
        )
        if one["type"] == "extra_forbidden":
            known = ", ".join(_model_at(one["loc"][:-1]).model_fields)
            lines.append(f"{key}: the key must be one of {known}; got {one['loc'][-1]!r}")
            continue
        rule = one["msg"].removeprefix("Value error, ")
        came = "" if one["type"] in ("missing", "value_error") else f"; got {_short(one['input'])}"
        lines.append(f"{key}: {rule}{came}" if key else rule)
    return lines


def _model_at(place: tuple[int | str, ...]) -> type[BaseModel]:
    """Return the kind of the table at a place in a study file."""
    model: type[BaseModel] = Study
    for key in (part for part in place if isinstance(part, str)):
        kind = model.model_fields[key].annotation
        model = (get_args(kind) or (kind,))[0]  # that of the entries of a list
    return model


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."

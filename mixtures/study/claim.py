"""A claim: a statement about a measure, made before the study ran, that its replicates can refute."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

PARAMETERS = ("weights", "means", "variances")
PARAMETER_MEASURES = (
    "bias",
    "relative_bias",
    "empirical_se",
    "mse",
    "rmse",
    "coverage",
    "bias_eliminated_coverage",
    "model_se",
    "relative_error_model_se",
    "interval_width",
    "relative_precision",
)
#: Share of fits badly wrong; needs truths whose expected standard errors are known.
BADLY_WRONG = "badly_wrong"
#: Shares of attempted fits: without an estimate, and without convergence, as the status says it.
RATES = ("failure_rate", "not_converged_rate")
FIT_MEASURES = (
    "hellinger",
    "kl",
    "total_variation",
    "log_score",
    "brier",
    "error_rate",
    "adjusted_rand_index",
    "calibration_error",
    "soft_coverage",
    "soft_interval_width",
    BADLY_WRONG,
    *RATES,
    "seconds",
)
#: Measures of two methods, which always need `versus`: of their soft assignments, and of a parameter.
PAIR_MEASURES = ("soft_assignment_distance", "hard_assignment_disagreement")
PARAMETER_PAIR_MEASURES = ("relative_precision",)
#: Share of data sets on which a method's likelihood is lower than the other's; needs `versus` too.
LOWER_LIKELIHOOD = "lower_likelihood"
_OF_TWO = (*PAIR_MEASURES, *PARAMETER_PAIR_MEASURES, LOWER_LIKELIHOOD)
#: Smallest p-value of uniform ranks, Holm's over all quantities; needs truths from a prior, and draws.
UNIFORMITY = "uniformity"
#: Measures of intervals, which not every engine gives.
INTERVAL_MEASURES = (
    "coverage",
    "bias_eliminated_coverage",
    "model_se",
    "relative_error_model_se",
    "interval_width",
    "soft_coverage",
    "soft_interval_width",
)
#: Measures that a paired difference between two methods is defined for.
DIFFERENCES = ("bias", "mse", "coverage", *(name for name in FIT_MEASURES if name not in RATES))


class StudyTable(BaseModel):
    """A table of a study file: keys are known, kinds are exact, values do not change."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, arbitrary_types_allowed=True
    )


class Claim(StudyTable):
    """A statement about a measure, made before the study ran, that its replicates can refute.

    The claim is about every condition that `truth` and `n` name, all of them by default, and about
    every component, or the one given. It says that the measure lies `below`, `above` or `between`
    numbers; with `versus`, that the paired difference of the two methods does.
    """

    id: str = Field(min_length=1)
    text: str = Field(min_length=1)
    measure: str
    method: str
    versus: str | None = None
    parameter: str | None = None
    component: int | None = Field(default=None, ge=1)
    truth: list[str] | None = Field(default=None, min_length=1)
    n: list[int] | None = Field(default=None, min_length=1)
    below: float | None = None
    above: float | None = None
    between: list[float] | None = None

    @model_validator(mode="after")
    def _is_decidable(self) -> Self:
        needs_parameter = self.measure in PARAMETER_MEASURES
        one_of("measure", self.measure, (*PARAMETER_MEASURES, *FIT_MEASURES, *_OF_TWO, UNIFORMITY))
        if needs_parameter != (self.parameter is not None):
            rule = "must be given" if needs_parameter else "must not be given"
            raise ValueError(f"parameter {rule} for the measure {self.measure}")
        if self.parameter is not None:
            one_of("parameter", self.parameter, PARAMETERS)
        elif self.component is not None:
            raise ValueError("component must not be given without a parameter")
        is_of_pair = self.measure in _OF_TWO
        if self.versus is not None and not is_of_pair:
            one_of("measure, with versus,", self.measure, DIFFERENCES)
        if is_of_pair and self.versus is None:
            raise ValueError(f"versus must be given for the measure {self.measure}")
        if sum(bound is not None for bound in (self.below, self.above, self.between)) != 1:
            raise ValueError("a claim must have exactly one of below, above and between")
        if self.between is not None and (len(self.between) != 2 or self.between[0] >= self.between[1]):
            raise ValueError(f"between must be two increasing numbers; got {self.between}")
        return self

    def content(self) -> dict[str, Any]:
        """What the claim says, by which it is judged: everything but its words."""
        return self.model_dump(exclude={"text"})

    @property
    def region(self) -> tuple[float, float]:
        """Lowest and highest value that the claim allows."""
        if self.between is not None:
            return self.between[0], self.between[1]
        low = float("-inf") if self.above is None else self.above
        return low, float("inf") if self.below is None else self.below


def one_of(name: str, value: Any, known: Collection[Any]) -> None:
    """Raise a ValueError, with the rule, where a value is not among the known ones."""
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(map(str, known))}; got {value!r}")

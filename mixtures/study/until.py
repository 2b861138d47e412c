"""The rule `until`: how many replicates a condition gets, by the Monte Carlo error that it has reached."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from mixtures.study.claim import FIT_MEASURES, PARAMETER_MEASURES, PARAMETERS, StudyTable, one_of

#: Measures of one method that each replicate adds to, and that the seed determines: not its seconds.
UNTIL_MEASURES = tuple(
    name
    for name in (*PARAMETER_MEASURES, *FIT_MEASURES)
    if name not in {"relative_bias", "relative_precision", "seconds"}
)


class Until(StudyTable):
    """A rule that ends a condition once the Monte Carlo error of a measure is small enough.

    Attributes
    ----------
    measure : str
    parameter : str or None
        Of a measure of parameters, the one that decides; all of them by default.
    mcse : float
        Monte Carlo error to reach, for every method, parameter and component.
    least : int
        Replicates at the first look.
    batch : int
        Replicates from one look to the next.
    """

    measure: str
    parameter: str | None = None
    mcse: float = Field(gt=0)
    least: int = Field(default=500, ge=2)
    batch: int = Field(default=500, ge=1)

    @model_validator(mode="after")
    def _is_decidable(self) -> Self:
        one_of("measure", self.measure, UNTIL_MEASURES)
        if self.parameter is not None:
            if self.measure not in PARAMETER_MEASURES:
                raise ValueError(f"parameter must not be given for the measure {self.measure}")
            one_of("parameter", self.parameter, PARAMETERS)
        return self

    def __str__(self) -> str:
        """Say the rule in words."""
        what = self.measure.replace("_", " ")
        if self.measure in PARAMETER_MEASURES:
            what += f" of {self.parameter or 'every parameter'}"
        return (
            f"a condition ends once the Monte Carlo error of {what} is at most {self.mcse:g} for every "
            f"method, looked at after {self.least} replicates and then every {self.batch}, or when all "
            "replicates are made"
        )

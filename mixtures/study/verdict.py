"""Judge a claim by its measures and their Monte Carlo errors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from mixtures.comparison.calibration import PValue
from mixtures.comparison.performance import Measure, monte_carlo_interval
from mixtures.study.claim import Claim

LEVEL = 0.99  # of the Monte Carlo intervals of all claims together
_MOST_REPLICATES = 10**8  # beyond which a claim counts as undecidable


class Verdict(StrEnum):
    """What the replicates say of a claim."""

    SUPPORTED = "supported"
    REFUTED = "refuted"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class Judgement:
    """A claim's verdict on one measure.

    Attributes
    ----------
    measure : Measure
    lower, upper : float
        Its Monte Carlo interval, at 99% over all judgements of the study together.
    verdict : Verdict
    n_needed : int or None
        Where it is inconclusive, the replicates that would settle it if the measure stayed where it
        is; None where no number would.
    """

    measure: Measure
    lower: float
    upper: float
    verdict: Verdict
    n_needed: int | None = None


def judge(claim: Claim, measure: Measure, n_judgements: int = 1) -> Judgement:
    """Judge one measure against the region of a claim.

    Supported if the Monte Carlo interval lies inside the claimed region, refuted if wholly outside,
    else inconclusive. The interval is Bonferroni's over `n_judgements`; Wilson's for a
    proportion, Tango's for a paired difference of two, a single point for a p-value, which is exact given
    the replicates, by Student's t for anything else, on the log scale for what is positive.

    Parameters
    ----------
    claim : Claim
    measure : Measure
    n_judgements : int
        Number of measures that the study's claims are judged on, in all.
    """
    level = 1 - (1 - LEVEL) / n_judgements
    lower, upper = _interval(measure, level)
    verdict = _verdict(claim, lower, upper)
    needed = _needed(claim, measure, level) if verdict == Verdict.INCONCLUSIVE else None
    return Judgement(measure, lower, upper, verdict, needed)


def overall(judgements: Sequence[Judgement]) -> Verdict:
    """Verdict on a claim about several measures: refuted by any, supported by all."""
    verdicts = {judgement.verdict for judgement in judgements}
    if Verdict.REFUTED in verdicts:
        return Verdict.REFUTED
    return Verdict.SUPPORTED if verdicts == {Verdict.SUPPORTED} else Verdict.INCONCLUSIVE


def _interval(measure: Measure, level: float) -> tuple[float, float]:
    if isinstance(measure, PValue):
        return measure.value, measure.value
    return monte_carlo_interval(measure, level)


def _verdict(claim: Claim, lower: float, upper: float) -> Verdict:
    low, high = claim.region
    if low <= lower and upper <= high:
        return Verdict.SUPPORTED
    return Verdict.REFUTED if upper < low or lower > high else Verdict.INCONCLUSIVE


def _needed(claim: Claim, measure: Measure, level: float) -> int | None:
    """Replicates at which the claim is decided, if the measure stays: by doubling, then bisection."""
    if not (math.isfinite(measure.value) and math.isfinite(measure.mcse)):
        return None

    def is_settled(n: int) -> bool:
        scaled = replace(measure, mcse=measure.mcse * math.sqrt(measure.n / n), n=n)
        return _verdict(claim, *monte_carlo_interval(scaled, level)) != Verdict.INCONCLUSIVE

    most = measure.n
    while not is_settled(most):
        most *= 2
        if most > _MOST_REPLICATES:
            return None
    least = most // 2
    while most - least > 1:
        middle = (least + most) // 2
        least, most = (least, middle) if is_settled(middle) else (middle, most)
    return most

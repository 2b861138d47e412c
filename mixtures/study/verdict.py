"""Judge a claim by its measures and their Monte Carlo errors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from scipy.stats import norm

from mixtures.comparison.performance import Measure, monte_carlo_interval
from mixtures.study.design import Claim

LEVEL = 0.99  # of the Monte Carlo intervals of all claims together


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
    else inconclusive. The interval is Bonferroni's over `n_judgements`; Wilson's for a proportion.

    Parameters
    ----------
    claim : Claim
    measure : Measure
    n_judgements : int
        Number of measures that the study's claims are judged on, in all.
    """
    low, high = claim.region
    z = float(norm.ppf(1 - (1 - LEVEL) / (2 * n_judgements)))
    lower, upper = monte_carlo_interval(measure, z)
    if low <= lower and upper <= high:
        return Judgement(measure, lower, upper, Verdict.SUPPORTED)
    if upper < low or lower > high:
        return Judgement(measure, lower, upper, Verdict.REFUTED)
    return Judgement(measure, lower, upper, Verdict.INCONCLUSIVE, _needed(claim, measure, upper - lower))


def overall(judgements: Sequence[Judgement]) -> Verdict:
    """Verdict on a claim about several measures: refuted by any, supported by all."""
    verdicts = {judgement.verdict for judgement in judgements}
    if Verdict.REFUTED in verdicts:
        return Verdict.REFUTED
    return Verdict.SUPPORTED if verdicts == {Verdict.SUPPORTED} else Verdict.INCONCLUSIVE


def _needed(claim: Claim, measure: Measure, width: float) -> int | None:
    """Replicates at which half the interval's width is the distance to the nearest bound."""
    distance = min(abs(measure.value - bound) for bound in claim.region)
    if not (math.isfinite(distance) and math.isfinite(width) and distance > 0):
        return None
    return math.ceil(measure.n * (width / 2 / distance) ** 2)

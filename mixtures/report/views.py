"""What the tables of a study's report hold: the numbers of the summary, put in the order of rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mixtures.comparison.difficulty import Difficulty, Overlap
from mixtures.comparison.performance import Measure
from mixtures.model.fit import Parameters, Status
from mixtures.model.mixture import NormalMixture
from mixtures.report import numbers
from mixtures.study.claim import LOWER_LIKELIHOOD, PAIR_MEASURES, PARAMETER_PAIR_MEASURES, Claim
from mixtures.study.conditions import ORACLE, Condition
from mixtures.study.design import Method
from mixtures.study.failures import without_numbers
from mixtures.study.measures import FitSummary, PairSummary, ParameterSummary
from mixtures.study.methods import level_of
from mixtures.study.replay import replay_command
from mixtures.study.summary import JudgedClaim, Summary, parameter_name
from mixtures.study.verdict import Judgement, Verdict

if TYPE_CHECKING:
    import pandas as pd

#: Columns of fits that say how they ended.
SAID = ("status", "error_type", "message", "warnings")
_MOST_MESSAGES = 10
_MEASURES = {
    "bias": "bias",
    "relative_bias": "relative bias",
    "empirical_se": "empirical standard error",
    "mse": "mean squared error",
    "rmse": "root mean squared error",
    "coverage": "coverage",
    "bias_eliminated_coverage": "bias-eliminated coverage",
    "model_se": "model standard error",
    "relative_error_model_se": "relative error, in per cent, of the model standard error",
    "interval_width": "interval width",
    "hellinger": "Hellinger distance",
    "kl": "KL divergence",
    "total_variation": "distance of the soft assignments to the oracle's",
    "log_score": "log score",
    "brier": "Brier score",
    "error_rate": "error rate",
    "adjusted_rand_index": "adjusted Rand index",
    "calibration_error": "calibration error",
    "soft_coverage": "coverage of the oracle's soft assignments",
    "soft_interval_width": "width of the intervals of soft assignments",
    "badly_wrong": "share of fits badly wrong",
    "failure_rate": "share of fits without an estimate",
    "not_converged_rate": "share of fits that did not converge",
    "seconds": "seconds of a fit",
    "uniformity": "smallest p-value of uniform ranks, Holm",
    "relative_precision": "relative precision, in per cent,",
    "soft_assignment_distance": "distance of the soft assignments",
    "hard_assignment_disagreement": "hard assignments that differ",
    "lower_likelihood": "share of data sets with the lower likelihood",
}
_DIAGNOSTICS = {
    "newton_decrement": "Newton decrement",
    "steps": "steps of the reported run",
    "short_runs": "short runs from random parameters",
    "short_runs_collapsed": "short runs dropped, a component collapsed",
    "starts": "starts",
    "starts_at_best": "starts that reached the best mode",
    "starts_collapsed": "starts dropped, a component collapsed",
    "starts_spurious": "starts that ended in a spurious maximum",
    "spurious_set_aside": "higher spurious maximum set aside (1: yes)",
    "resamples": "resamples of the bootstrap",
    "resamples_flipped": "resamples put in the estimate's order",
    "resamples_collapsed": "resamples dropped, a component collapsed",
    "resamples_not_converged": "resamples short of a strict maximum",
    "resamples_mcse_of_errors": "largest Monte Carlo error of a bootstrap standard error, as a share of it",
    "resamples_mcse_of_ends": "largest Monte Carlo error of a bootstrap end, in standard errors",
    "rhat": "worst R-hat of the gate",
    "ess_bulk": "smallest bulk ESS of the gate",
    "ess_tail": "smallest tail ESS of the gate",
    "rhat_parameters": "worst R-hat of a relabelled parameter",
    "ess_bulk_parameters": "smallest bulk ESS of a relabelled parameter",
    "ess_tail_parameters": "smallest tail ESS of a relabelled parameter",
    "draws_switched": "draws not in the most frequent order of their chain",
    "divergences": "divergent draws",
}


@dataclass(frozen=True, slots=True)
class ClaimView:
    """A claim as its table shows it: the measure and the region in words."""

    id: str
    text: str
    measure: str
    region: str
    verdict: str
    is_post_hoc: bool
    judgements: list[tuple[str, Judgement]]

    @classmethod
    def of(cls, judged: JudgedClaim) -> ClaimView:
        """Put a judged claim in words."""
        claim = judged.claim
        return cls(
            claim.id,
            claim.text,
            _say_measure(claim),
            numbers.region(*claim.region),
            judged.verdict.value,
            judged.is_post_hoc,
            judged.judgements,
        )


@dataclass(frozen=True, slots=True)
class ParameterGroup:
    """A parameter with its summaries, one for each method."""

    name: str
    truth: float | None
    methods: list[ParameterSummary]


@dataclass(frozen=True, slots=True)
class DifferenceRow:
    """Paired differences of two methods on one parameter, and their relative precision, by measure."""

    name: str
    measures: dict[str, Measure]


@dataclass(frozen=True, slots=True)
class DifficultyRow:
    """How hard a condition is, in words and numbers."""

    condition: Condition
    truth: str
    separation: str
    overlap: str
    bayes_error: str
    smallest_count: str
    standard_errors: str


@dataclass(frozen=True, slots=True)
class Message:
    """What some fits of a method said, and how many; one of them as an example where the numbers differ.

    `replay` is the command, in the folder of the report, that computes the example again; empty where the
    fits converged.
    """

    method: str
    status: str
    text: str
    n: int
    is_example: bool
    replay: str


def parameter_groups(summary: Summary, condition: Condition) -> list[ParameterGroup]:
    """Gather the summaries of one condition by parameter, in the order of the first method's."""
    groups: dict[tuple[str, int, int], ParameterGroup] = {}
    for one in summary.parameters:
        if one.condition == condition:
            place = (one.parameter, one.component, one.axis)
            groups.setdefault(place, ParameterGroup(parameter_name(*place), one.truth, [])).methods.append(
                one
            )
    return list(groups.values())


def differences_of(pair: PairSummary) -> list[DifferenceRow]:
    """Gather the paired differences of two methods by parameter."""
    rows: dict[str, DifferenceRow] = {}
    for (measure, parameter, component, axis), difference in pair.parameter_differences.items():
        name = parameter_name(parameter, component, axis)
        rows.setdefault(name, DifferenceRow(name, {})).measures[measure] = difference
    for place, precision in pair.relative_precision.items():
        rows[parameter_name(*place)].measures["relative_precision"] = precision
    return list(rows.values())


def has_difference(pair: PairSummary, measure: str) -> bool:
    """Whether two methods have a paired difference in a measure."""
    return any(key[0] == measure for key in pair.parameter_differences)


def has_measure(groups: Iterable[ParameterGroup], attribute: str, measure: str) -> bool:
    """Whether any method has a measure: `attribute` is "measures", "converged" or "without_spurious"."""
    return any(measure in getattr(one, attribute) for group in groups for one in group.methods)


def differs_when_converged(summary: Summary, condition: Condition) -> bool:
    """Whether some fit of a condition has an estimate without having converged."""
    return any(
        one.measures["bias"].n != one.converged["bias"].n
        for one in summary.parameters
        if one.condition == condition
    )


def has_spurious(summary: Summary, condition: Condition) -> bool:
    """Whether some fit of a condition set a higher, spurious maximum aside."""
    return any(account.n_spurious for account in summary.accounts if account.condition == condition)


def failing_statuses(summary: Summary) -> list[str]:
    """Statuses other than converged that fits of the study ended with."""
    seen = {status for account in summary.accounts for status in account.statuses}
    return [status.value for status in Status if status in seen and status != Status.CONVERGED]


def diagnostic_name(name: str) -> str:
    """Put the name of an engine's diagnostic in words."""
    return _DIAGNOSTICS.get(name, name.replace("_", " "))


def largest_n(measures: Mapping[str, Measure], names: Iterable[str]) -> int:
    """Largest n among some measures: the row's, from which a single measure may differ."""
    return max((measures[name].n for name in names if name in measures), default=0)


def difficulty(summary: Summary, condition: Condition) -> DifficultyRow:
    """Say how hard a condition is; of truths drawn from a prior only the mean Bayes error is known."""
    if condition.truth.prior is not None:
        found = _oracle(summary, condition).measures["bayes_error"]
        prior = settings(condition.truth.prior)
        bayes_error = numbers.estimate(found)
        return DifficultyRow(
            condition, f"drawn from the prior {prior}", "varies", "varies", bayes_error, "varies", "varies"
        )
    truth = condition.truth.as_mixture()
    theory = Difficulty.of(truth, condition.n, condition.spec.covariance)
    has_several = truth.n_components > 1
    return DifficultyRow(
        condition,
        describe(truth),
        numbers.number(theory.separation, 3) if has_several else numbers.MISSING,
        _say_overlap(theory.overlap),
        numbers.number(theory.bayes_error, 3) if has_several else numbers.MISSING,
        numbers.number(theory.smallest_count, 4),
        _say_standard_errors(theory.standard_errors),
    )


def _say_overlap(overlap: Overlap) -> str:
    """Write the largest overlap of two components and, where there are several pairs, the mean."""
    largest = numbers.number(overlap.largest, 3)
    return largest if len(overlap.pairwise) < 2 else f"{largest}, mean {numbers.number(overlap.mean, 3)}"


def _say_standard_errors(errors: Parameters | None) -> str:
    """Write the standard errors of weights, means and variances; of two components one weight's."""
    if errors is None:
        return numbers.MISSING
    k = len(errors.weights)
    kinds = {"weight": errors.weights[:1] if k == 2 else errors.weights, "mean": errors.means[:, 0]}
    kinds["variance"] = errors.variances[:, 0]
    return "; ".join(
        f"{name}{'s' if len(values) > 1 else ''} " + ", ".join(numbers.number(value, 2) for value in values)
        for name, values in kinds.items()
        if k > 1 or name != "weight"
    )


def describe(mixture: NormalMixture) -> str:
    """Write a mixture as a formula, N(mean, variance); in several dimensions with vectors and matrices."""
    terms = []
    for w, mu, sigma in zip(mixture.weights, mixture.means, mixture.covariances, strict=True):
        mean = numbers.number(mu[0]) if mixture.n_dims == 1 else _bracket(mu)
        spread = (
            numbers.number(sigma[0, 0]) if mixture.n_dims == 1 else f"[{', '.join(map(_bracket, sigma))}]"
        )
        terms.append(f"{numbers.number(w, 4)} N({mean}, {spread})")
    return " + ".join(terms)


def settings(content: Mapping[str, Any]) -> str:
    """Write settings as text, `key = value` each."""
    return ", ".join([f"{key} = {_say(value)}" for key, value in content.items()])


def messages(fits: Iterable[tuple[Condition, pd.DataFrame]]) -> list[Message]:
    """Count what fits said, failing ones' messages and every fit's warnings; the most frequent first.

    Texts that differ only in numbers count as one.

    Parameters
    ----------
    fits : iterable of (Condition, DataFrame)
        Rows of fits with the columns `SAID`, by condition.
    """
    kinds: dict[tuple[str, str, str], Counter[str]] = {}
    examples: dict[tuple[str, str, str], tuple[str, int]] = {}
    for condition, rows in fits:
        said = rows[["method", *SAID, "replicate"]].dropna().itertuples(index=False, name=None)
        for method, status, error, message, warnings, replicate in said:
            for text in (": ".join(filter(None, (error, message))), warnings):
                if text:
                    kind = (method, status, without_numbers(text))
                    kinds.setdefault(kind, Counter())[text] += 1
                    examples.setdefault(kind, (condition.key, replicate))
    found = [
        Message(
            kind[0],
            kind[1],
            next(iter(texts)),
            texts.total(),
            len(texts) > 1,
            "" if kind[1] == Status.CONVERGED else replay_command(".", *examples[kind], kind[0]),
        )
        for kind, texts in kinds.items()
    ]
    return sorted(found, key=lambda message: -message.n)[:_MOST_MESSAGES]


def tally(summary: Summary) -> str:
    """Say how many claims there are, and how many have each verdict."""
    counts = Counter(claim.verdict for claim in summary.claims)
    n = len(summary.claims)
    verdicts = ", ".join(f"{counts[verdict]} {verdict.value}" for verdict in Verdict)
    return f"{n} claim{'' if n == 1 else 's'}: {verdicts}"


def levels(summary: Summary) -> dict[str, str]:
    """Nominal level of the intervals of each method that gave some, as in "95%"."""
    with_intervals = {one.method for one in summary.parameters if "coverage" in one.measures}
    return {
        method.name: _level_of(method) for method in summary.study.method if method.name in with_intervals
    }


def _level_of(method: Method) -> str:
    level = level_of(method)
    return "unknown" if level is None else f"{numbers.number(100 * level)}%"


def _say_measure(claim: Claim) -> str:
    measure = _MEASURES[claim.measure] + (f" of the {claim.parameter}" if claim.parameter else "")
    if claim.versus is None:
        return f"{measure}, {claim.method}"
    if claim.measure in (*PARAMETER_PAIR_MEASURES, LOWER_LIKELIHOOD):
        return f"{measure}, {claim.method} against {claim.versus}"
    if claim.measure in PAIR_MEASURES:
        return f"{measure}, {claim.method} and {claim.versus}"
    return f"{measure}, {claim.method} − {claim.versus}, paired"


def _oracle(summary: Summary, condition: Condition) -> FitSummary:
    return next(one for one in summary.fits if one.condition == condition and one.method == ORACLE)


def _say(value: object) -> str:
    return "{" + settings(value) + "}" if isinstance(value, Mapping) else str(value)


def _bracket(values: Iterable[float]) -> str:
    return f"({', '.join(numbers.number(value) for value in values)})"

"""The HTML report of a study: one page, whole in itself. Computes nothing statistical."""

from __future__ import annotations

from functools import partial
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from mixtures.comparison.performance import Measure
from mixtures.report import numbers, views
from mixtures.report.illustrations import Gallery, Picture
from mixtures.study.conditions import Condition
from mixtures.study.measures import Account, FitSummary, PairSummary
from mixtures.study.store import Store
from mixtures.study.summary import Summary, summarise
from mixtures.study.uniformity import RankAccount, RankSummary
from mixtures.study.verdict import LEVEL, Judgement


def write_study_report(store: Store, summary: Summary | None = None) -> str:
    """Write the report of a study, `report.html`, into its results folder.

    Parameters
    ----------
    store : Store
    summary : Summary, optional
        Of the store, where it is known.

    Returns
    -------
    str
        Path or URI of the report, which is there whole or not at all.

    Raises
    ------
    ValueError
        If the results cannot be read, or the folder cannot be written.
    """
    try:
        store.place.write("report.html", render_study(store, summary).encode())
    except OSError as error:
        raise ValueError(f"{store.folder}: the folder must be writable; {error.strerror or error}") from None
    return store.place.child("report.html")


def render_study(store: Store, summary: Summary | None = None) -> str:
    """Return the report of a study as the text of a page; the same rows give the same text."""
    summary = summary or summarise(store)
    gallery = Gallery.of(store, summary)
    return (
        environment()
        .get_template("study.html")
        .render(
            summary=summary,
            methods=gallery.methods,
            claims=[views.ClaimView.of(claim) for claim in summary.claims],
            tally=views.tally(summary),
            level=f"{100 * LEVEL:g}",
            n_judgements=sum(len(claim.judgements) for claim in summary.claims),
            has_post_hoc=any(claim.is_post_hoc for claim in summary.claims),
            n_planned=sum(account.n_planned for account in summary.accounts),
            n_attempted=sum(account.n_attempted for account in summary.accounts),
            n_spurious=sum(account.n_spurious or 0 for account in summary.accounts),
            failures=views.failing_statuses(summary),
            messages=views.messages(
                (one, gallery.fits(one, *views.SAID)) for one in summary.study.conditions
            ),
            difficulties=[views.difficulty(summary, condition) for condition in summary.study.conditions],
            has_badly_wrong=any(
                one.measures["badly_wrong"].n for one in summary.fits if "badly_wrong" in one.measures
            ),
            has_intervals=any("coverage" in one.measures for one in summary.parameters),
            pictures=_pictures(gallery),
            study_text=store.text(),
            **_levels(summary),
            **_lookups(summary),
        )
    )


def environment() -> Environment:
    """Templates of the reports, with the ways in which numbers are written; everything is escaped."""
    made = Environment(
        loader=PackageLoader("mixtures.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "estimate": numbers.estimate,
        "number": numbers.number,
        "fixed": numbers.fixed,
        "interval": lambda ends: numbers.interval(*ends),
        "judged_interval": _judged_interval,
        "settings": views.settings,
        "diagnostic": views.diagnostic_name,
        "words": lambda name: name.replace("_", " "),
    }
    return made


def _levels(summary: Summary) -> dict[str, Any]:
    """Nominal levels of the methods' intervals, in words."""
    levels = views.levels(summary)
    of_methods = ", ".join(f"{level} for {name}" for name, level in levels.items())

    def coverage_note(condition: Condition) -> str:
        has_intervals = any(
            "coverage" in one.measures for one in summary.parameters if one.condition == condition
        )
        return f" Nominal level of the intervals: {of_methods}." if has_intervals else ""

    return {
        "coverage_levels": " or ".join(dict.fromkeys(levels.values())),
        "coverage_text": of_methods,
        "coverage_note": coverage_note,
    }


def _lookups(summary: Summary) -> dict[str, Any]:
    """What the template asks for by condition."""

    def accounts_of(condition: Condition) -> list[Account]:
        return [one for one in summary.accounts if one.condition == condition]

    def fits_of(condition: Condition) -> list[FitSummary]:
        return [one for one in summary.fits if one.condition == condition]

    def pairs_of(condition: Condition) -> list[PairSummary]:
        return [one for one in summary.pairs if one.condition == condition]

    def ranks_of(account: RankAccount) -> list[RankSummary]:
        places = (account.condition, account.method)
        return [one for one in summary.ranks if (one.condition, one.method) == places]

    def not_converged_rate(account: Account) -> Measure:
        fit = next(one for one in fits_of(account.condition) if one.method == account.method)
        return fit.measures["not_converged_rate"]

    return {
        "accounts_of": accounts_of,
        "fits_of": fits_of,
        "pairs_of": pairs_of,
        "ranks_of": ranks_of,
        "not_converged_rate": not_converged_rate,
        "parameters_of": partial(views.parameter_groups, summary),
        "differs_when_converged": partial(views.differs_when_converged, summary),
        "spurious_in": partial(views.has_spurious, summary),
        "differs_anywhere": any(
            account.n_estimates > account.statuses.get("converged", 0) for account in summary.accounts
        ),
        "differences_of": views.differences_of,
        "has_difference": views.has_difference,
        "has_measure": views.has_measure,
        "largest_n": views.largest_n,
    }


def _pictures(gallery: Gallery) -> dict[str, Any]:
    recovery: dict[str, list[Picture]] = {}
    densities: list[Picture] = []
    assignments: dict[str, list[Picture]] = {}
    for condition in gallery.study.conditions:
        example = gallery.example(condition)
        recovery[condition.key] = list(gallery.recovery(condition))
        densities += [] if example is None else gallery.densities(condition, example)
        assignments[condition.key] = list(gallery.assignments(condition, example))
    return {
        "recovery": recovery,
        "densities": densities,
        "assignments": assignments,
        "timing": list(gallery.timing()),
        "ranks": {
            (one.condition.key, one.method): list(gallery.ranks(one.condition, one.method))
            for one in gallery.summary.rank_accounts
        },
    }


def _judged_interval(judgement: Judgement) -> str:
    return numbers.interval(judgement.lower, judgement.upper)

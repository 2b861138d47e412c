"""The command that tries a study before it is run."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mixtures.cli.output import COUNT, PATH, POSITIVE, print_table

if TYPE_CHECKING:
    from mixtures.study.design import Study
    from mixtures.study.expectation import Expectation
    from mixtures.study.forecast import Forecast, MethodForecast
    from mixtures.study.pilot import Pilot, Trial

_SLOW = 5.0  # seconds for all fits of a replicate, worth a word while the pilot goes on
_BUSY = 0.85  # share of the time that workers have a processor on an idle machine, at least
_ERRORS = ("bias of weights", "bias of means", "bias of variances", "coverage of means")


@click.command("plan", short_help="Try a study: its time, its size, and the errors it will reach.")
@click.argument("study", type=PATH)
@click.option("--replicates", type=COUNT, help="Try this many of each condition at most.  [default: 50]")
@click.option("--workers", type=COUNT, help="Number of processes.  [default: one per processor]")
@click.option(
    "--seconds",
    type=POSITIVE,
    help="Begin nothing more so long after the first.  [default: 30]",
)
@click.option(
    "--mcse",
    type=POSITIVE,
    help="Say how many replicates this Monte Carlo error needs.  [default: that of the study's until]",
)
@click.option("--measure", help="Measure of that error.  [default: that of the study's until, or coverage]")
@click.option(
    "--json", "as_json_only", is_flag=True, help="Print what is foreseen as JSON, and nothing else."
)
def plan_study(
    study: Path, as_json_only: bool, mcse: float | None, measure: str | None, **options: Any
) -> None:
    """Try a few replicates of each condition of a STUDY file, and say what the whole will take.

    Nothing is kept. The time is that of the fits, without the report.
    """
    import json

    from mixtures.study.claim import one_of
    from mixtures.study.design import Study
    from mixtures.study.forecast import foresee
    from mixtures.study.outcomes import WorkersFailedError
    from mixtures.study.pilot import try_study
    from mixtures.study.until import UNTIL_MEASURES

    parsed = Study.read(study)
    one_of("--measure", measure or "coverage", UNTIL_MEASURES)
    asked = {key: value for key, value in options.items() if value is not None}
    if "workers" in asked:
        asked["n_workers"] = asked.pop("workers")
    wanted = _wanted(parsed, mcse, measure)
    try:
        pilot = try_study(parsed, **asked, on_trial=_say_slow())
    except WorkersFailedError as error:
        raise ValueError(str(error)) from None
    forecast = foresee(pilot)
    if as_json_only:
        click.echo(json.dumps(_as_json(forecast, wanted), indent=2))
    else:
        _say(pilot, forecast, wanted)


def _wanted(study: Study, mcse: float | None, measure: str | None) -> tuple[str, float] | None:
    """The measure and the Monte Carlo error to work replicates out for."""
    until = study.until
    if mcse is None:
        if until is None or measure not in (None, until.measure):
            if measure is not None:
                raise ValueError(f"--mcse must be given with --measure; got --measure {measure} alone")
            return None
        return until.measure, until.mcse
    return measure or ("coverage" if until is None else until.measure), mcse


def _say_slow() -> Callable[[Trial], None]:
    """Give a function that says of each condition, as soon as it is known, that its fits are slow."""
    said: set[str] = set()

    def say(trial: Trial) -> None:
        if sum(trial.fit_seconds.values()) > _SLOW and trial.condition.key not in said:
            said.add(trial.condition.key)
            each = ", ".join(f"{name} {seconds:.3g} s" for name, seconds in trial.fit_seconds.items())
            beside = " (the first of its worker, which had to compile)" if trial.is_first else ""
            click.echo(f"{trial.condition.name}: a fit takes {each}{beside}", err=True)

    return say


def _say(pilot: Pilot, forecast: Forecast, wanted: tuple[str, float] | None) -> None:
    rows = [
        [
            one.condition.name,
            one.method,
            str(one.n_tried),
            ("about " if one.is_scaled else "") + f"{one.seconds:.2g}",
            str(one.n_planned),
            *(_say_error(one, name) for name in _ERRORS),
        ]
        for one in forecast.methods
    ]
    print_table(["condition", "method", "tried", "s a fit", "replicates", *_heads()], rows)
    n_most = max(one.n_tried for one in forecast.methods)
    click.echo(
        "Errors are the Monte Carlo errors that the replicates will reach, at the component where they are "
        "largest; of coverage where it is nominal, and at worst."
    )
    if n_most > 1:
        low, high = _factors(n_most)
        click.echo(
            f"Those of bias rest on a spread that {n_most} replicates at most tell: to a factor of {low:.2f} "
            f"to {high:.2f} (95%) where estimates are normal, and less well where they have heavy tails."
        )
    if wanted is not None:
        _say_needed(forecast, *wanted)
    _say_costs(pilot, forecast)


def _heads() -> list[str]:
    return [f"error of {name}" for name in _ERRORS[:3]] + ["error of coverage"]


def _factors(n: int) -> tuple[float, float]:
    """Ends of the 95% interval of a standard deviation from n normal observations, as its multiples."""
    from scipy.stats import chi2

    low, high = (math.sqrt((n - 1) / chi2.ppf(tail, n - 1)) for tail in (0.975, 0.025))
    return low, high


def _find(one: MethodForecast, name: str) -> Expectation | None:
    return next((expectation for expectation in one.expectations if expectation.name == name), None)


def _say_error(one: MethodForecast, name: str) -> str:
    found = _find(one, name)
    if found is None or not math.isfinite(error := found.mcse(one.n_planned)):
        return "–"
    worst = found.worst_mcse(one.n_planned)
    return f"{error:.2g}" + (f", at worst {worst:.2g}" if found.is_proportion else "")


def _say_needed(forecast: Forecast, measure: str, mcse: float) -> None:
    names = list(
        dict.fromkeys(
            expectation.name
            for one in forecast.methods
            for expectation in one.expectations
            if expectation.name == measure or expectation.name.startswith(f"{measure} of ")
        )
    )
    rows = [
        [one.condition.name, one.method, *(_say_n(_find(one, name), mcse) for name in names)]
        for one in forecast.methods
    ]
    print_table(["condition", "method", *names], rows)
    click.echo(f"Replicates that a Monte Carlo error of {mcse:g} needs.")


def _say_n(expectation: Expectation | None, mcse: float) -> str:
    needed = None if expectation is None else expectation.n_needed(mcse)
    if expectation is None or needed is None:
        return "–"
    worst = expectation.n_needed_at_worst(mcse)
    return f"{needed}" + ("" if worst is None else f", at worst {worst}")


def _say_costs(pilot: Pilot, forecast: Forecast) -> None:
    at_most = "at most " if pilot.study.until is not None else ""
    workers = f"{forecast.n_workers} worker{'' if forecast.n_workers == 1 else 's'}"
    click.echo(
        f"Time: {at_most}about {_duration(forecast.seconds)} with {workers}: "
        f"{_duration(forecast.starting_seconds)} to start and compile, {_duration(forecast.work_seconds)} of "
        "work to share."
    )
    if forecast.processor_share < _BUSY:
        click.echo(
            f"The machine was busy: the workers had a processor {100 * forecast.processor_share:.0f}% of the "
            "time. The study takes less where they have more, and more where they have less."
        )
    click.echo(
        f"Storage: {at_most}about {_size(forecast.n_bytes)} in {forecast.n_parts} parts, "
        f"{_size(forecast.bytes_of_replicate)} a replicate."
    )
    if any(one.is_scaled for one in forecast.methods):
        click.echo("There was no time for every condition: seconds with about are scaled from the others.")
    for problem in forecast.problems:
        click.echo(f"not tried: {problem}")


def _duration(seconds: float) -> str:
    for unit, length in (("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return (
                f"{seconds / length:.2g} {unit}"
                if seconds < 100 * length
                else f"{seconds / length:.0f} {unit}"
            )
    return f"{seconds:.2g} s" if seconds < 100 else f"{seconds:.0f} s"


def _size(n_bytes: float) -> str:
    for unit, length in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= length:
            return f"{n_bytes / length:.3g} {unit}"
    return f"{n_bytes:.0f} bytes"


def _as_json(forecast: Forecast, wanted: tuple[str, float] | None) -> dict[str, Any]:
    return {
        "workers": forecast.n_workers,
        "seconds": forecast.seconds,
        "starting_seconds": forecast.starting_seconds,
        "work_seconds": forecast.work_seconds,
        "processor_share": forecast.processor_share,
        "bytes": forecast.n_bytes,
        "bytes_of_replicate": forecast.bytes_of_replicate,
        "parts": forecast.n_parts,
        "problems": forecast.problems,
        "methods": [_method_as_json(one, wanted) for one in forecast.methods],
    }


def _method_as_json(one: MethodForecast, wanted: tuple[str, float] | None) -> dict[str, Any]:
    errors = {}
    for found in one.expectations:
        entry = {"mcse": _number(found.mcse(one.n_planned))}
        if found.is_proportion:
            entry["worst_mcse"] = _number(found.worst_mcse(one.n_planned))
        if wanted is not None and (found.name == wanted[0] or found.name.startswith(f"{wanted[0]} of ")):
            entry["replicates_needed"] = found.n_needed(wanted[1])
        errors[found.name] = entry
    return {
        "condition": one.condition.name,
        "method": one.method,
        "tried": one.n_tried,
        "replicates": one.n_planned,
        "seconds": _number(one.seconds),
        "is_scaled": one.is_scaled,
        "errors": errors,
    }


def _number(value: float) -> float | None:
    """A number as JSON can hold it."""
    return value if math.isfinite(value) else None

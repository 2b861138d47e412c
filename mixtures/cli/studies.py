"""Commands on studies: run one, show how far it came, write its report."""

from __future__ import annotations

import itertools
import json
import math
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mixtures.cli.output import (
    BAD_INPUT,
    COUNT,
    DONE,
    FAILED,
    INTERRUPTED,
    PATH,
    POSITIVE,
    RESULTS,
    as_typed,
    print_table,
    say_set_aside,
)

if TYPE_CHECKING:
    from mixtures.study.shards import ShardAccount
    from mixtures.study.store import Store
    from mixtures.study.summary import Summary


@click.command("run", short_help="Run a study file and write its report.")
@click.argument("study", type=PATH)
@click.option(
    "--out",
    type=RESULTS,
    help="Results folder, or a URI: s3://BUCKET/FOLDER.  [default: results/NAME]",
)
@click.option("--replicates", type=COUNT, help="Run this many replicates of each method at most.")
@click.option(
    "--workers",
    type=COUNT,
    help="Number of processes; of tasks at a time on a cluster.  [default: one per processor]",
)
@click.option(
    "--dask",
    metavar="ADDRESS",
    help="Run on a Dask cluster: tcp://HOST:PORT, or the file of its scheduler.",
)
@click.option("--log-json", "as_json", is_flag=True, help="Tell progress as one JSON object a line.")
@click.option(
    "--time-limit",
    type=POSITIVE,
    metavar="SECONDS",
    help="Stop a fit that takes longer.  [default: none]",
)
@click.option(
    "--memory-limit",
    type=POSITIVE,
    metavar="MB",
    help="End a worker that holds more.  [default: none]",
)
@click.option(
    "--again",
    multiple=True,
    type=click.Choice(["error", "timeout", "worker_lost"]),
    help="Do fits that ended so before again; may be given several times.",
)
@click.option("--shard", metavar="I/N", help="Do the I-th of N shards only, for array jobs; no report.")
def run_study(study: Path, out: Path | str | None, *, as_json: bool, **options: Any) -> int:
    """Run a STUDY file, or what is missing of it, and write its report.

    Exits with 1 if a claim is refuted or a fit ends without an estimate.
    """
    from mixtures.study.changes import ChangedStudyError
    from mixtures.study.design import Study
    from mixtures.study.outcomes import WorkersFailedError

    folder = out or Path("results") / Study.read(study).name
    again = f"To go on: {_command(study, folder, as_json=as_json, **options)}"
    try:
        store = _run(study, folder, as_json=as_json, **options)
    except KeyboardInterrupt:
        return _say_interrupted(folder, again, as_json=as_json)
    except ChangedStudyError as error:
        afresh = _command(study, _unused(folder), as_json=as_json, **options)
        _say_stop(f"error: {error}: {afresh}", as_json=as_json)
        return BAD_INPUT
    except OSError as error:
        why = f"error: {folder}: {error.strerror or error}"
        _say_stop(f"{why}; what was done is kept. {again}", as_json=as_json)
        return BAD_INPUT
    except WorkersFailedError as error:
        _say_stop(f"error: {error}; what was done is kept in {folder}. {again}", as_json=as_json)
        return BAD_INPUT
    try:
        return _conclude(store, options["shard"])
    except KeyboardInterrupt:
        return _say_interrupted(folder, again, as_json=as_json)


def _command(study: Path, folder: Path | str, *, as_json: bool, **options: Any) -> str:
    """The command that runs a study so, with all its options."""
    words: list[object] = []
    for name, value in {"out": folder, **options}.items():
        for one in value if isinstance(value, tuple) else () if value is None else (value,):
            words += [f"--{name.replace('_', '-')}", one]
    return as_typed("run", study, *words, *(["--log-json"] if as_json else []))


def _unused(folder: Path | str) -> Path | str:
    """A folder beside another, that is not there yet as far as can be told."""
    from mixtures.study.places import beside

    if isinstance(folder, str):
        return beside(folder, "-2")
    others = (Path(beside(str(folder), f"-{n}")) for n in itertools.count(2))
    return next(other for other in others if not other.exists())


def _run(
    study: Path,
    folder: Path | str,
    *,
    as_json: bool,
    dask: str | None,
    workers: int | None,
    shard: str | None,
    **limits: Any,
) -> Store:
    from mixtures.report.progress import follow
    from mixtures.study.cluster import connect
    from mixtures.study.runner import run
    from mixtures.study.shards import Shard

    with (
        connect(dask) if dask is not None else nullcontext() as executor,
        follow(as_json=as_json) as on_progress,
    ):
        return run(
            study,
            folder,
            n_workers=workers,
            executor=executor,
            shard=None if shard is None else Shard.parse(shard),
            on_progress=on_progress,
            **limits,
        )


def _conclude(store: Store, shard: str | None) -> int:
    """Write the report and say what came of the study; return the exit code."""
    say_set_aside(store)
    if shard is not None:
        click.echo(f"shard {shard} is done; when all are: {as_typed('report', store.folder)}")
        return DONE
    summary, report = _report(store)
    _say_claims(summary)
    n_failed = sum(account.n_attempted - account.n_estimates for account in summary.accounts)
    if n_failed:
        noun = "fit has" if n_failed == 1 else "fits have"
        click.echo(f"{n_failed} {noun} no estimate: {as_typed('failures', store.folder)}")
    click.echo(f"report: {report}")
    is_refuted = any(claim.verdict == "refuted" for claim in summary.claims)
    return FAILED if is_refuted or n_failed else DONE


def _say_interrupted(folder: Path | str, again: str, *, as_json: bool) -> int:
    _say_stop(f"interrupted; what was done is kept in {folder}. {again}", as_json=as_json)
    return INTERRUPTED


def _say_stop(message: str, *, as_json: bool) -> None:
    click.echo(json.dumps({"event": "stopped", "message": message}) if as_json else message, err=True)


@click.command("report")
@click.argument("folder", metavar="DIR", type=RESULTS)
def report_study(folder: Path | str) -> None:
    """Write DIR/report.html from the stored rows of a study."""
    from mixtures.study.store import Store

    store = Store.open(folder)
    say_set_aside(store)
    click.echo(f"report: {_report(store)[1]}")


def _report(store: Store) -> tuple[Summary, str]:
    """Write a report; what draws its figures is loaded once the measures have given back their memory."""
    from mixtures.study.summary import summarise

    summary = summarise(store)
    from mixtures.report.page import write_study_report

    return summary, write_study_report(store, summary)


@click.command("status")
@click.argument("folder", metavar="DIR", type=RESULTS)
def show_status(folder: Path | str) -> None:
    """Show what of a study in DIR is done, missing and failed."""
    from mixtures.study.shards import account_for_shards
    from mixtures.study.store import Store
    from mixtures.study.summary import summarise

    store = Store.open(folder)
    say_set_aside(store)
    summary = summarise(store)
    rows = [
        [
            account.condition.name,
            account.method,
            f"{account.n_attempted} of {account.n_planned}",
            str(max(account.n_planned - account.n_attempted, 0)),
            ", ".join(f"{n} {status}" for status, n in sorted(account.statuses.items())) or "none yet",
        ]
        for account in summary.accounts
    ]
    print_table(["condition", "method", "done", "missing", "statuses"], rows)
    _say_stops(summary)
    n_missing = sum(max(account.n_planned - account.n_attempted, 0) for account in summary.accounts)
    study = "STUDY.toml" if isinstance(folder, str) else folder / "study.toml"
    again = f"; to go on: {as_typed('run', study, '--out', folder)}" if n_missing else ""
    click.echo(f"{n_missing} fits missing{again}")
    _say_shards(list(account_for_shards(summary.study, store.done(), store.runs())), study, folder)


def _say_shards(accounts: list[ShardAccount], study: Path | str, folder: Path | str) -> None:
    """Name the shards that miss fits."""
    incomplete = [account for account in accounts if account.n_missing]
    numbers = sorted({account.shard.n_shards for account in incomplete})
    if len(numbers) > 1:
        of_each = " and ".join(f"of {n}" for n in numbers)
        click.echo(f"Runs were shards {of_each}: those of either do what is missing.")
    for account in incomplete:
        missing = f"{account.n_missing} of its {account.n_fits} fits missing"
        state = "" if account.has_begun else ", never begun"
        again = as_typed("run", study, "--out", folder, "--shard", account.shard)
        click.echo(f"shard {account.shard}: {missing}{state}: {again}")


@click.command("compact", short_help="Make the small files of a study into larger ones.")
@click.argument("folder", metavar="DIR", type=RESULTS)
def compact_results(folder: Path | str) -> None:
    """Make the many small files of a study in DIR into a few larger ones.

    Nothing is lost or changed, and the study may run meanwhile.
    """
    from mixtures.study.compaction import compact
    from mixtures.study.store import Store

    store = Store.open(folder)
    say_set_aside(store)
    done = compact(store)
    click.echo(f"{done.n_before} parts made into {done.n_after}")


def _say_stops(summary: Summary) -> None:
    """Show how far the rule `until` has taken every condition."""
    until = summary.study.until
    if until is None:
        return
    rows = [
        [
            stop.condition.name,
            name,
            f"{min(stop.n_asked, cap)} of at most {cap}",
            f"{error:.2g}" if math.isfinite(error := stop.errors.get(name, math.nan)) else "–",
            stop.outcome(name, until),
        ]
        for stop in summary.stops
        for name, cap in stop.caps.items()
    ]
    print_table(["condition", "method", "replicates", f"error of {until.measure}", "by the rule"], rows)
    click.echo(f"The number of replicates is chosen by a rule: {until}.")


def _say_claims(summary: Summary) -> None:
    if summary.claims:
        print_table(
            ["claim", "verdict", "statement"],
            [[claim.claim.id, claim.verdict.value, claim.claim.text] for claim in summary.claims],
        )

"""Commands on single fits of a study: list those that failed, compute a replicate again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mixtures.cli.output import DONE, FAILED, PATH, RESULTS, as_typed, print_table, say_set_aside

if TYPE_CHECKING:
    from mixtures.study.failures import Failure, FailureKind
    from mixtures.study.replay import Replayed


@click.command("replay", short_help="Compute one replicate of a study again.")
@click.argument("folder", metavar="DIR", type=RESULTS)
@click.option(
    "--condition", "given", required=True, help="Key of the condition, how it begins, or its name in reports."
)
@click.option("--replicate", type=click.IntRange(min=0, max=10**9), required=True, help="Counted from 0.")
@click.option("--method", help="Name of one method.  [default: all that are stored]")
@click.option("--out", type=PATH, help="Folder to write to.  [default: results/replay-NAME-KEY-R]")
@click.option("--traceback", "with_traceback", is_flag=True, help="Show where an exception comes from.")
def replay_fit(
    folder: Path | str,
    given: str,
    *,
    replicate: int,
    method: str | None,
    out: Path | None,
    with_traceback: bool,
) -> int:
    """Compute one replicate of the study in DIR again, and compare it with its stored rows.

    Writes a report of its fits, as `mixtures fit` does. Exits with 1 if anything but the times is not
    as stored, bit for bit.
    """
    from mixtures.report.export import write_fit
    from mixtures.report.files import check_folder
    from mixtures.report.replayed import as_data_fit
    from mixtures.study.replay import find_replicate, replay
    from mixtures.study.store import Store

    store = Store.open(folder)
    say_set_aside(store)
    condition, methods = find_replicate(store, given, replicate, method)
    name = f"replay-{store.study().name}-{condition.key[:8]}-{replicate}"
    target = out or Path("results") / name
    check_folder(target)
    replayed = replay(store, condition, replicate, methods)
    _say_replayed(replayed, with_traceback=with_traceback)
    words = ["replay", folder, "--condition", condition.key, "--replicate", replicate]
    command = as_typed(*words, *(["--method", method] if method else []), "--out", target)
    for path in write_fit(target, as_data_fit(replayed, command)):
        click.echo(f"wrote {path}")
    return DONE if replayed.is_same else FAILED


def _say_replayed(replayed: Replayed, *, with_traceback: bool) -> None:
    import traceback

    from mixtures.report.replayed import difference_rows, fit_rows, say_data

    for line in say_data(replayed):
        click.echo(line)
    print_table(["", "stored", "now", "values compared", "differ"], fit_rows(replayed))
    if rows := difference_rows(replayed):
        heads = ["", "column", "rows that differ", "at most by", "as a share", "stored", "now"]
        print_table(heads, rows)
    for name, attempted in replayed.attempts.items():
        said = ": ".join(filter(None, (attempted.error_type, attempted.fit.message)))
        if said:
            click.echo(f"{name}: {said}")
        if with_traceback and attempted.error is not None:
            click.echo("".join(traceback.format_exception(attempted.error)))


@click.command("failures", short_help="List the fits of a study that failed, by kind.")
@click.argument("folder", metavar="DIR", type=RESULTS)
@click.option("--all", "with_all", is_flag=True, help="Give the command that replays each fit.")
@click.option("--json", "as_json_only", is_flag=True, help="Print JSON, and nothing else.")
def show_failures(folder: Path | str, *, with_all: bool, as_json_only: bool) -> None:
    """List the fits of the study in DIR that did not end as converged, by kind.

    Fits are of one kind where status, exception and message are the same, numbers left out. Those
    without an estimate come first. Each kind has an example, with the command that computes it again.
    """
    import json

    from mixtures.study.failures import list_failures
    from mixtures.study.store import Store

    store = Store.open(folder)
    say_set_aside(store)
    kinds = list_failures(store)
    if as_json_only:
        click.echo(json.dumps([_as_json(folder, kind, with_all=with_all) for kind in kinds], indent=2))
        return
    counts = [sum(len(kind.fits) for kind in kinds if kind.has_estimate == has) for has in (False, True)]
    click.echo(f"{counts[0]} fits without an estimate; {counts[1]} with one that did not end as converged")
    for kind in kinds:
        _say_kind(folder, kind, with_all=with_all)


def _say_kind(folder: Path | str, kind: FailureKind, *, with_all: bool) -> None:
    said = ": ".join(filter(None, (kind.error_type, kind.message)))
    n = len(kind.fits)
    estimate = "with an estimate" if kind.has_estimate else "without an estimate"
    click.echo(f"\n{n} {kind.status}, {estimate}{f': {said}' if said else ''}")
    click.echo(f"  methods: {_say_counts(kind.methods)}")
    click.echo(f"  conditions: {_say_counts(kind.conditions)}")
    example = kind.fits[0]
    if example.message != kind.message:
        click.echo(f"  for example: {example.message}")
    for fit in kind.fits if with_all else kind.fits[:1]:
        click.echo(f"  {_replay(folder, fit)}")


def _say_counts(counts: dict[str, int]) -> str:
    return "; ".join(f"{name} ({n})" for name, n in counts.items())


def _replay(folder: Path | str, fit: Failure) -> str:
    from mixtures.study.replay import replay_command

    return replay_command(folder, fit.condition.key, fit.replicate, fit.method)


def _as_json(folder: Path | str, kind: FailureKind, *, with_all: bool) -> dict[str, Any]:
    return {
        "status": kind.status,
        "has_estimate": kind.has_estimate,
        "error_type": kind.error_type,
        "message": kind.message,
        "n": len(kind.fits),
        "methods": kind.methods,
        "conditions": kind.conditions,
        "fits": [
            {
                "condition": fit.condition.key,
                "name": fit.condition.name,
                "replicate": fit.replicate,
                "method": fit.method,
                "message": fit.message,
                "replay": _replay(folder, fit),
            }
            for fit in (kind.fits if with_all else kind.fits[:1])
        ],
    }

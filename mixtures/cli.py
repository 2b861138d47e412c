"""The command line: arguments in, exit codes out; the only place that prints.

Exit codes: 0 done; 1 a claim refuted or a fit failed; 2 bad input; 130 interrupted.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from mixtures.study.summary import Summary

DONE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
_COUNT = click.IntRange(min=1)
_PATH = click.Path(path_type=Path)


def main() -> None:
    """Run the command line and exit."""
    sys.exit(_run(sys.argv[1:]))


def _run(arguments: list[str]) -> int:
    """Run one command; what a user can cause becomes a message and an exit code, never a traceback."""
    try:
        code = commands.main(arguments, prog_name="mixtures", standalone_mode=False)
        return code if isinstance(code, int) else DONE
    except click.ClickException as error:
        error.show()
        return BAD_INPUT
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except (ValueError, TypeError) as error:
        click.echo(f"error: {error}", err=True)
        return BAD_INPUT
    except OSError as error:
        click.echo(f"error: {error.filename or 'a file'}: {error.strerror or error}", err=True)
        return BAD_INPUT


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="normal-mixtures", prog_name="mixtures")
def commands() -> None:
    """Mixtures of normals: fit them by EM and by NUTS, and hold both against the truth."""


@commands.command("run")
@click.argument("study", type=_PATH)
@click.option("--out", type=_PATH, help="Results folder.  [default: results/NAME]")
@click.option("--replicates", type=_COUNT, help="Run this many replicates of each method at most.")
@click.option("--workers", type=_COUNT, help="Number of processes.  [default: one per processor]")
def run_study(study: Path, out: Path | None, replicates: int | None, workers: int | None) -> int:
    """Run a STUDY file, or what is missing of it, and write its report.

    Exits with 1 if a claim is refuted or a fit ends without an estimate.
    """
    from mixtures.report.page import write_study_report
    from mixtures.report.progress import follow
    from mixtures.study.design import Study
    from mixtures.study.runner import run
    from mixtures.study.summary import summarise

    folder = out or Path("results") / Study.read(study).name
    again = f"mixtures run {study} --out {folder}"
    try:
        with follow() as on_progress:
            store = run(study, folder, replicates=replicates, n_workers=workers, on_progress=on_progress)
    except KeyboardInterrupt:
        click.echo(f"interrupted; what was done is kept in {folder}. To go on: {again}", err=True)
        return INTERRUPTED
    except OSError as error:
        click.echo(
            f"error: {folder}: {error.strerror or error}; what was done is kept. To go on: {again}", err=True
        )
        return BAD_INPUT
    summary = summarise(store)
    report = write_study_report(store)
    _say_claims(summary)
    click.echo(f"report: {report}")
    is_refuted = any(claim.verdict == "refuted" for claim in summary.claims)
    has_failed = any(account.n_estimates < account.n_attempted for account in summary.accounts)
    return FAILED if is_refuted or has_failed else DONE


@commands.command("report")
@click.argument("folder", metavar="DIR", type=_PATH)
def report_study(folder: Path) -> None:
    """Write DIR/report.html from the stored rows of a study."""
    from mixtures.report.page import write_study_report
    from mixtures.study.store import Store

    click.echo(f"report: {write_study_report(Store.open(folder))}")


@commands.command("status")
@click.argument("folder", metavar="DIR", type=_PATH)
def show_status(folder: Path) -> None:
    """Show what of a study in DIR is done, missing and failed."""
    from mixtures.study.store import Store
    from mixtures.study.summary import summarise

    summary = summarise(Store.open(folder))
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
    _print_table(["condition", "method", "done", "missing", "statuses"], rows)
    n_missing = sum(max(account.n_planned - account.n_attempted, 0) for account in summary.accounts)
    again = f"; to go on: mixtures run {folder / 'study.toml'} --out {folder}" if n_missing else ""
    click.echo(f"{n_missing} fits missing{again}")


@commands.command("simulate")
@click.argument("spec", type=_PATH)
@click.option("--n", "n", type=_COUNT, required=True, help="Number of observations.")
@click.option("--seed", type=click.IntRange(min=0), required=True, help="Seed of the random numbers.")
@click.option("--out", type=_PATH, required=True, help="CSV file to write.")
def simulate_data(spec: Path, n: int, seed: int, out: Path) -> None:
    """Draw observations, with their components, from the mixture in SPEC (.toml or .json)."""
    from mixtures.model.data import simulate
    from mixtures.model.files import read_mixture, write_data

    write_data(out, simulate(read_mixture(spec), n, seed))
    click.echo(f"{n} observations: {out}")


def _say_claims(summary: Summary) -> None:
    if summary.claims:
        _print_table(
            ["claim", "verdict", "statement"],
            [[claim.claim.id, claim.verdict.value, claim.claim.text] for claim in summary.claims],
        )


def _print_table(heads: list[str], rows: list[list[str]]) -> None:
    """Print a table to stdout, as wide as the terminal allows."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    grid = Table(*heads, box=box.SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        grid.add_row(*row)
    console = Console()
    console.print(grid) if console.is_terminal else Console(width=200).print(grid)

"""The command line: arguments in, exit codes out; the only place that prints.

Exit codes: 0 done; 1 a claim refuted or a fit failed; 2 bad input; 130 interrupted.
"""

from __future__ import annotations

import itertools
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mixtures import __version__

if TYPE_CHECKING:
    from mixtures.report.data_fit import DataFit
    from mixtures.study.summary import Summary

DONE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
_COUNT = click.IntRange(min=1)


class _FilePath(click.Path):
    """A path, which an empty string is not."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("the path must not be empty", param, ctx)
        return super().convert(value, param, ctx)


_PATH = _FilePath(path_type=Path)


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
    except (MemoryError, OverflowError) as error:
        click.echo(f"error: a number must be small enough to be computed with; {error}", err=True)
        return BAD_INPUT
    except OSError as error:
        click.echo(f"error: {error.filename or 'a file'}: {error.strerror or error}", err=True)
        return BAD_INPUT


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="mixtures")
def commands() -> None:
    """Mixtures of normals: fit them by EM and by NUTS, and hold both against the truth.

    Exit codes: 0 done; 1 a claim is refuted, a fit of a study has no estimate, or a fit to data has
    not converged; 2 bad input; 130 interrupted.
    """


@commands.command("run", short_help="Run a study file and write its report.")
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
    options = {"--out": folder, "--replicates": replicates, "--workers": workers}
    given = [(name, value) for name, value in options.items() if value is not None]
    again = _command("run", study, *itertools.chain.from_iterable(given))
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
    again = f"; to go on: {_command('run', folder / 'study.toml', '--out', folder)}" if n_missing else ""
    click.echo(f"{n_missing} fits missing{again}")


@commands.command("simulate", short_help="Draw observations from a mixture.")
@click.argument("spec", type=_PATH)
@click.option("--n", "n", type=_COUNT, required=True, help="Number of observations.")
@click.option("--seed", type=click.IntRange(min=0), required=True, help="Seed of the random numbers.")
@click.option("--out", type=_PATH, required=True, help="File to write, which ends in .csv.")
def simulate_data(spec: Path, n: int, seed: int, out: Path) -> None:
    """Draw observations, with their components, from the mixture in SPEC (.toml or .json)."""
    from mixtures.model.data import simulate
    from mixtures.model.files import read_mixture, write_data

    write_data(out, simulate(read_mixture(spec), n, seed))
    click.echo(f"{n} observations: {out}")


@commands.command("fit", short_help="Fit a data file by EM, by NUTS, or by both.")
@click.argument("data", type=_PATH)
@click.option(
    "--column", "columns", multiple=True, required=True, help="Numeric column; once for each dimension."
)
@click.option("--components", type=_COUNT, required=True, help="Number of components.")
@click.option(
    "--covariance",
    type=click.Choice(["full", "diagonal", "spherical", "tied"]),
    default="full",
    show_default=True,
    help="Structure of the covariances; with one column, tied means equal variances.",
)
@click.option(
    "--engine",
    type=click.Choice(["em", "nuts", "both"]),
    default="both",
    show_default=True,
    help="Maximum likelihood by EM, the posterior by NUTS (one column only), or both.",
)
@click.option(
    "--intervals",
    type=click.Choice(["information", "outer", "sandwich", "bootstrap", "profile"]),
    help="How EM's intervals are made; profile takes one column.  [default: information]",
)
@click.option(
    "--labels", metavar="NAME", help="Column of the known groups, to score soft assignments against."
)
@click.option(
    "--groups", metavar="A+B,C", help="Which known groups make up which component; no name may hold , or +."
)
@click.option(
    "--where",
    metavar="NAME=A,B",
    help="Read only rows whose column NAME is one of these values; NAME may not hold =, nor a value a comma.",
)
@click.option("--out", type=_PATH, help="Folder to write to.  [default: results/fit-DATA]")
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    help="Seed of the random numbers: EM's starts and NUTS's draws.",
)
@click.option("--json", "as_json_only", is_flag=True, help="Print the results as JSON, and nothing else.")
def fit_data(data: Path, seed: int, engine: str, out: Path | None, as_json_only: bool, **options: Any) -> int:
    """Fit the columns of a DATA file (.csv or .parquet) by EM, by NUTS, or by both.

    Writes assignments.csv, fit.json, report.html and, for NUTS, posterior.nc. Exits with 1 if a fit
    does not end as converged.
    """
    import json

    from mixtures.analysis import analyse
    from mixtures.report.export import as_json, write_fit
    from mixtures.report.files import check_folder

    folder = out or Path("results") / f"fit-{data.stem}"
    check_folder(folder)
    result = analyse(data, seed=seed, engine=engine, command=_command(*sys.argv[1:]), **options)
    paths = write_fit(folder, result)
    if as_json_only:
        click.echo(json.dumps(as_json(result), indent=2))
    else:
        _say_fit(result, paths)
    return DONE if all(fit.status == "converged" for fit in result.fits) else FAILED


def _say_fit(result: DataFit, paths: list[Path]) -> None:
    from mixtures.report.tables import fit_rows, score_rows

    data = result.data
    left_out = f"; {data.n_missing} left out for missing values" if data.n_missing else ""
    click.echo(f"{len(data.rows)} observations of {', '.join(data.columns)}{left_out}")
    methods = [fit.method for fit in result.fits]
    _print_table(["", *methods], fit_rows(result))
    if result.scores:
        _print_table(["against known groups", *(score.method for score in result.scores)], score_rows(result))
        if result.known is not None and result.known.components is not None:
            assumed = "; groups are taken to be the components, of which there are as many"
            click.echo(
                "the order of the components was chosen on these groups"
                + (assumed if result.known.is_assumed else "")
            )
    for fit in result.fits:
        for note in [fit.message, *fit.warnings]:
            if note:
                click.echo(f"{fit.method}: {note}")
    for path in paths:
        click.echo(f"wrote {path}")


def _command(*words: object) -> str:
    """Return a command as it is typed, whatever blanks its paths have."""
    return shlex.join(["mixtures", *map(str, words)])


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
    console = Console(markup=False, emoji=False)  # names are shown as they are, brackets too
    if not console.is_terminal:
        console.width = 200
    console.print(grid)

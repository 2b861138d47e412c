"""Commands on data: draw some, fit some."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mixtures.cli.output import COUNT, DONE, FAILED, PATH, as_typed, print_table

if TYPE_CHECKING:
    from mixtures.report.data_fit import DataFit


@click.command("simulate", short_help="Draw observations from a mixture.")
@click.argument("spec", type=PATH)
@click.option("--n", "n", type=COUNT, required=True, help="Number of observations.")
@click.option("--seed", type=click.IntRange(min=0), required=True, help="Seed of the random numbers.")
@click.option("--out", type=PATH, required=True, help="File to write, which ends in .csv.")
def simulate_data(spec: Path, n: int, seed: int, out: Path) -> None:
    """Draw observations, with their components, from the mixture in SPEC (.toml or .json)."""
    from mixtures.model.data import simulate
    from mixtures.model.files import read_mixture, write_data

    write_data(out, simulate(read_mixture(spec), n, seed))
    click.echo(f"{n} observations: {out}")


@click.command("fit", short_help="Fit a data file by EM, by NUTS, or by both.")
@click.argument("data", type=PATH)
@click.option(
    "--column", "columns", multiple=True, required=True, help="Numeric column; once for each dimension."
)
@click.option("--components", type=COUNT, required=True, help="Number of components.")
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
@click.option("--out", type=PATH, help="Folder to write to.  [default: results/fit-DATA]")
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
    result = analyse(data, seed=seed, engine=engine, command=as_typed(*sys.argv[1:]), **options)
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
    print_table(["", *methods], fit_rows(result))
    if result.scores:
        print_table(["against known groups", *(score.method for score in result.scores)], score_rows(result))
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

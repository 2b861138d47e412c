"""The command line: arguments in, exit codes out; the only place that prints.

Exit codes: 0 done; 1 a claim refuted or a fit failed; 2 bad input; 130 interrupted.
"""

from __future__ import annotations

import os
import signal
import sys

import click

from mixtures import __version__
from mixtures.cli.data import fit_data, simulate_data
from mixtures.cli.output import BAD_INPUT, DONE, INTERRUPTED
from mixtures.cli.planning import plan_study
from mixtures.cli.replays import replay_fit, show_failures
from mixtures.cli.studies import compact_results, report_study, run_study, show_status


def main() -> None:
    """Run the command line and exit."""
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")  # it gives memory back, for a long study
    code = _run(sys.argv[1:])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C would show what Python does at its end
    sys.exit(code)


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

    Exit codes: 0 done; 1 a claim is refuted, a fit of a study has no estimate, a fit to data has not
    converged, or a replicate computed again is not as stored; 2 bad input; 130 interrupted.
    """


for command in (
    plan_study,
    run_study,
    report_study,
    show_status,
    compact_results,
    show_failures,
    replay_fit,
    simulate_data,
    fit_data,
):
    commands.add_command(command)

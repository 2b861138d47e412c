"""What commands have in common: exit codes, kinds of arguments, tables and commands in words."""

from __future__ import annotations

import math
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from mixtures.study.store import Store

DONE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
COUNT = click.IntRange(min=1)


class _FilePath(click.Path):
    """A path, which an empty string is not."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("the path must not be empty", param, ctx)
        return super().convert(value, param, ctx)


class _FolderPath(_FilePath):
    """A path, or the URI of a folder in an object store, which stays a str."""

    name = "path or URI"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if isinstance(value, str) and "://" in value else super().convert(value, param, ctx)


class _Positive(click.FloatRange):
    """A positive number, which neither NaN nor infinity is."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


POSITIVE = _Positive(min=0, min_open=True)
PATH = _FilePath(path_type=Path)
RESULTS = _FolderPath(path_type=Path)


def as_typed(*words: object) -> str:
    """Return a command as it is typed, whatever blanks its paths have."""
    return shlex.join(["mixtures", *map(str, words)])


def print_table(heads: list[str], rows: list[list[str]]) -> None:
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


def say_set_aside(store: Store) -> None:
    """Say which files were found damaged: what they held will be computed again."""
    for what in store.set_aside:
        click.echo(f"warning: a damaged part was set aside, and counts as missing: {what}", err=True)

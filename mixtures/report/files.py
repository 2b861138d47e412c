"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from mixtures.model.files import replacing


def write_text(path: Path, text: str) -> None:
    """Write a text file; ValueError, naming its folder, where that cannot be written."""
    write_with(path, lambda temporary: temporary.write_bytes(text.encode("utf-8")))


def write_with(path: Path, write: Callable[[Path], object]) -> None:
    """Have `write` write a file under a temporary name and put it in its place when it is whole.

    Raises
    ------
    ValueError
        Naming the folder, where it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            write(temporary)
    except OSError as error:
        raise ValueError(f"{path.parent}: the folder must be writable; {error.strerror or error}") from None


def check_folder(folder: Path) -> None:
    """Make a folder for files to come, before anything is computed for them.

    Raises
    ------
    ValueError
        If it cannot be written, or holds results of a study, whose report would be overwritten.
    """
    if (folder / "manifest.json").exists():
        raise ValueError(f"{folder}: the folder must not hold results of a study; give another one")
    probe = folder / f".{os.getpid()}.probe"
    write_text(probe, "")
    probe.unlink()


def forget_files(folder: Path, patterns: Iterable[str]) -> None:
    """Remove files of these names where they are there; ValueError naming the folder where it forbids."""
    try:
        for path in [path for pattern in patterns for path in folder.glob(pattern)]:
            path.unlink(missing_ok=True)
    except NotADirectoryError:
        return  # there is no such folder, and so no such file
    except OSError as error:
        raise ValueError(f"{folder}: the folder must be writable; {error.strerror or error}") from None

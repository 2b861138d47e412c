"""Where results are kept: a folder of this machine, or one of an object store."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

_OF_AN_OBJECT_STORE = "://"


@dataclass(frozen=True, slots=True)
class Place:
    """A folder, in which files are there whole or not at all.

    Methods take names relative to it, with slashes, and raise OSError where the disk, the store or a
    permission fails.

    Attributes
    ----------
    name : str
        As the user gave it.
    files : pyarrow.fs.FileSystem
    root : str
        Path of the folder in `files`.
    is_local : bool
        Whether `files` are those of this machine, on which a file is written under another name, synced
        and renamed. An object store takes a file at once, when its last byte has come.
    """

    name: str
    files: FileSystem
    root: str
    is_local: bool

    @classmethod
    def of(cls, folder: str | Path) -> Self:
        """Take a path, or the URI of a folder such as ``s3://bucket/folder``.

        Raises
        ------
        ValueError
            If the URI is none that Arrow knows.
        """
        from pyarrow import ArrowException
        from pyarrow.fs import FileSystem, LocalFileSystem

        if is_uri(folder):
            try:
                files, root = FileSystem.from_uri(_with_one_request(str(folder)))
            except (ArrowException, OSError) as error:
                raise ValueError(f"{folder}: the URI must be one of a folder; {error}") from None
            if not root.strip("/"):
                raise ValueError(f"{folder}: the URI must be one of a folder; got none in it")
            return cls(str(folder), files, root.rstrip("/"), isinstance(files, LocalFileSystem))
        path = Path(folder)
        return cls(str(path), LocalFileSystem(), path.absolute().as_posix(), is_local=True)

    def child(self, name: str) -> str:
        """Name a file of the folder as messages do."""
        return str(beside(self.name, f"/{name}")) if is_uri(self.name) else str(Path(self.name) / name)

    def exists(self, name: str = "") -> bool:
        """Whether a file or a folder is there; by default, this one."""
        from pyarrow.fs import FileType

        (info,) = self.files.get_file_info([self._path(name)])
        return bool(info.type != FileType.NotFound)

    def names(self, folder: str = "") -> list[str]:
        """Names of the files and folders that lie directly in a folder, sorted; none where there is none."""
        from pyarrow.fs import FileSelector

        found = self.files.get_file_info(FileSelector(self._path(folder), allow_not_found=True))
        return sorted(info.base_name for info in found)

    def read(self, name: str) -> bytes:
        """Read a file."""
        with self.files.open_input_file(self._path(name)) as file:
            content: bytes = file.read()
        return content

    def write(self, name: str, content: bytes) -> None:
        """Write a file, and the folders that it lies in."""
        if self.is_local:
            _write(self._path(name), content)
        else:
            _to_the_end(self._put, name, content)

    def _put(self, name: str, content: bytes) -> None:
        with self.files.open_output_stream(self._path(name)) as file:
            file.write(content)

    def move(self, name: str, to: str) -> None:
        """Give a file another name, and make the folders that it will lie in."""
        self.files.create_dir(self._path(to.rpartition("/")[0]))
        with self._naming_the_missing(name):
            self.files.move(self._path(name), self._path(to))

    def delete(self, name: str) -> None:
        """Delete a file, if it is there."""
        with suppress(FileNotFoundError), self._naming_the_missing(name):
            if self.exists(name):
                self.files.delete_file(self._path(name))

    @contextmanager
    def _naming_the_missing(self, name: str) -> Iterator[None]:
        """Make a FileNotFoundError of what an object store says of a file that is gone."""
        try:
            yield
        except OSError as error:
            if not isinstance(error, FileNotFoundError) and not self.exists(name):
                raise FileNotFoundError(name) from error
            raise

    def _path(self, name: str) -> str:
        return f"{self.root}/{name}".rstrip("/")


def _write(path: str, content: bytes) -> None:
    """Write a file of this machine, whole or not at all.

    As `model.files.replacing` does, but without a `Path`: Python 3.12 keeps the name of every one for ever,
    105 bytes a file.
    """
    folder, name = os.path.split(path)
    os.makedirs(folder, exist_ok=True)  # noqa: PTH103
    temporary = f"{folder}/.{name}.{secrets.token_hex(8)}"  # machines that share the folder share numbers
    try:
        with open(temporary, "wb") as file:  # noqa: PTH123
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)  # noqa: PTH105
    finally:
        with suppress(OSError):
            os.unlink(temporary)  # noqa: PTH108


def _to_the_end(work: Callable[..., None], *arguments: Any) -> None:
    """Do in a thread what Ctrl-C must not cut short: an object store keeps what it has of an object."""
    raised: list[BaseException] = []
    has_ended = Event()

    def do() -> None:
        try:
            work(*arguments)
        except BaseException as error:  # noqa: BLE001  it is raised where somebody waits for it
            raised.append(error)
        finally:
            has_ended.set()

    Thread(target=do).start()  # it ends before the process does, whoever waits
    try:
        has_ended.wait()
    finally:
        has_ended.wait()
    if raised:
        raise raised[0]


def _with_one_request(uri: str) -> str:
    """Have an object of S3 that is not large put at once, where Arrow would first announce it."""
    if not uri.startswith("s3:") or "allow_delayed_open" in uri:
        return uri
    return f"{uri}{'&' if '?' in uri else '?'}allow_delayed_open=true"


def beside(folder: str, ending: str) -> str:
    """Add to the path of a folder, which of a URI may be followed by options."""
    path, mark, options = folder.partition("?") if is_uri(folder) else (folder, "", "")
    return f"{path.rstrip('/')}{ending}{mark}{options}"


def is_uri(folder: str | Path) -> bool:
    """Whether a folder is given by a URI."""
    return isinstance(folder, str) and _OF_AN_OBJECT_STORE in folder

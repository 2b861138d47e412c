"""A Dask cluster: finding it, and making sure that the same packages are everywhere."""

from __future__ import annotations

import json
import os
import platform
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from mixtures.study.outcomes import Lost, message_of

_PACKAGES = ("numpy", "scipy", "numba", "pymc", "nutpie", "pyarrow")
_TIME_IS_UP = "mixtures: time is up"  # a topic of Dask's events
_SECONDS_TO_TELL = 0.5  # it takes milliseconds
_SECONDS_TO_CONNECT = 10
_SECONDS_TO_WAIT = 60  # for the first worker


@contextmanager
def connect(address: str) -> Iterator[Executor]:
    """Give the executor of a Dask cluster that is running.

    Parameters
    ----------
    address : str
        tcp://HOST:PORT of the scheduler, or the path of its scheduler file.

    Raises
    ------
    ValueError
        If there is no scheduler, or no worker.
    """
    try:
        from distributed import Client
    except ModuleNotFoundError:
        raise ValueError(
            "a Dask cluster needs the package distributed (pip install 'normal-mixtures[dask]'); got none"
        ) from None
    scheduler = address if "://" in address else _address_in(Path(address))
    try:
        client = Client(
            scheduler,
            timeout=_SECONDS_TO_CONNECT,
            set_as_default=False,
            name="mixtures",
        )
    except (OSError, ValueError) as error:
        raise ValueError(f"the scheduler must be running at {address}; {error}") from None
    with client:
        try:
            client.wait_for_workers(1, timeout=_SECONDS_TO_WAIT)
        except TimeoutError:
            raise ValueError(f"the scheduler must have workers; got none at {address}") from None
        yield client.get_executor(pure=False)


def _address_in(file: Path) -> str:
    """Address of the scheduler that wrote a file."""
    if not file.is_file():
        raise ValueError(f"a scheduler must be given as tcp://HOST:PORT or by its file; got {file}")
    try:
        address = json.loads(file.read_bytes())["address"]
    except (ValueError, TypeError, KeyError):
        address = None
    if not isinstance(address, str):
        raise ValueError(f"{file}: the file must be that of a scheduler, with its address; it has none")
    return address


def is_dask(executor: Executor) -> bool:
    """Whether an executor is that of a Dask client."""
    return type(executor).__module__.startswith("distributed.")


def n_threads(executor: Any) -> int:
    """Return the number of tasks that the workers of a cluster do at a time."""
    return sum(executor._client.nthreads().values())


def shares_process(executor: Any) -> bool:
    """Whether a worker runs in this process, which must not be ended for it."""
    return _place() in executor._client.run(_place, on_error="ignore").values()


def _place() -> tuple[str, int]:
    return platform.node(), os.getpid()


def check_versions(executor: Any) -> None:
    """Raise a ValueError, naming who has what, unless all workers have the same versions as this process."""
    there: dict[str, Mapping[str, str]] = {}
    for worker, answer in executor._client.run(versions, on_error="return").items():
        if isinstance(answer, Mapping):
            there[worker] = answer
        elif not isinstance(answer, OSError):  # one that has just gone
            there[worker] = {"mixtures": f"none ({message_of(answer).splitlines()[0]})"}
    if differences := list_differences(versions(), there):
        raise ValueError(
            "the workers must have the versions that are here, as results depend on them; "
            + "; ".join(differences)
        )


def versions() -> dict[str, str]:
    """Return the versions of this process, on which results depend."""
    own = str(import_module("mixtures").__version__)  # whose door imports this package, and not the reverse
    packages = {name: metadata.version(name) for name in _PACKAGES}
    return {"Python": platform.python_version(), "mixtures": own} | packages


def list_differences(here: Mapping[str, str], there: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Say which versions differ on which workers."""
    lines = []
    for name, own in here.items():
        others: dict[str, list[str]] = defaultdict(list)
        for worker, found in sorted(there.items()):
            if found.get(name, own) != own:
                others[found[name]].append(worker)
        for other, (first, *more) in others.items():
            and_more = f" and {len(more)} more" if more else ""
            lines.append(f"{name} is {own} here, {other} on {first}{and_more}")
    return lines


def tell_time_is_up() -> None:
    """Tell the scheduler why this worker, which is about to end itself, does."""
    from distributed import Worker

    for worker in list(Worker._instances):
        worker.log_event(_TIME_IS_UP, worker.address)
    time.sleep(_SECONDS_TO_TELL)


def loss_of(executor: Any, error: BaseException) -> Lost | None:
    """Say how the workers of a task died, or return None where that is not what an error is of."""
    from distributed import KilledWorker

    if not isinstance(error, KilledWorker):
        return None
    last = error.last_worker.address
    said = f"the worker died: as did all {error.allowed_failures + 1} that began it, the last at {last}"
    return Lost(said, any(told == last for _, told in executor._client.get_events(_TIME_IS_UP)))

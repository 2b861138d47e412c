"""How a task ended: with a result, with an exception, or with the death of its worker."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

_MOST_CHARACTERS = 2000  # of a message: some hold whole arrays, and a study has many

#: What a caller means when raising it, and nothing may swallow. SystemExit is an engine's that failed.
STOPS = (KeyboardInterrupt, GeneratorExit)


@dataclass(frozen=True, slots=True)
class Failed:
    """What comes back for a task that raised: the exception's type and message."""

    error_type: str
    message: str

    @classmethod
    def of(cls, error: BaseException) -> Self:
        """Describe an exception."""
        return cls(type(error).__name__, message_of(error))


@dataclass(frozen=True, slots=True)
class Lost:
    """What comes back for a task whose worker died of it, or ended itself as the time was up."""

    message: str
    is_timeout: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Outcome[T, R]:
    """A task, what came of it, and the seconds that its worker spent on it, NaN where that died."""

    task: T
    result: R | Failed | Lost
    seconds: float


class WorkersFailedError(RuntimeError):
    """No worker can be had that works."""


def call[T, R](work: Callable[[T], R], task: T) -> tuple[R | Failed, float]:
    """Do a task, wherever this is run; return what came of it, and the seconds."""
    began = time.perf_counter()
    result: R | Failed
    try:
        result = work(task)
    except STOPS:
        raise
    except BaseException as error:  # noqa: BLE001  the panic of a compiled sampler is no Exception
        result = Failed.of(error)
    return result, time.perf_counter() - began


def ready(_: Callable[..., object]) -> None:
    """Do nothing, once the work to do has been imported, which is what workers try first."""


def message_of(error: BaseException) -> str:
    """Return what an exception says, or else its type, as text that any file can hold."""
    try:
        said = str(error)
    except Exception:  # noqa: BLE001  there are exceptions that cannot be printed
        said = ""
    said = (said or type(error).__name__).encode("utf-8", "replace").decode()
    return said if len(said) <= _MOST_CHARACTERS else f"{said[:_MOST_CHARACTERS]} …"

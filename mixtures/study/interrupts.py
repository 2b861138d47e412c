"""Ctrl-C where it may not come just now, or must not be lost."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import Any


@contextmanager
def deferring_interrupts() -> Iterator[None]:
    """Let Ctrl-C wait while workers are started, given work and replaced; they inherit that it is blocked."""
    if not _may_set_handlers():
        yield
        return
    came: list[int] = []
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    before = signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    try:
        resource_tracker.ensure_running()  # which unblocks the signal, where a worker's start starts it
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, before)
        if came:
            signal.raise_signal(signal.SIGINT)


@contextmanager
def ignoring_interrupts() -> Iterator[None]:
    """Ignore Ctrl-C while workers are stopped for good: the run is over."""
    if not _may_set_handlers():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def noticing_interrupts() -> Iterator[Callable[[], None]]:
    """Yield a check, which raises what Ctrl-C has raised before, if something has swallowed that.

    What is raised while numba loads machine code ends there, and an engine may catch what it should not.
    """
    raised: list[BaseException] = []

    def check() -> None:
        if raised:
            raise raised[0]

    before = signal.getsignal(signal.SIGINT)
    if not (_may_set_handlers() and callable(before)):
        yield check
        return

    def interrupt(*signalled: Any) -> None:
        try:
            before(*signalled)
        except BaseException as error:
            raised.append(error)
            raise

    try:
        signal.signal(signal.SIGINT, interrupt)
        yield check
    finally:
        if signal.getsignal(signal.SIGINT) is interrupt:  # and not another, set by a caller's function
            signal.signal(signal.SIGINT, before)


def _may_set_handlers() -> bool:
    """Whether this is the main thread, which alone may, and what it would replace can be put back."""
    is_main = threading.current_thread() is threading.main_thread()
    return is_main and signal.getsignal(signal.SIGINT) is not None

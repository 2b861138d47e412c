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
    """Let Ctrl-C wait for a moment in which workers are started, which inherit that it is blocked."""
    if not _has_handlers():
        yield
        return
    came: list[tuple[Any, ...]] = []
    before = signal.signal(signal.SIGINT, lambda *signalled: came.append(signalled))
    resource_tracker.ensure_running()  # which unblocks the signal, where a worker's start starts it
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)
    if came and callable(before):
        before(*came[0])


@contextmanager
def ignoring_interrupts() -> Iterator[None]:
    """Ignore Ctrl-C for the moments in which workers are stopped: the run is over, or goes on."""
    if not _has_handlers():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)


@contextmanager
def noticing_interrupts() -> Iterator[Callable[[], None]]:
    """Yield what raises KeyboardInterrupt if Ctrl-C came, and nothing has ended since.

    What is raised while numba loads machine code ends there, and an engine may catch what it should not.
    """
    if not _has_handlers() or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield lambda: None
        return
    came: list[tuple[Any, ...]] = []

    def interrupt(*signalled: Any) -> None:
        came.append(signalled)
        signal.default_int_handler(*signalled)

    def check() -> None:
        if came:
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _has_handlers() -> bool:
    return threading.current_thread() is threading.main_thread()

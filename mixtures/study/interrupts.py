"""Ctrl-C where it may not come just now, or must not be lost."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from typing import Any

_SECONDS_UNTIL_AGAIN = 0.05


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

    An engine may catch what it should not. What is raised while Python cleans up, or numba loads machine
    code, ends there: it is raised again at once, in place of the message of Python that it was ignored.
    """
    before = signal.getsignal(signal.SIGINT)
    if not (_may_set_handlers() and callable(before)):
        yield lambda: None
        return
    notice = _Notice(before, sys.unraisablehook)
    try:
        signal.signal(signal.SIGINT, notice.interrupt)
        sys.unraisablehook = notice.ignored
        yield notice.check
    finally:
        for timer in notice.again:
            timer.cancel()
        if sys.unraisablehook == notice.ignored:  # and not another, set by a caller's function
            sys.unraisablehook = notice.tell
        if signal.getsignal(signal.SIGINT) == notice.interrupt:
            signal.signal(signal.SIGINT, before)


@dataclass(slots=True, eq=False)
class _Notice:
    """What handlers raised while it was there to see it.

    Attributes
    ----------
    handle : callable
        The handler of the signal that was there before.
    tell : callable
        What was told before of exceptions that Python ignores.
    """

    handle: Callable[..., Any]
    tell: Callable[[Any], Any]
    raised: list[BaseException] = field(default_factory=list)
    again: list[threading.Timer] = field(default_factory=list)

    def interrupt(self, *signalled: Any) -> None:
        try:
            self.handle(*signalled)
        except BaseException as error:
            self.raised.append(error)
            raise

    def ignored(self, what: Any) -> None:
        if not any(what.exc_value is error for error in self.raised):
            self.tell(what)
            return
        main = threading.main_thread().ident
        self.again.append(threading.Timer(_SECONDS_UNTIL_AGAIN, signal.pthread_kill, (main, signal.SIGINT)))
        self.again[-1].start()

    def check(self) -> None:
        if self.raised:
            raise self.raised[0]


def _may_set_handlers() -> bool:
    """Whether this is the main thread, which alone may, and what it would replace can be put back."""
    is_main = threading.current_thread() is threading.main_thread()
    return is_main and signal.getsignal(signal.SIGINT) is not None

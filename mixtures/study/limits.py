"""Limits: of the seconds that a fit may take, and of the memory that a worker may hold."""

from __future__ import annotations

import ctypes
import math
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mixtures.study.outcomes import STOPS

#: What a worker ends itself with, and is told from others by.
TIME_EXIT, MEMORY_EXIT = 84, 85
_SECONDS_BETWEEN_LOOKS = 0.05


class TimeUpError(BaseException):
    """The time of a fit is up. No Exception, so that no engine takes it for a failure of its own."""


@dataclass(frozen=True, slots=True)
class TimeLimit:
    """Seconds that a fit may take.

    Attributes
    ----------
    seconds : float
        After these `TimeUpError` is raised in the thread of the fit, between two steps of Python.
    ends_worker : bool
        Whether to end the process, of which this is a worker, where that does not end the fit: compiled
        code cannot be called back. Else the error is raised again and again, as it may be swallowed.
    grace : float
        Seconds that a fit has to end in once it was called back, until either.
    last_words : callable, optional
        Called before the process is ended.
    """

    seconds: float
    ends_worker: bool = False
    grace: float = 5.0
    last_words: Callable[[], None] | None = None


@dataclass(slots=True, eq=False)
class _Call:
    """A call under way in a thread."""

    thread: int
    limit: TimeLimit
    began: float
    n_called_back: int = 0


class _Watch:
    """A thread that looks after the calls and the memory of this process."""

    def __init__(self) -> None:
        # Not a Condition: TimeUpError may come anywhere, and only a plain lock is taken in one step.
        self._lock = threading.Lock()
        self._calls: dict[int, _Call] = {}
        self._megabytes = math.inf
        self._resident_megabytes: Callable[[], float] = float
        self._thread: threading.Thread | None = None

    def begin(self, call: _Call) -> None:
        with self._lock:
            self._calls[id(call)] = call
            self._start()

    def end(self, call: _Call) -> None:
        """Look after a call no more; a TimeUpError that was sent and has not come is taken back."""
        with self._lock:
            self._calls.pop(id(call), None)
            if call.n_called_back:
                _send(call.thread, None)

    def forget(self, call: _Call) -> None:
        """Look after a call no more, which has ended, where `end` was cut short."""
        self._calls.pop(id(call), None)

    def limit_memory(self, megabytes: float) -> None:
        import psutil

        process = psutil.Process()
        with self._lock:
            self._megabytes = megabytes
            self._resident_megabytes = lambda: process.memory_info().rss / 1e6
            self._start()

    def _start(self) -> None:
        if self._thread is None or not self._thread.is_alive():  # a fork leaves it behind
            self._thread = threading.Thread(target=self._look, name="limits", daemon=True)
            self._thread.start()

    def _look(self) -> None:
        while True:
            time.sleep(_SECONDS_BETWEEN_LOOKS)
            with self._lock:
                for call in list(self._calls.values()):
                    _look_at(call, time.monotonic() - call.began)
            if self._resident_megabytes() > self._megabytes:
                os._exit(MEMORY_EXIT)


_watch = _Watch()


def within[R](limit: TimeLimit | None, work: Callable[[], R]) -> R:
    """Return the result of a call, or raise a TimeUpError once its time is up.

    Also where something on the way makes another error or a result of that, as compiled samplers do.
    """
    if limit is None:
        return work()
    call = _Call(threading.get_ident(), limit, time.monotonic())
    try:
        try:
            _watch.begin(call)
            result = work()
        finally:
            _watch.end(call)
    except BaseException as error:
        _watch.forget(call)  # TimeUpError may have come while `end` did so
        if call.n_called_back and not isinstance(error, STOPS):
            raise TimeUpError from None
        raise
    if call.n_called_back:
        raise TimeUpError
    return result


def limit_memory(megabytes: float) -> None:
    """End this process, a worker, as soon as its resident memory is seen to be beyond so many megabytes."""
    _watch.limit_memory(megabytes)


def _look_at(call: _Call, seconds: float) -> None:
    limit = call.limit
    if seconds <= limit.seconds + call.n_called_back * limit.grace:
        return
    if call.n_called_back and limit.ends_worker:
        try:
            if limit.last_words is not None:
                limit.last_words()
        finally:
            os._exit(TIME_EXIT)
    call.n_called_back += 1
    _send(call.thread, TimeUpError)


def _send(thread: int, error: type[BaseException] | None) -> None:
    """Raise an exception in a thread as soon as it gets to a step of Python, or take back one sent."""
    what: Any = None if error is None else ctypes.py_object(error)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), what)

"""Ctrl-C comes when it should, once, and the handler that was there is there again."""

import contextlib
import signal
import sys
import time
from multiprocessing import resource_tracker
from unittest import mock

import pytest

from mixtures.study.interrupts import deferring_interrupts, ignoring_interrupts, noticing_interrupts
from mixtures.study.runner import run
from mixtures.study.store import Store
from study import engines
from study.designs import design


def press():
    signal.raise_signal(signal.SIGINT)


@pytest.fixture(autouse=True)
def handlers_are_left_as_they_were():
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    yield
    left = signal.signal(signal.SIGINT, signal.default_int_handler)
    blocked = signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    assert left is signal.default_int_handler
    assert signal.SIGINT not in blocked


# Deferred ---------------------------------------------------------------------------------------


def test_ctrl_c_comes_when_a_moment_is_over():
    done = []

    def press_and_go_on():
        with deferring_interrupts():
            press()
            done.append("to its end")

    with pytest.raises(KeyboardInterrupt):
        press_and_go_on()
    assert done


def test_ctrl_c_comes_also_where_the_moment_ends_in_an_error():
    def press_and_fail():
        with deferring_interrupts():
            press()
            raise LookupError

    with pytest.raises(KeyboardInterrupt) as raised:
        press_and_fail()
    assert isinstance(raised.value.__context__, LookupError)


def test_what_cannot_be_started_leaves_ctrl_c_as_it_was(monkeypatch):
    def fail():
        raise BlockingIOError("no more processes")

    monkeypatch.setattr(resource_tracker, "ensure_running", fail)
    with pytest.raises(BlockingIOError), deferring_interrupts():
        pass


def test_ctrl_c_stays_ignored():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with deferring_interrupts(), noticing_interrupts() as check:
        press()
        check()
    assert signal.signal(signal.SIGINT, signal.default_int_handler) is signal.SIG_IGN


def test_ctrl_c_is_ignored_for_a_moment():
    with ignoring_interrupts():
        press()
    with pytest.raises(KeyboardInterrupt):
        press()


# Noticed ----------------------------------------------------------------------------------------


class StopError(Exception):
    pass


def stop(*_):
    raise StopError


@pytest.mark.parametrize(("handler", "error"), [(None, KeyboardInterrupt), (stop, StopError)])
def test_what_was_swallowed_is_raised_again(handler, error):
    if handler is not None:
        signal.signal(signal.SIGINT, handler)
    with noticing_interrupts() as check:
        check()
        with contextlib.suppress(error):
            press()
        with pytest.raises(error):
            check()
    left = signal.signal(signal.SIGINT, signal.default_int_handler)
    assert left is (handler or signal.default_int_handler)


def test_what_python_ignores_is_raised_again_in_silence(capfd):
    """As in a `__del__`, or while numba loads machine code."""

    class Cleaned:
        def __del__(self):
            press()

    def clean_up_and_go_on():
        with noticing_interrupts():
            Cleaned()
            time.sleep(60)

    hook = sys.unraisablehook
    with pytest.raises(KeyboardInterrupt):
        clean_up_and_go_on()
    assert sys.unraisablehook is hook
    assert capfd.readouterr().err == ""


def test_what_else_python_ignores_is_told_as_ever():
    told = []

    class Failing:
        def __del__(self):
            raise LookupError("elsewhere")

    with mock.patch("sys.unraisablehook", told.append), noticing_interrupts():
        Failing()
    assert len(told) == 1


def test_a_handler_that_raises_nothing_has_done_what_is_to_be_done():
    pressed = []
    signal.signal(signal.SIGINT, lambda *_: pressed.append(1))
    with noticing_interrupts() as check:
        press()
        check()
    assert pressed == [1]
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_a_handler_that_was_set_meanwhile_is_kept():
    with noticing_interrupts():
        signal.signal(signal.SIGINT, stop)
    assert signal.signal(signal.SIGINT, signal.default_int_handler) is stop


# In a run ---------------------------------------------------------------------------------------


def press_deaf(*_):
    with contextlib.suppress(KeyboardInterrupt):
        press()


def test_ctrl_c_that_an_engine_swallows_ends_the_run_and_leaves_no_row(tmp_path, monkeypatch):
    fit = engines.Halves.fit

    def deaf(*arguments):
        press_deaf()
        return fit(*arguments)

    monkeypatch.setattr(engines.Halves, "fit", deaf)
    with pytest.raises(KeyboardInterrupt):
        run(design(), tmp_path, n_workers=1)
    assert len(Store.open(tmp_path).done()) == 0


def test_ctrl_c_that_is_swallowed_at_the_end_is_raised_all_the_same(tmp_path):
    def press_at_the_end(progress):
        if progress.n_done == progress.n_total:
            press_deaf()

    with pytest.raises(KeyboardInterrupt):
        run(design(), tmp_path, n_workers=1, on_progress=press_at_the_end)
    store = Store.open(tmp_path)
    assert len(store.done()) == store.study().replicates

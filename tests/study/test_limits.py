"""Limits of time and memory: a fit beyond one is a row that says so, and touches no other."""

import contextlib
import functools
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest

from mixtures.study import runner
from mixtures.study.limits import TimeLimit, TimeUpError, within
from mixtures.study.runner import run
from mixtures.study.store import Store
from mixtures.study.summary import summarise
from study import engines
from study.designs import design
from study.tables import all_rows, assert_same_rows, read

LIMIT = 0.2
METHODS = [{"name": "A", "engine": "halves"}, {"name": "F", "engine": "endless", "above": 2.05}]


def spin(seconds):
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        pass
    return "done"


def test_a_call_within_its_time_gives_its_result():
    assert within(TimeLimit(60), lambda: spin(0.01)) == "done"
    assert within(None, lambda: spin(0.01)) == "done"


def test_what_a_call_raises_is_raised():
    with pytest.raises(LookupError):
        within(TimeLimit(60), lambda: {}["nothing"])


def test_a_call_beyond_its_time_is_called_back():
    began = time.monotonic()
    with pytest.raises(TimeUpError):
        within(TimeLimit(LIMIT), lambda: spin(60))
    assert LIMIT < time.monotonic() - began < 30


def test_no_engine_can_take_it_for_a_failure_of_its_own():
    def stubborn():
        try:
            return spin(60)
        except Exception:  # noqa: BLE001
            return "swallowed"

    with pytest.raises(TimeUpError):
        within(TimeLimit(LIMIT), stubborn)


def test_a_call_that_swallows_it_is_called_back_again():
    def deaf():
        with contextlib.suppress(BaseException):
            spin(60)
        return spin(60)

    began = time.monotonic()
    with pytest.raises(TimeUpError):
        within(TimeLimit(LIMIT, grace=0.2), deaf)
    assert LIMIT + 0.2 < time.monotonic() - began < 30


@pytest.mark.parametrize("end", [lambda: "done", lambda: {}["nothing"]])
def test_what_a_call_makes_of_it_is_not_what_came_of_the_call(end):
    """A compiled sampler may take it for an error of the function that it calls."""

    def deaf():
        with contextlib.suppress(BaseException):
            spin(60)
        return end()

    with pytest.raises(TimeUpError):
        within(TimeLimit(LIMIT), deaf)


def test_ctrl_c_in_a_call_beyond_its_time_is_ctrl_c():
    def interrupted():
        with contextlib.suppress(BaseException):
            spin(60)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        within(TimeLimit(LIMIT), interrupted)


def test_only_the_thread_of_the_call_is_called_back():
    others = [
        threading.Thread(target=within, args=(TimeLimit(60), lambda: spin(3 * LIMIT))) for _ in range(2)
    ]
    for other in others:
        other.start()
    with pytest.raises(TimeUpError):
        within(TimeLimit(LIMIT), lambda: spin(60))
    assert spin(LIMIT) == "done"
    for other in others:
        other.join(30)
        assert not other.is_alive()


def test_a_call_that_ends_as_its_time_is_up_leaves_nothing_behind():
    """It is called back or not, but the thread is not called back later on."""
    ended = 0
    for i in range(20):
        try:
            within(TimeLimit(0.05), functools.partial(spin, 0.04 + 0.004 * i))
            ended += 1
        except TimeUpError:
            pass
        assert sum(range(10_000)) == 49_995_000
    assert 0 < ended < 20


def assert_timed_out(fits):
    """Assert that the fits of F that never end have timed out, and that nothing else is touched."""
    late = fits[fits["status"] == "timeout"]
    assert 0 < len(late) < (fits["method"] == "F").sum()
    assert set(late["method"]) == {"F"}
    assert set(late["message"]) == {f"the fit must end within {LIMIT:g} seconds; it was stopped"}
    assert (late["seconds"] > LIMIT).all()
    assert set(fits.drop(late.index)["status"]) == {"converged"}
    hashes = fits.groupby("replicate")["data_hash"]
    assert (hashes.nunique() == 1).all()


def named(store):
    names = {method.key: method.name for method in store.study().method}
    return store.read("fits").assign(method=lambda fits: fits["method"].map(names))


def test_a_fit_that_takes_too_long_is_a_row(tmp_path):
    store = run(design(method=METHODS), tmp_path / "limited", n_workers=1, time_limit=LIMIT)
    assert_timed_out(named(store))
    alone = run(design(method=METHODS[:1]), tmp_path / "alone", n_workers=1)
    rows = read(store, "fits")
    pd.testing.assert_frame_equal(
        rows[rows["method"] == "A"].reset_index(drop=True), read(alone, "fits"), check_dtype=False
    )


def test_fits_that_ended_so_are_done_again_when_it_is_asked_for(tmp_path, monkeypatch):
    study = design(method=METHODS)
    run(study, tmp_path / "limited", n_workers=1, time_limit=LIMIT)
    monkeypatch.setattr(engines.Endless, "fit", engines.Halves.fit)
    seen = []
    run(study, tmp_path / "limited", n_workers=1, on_progress=seen.append)
    assert seen[-1].n_total == 0
    store = run(study, tmp_path / "limited", n_workers=1, again=["timeout"], on_progress=seen.append)
    assert 0 < seen[-1].n_total == seen[-1].n_done < len(store.read("fits"))
    assert set(store.read("fits")["status"]) == {"converged"}
    assert len(store.read("parameters")) == 6 * len(store.read("fits"))
    with pytest.raises(ValueError, match="again must be one of error, timeout, worker_lost; got 'converged'"):
        run(study, tmp_path / "limited", n_workers=1, again=["converged"])


def test_fits_that_fail_again_in_another_way_are_of_one_kind_everywhere(tmp_path, monkeypatch):
    study = design(method=METHODS, replicates=12)
    run(study, tmp_path, n_workers=1, time_limit=LIMIT)
    n_late = len(named(Store.open(tmp_path)).query("status == 'timeout'"))

    def fail(*_):
        raise ValueError("in another way")

    monkeypatch.setattr(engines.Endless, "fit", fail)
    seen = []
    for _ in range(2):
        store = run(study, tmp_path, n_workers=1, again=["timeout"], on_progress=seen.append)
        assert (store.read("fits")["status"] == "error").sum() == n_late > 1
        assert summarise(store).accounts[1].statuses["error"] == n_late
    assert seen[-1].n_total == 0


def test_a_rule_looks_at_fits_as_they_are_when_done_again(tmp_path, monkeypatch):
    until = {"measure": "bias", "parameter": "means", "mcse": 0.03, "least": 5, "batch": 5}
    study = design(method=[{"name": "R", "engine": "raising", "above": 2.05}], replicates=80, until=until)
    run(study, tmp_path / "failing", n_workers=1)
    monkeypatch.setattr(engines.Raising, "fit", engines.Halves.fit)
    again = run(study, tmp_path / "failing", n_workers=1, again=["error"])
    assert_same_rows(all_rows(again), all_rows(run(study, tmp_path / "sound", n_workers=1)))


def test_threads_keep_the_limit_too(tmp_path):
    with ThreadPoolExecutor(2) as executor:
        store = run(design(method=METHODS), tmp_path, executor=executor, time_limit=LIMIT)
    assert_timed_out(named(store))


@pytest.mark.slow
@pytest.mark.usefixtures("_workers_know_the_fakes")
def test_a_worker_that_cannot_be_called_back_ends_itself(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "TimeLimit", functools.partial(TimeLimit, grace=0.3))
    methods = [METHODS[0], {**METHODS[1], "deaf": True}]
    store = run(design(method=methods), tmp_path, n_workers=2, time_limit=LIMIT)
    assert_timed_out(named(store))


@pytest.mark.slow
@pytest.mark.usefixtures("_workers_know_the_fakes")
@pytest.mark.parametrize("n_workers", [1, 2])
def test_a_worker_that_holds_too_much_is_ended(tmp_path, n_workers):
    method = {"name": "F", "engine": "hoarding"}
    store = run(design(method=[method], replicates=1), tmp_path, n_workers=n_workers, memory_limit=900)
    (row,) = store.read("fits").itertuples()
    assert row.status == "worker_lost"
    assert row.message == "the worker died: its memory was beyond the limit of 900 MB"
    assert row.data_hash


@pytest.mark.parametrize("limit", [0, -1, float("inf"), float("nan"), True, "long"])
@pytest.mark.parametrize("name", ["time_limit", "memory_limit"])
def test_a_wrong_limit_is_refused_before_anything_is_written(tmp_path, name, limit):
    with pytest.raises((TypeError, ValueError), match=f"{name} must be a "):
        run(design(), tmp_path / "results", n_workers=2, **{name: limit})
    assert not (tmp_path / "results").exists()


def test_memory_is_limited_in_workers_alone(tmp_path):
    with (
        ThreadPoolExecutor(2) as executor,
        pytest.raises(ValueError, match="memory_limit must be left out: an executor has limits of its own"),
    ):
        run(design(), tmp_path / "results", executor=executor, memory_limit=500)
    assert not (tmp_path / "results").exists()

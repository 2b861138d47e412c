"""What a run stores: everything once, the same rows however it is cut, and a row for every failure."""

import errno
import os
import shutil
import time

import numpy as np
import pandas as pd
import pytest

from mixtures.study import replicate
from mixtures.study.design import Study
from mixtures.study.plan import Plan
from mixtures.study.rows import TABLES
from mixtures.study.runner import run
from mixtures.study.store import Store
from mixtures.study.summary import summarise
from study import engines
from study.designs import CLOSE, PRIOR, design, entries, grid, truth
from study.tables import all_rows, assert_same_rows, read

_replace = os.replace

TWO = [{"name": "A", "engine": "halves"}, {"name": "B", "engine": "halves", "noise": 0.1}]


def statuses(store, name):
    fits = read(store, "fits")
    return fits[fits["method"] == name].set_index("replicate")["status"].to_dict()


def test_every_fit_has_its_rows(tmp_path):
    study = design(grid=grid(truth(), CLOSE, n=[40, 60]), method=TWO, replicates=3)
    store = run(study, tmp_path, n_workers=1)
    rows = all_rows(store)
    assert len(rows["fits"]) == 4 * 3 * 2
    assert not rows["fits"].duplicated(["condition", "replicate", "method"]).any()
    assert len(rows["parameters"]) == 4 * 3 * 2 * 3 * 2  # three kinds of parameter of two components
    assert len(rows["pairs"]) == 4 * 3
    assert set(rows["examples"]["replicate"]) == {0}
    assert set(rows["examples"]["method"]) == {"A", "B", "oracle"}
    assert (rows["fits"]["status"] == "converged").all()
    assert rows["fits"]["has_estimate"].all()


def test_of_a_large_example_a_part_is_kept_one_by_one(tmp_path, monkeypatch):
    monkeypatch.setattr(replicate, "MOST_EXAMPLES", 30)
    rows = run(design(method=TWO), tmp_path, n_workers=1).read("examples")
    assert rows.groupby("method").size().tolist() == [60, 60, 60]
    assert rows["observation"].max() == 29


def test_a_setting_that_is_left_to_the_engine_is_no_other_method(tmp_path):
    """No file can hold None, and rows are known by what their file says."""
    made = entries(method=[{"name": "EM", "engine": "em", "n_starts": 1, "intervals": None}])
    store = run(Study.model_validate(made), tmp_path, n_workers=1)
    assert [account.n_attempted for account in summarise(store).accounts] == [4]


def test_every_method_has_the_same_data(tmp_path):
    study = design(method=[*TWO, {"name": "EM", "engine": "quick_em"}, {"name": "R", "engine": "raising"}])
    fits = read(run(study, tmp_path, n_workers=1), "fits")
    assert (fits.groupby("replicate")["data_hash"].nunique() == 1).all()
    assert fits["data_hash"].nunique() == 4
    assert (fits.groupby("replicate")["method"].nunique() == 4).all()


def test_running_again_computes_nothing(tmp_path):
    store = run(design(method=TWO), tmp_path, n_workers=1)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "rows").rglob("*.parquet")}
    engines.calls.clear()
    run(design(method=TWO), tmp_path, n_workers=1)
    assert not engines.calls
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "rows").rglob("*.parquet")} == before
    assert list(Plan.of(design(method=TWO), store).tasks(1)) == []


def test_a_study_may_be_given_as_a_file(tmp_path):
    path = tmp_path / "trial.toml"
    text = "# a comment that is kept\n" + design().to_toml()
    path.write_text(text, encoding="utf-8")
    store = run(path, tmp_path / "results", n_workers=1)
    assert (store.folder / "study.toml").read_text(encoding="utf-8") == text
    assert_same_rows(all_rows(store), all_rows(run(design(), tmp_path / "other", n_workers=1)))


GROWN = {
    "replicates": ({"replicates": 7}, {"A": 3, "B": 3}),
    "a condition": ({"grid": grid(CLOSE, truth(), n=[40])}, {"A": 4, "B": 4}),
    "n": ({"grid": grid(truth(), n=[60, 40])}, {"A": 4, "B": 4}),
    "replicates of one method": ({"method": [{**TWO[0], "replicates": 9}, TWO[1]]}, {"A": 5}),
}


@pytest.mark.parametrize(("changes", "n_fits"), GROWN.values(), ids=GROWN)
def test_what_is_added_is_computed_and_nothing_else(tmp_path, changes, n_fits):
    before = all_rows(run(design(method=TWO), tmp_path, n_workers=1))
    engines.calls.clear()
    store = run(design(**{"method": TWO} | changes), tmp_path, n_workers=1)
    assert dict(engines.calls) == n_fits
    assert_old_rows_stay(before, all_rows(store))
    fresh = run(design(**{"method": TWO} | changes), tmp_path / "fresh", n_workers=1)
    assert_same_rows(all_rows(store), all_rows(fresh))


def assert_old_rows_stay(before, after):
    for kind, old in before.items():
        merged = old.merge(after[kind], how="left", on=list(old.columns), indicator=True)
        assert (merged["_merge"] == "both").all(), kind


def test_an_added_method_leaves_the_old_rows_alone(tmp_path):
    """The pairs need the old fits again: they are fitted anew, to the same bits, but not stored anew."""
    before = all_rows(run(design(method=TWO), tmp_path, n_workers=1))
    engines.calls.clear()
    grown = design(method=[{"name": "C", "engine": "quick_em"}, *TWO])
    store = run(grown, tmp_path, n_workers=1)
    assert engines.calls["C"] == 4
    assert_old_rows_stay(before, all_rows(store))
    assert_same_rows(all_rows(store), all_rows(run(grown, tmp_path / "fresh", n_workers=1)))


def test_replicates_may_be_limited_and_gone_on_with(tmp_path):
    study = design(method=[{**TWO[0], "replicates": 6}, TWO[1]])
    store = run(study, tmp_path, replicates=2, n_workers=1)
    assert sorted(statuses(store, "A")) == sorted(statuses(store, "B")) == [0, 1]
    store = run(study, tmp_path, n_workers=1)
    assert (len(statuses(store, "A")), len(statuses(store, "B"))) == (6, 4)
    assert_same_rows(all_rows(store), all_rows(run(study, tmp_path / "at once", n_workers=1)))


def test_a_method_on_more_replicates_is_paired_on_the_common_ones(tmp_path):
    methods = [{"name": "EM", "engine": "quick_em", "replicates": 9}, {"name": "A", "engine": "halves"}]
    store = run(design(method=methods), tmp_path, n_workers=1)
    assert (len(statuses(store, "EM")), len(statuses(store, "A"))) == (9, 4)
    pairs = read(store, "pairs")
    assert pairs["replicate"].tolist() == [0, 1, 2, 3]
    assert set(pairs["method"]) == {"A"}
    assert set(pairs["versus"]) == {"EM"}


@pytest.mark.parametrize("workers", [0, -1, True, "two", 1.5])
def test_a_wrong_number_of_workers_is_refused_before_anything_is_written(tmp_path, workers):
    with pytest.raises((TypeError, ValueError), match="n_workers must be"):
        run(design(), tmp_path / "results", n_workers=workers)
    with pytest.raises((TypeError, ValueError), match="replicates must be"):
        run(design(), tmp_path / "results", replicates=workers)
    assert not (tmp_path / "results").exists()


def test_a_wrong_setting_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match="method 'A': a setting must be one of the engine's noise"):
        run(design(method=[{"name": "A", "engine": "halves", "speed": 3}]), tmp_path / "results")
    with pytest.raises(ValueError, match=r"no\.toml: the file must be readable"):
        run(tmp_path / "no.toml", tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_truths_may_be_drawn_from_a_prior(tmp_path):
    study = design(grid=grid(PRIOR), method=TWO)
    parameters = read(run(study, tmp_path, n_workers=1), "parameters")
    drawn = parameters[parameters["method"] == "A"]
    assert drawn.groupby(["parameter", "component"])["truth"].nunique().eq(4).all()
    other = parameters[parameters["method"] == "B"]
    assert drawn["truth"].tolist() == other["truth"].tolist()


# Failure is data --------------------------------------------------------------------------------

FAILING = {
    "raises": ({"engine": "raising"}, "error", "no luck today", "RuntimeError"),
    "degenerate": ({"engine": "degenerate"}, "degenerate", "every start collapsed", ""),
    "cannot be compared": ({"engine": "misshapen"}, "error", "in the comparison: ", "ValueError"),
}


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize(("method", "status", "message", "kind"), FAILING.values(), ids=FAILING)
def test_a_failure_is_a_row_and_touches_no_other(tmp_path, place, method, status, message, kind):
    healthy = all_rows(run(design(method=TWO), tmp_path / "healthy", n_workers=1))
    methods = list(TWO)
    methods.insert(place, {"name": "F", **method})
    store = run(design(method=methods), tmp_path / "failing", n_workers=1)
    rows = all_rows(store)
    failed = rows["fits"][rows["fits"]["method"] == "F"]
    assert failed["status"].tolist() == [status] * 4
    assert not failed["has_estimate"].any()
    assert failed["message"].str.startswith(message).all()
    assert set(failed["error_type"]) == {kind}
    assert failed["kl"].isna().all()
    for kind_of_row, others in healthy.items():
        rest = rows[kind_of_row]
        rest = rest[(rest["method"] != "F") & (rest.get("versus", "") != "F")]
        pd.testing.assert_frame_equal(
            rest.reset_index(drop=True), others, check_exact=True, check_dtype=False
        )


def test_data_are_never_drawn_again_after_a_failure(tmp_path):
    methods = [TWO[0], {"name": "F", "engine": "raising", "above": 1.5}]
    store = run(design(method=methods, replicates=12), tmp_path, n_workers=1)
    fits = read(store, "fits")
    failed = fits[fits["method"] == "F"]
    assert set(failed["status"]) == {"converged", "error"}
    assert failed["replicate"].tolist() == list(range(12))
    assert failed["data_hash"].tolist() == fits[fits["method"] == "A"]["data_hash"].tolist()
    survived = failed[failed["status"] == "converged"]["replicate"]
    assert read(store, "pairs")["replicate"].tolist() == survived.tolist()


def test_a_failure_is_not_tried_again(tmp_path):
    study = design(method=[{"name": "F", "engine": "degenerate"}])
    run(study, tmp_path, n_workers=1)
    assert list(Plan.of(study, Store.open(tmp_path)).tasks(1)) == []


# Interruptions ----------------------------------------------------------------------------------


def test_ctrl_c_in_a_fit_keeps_what_was_done(tmp_path):
    study = design(
        method=[{"name": "I", "engine": "interrupted", "at": 12}], grid=grid(truth(), CLOSE), replicates=10
    )
    with pytest.raises(KeyboardInterrupt):
        run(study, tmp_path, n_workers=1)
    store = Store.open(tmp_path)
    kept = all_rows(store)
    assert 0 < len(kept["fits"]) < 12
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()]
    store = run(study, tmp_path, n_workers=1)
    assert len(store.read("fits")) == 20
    assert_old_rows_stay(kept, all_rows(store))
    assert_same_rows(all_rows(store), all_rows(run(study, tmp_path / "fresh", n_workers=1)))


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS])
def test_a_disk_that_fails_keeps_what_was_stored(tmp_path, monkeypatch, error):
    study = design(method=TWO, replicates=20)
    n_parts = 0

    def replace(source, target):
        nonlocal n_parts
        n_parts += 1
        if n_parts == 10:  # two files of the study, five tables of its first task
            raise OSError(error, os.strerror(error))
        _replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace)
        with pytest.raises(OSError, match=os.strerror(error)):
            run(study, tmp_path / "full", n_workers=1)
    store = Store.open(tmp_path / "full")
    assert 0 < len(store.done()) < 40
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()]
    store = run(study, tmp_path / "full", n_workers=1)
    assert_same_rows(all_rows(store), all_rows(run(study, tmp_path / "fresh", n_workers=1)))


def test_a_truncated_part_is_set_aside_and_computed_again(tmp_path):
    whole = run(design(method=TWO), tmp_path, n_workers=1).read("fits").drop(columns=["seconds"])
    part = next((tmp_path / "rows" / "fits").iterdir())
    part.write_bytes(part.read_bytes()[:-5])
    seen = []
    store = run(design(method=TWO), tmp_path, n_workers=1, on_progress=seen.append)
    assert len(store.set_aside) == 1
    assert 0 < seen[0].n_total < len(whole)
    pd.testing.assert_frame_equal(store.read("fits").drop(columns=["seconds"]), whole)


def test_progress_counts_what_is_stored(tmp_path):
    seen = []
    methods = [TWO[0], {"name": "F", "engine": "raising"}]
    run(design(method=methods), tmp_path, replicates=2, n_workers=1, on_progress=seen.append)
    assert (seen[0].n_done, seen[0].n_total, seen[0].n_stored) == (0, 4, 0)
    assert (seen[-1].n_done, seen[-1].n_total) == (4, 4)
    assert seen[-1].by_status == {"converged": 2, "error": 2}
    seen.clear()
    run(design(method=methods), tmp_path, n_workers=1, on_progress=seen.append)
    assert (seen[0].n_total, seen[0].n_stored) == (4, 4)
    assert seen[-1].by_status == {"converged": 2, "error": 2}


# Two processes ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("_workers_know_the_fakes")
def test_two_processes_store_what_one_does(tmp_path):
    methods = [
        *TWO,
        {"name": "F", "engine": "raising", "above": 1.5},
        {"name": "EM", "engine": "em", "n_starts": 2},
    ]
    study = design(method=methods, grid=grid(truth(), PRIOR), replicates=8)
    one = run(study, tmp_path / "one", n_workers=1)
    two = run(study, tmp_path / "two", n_workers=2)
    assert_same_rows(all_rows(one), all_rows(two))


def test_times_are_of_the_fit(tmp_path):
    began = time.perf_counter()
    seconds = run(design(method=TWO), tmp_path, n_workers=1).read("fits")["seconds"]
    assert (seconds > 0).all()
    assert seconds.sum() < time.perf_counter() - began
    assert np.isfinite(seconds).all()


def test_fits_whose_parameters_are_lost_are_run_again(tmp_path):
    study = design(method=TWO)
    store = run(study, tmp_path, n_workers=1)
    before = {kind: read(store, kind) for kind in TABLES}
    shutil.rmtree(tmp_path / "rows" / "parameters")
    assert [account.n_attempted for account in summarise(Store.open(tmp_path)).accounts] == [0, 0]
    run(study, tmp_path, n_workers=1)
    assert [account.n_attempted for account in summarise(store).accounts] == [4, 4]
    for kind, frame in before.items():
        pd.testing.assert_frame_equal(read(store, kind), frame)

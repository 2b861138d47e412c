"""Whatever goes wrong outside a fit is a row of the fits concerned, and the run goes on."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import pandas as pd
import pytest

from mixtures.study import rescue, runner
from mixtures.study.outcomes import Failed, Lost
from mixtures.study.plan import Job, Plan, Task
from mixtures.study.rescue import Queue
from mixtures.study.runner import run
from study import engines
from study.designs import PRIOR, design, grid, text, truth
from study.tables import all_rows, assert_same_rows, read

TWO = [{"name": "A", "engine": "halves"}, {"name": "B", "engine": "halves", "noise": 0.1}]


def statuses(store, name):
    fits = read(store, "fits")
    return fits[fits["method"] == name].set_index("replicate")["status"].to_dict()


def failures(store, name):
    fits = read(store, "fits")
    return fits[(fits["method"] == name) & ~fits["has_estimate"]].set_index("replicate")


def assert_untouched(store, healthy):
    """Assert that what the healthy methods did is what they do by themselves."""
    rows = all_rows(store)
    for kind, others in healthy.items():
        rest = rows[kind]
        rest = rest[(rest["method"] != "F") & (rest.get("versus", "") != "F")]
        pd.testing.assert_frame_equal(
            rest.reset_index(drop=True), others, check_exact=True, check_dtype=False
        )


# What raises outside a fit -----------------------------------------------------------------------

RAISING = {
    "its engine cannot be made ready": ("unready", "no compiler", "LookupError"),
    "a sampler panics": ("panicking", "called `Option::unwrap()` on a `None` value", "PanicException"),
    "memory is wanting": ("greedy", "MemoryError", "MemoryError"),
    "its rows cannot be written": ("garbled", "surrogates not allowed", "UnicodeEncodeError"),
}


@pytest.mark.parametrize(("engine", "message", "error_type"), RAISING.values(), ids=RAISING)
def test_a_fit_is_an_error_where(tmp_path, engine, message, error_type):
    healthy = all_rows(run(design(method=TWO), tmp_path / "healthy", n_workers=1))
    methods = [TWO[0], {"name": "F", "engine": engine}, TWO[1]]
    store = run(design(method=methods), tmp_path / "failing", n_workers=1)
    failed = failures(store, "F")
    assert set(failed["status"]) == {"error"}
    assert set(failed["error_type"]) == {error_type}
    assert failed["message"].str.contains(message, regex=False).all()
    assert failed["data_hash"].tolist() == read(store, "fits").query("method == 'A'")["data_hash"].tolist()
    assert_untouched(store, healthy)
    assert list(Plan.of(design(method=methods), store).tasks(1)) == []


def test_a_message_of_any_length_is_told_in_some_lines(tmp_path, monkeypatch):
    def fit(*_):
        raise ValueError("9" * 1_000_000)

    monkeypatch.setattr(engines.Halves, "fit", fit)
    store = run(design(), tmp_path, n_workers=1)
    assert set(read(store, "fits")["message"]) == {"9" * 2000 + " …"}


def test_only_fits_whose_rows_cannot_be_written_are_errors(tmp_path):
    methods = [TWO[0], {"name": "F", "engine": "garbled", "above": 1.5}, TWO[1]]
    healthy = all_rows(run(design(method=TWO, replicates=12), tmp_path / "healthy", n_workers=1))
    store = run(design(method=methods, replicates=12), tmp_path / "failing", n_workers=1)
    assert set(statuses(store, "F").values()) == {"converged", "error"}
    assert_untouched(store, healthy)
    pairs = read(store, "pairs")
    survived = [i for i, status in statuses(store, "F").items() if status == "converged"]
    assert pairs[(pairs["method"] == "F") & (pairs["versus"] == "A")]["replicate"].tolist() == survived


def test_data_that_cannot_be_generated_are_errors_of_their_fits(tmp_path, monkeypatch):
    generate = runner.generate

    def fail_at_two(seed, condition, index):
        if index == 2:
            raise MemoryError("Unable to allocate 7.45 GiB")
        return generate(seed, condition, index)

    monkeypatch.setattr(runner, "generate", fail_at_two)
    store = run(design(method=TWO), tmp_path, n_workers=1)
    fits = read(store, "fits").set_index(["replicate", "method"])
    assert fits["status"].to_dict() == {
        (i, m): "error" if i == 2 else "converged" for i in range(4) for m in "AB"
    }
    assert set(fits.loc[2]["message"]) == {"Unable to allocate 7.45 GiB"}
    assert set(fits.loc[2]["error_type"]) == {"MemoryError"}
    assert set(fits.loc[2]["data_hash"]) == {""}


def test_what_means_to_stop_the_run_stops_it(tmp_path, monkeypatch):
    def fit(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(engines.Halves, "fit", fit)
    with pytest.raises(KeyboardInterrupt):
        run(design(), tmp_path, n_workers=1)


def test_an_engine_that_exits_has_failed(tmp_path, monkeypatch):
    monkeypatch.setattr(engines.Halves, "fit", lambda *_: sys.exit(0))
    fits = read(run(design(), tmp_path, n_workers=1), "fits")
    assert set(fits["status"]) == {"error"}
    assert set(fits["error_type"]) == {"SystemExit"}


# Executors ---------------------------------------------------------------------------------------


@pytest.mark.usefixtures("_workers_know_the_fakes")
@pytest.mark.parametrize(
    "make",
    [
        lambda: ThreadPoolExecutor(2),
        lambda: ProcessPoolExecutor(2, mp_context=get_context("spawn")),
    ],
    ids=["threads", "processes"],
)
def test_any_executor_stores_what_one_process_does(tmp_path, make):
    methods = [*TWO, {"name": "F", "engine": "raising", "above": 1.5}]
    study = design(method=methods, grid=grid(truth(), PRIOR), replicates=8)
    one = run(study, tmp_path / "one", n_workers=1)
    with make() as executor:
        other = run(study, tmp_path / "other", executor=executor)
        assert executor.submit(len, "left open").result() == 9
    assert_same_rows(all_rows(one), all_rows(other))


# Workers that die --------------------------------------------------------------------------------


@pytest.mark.usefixtures("_workers_know_the_fakes")
def test_only_the_fit_that_kills_its_worker_is_lost(tmp_path):
    methods = [*TWO, {"name": "D", "engine": "deadly", "above": 2.05}]
    study = design(method=methods, replicates=6)
    store = run(study, tmp_path, n_workers=2)
    fits = read(store, "fits")
    assert len(fits) == 18
    assert set(statuses(store, "A").values()) == set(statuses(store, "B").values()) == {"converged"}
    deadly = fits[fits["method"] == "D"].set_index("replicate")
    assert set(deadly["status"]) == {"converged", "worker_lost"}
    lost = deadly[deadly["status"] == "worker_lost"]
    assert lost["message"].str.startswith("the worker died: ").all()
    assert not lost["has_estimate"].any()
    assert deadly["data_hash"].tolist() == fits[fits["method"] == "A"]["data_hash"].tolist()
    survived = deadly[deadly["status"] == "converged"].index.tolist()
    pairs = read(store, "pairs")
    assert pairs[pairs["method"] == "B"]["replicate"].tolist() == list(range(6))
    for other in "AB":
        with_it = pairs[(pairs["method"] == "D") & (pairs["versus"] == other)]
        assert with_it["replicate"].tolist() == survived
    assert list(Plan.of(study, store).tasks(1)) == []


@pytest.mark.usefixtures("_workers_know_the_fakes")
def test_a_worker_that_dies_once_loses_nothing(tmp_path):
    methods = [TWO[0], {"name": "D", "engine": "deadly", "once": str(tmp_path / "died")}]
    store = run(design(method=methods, replicates=10), tmp_path / "results", n_workers=2)
    assert (tmp_path / "died").exists()
    assert set(read(store, "fits")["status"]) == {"converged"}
    assert len(read(store, "pairs")) == 10


@pytest.mark.slow
@pytest.mark.usefixtures("_workers_know_the_fakes")
def test_workers_may_be_killed_in_turn(tmp_path):
    """The rows are those of one process that nobody kills."""
    (tmp_path / "workers").mkdir()
    slow = {"name": "L", "engine": "leisurely", "folder": str(tmp_path / "workers")}
    study = design(method=[*TWO, slow], grid=grid(truth(), PRIOR), replicates=16)
    killed = set()

    def kill_another(progress):
        alive = {int(path.name) for path in (tmp_path / "workers").iterdir()} - killed
        if progress.n_done and alive and len(killed) < 2:
            killed.add(worker := min(alive))
            os.kill(worker, signal.SIGKILL)

    two = run(study, tmp_path / "two", n_workers=2, on_progress=kill_another)
    assert len(killed) == 2
    assert_same_rows(all_rows(run(study, tmp_path / "one", n_workers=1)), all_rows(two))
    assert set(read(two, "fits")["status"]) == {"converged"}


@pytest.mark.usefixtures("_workers_know_the_fakes")
@pytest.mark.parametrize(("times", "status"), [(2, "converged"), (3, "worker_lost")])
def test_a_single_fit_is_tried_three_times(tmp_path, times, status):
    (tmp_path / "deaths").mkdir()
    method = {"name": "D", "engine": "deadly_at_first", "times": times, "folder": str(tmp_path / "deaths")}
    store = run(design(method=[method], replicates=1), tmp_path / "results", n_workers=2)
    assert len(list((tmp_path / "deaths").iterdir())) == times
    assert statuses(store, "D") == {0: status}
    assert failures(store, "D")["message"].tolist() == ["the worker died: SIGKILL (-9)"] * (times == 3)


def task_of(replicates, fits=("A", "B"), pairs=(("A", "B"),)):
    study = design(method=TWO)
    jobs = tuple(Job(index, fits, pairs) for index in replicates)
    return Task(study.seed, study.conditions[0], tuple(study.method), jobs)


def drained(tasks, fails):
    """Do tasks, where those that pass `fails` fail; return what was stored and what was given up, in order.

    A part is stood for by its task.
    """
    given_up, stored = [], []
    queue = Queue(iter(tasks), 3, lambda task, _: given_up.append(task) or task)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rescue, "Part", Task)
        while (task := queue.take()) is not None:
            stored += queue.settle(task, Lost("the worker died") if fails(task) else task)
    of = [
        (job.replicate, job.fits, job.pairs) for task in stored if task not in given_up for job in task.jobs
    ]
    return of, [(task.jobs[0].replicate, task.jobs[0].fits) for task in given_up]


BOTH = (("A", "B"),)


def test_tasks_that_fail_are_done_again_in_pieces():
    def fails(task):
        return any(job.replicate == 5 and "B" in job.needed for job in task.jobs)

    stored, given_up = drained([task_of(range(8)), task_of([8])], fails)
    assert given_up == [(5, ("B",))]
    whole = [(i, ("A", "B"), BOTH) for i in range(9)]
    assert stored == [*whole[:5], (5, ("A",), ()), *whole[6:]]


def test_fits_that_can_be_done_are_stored_with_their_pairs_at_once():
    """So that no pair is missing of fits that are stored, whenever the run is killed."""
    three, pairs = ("A", "B", "C"), (("A", "B"), ("A", "C"), ("B", "C"))
    stored, given_up = drained([task_of([0], three, pairs)], lambda task: "B" in task.jobs[0].needed)
    assert given_up == [(0, ("B",))]
    assert stored == [(0, ("A", "C"), (("A", "C"),))]


def test_fits_that_can_only_be_done_by_themselves_are_stored_without_pairs():
    stored, given_up = drained([task_of([0])], lambda task: bool(task.jobs[0].pairs))
    assert stored == [(0, ("A",), ()), (0, ("B",), ())]
    assert given_up == []


@pytest.mark.parametrize(
    ("n_deaths", "expected"),
    [(3, [(0, ("A", "B"), BOTH)]), (4, [(0, ("A",), ()), (0, ("B",), ())])],
)
def test_fits_that_can_be_done_are_tried_three_times_with_their_pairs(n_deaths, expected):
    """After the first death each fit is tried by itself."""
    deaths = []

    def fails(task):
        if task.jobs[0].pairs and len(deaths) < n_deaths:
            deaths.append(task)
            return True
        return False

    assert drained([task_of([0])], fails) == (expected, [])
    assert len(deaths) == n_deaths


def test_a_pair_with_a_fit_that_was_stored_before_is_done_again():
    begun = set()

    def fails_once(task):
        is_new = task.jobs not in begun and bool(task.jobs[0].pairs) and not begun
        begun.add(task.jobs)
        return is_new

    stored, given_up = drained([task_of([0], ("B",))], fails_once)
    assert (stored, given_up) == ([(0, ("B",), BOTH)], [])


def test_what_raises_is_not_tried_again():
    queue = Queue(iter([task_of([0], ("A",), ())]), 3, lambda *_: "given up")
    assert queue.settle(queue.take(), Failed("LookupError", "no")) == ["given up"]
    assert queue.take() is None


def test_no_folder_of_the_users_is_taken_for_a_module(tmp_path):
    """Workers import more than this process has by then: a folder of results must not be in their way."""
    (tmp_path / "trial.toml").write_text(text(method=[{"name": "EM", "engine": "em", "n_starts": 1}]))
    command = [sys.executable, "-m", "mixtures", "run", "trial.toml", "--out", "coverage", "--workers", "2"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, "4 of 4 fits: 4 converged" in done.stderr) == (0, True), done.stderr

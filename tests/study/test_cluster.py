"""A Dask cluster of real processes on the loopback interface: a scheduler and two workers."""

import functools
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

import mixtures
from mixtures import __version__
from mixtures.cli import _run
from mixtures.study import cluster, runner
from mixtures.study.cluster import connect, list_differences
from mixtures.study.limits import TimeLimit
from mixtures.study.runner import run
from study.designs import PRIOR, design, grid, text, truth
from study.tables import all_rows, assert_same_rows, read

TESTS = Path(__file__).parents[1]
TWO = [{"name": "A", "engine": "halves"}, {"name": "B", "engine": "halves", "noise": 0.1}]


@contextmanager
def command(*arguments, **settings):
    """Run a Dask command as long as the context lasts."""
    ours = {"PYTHONPATH": os.pathsep.join([*filter(None, sys.path), str(TESTS)]), "NUMBA_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "dask", *map(str, arguments)],
        env=os.environ | ours | settings,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


@pytest.fixture(scope="module")
def scheduler_file(tmp_path_factory):
    """Start a scheduler that gives a task up once two workers have died of it, and two workers."""
    pytest.importorskip("distributed", reason="a Dask cluster needs the package distributed")
    folder = tmp_path_factory.mktemp("dask")
    path = folder / "scheduler.json"
    at = ("--host", "127.0.0.1", "--no-dashboard", "--scheduler-file", path)
    workers = ("--nworkers", 2, "--nthreads", 1, "--memory-limit", 0, "--local-directory", folder)
    few = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1"}
    with command("scheduler", "--port", 0, *at, **few):
        deadline = time.monotonic() + 60
        while not path.exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        with command("worker", *at, *workers):
            yield path


@pytest.fixture
def executor(scheduler_file):
    with connect(str(scheduler_file)) as executor:
        executor._client.wait_for_workers(2, timeout=60)
        yield executor


@pytest.mark.slow
@pytest.mark.usefixtures("_workers_know_the_fakes")
def test_a_cluster_stores_what_one_process_does_though_each_worker_is_killed_in_turn(tmp_path, executor):
    (tmp_path / "workers").mkdir()
    methods = [
        *TWO,
        {"name": "F", "engine": "raising", "above": 1.5},
        {"name": "L", "engine": "leisurely", "folder": str(tmp_path / "workers")},
    ]
    study = design(method=methods, grid=grid(truth(), PRIOR), replicates=16)
    killed = []

    def kill_the_next(progress):
        """Each has a task under way, and more at hand; those that take their place are left alone."""
        begun = [int(path.name) for path in (tmp_path / "workers").iterdir()]
        left = [worker for worker in begun if worker not in killed]
        if progress.n_done and len(killed) < 2 and left:
            killed.append(left[0])
            os.kill(left[0], signal.SIGKILL)

    other = run(study, tmp_path / "dask", executor=executor, on_progress=kill_the_next)
    assert len(killed) == 2
    assert os.getpid() not in killed
    one = run(study, tmp_path / "one", n_workers=1)
    assert_same_rows(all_rows(one), all_rows(other))
    assert set(read(other, "fits")["status"]) == {"converged", "error"}


@pytest.mark.slow
@pytest.mark.usefixtures("_workers_know_the_fakes")
def test_a_fit_that_kills_its_workers_is_lost_after_as_many_as_dask_allows(tmp_path, executor):
    store = run(design(method=[{"name": "D", "engine": "deadly"}], replicates=1), tmp_path, executor=executor)
    (row,) = store.read("fits").itertuples()
    assert row.status == "worker_lost"
    assert row.message.startswith("the worker died: as did all 2 that began it, the last at tcp://127.0.0.1:")


@pytest.mark.slow
@pytest.mark.usefixtures("_workers_know_the_fakes")
def test_a_fit_that_cannot_be_called_back_has_timed_out(tmp_path, executor, monkeypatch):
    """Its worker ends itself, and tells why."""
    monkeypatch.setattr(runner, "TimeLimit", functools.partial(TimeLimit, grace=0.3))
    methods = [TWO[0], {"name": "F", "engine": "endless", "deaf": True, "above": -100.0}]
    store = run(design(method=methods, replicates=1), tmp_path, executor=executor, time_limit=0.2)
    rows = store.read("fits").set_index("status")
    assert sorted(rows.index) == ["converged", "timeout"]
    assert rows.loc["timeout", "message"] == "the fit must end within 0.2 seconds; it was stopped"


@pytest.mark.slow
def test_the_command_line_runs_on_a_cluster(tmp_path, scheduler_file, capsys):
    path = tmp_path / "trial.toml"
    path.write_text(text(method=[{"name": "EM", "engine": "em", "n_starts": 1}]))
    out = tmp_path / "results"
    code = _run(["run", str(path), "--out", str(out), "--dask", str(scheduler_file)])
    assert (code, "4 of 4 fits" in capsys.readouterr().err) == (0, True)


@pytest.mark.slow
def test_workers_of_another_version_are_refused_before_anything_is_written(tmp_path, executor, monkeypatch):
    monkeypatch.setattr(mixtures, "__version__", "0.0")
    said = rf"mixtures is 0\.0 here, {re.escape(__version__)} on tcp://127\.0\.0\.1:\d+ and 1 more$"
    with pytest.raises(ValueError, match=said):
        run(design(), tmp_path / "results", executor=executor)
    assert not (tmp_path / "results").exists()


def test_differences_name_who_has_what():
    here = {"Python": "3.13.1", "mixtures": __version__, "numpy": "2.5"}
    there = {
        "tcp://a": here,
        "tcp://b": here | {"numpy": "2.4"},
        "tcp://c": here | {"numpy": "2.3", "mixtures": "none"},
        "tcp://d": here | {"numpy": "2.4"},
        "tcp://e": {"mixtures": "none (No module named 'mixtures')"},
    }
    assert list_differences(here, there) == [
        f"mixtures is {__version__} here, none on tcp://c",
        f"mixtures is {__version__} here, none (No module named 'mixtures') on tcp://e",
        "numpy is 2.5 here, 2.4 on tcp://b and 1 more",
        "numpy is 2.5 here, 2.3 on tcp://c",
    ]
    assert list_differences(here, {"tcp://a": here}) == []


def test_a_scheduler_that_is_not_there_is_an_error_that_says_so(tmp_path, monkeypatch, capsys):
    pytest.importorskip("distributed", reason="a Dask cluster needs the package distributed")
    monkeypatch.setattr(cluster, "_SECONDS_TO_CONNECT", 1)
    path = tmp_path / "trial.toml"
    path.write_text(text(method=[{"name": "EM", "engine": "em"}]))
    (tmp_path / "other.json").write_text("[1]")
    (tmp_path / "text.json").write_text("no JSON")
    for address, said in [
        (
            tmp_path / "other.json",
            "other.json: the file must be that of a scheduler, with its address; it has",
        ),
        (tmp_path / "text.json", "text.json: the file must be that of a scheduler, with its address; it has"),
        (tmp_path / "no.json", "a scheduler must be given as tcp://HOST:PORT or by its file; got"),
        ("tcp://127.0.0.1:9", "the scheduler must be running at tcp://127.0.0.1:9; "),
    ]:
        code = _run(["run", str(path), "--out", str(tmp_path / "results"), "--dask", str(address)])
        assert code == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "results").exists()

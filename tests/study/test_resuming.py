"""Killed at any moment, a study goes on to the rows that it would have had."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest

from mixtures.study.runner import run
from mixtures.study.store import Store
from study.designs import CLOSE, design, grid, truth
from study.tables import all_rows, assert_same_rows

METHODS = [{"name": "one start", "engine": "em", "n_starts": 1}, {"name": "EM", "engine": "em"}]
STUDY = design(method=METHODS, grid=grid(CLOSE, truth(), n=[40, 300]), replicates=150)
N_KILLS = 20


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Rows of the study that nobody disturbed."""
    return all_rows(run(STUDY, tmp_path_factory.mktemp("whole") / "results", n_workers=1))


def begin(folder, n_workers):
    study = folder.with_suffix(".toml")
    study.write_text(STUDY.to_toml(), encoding="utf-8")
    command = [sys.executable, "-m", "mixtures", "run", str(study), "--out", str(folder)]
    return subprocess.Popen(
        [*command, "--workers", str(n_workers)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )


def n_files(folder):
    return sum(1 for _ in folder.rglob("*"))


def is_over(process):
    """Whether a process has ended, though nobody may have asked how."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_for(condition, seconds=60.0):
    """Wait until something holds; False where it does not in so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.005)
    return False


def seconds_between_files(process, folder, rng):
    """Wait for one to six more files, temporary ones too, and a moment more: a kill may fall anywhere."""
    wanted = n_files(folder) + rng.integers(1, 7)
    wait_for(lambda: process.poll() is not None or n_files(folder) >= wanted)
    time.sleep(rng.exponential(0.02))


@pytest.mark.slow
@pytest.mark.parametrize("n_workers", [1, 2])
def test_killed_at_random_moments_and_resumed(tmp_path, whole, n_workers):
    """SIGKILL leaves the process no time for anything; its workers end by themselves."""
    rng, folder, n_killed = np.random.default_rng(n_workers), tmp_path / "results", 0
    done = []
    for _ in range(N_KILLS // 2):
        process = begin(folder, n_workers)
        seconds_between_files(process, folder, rng)
        family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.kill()
        process.wait()
        process.stderr.close()
        n_killed += process.returncode == -signal.SIGKILL
        assert wait_for(lambda family=family: all(map(is_over, family))), "workers outlive their study"
        done.append(len(Store.open(folder).done()) if (folder / "study.toml").exists() else 0)
    assert n_killed >= N_KILLS // 4
    assert done == sorted(done)  # nothing that was stored is lost
    store = run(STUDY, folder, n_workers=1)
    assert not store.set_aside
    assert_same_rows(all_rows(store), whole)


@pytest.mark.slow
def test_two_runs_at_once_on_one_folder(tmp_path, whole):
    """Both finish, and what both did counts once."""
    folder = tmp_path / "results"
    runs = [begin(folder, 1) for _ in range(2)]
    for process in runs:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
    store = Store.open(folder)
    assert not store.set_aside
    assert_same_rows(all_rows(store), whole)
    assert (folder / "report.html").is_file()

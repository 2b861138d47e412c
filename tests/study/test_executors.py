"""Who does the work, and what comes back when a worker dies."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import pytest

from mixtures.study import executors, workers
from mixtures.study.executors import Borrowed, Cluster, pool_of
from mixtures.study.outcomes import Failed, Lost, WorkersFailedError
from study import tasks

POOLS = {
    "this process": lambda: pool_of(1),
    "worker processes": lambda: pool_of(2),
    "threads": lambda: pool_of(2, ThreadPoolExecutor(2)),
    "an executor of processes": lambda: pool_of(2, ProcessPoolExecutor(2, mp_context=get_context("spawn"))),
}
every_pool = pytest.mark.parametrize("make", POOLS.values(), ids=POOLS)


def outcomes(pool, work, given):
    """Do all tasks and yield how each ended."""
    given = iter(given)
    try:
        yield from pool.run(lambda: next(given, None), work)
    finally:
        pool.close()


def results(work, given, pool):
    return {outcome.task: outcome.result for outcome in outcomes(pool, work, given)}


@every_pool
def test_every_task_is_done_once(make):
    assert results(tasks.square, range(20), make()) == {i: i * i for i in range(20)}


@every_pool
def test_no_tasks_are_no_results(make):
    assert results(tasks.square, [], make()) == {}


@every_pool
def test_what_work_raises_is_what_came_of_the_task(make):
    """A panic of compiled code too, which is no Exception."""
    seen = results(tasks.fail_at_three_and_four, range(6), make())
    assert seen.pop(3) == Failed("LookupError", "task 3")
    assert seen.pop(4) == Failed("PanicException", "PanicException")
    assert seen == {i: i for i in (0, 1, 2, 5)}


@pytest.mark.parametrize("make", [POOLS["this process"], POOLS["threads"]])
def test_ctrl_c_is_not_an_outcome(make):
    with pytest.raises(KeyboardInterrupt):
        results(tasks.interrupt, range(6), make())


@every_pool
def test_work_that_exits_has_failed(make):
    seen = results(tasks.leave_at_three, range(5), make())
    assert seen.pop(3) == Failed("SystemExit", "0")
    assert seen == {i: i for i in (0, 1, 2, 4)}


def test_a_worker_that_is_idle_is_given_what_comes():
    pool = pool_of(4)
    for _ in range(3):
        given = iter([1])
        assert len([*pool.run(lambda given=given: next(given, None), tasks.process)]) == 1
    assert len(pool._workers) == 1
    pool.close()


def test_a_cluster_without_workers_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(executors, "_SECONDS_BETWEEN_LOOKS", 0.01)
    monkeypatch.setattr(executors, "_SECONDS_WITHOUT_WORKERS", 0.05)
    has_gone = threading.Event()
    with ThreadPoolExecutor(1) as executor:
        cluster = Cluster(lambda _: None, lambda: 0 if has_gone.is_set() else 1, ends_workers=False)
        pool = Borrowed(executor, 1, cluster)
        release = threading.Event()
        given = iter([1])

        def wait(_):
            has_gone.set()
            release.wait(30)

        with pytest.raises(WorkersFailedError, match="the cluster must have workers; it had none for"):
            list(pool.run(lambda: next(given, None), wait))
        release.set()


def test_one_worker_is_this_process():
    assert set(results(tasks.process, range(3), pool_of(1)).values()) == {tasks.process(0)}


def test_workers_are_other_processes_with_one_thread_each():
    pool = pool_of(2)
    given = iter(range(4))
    settings = {outcome.result for outcome in pool.run(lambda: next(given, None), tasks.settings)}
    assert settings == {"1 1 1 1"}
    assert tasks.process(0) not in results(tasks.process, range(12), pool).values()


def test_workers_stay_for_further_tasks():
    pool, given = pool_of(2), iter(range(8))
    before = {outcome.result for outcome in pool.run(lambda: next(given, None), tasks.process)}
    assert len(before | set(results(tasks.process, range(8), pool).values())) <= 2


def test_no_more_workers_are_started_than_there_are_tasks():
    pool, given = pool_of(6), iter(range(2))
    assert list(pool.run(lambda: None, tasks.process)) == []
    assert pool._workers == []
    assert len({outcome.result for outcome in pool.run(lambda: next(given, None), tasks.process)}) == 2
    assert len(pool._workers) == 2
    pool.close()


@every_pool
def test_tasks_are_taken_up_as_workers_become_free(make):
    """The window is small: a worker that dies takes little with it."""
    taken = []

    def given():
        for i in range(30):
            taken.append(i)
            yield i

    done = outcomes(make(), tasks.square, given())
    next(done)
    assert len(taken) <= 5
    done.close()


def test_tasks_may_come_while_others_are_under_way():
    left = [1]
    pool = pool_of(2)
    seen = []
    for outcome in pool.run(lambda: left.pop() if left else None, tasks.square):
        seen.append(outcome.result)
        if outcome.task < 5:
            left.append(outcome.task + 1)
    pool.close()
    assert seen == [1, 4, 9, 16, 25]


@pytest.mark.parametrize(
    ("work", "reason"),
    [(tasks.exit_at_three, "exit code 9"), (tasks.die_at_three, r"SIGKILL \(-9\)")],
    ids=["exits", "killed"],
)
def test_a_deadly_task_is_given_up_and_the_others_are_done(work, reason):
    seen = results(work, range(12), pool_of(2))
    lost = seen.pop(3)
    assert isinstance(lost, Lost)
    assert lost.message == f"the worker died: {reason}".replace("\\", "")
    assert seen == {i: i * i for i in range(12) if i != 3}


def test_a_worker_may_die_while_it_sends_a_result():
    """The rest of the result is not waited for."""
    seen = results(tasks.die_while_sending, range(6), pool_of(2))
    assert seen.pop(3) == Lost("the worker died: exit code 9")
    assert seen == {i: i for i in (0, 1, 2, 4, 5)}


def test_the_others_go_on_while_a_worker_dies():
    """The death of one worker is nobody else's: the other keeps its process throughout."""
    seen = list(outcomes(pool_of(2), tasks.exit_at_a_multiple_of_seven, range(40)))
    assert sorted(outcome.task for outcome in seen) == list(range(40))
    assert {outcome.task for outcome in seen if isinstance(outcome.result, Lost)} == {0, 7, 14, 21, 28, 35}


def test_workers_may_die_while_results_are_being_stored(tmp_path):
    """The executor is then found broken on handing in the next task, not on waiting for one."""
    given = [("quick", tmp_path), ("deadly", tmp_path), *((i, tmp_path) for i in range(6))]
    seen = {}
    for outcome in outcomes(pool_of(2), tasks.die_in_a_while, given):
        time.sleep(1.0 if outcome.task[0] == "quick" else 0)
        seen[outcome.task[0]] = outcome.result
    assert isinstance(seen.pop("deadly"), Lost)
    assert set(seen) == {"quick", *range(6)}
    assert set(seen.values()) == {"done"}


def test_an_interruption_stops_the_workers():
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        interrupt_after_the_first(outcomes(pool_of(2), tasks.sleep, [0.01, 60, 61, 62]))
    assert time.monotonic() - began < 30


def interrupt_after_the_first(done):
    for outcome in done:
        assert outcome.task == 0.01
        raise KeyboardInterrupt


# Workers that cannot work ------------------------------------------------------------------------


def test_workers_that_cannot_import_the_work_end_the_run_with_their_last_words(tmp_path, monkeypatch):
    path = tmp_path / "mislaid.py"
    path.write_text("def work(task):\n    return task\n")
    monkeypatch.syspath_prepend(tmp_path)
    from mislaid import work

    path.write_text("raise AttributeError('module coverage has no attribute types')\n")
    with pytest.raises(
        WorkersFailedError, match=r"3 in a row could not, the last one for: Attr.* no attribute types"
    ):
        results(work, range(6), pool_of(2))


def test_an_executor_that_breaks_ends_the_run():
    with pytest.raises(
        WorkersFailedError, match="the executor must do what it is given; got BrokenProcessPool"
    ):
        results(tasks.exit_at_three, range(12), POOLS["an executor of processes"]())


def test_an_executor_that_is_shut_down_ends_the_run():
    executor = ThreadPoolExecutor(2)
    executor.shutdown()
    with pytest.raises(WorkersFailedError, match="cannot schedule new futures"):
        results(tasks.square, range(12), pool_of(2, executor))


def test_the_threads_that_feed_workers_are_waited_for():
    """One that the end of the process cuts short leaves semaphores behind."""
    others, feeders, awaited = set(threading.enumerate()), set(), set()

    def wait_for(thread, timeout=None):
        awaited.add(thread)
        threading.Thread.join(thread, timeout)

    for _ in outcomes(pool_of(2), tasks.square, range(6)):
        for thread in {*threading.enumerate()} - others - feeders:
            if thread.name == "QueueFeederThread":
                feeders.add(thread)
                thread.join = partial(wait_for, thread)
    assert feeders
    assert awaited == feeders
    assert not any(thread.is_alive() for thread in feeders)


@pytest.mark.slow
def test_workers_are_started_with_ctrl_c_blocked():
    """The first of a process too: with it start trackers of semaphores, which may unblock the signal."""
    code = """
from mixtures.study.executors import pool_of
from study import tasks
given = iter(range(2))
for outcome in pool_of(2).run(lambda: next(given, None), tasks.is_ctrl_c_blocked):
    print(outcome.result)
"""
    sources = os.pathsep.join(filter(None, [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-c", code]
    environment = os.environ | {"PYTHONPATH": sources}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.stdout == "True\nTrue\n", ended.stderr


def test_an_interruption_before_a_worker_has_an_executor_is_no_other_error(monkeypatch):
    def interrupt():
        raise KeyboardInterrupt
        yield

    pool = pool_of(2)
    monkeypatch.setattr(workers, "deferring_interrupts", contextmanager(interrupt))
    with pytest.raises(KeyboardInterrupt):
        results(tasks.square, range(2), pool)


def test_a_task_that_was_handed_in_as_ctrl_c_came_is_known_to_be_under_way(monkeypatch):
    """Or its worker would not be ended, but waited for."""
    deferring = workers.deferring_interrupts
    n_handed_in = []

    @contextmanager
    def interrupt_the_third():  # start, import of the work, task
        n_handed_in.append(1)
        with deferring():
            yield
            if len(n_handed_in) == 3:
                os.kill(os.getpid(), signal.SIGINT)

    pool = pool_of(2)
    monkeypatch.setattr(workers, "deferring_interrupts", interrupt_the_third)
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        results(tasks.sleep, [60], pool)
    assert time.monotonic() - began < 10


def test_a_second_ctrl_c_does_not_keep_workers_from_being_stopped(monkeypatch):
    stop, executors_stopped = workers._stop, []

    def stop_while_impatient(executor, *, kill):
        signal.raise_signal(signal.SIGINT)
        stop(executor, kill=kill)
        executors_stopped.append(executor)

    monkeypatch.setattr(workers, "_stop", stop_while_impatient)
    done = outcomes(pool_of(2), tasks.sleep, [0.01, 60, 61, 62])
    with pytest.raises(KeyboardInterrupt):
        interrupt_after_the_first(done)
    done.close()
    assert len(executors_stopped) == 2


def test_ctrl_c_is_not_lost_where_it_comes_while_a_worker_is_replaced(monkeypatch):
    stop = workers._stop

    def stop_as_ctrl_c_comes(executor, *, kill):
        signal.raise_signal(signal.SIGINT)
        stop(executor, kill=kill)

    monkeypatch.setattr(workers, "_stop", stop_as_ctrl_c_comes)
    with pytest.raises(KeyboardInterrupt):
        results(tasks.die_at_three, range(6), pool_of(2))

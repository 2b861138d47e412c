"""Who does the work, and what comes back when a worker dies."""

import time

import pytest

from mixtures.study.executors import Lost, run_tasks
from study import tasks


def results(work, given, n_workers):
    return dict(run_tasks(given, work, n_workers))


@pytest.mark.parametrize("n_workers", [1, 2])
def test_every_task_is_done_once(n_workers):
    assert results(tasks.square, range(20), n_workers) == {i: i * i for i in range(20)}


@pytest.mark.parametrize("n_workers", [1, 2])
def test_no_tasks_are_no_results(n_workers):
    assert results(tasks.square, [], n_workers) == {}


def test_one_worker_is_this_process():
    assert set(results(tasks.process, range(3), 1).values()) == {tasks.process(0)}


def test_workers_are_other_processes_with_one_thread_each():
    seen = results(tasks.process, range(12), 2)
    assert tasks.process(0) not in seen.values()
    assert set(results(tasks.threads, range(4), 2).values()) == {"1 1 1 1"}


@pytest.mark.parametrize("n_workers", [1, 2])
def test_what_work_raises_is_raised(n_workers):
    with pytest.raises(LookupError, match="task 3"):
        results(tasks.fail_at_three, range(20), n_workers)


def test_tasks_are_taken_up_as_workers_become_free():
    """The window is small: a worker that dies takes little with it."""
    taken = []

    def given():
        for i in range(30):
            taken.append(i)
            yield i

    done = run_tasks(given(), tasks.square, 2)
    next(done)
    assert len(taken) <= 4
    done.close()


def test_a_deadly_task_is_given_up_and_the_others_are_done():
    seen = results(tasks.die_at_three, range(12), 2)
    assert isinstance(seen.pop(3), Lost)
    assert seen == {i: i * i for i in range(12) if i != 3}


def test_workers_may_die_while_results_are_being_stored(tmp_path):
    """The pool is then found broken on handing in the next task, not on waiting for one."""
    given = [("quick", tmp_path), ("deadly", tmp_path), *((i, tmp_path) for i in range(6))]
    seen = {}
    for (name, _), result in run_tasks(given, tasks.die_in_a_while, 2):
        time.sleep(1.0 if name == "quick" else 0)
        seen[name] = result
    assert isinstance(seen.pop("deadly"), Lost)
    assert set(seen) == {"quick", *range(6)}
    assert set(seen.values()) == {"done"}


def test_an_interruption_stops_the_workers():
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        interrupt_after_the_first(run_tasks([0, 60, 60, 60], tasks.sleep, 2))
    assert time.monotonic() - began < 30


def interrupt_after_the_first(done):
    for task, _ in done:
        assert task == 0
        raise KeyboardInterrupt

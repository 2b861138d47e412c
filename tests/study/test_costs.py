"""Tasks are sized by what fits cost, as guessed and then as measured. No clock is read: costs are given."""

import heapq
from collections import Counter
from itertools import count

import pytest

from mixtures.study.costs import Costs
from mixtures.study.methods import expected_seconds
from mixtures.study.parts import Part
from study.designs import CLOSE, design, grid, truth
from study.test_plan import plan_of

TWO = [{"name": "A", "engine": "halves"}, {"name": "B", "engine": "halves", "noise": 0.1}]


def part_of(task, seconds):
    """Return the part that a task of fits that take so many seconds, by method, makes."""
    keys = {method.name: method.key for method in task.methods}
    n_fits = Counter(name for job in task.jobs for name in job.fits)
    return Part(
        statuses=Counter({(task.condition.key, keys[name], "converged"): n for name, n in n_fits.items()}),
        seconds={(task.condition.key, keys[name]): n * seconds[name] for name, n in n_fits.items()},
        failures=(),
        files={},
    )


def simulated(study, seconds, n_workers, *, besides=1e-3, first=0.0):
    """Run a study on a clock of its own; return the seconds of each task, and when each worker was done.

    Each worker has a task under way and one at hand. `seconds` are those of a fit by condition and method,
    `besides` the others that it takes in its task, and `first` what a worker's first task takes in addition.
    """
    costs = Costs(study)
    tasks = plan_of(study).tasks(n_workers, costs)
    free, ticket, lasted = [0.0] * n_workers, count(), []
    ended = []

    def begin(worker, began):
        if (task := next(tasks, None)) is not None:
            of = seconds[task.condition.name]
            took = sum(of[name] + besides for job in task.jobs for name in job.fits)
            took += first * (free[worker] == 0)
            free[worker] = max(free[worker], began) + took
            lasted.append((task, took))
            heapq.heappush(ended, (free[worker], next(ticket), worker, task, took))

    for worker in [*range(n_workers)] * 2:
        begin(worker, 0.0)
    while ended:
        now, _, worker, task, took = heapq.heappop(ended)
        costs.learn(part_of(task, seconds[task.condition.name]), took)
        begin(worker, now)
    return lasted, free


COSTS = {"quick": (0.0002, 400_000), "a second": (1.0, 4000), "slow": (20.0, 300)}


@pytest.mark.parametrize(("seconds", "replicates"), COSTS.values(), ids=COSTS)
@pytest.mark.parametrize("n_workers", [2, 6])
def test_fits_quick_and_slow_make_tasks_of_some_seconds(seconds, replicates, n_workers):
    study = design(method=TWO[:1], replicates=replicates)
    (condition,) = study.conditions
    lasted, free = simulated(study, {condition.name: {"A": seconds}}, n_workers, first=20.0)
    assert sum(len(task.jobs) for task, _ in lasted) == replicates
    assert max(len(task.jobs) for task, _ in lasted) <= 5000
    assert max(took for _, took in lasted[2 * n_workers :]) <= max(16.0, 1.1 * seconds)
    of_all = sum(took for _, took in lasted)
    in_good_tasks = sum(took for task, took in lasted if took >= 5 or len(task.jobs) >= 4000)
    assert in_good_tasks > (0.65 if seconds < 20 else 1 - 1e-9) * of_all
    assert max(free) - min(free) <= max(1.0, 1.1 * seconds)  # they end together


def test_no_task_is_longer_than_some_seconds_where_the_guess_was_a_thousand_times_too_low():
    study = design(method=[{"name": "A", "engine": "em"}], replicates=3000)
    (condition,) = study.conditions
    seconds = 1000 * expected_seconds(study.method[0], condition)
    lasted, _ = simulated(study, {condition.name: {"A": seconds}}, 2)
    assert max(took for _, took in lasted) < 20


def test_conditions_that_differ_have_tasks_of_their_own_size():
    study = design(method=TWO, grid=grid(truth(), CLOSE), replicates=20_000)
    quick, slow = (condition.name for condition in study.conditions)
    seconds = {quick: {"A": 0.001, "B": 0.003}, slow: {"A": 0.1, "B": 0.3}}
    lasted, _ = simulated(study, seconds, 2)
    n_jobs = [(task.condition.name, len(task.jobs)) for task, _ in lasted]
    longest = {name: max(n for of, n in n_jobs if of == name) for name in (quick, slow)}
    assert longest[quick] == pytest.approx(2500, rel=0.01)  # 5000 fits
    assert longest[slow] == pytest.approx(15 / 0.4, rel=0.1)
    assert max(took for _, took in lasted) < 17


def test_before_anything_is_measured_tasks_are_small():
    study = design(method=[{"name": "A", "engine": "em"}], replicates=100_000)
    tasks = plan_of(study).tasks(2)
    assert [len(next(tasks).jobs) for _ in range(4)] == [20] * 4
    nuts = design(method=[{"name": "A", "engine": "nuts"}], grid=grid(truth(), n=[1000]), replicates=100)
    assert [len(task.jobs) for task in plan_of(nuts).tasks(2)][:4] == [2] * 4  # 0.7 s each


@pytest.mark.parametrize("n_workers", [1, 2, 8])
def test_a_small_study_is_work_for_every_worker(n_workers):
    study = design(method=TWO[:1], replicates=16 * n_workers)
    lasted, free = simulated(study, {study.conditions[0].name: {"A": 0.1}}, n_workers)
    assert len(lasted) >= 4 * n_workers
    assert max(free) - min(free) <= 0.21
    assert [job.replicate for task, _ in lasted for job in task.jobs] == list(range(16 * n_workers))


# The books --------------------------------------------------------------------------------------


def learnt(study, seconds, besides=0.0, n_parts=1):
    costs = Costs(study)
    tasks = plan_of(study).tasks(1)
    for task in (next(tasks) for _ in range(n_parts)):
        n = sum(len(job.fits) for job in task.jobs)
        part = part_of(task, seconds)
        costs.learn(part, sum(part.seconds.values()) + n * besides)
    return costs


def test_costs_are_guessed_at_first():
    study = design(method=TWO, grid=grid(truth(), CLOSE))
    costs = Costs(study)
    assert costs.seconds[1, 0] == expected_seconds(study.method[0], study.conditions[1])
    assert not costs.is_measured().any()


def test_costs_are_those_measured_with_what_the_task_does_besides():
    study = design(method=TWO, replicates=100)
    costs = learnt(study, {"A": 0.5, "B": 2.0}, besides=0.1)
    assert costs.seconds[0] == pytest.approx([0.6, 2.1])
    assert costs.is_measured().all()


def test_guesses_are_corrected_by_what_was_measured_elsewhere():
    study = design(method=TWO, grid=grid(truth(), n=[40, 80]), replicates=100)
    costs = learnt(study, {"A": 0.5, "B": 2.0})
    guesses = Costs(study).seconds
    assert costs.is_measured().tolist() == [[True, True], [False, False]]
    assert costs.seconds[1] == pytest.approx(guesses[1] / guesses[0] * [0.5, 2.0])


def test_what_was_measured_at_first_is_forgotten():
    study = design(method=TWO[:1], replicates=10_000)
    costs, tasks = Costs(study), plan_of(study).tasks(1)
    for i, task in enumerate(next(tasks) for _ in range(25)):
        part = part_of(task, {"A": 0.01})
        costs.learn(part, sum(part.seconds.values()) + (30.0 if i == 0 else 0.0))
    assert costs.seconds[0, 0] == pytest.approx(0.01, rel=0.05)


def test_fits_that_were_never_done_teach_nothing():
    study = design(method=TWO[:1])
    costs = Costs(study)
    costs.learn(Part({}, Counter(), {}, ()), 7.0)
    assert costs.seconds[0, 0] == expected_seconds(study.method[0], study.conditions[0])

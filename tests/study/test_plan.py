"""What remains to be done: everything once, and in order."""

from itertools import islice

import numpy as np

from mixtures.study.ledger import Ledger
from mixtures.study.plan import Plan
from study.designs import CLOSE, design, grid, truth

TWO = [{"name": "A", "engine": "halves"}, {"name": "B", "engine": "halves", "noise": 0.1}]


def plan_of(study, stored=(), paired=(), most=None):
    """Plan a study of which some (condition, replicates, methods) are there."""
    ledgers = Ledger(), Ledger()
    for ledger, entries in zip(ledgers, (stored, paired), strict=True):
        for condition, replicates, methods in entries:
            ledger.add((condition, *methods), np.array(replicates))
    limits = {} if most is None else {condition.key: most for condition in study.conditions}
    return Plan(study, limits, *ledgers)


def jobs_of(plan):
    return [(task.condition.key, job) for task in plan.tasks(1) for job in task.jobs]


def test_everything_is_done_once():
    study = design(grid=grid(truth(), CLOSE, n=[40, 60]), method=TWO, replicates=23)
    plan = plan_of(study)
    seen = [(key, job.replicate) for key, job in jobs_of(plan)]
    assert sorted(seen) == sorted((c.key, i) for c in study.conditions for i in range(23))
    assert all(job.fits == ("A", "B") and job.pairs == (("A", "B"),) for _, job in jobs_of(plan))
    assert plan.n_fits == 4 * 23 * 2


def test_replicates_come_in_order_and_conditions_in_turn():
    study = design(grid=grid(truth(), CLOSE), replicates=20)
    first, second = (condition.key for condition in study.conditions)
    seen = [(task.jobs[0].replicate, task.condition.key) for task in plan_of(study).tasks(1)]
    assert seen[:4] == [(index, key) for index in (0, 5) for key in (first, second)]
    assert seen == sorted(seen, key=lambda one: (one[0], one[1] == second))


def test_only_what_is_missing_is_planned():
    study = design(method=TWO, replicates=6)
    condition, (a, b) = study.conditions[0].key, (method.key for method in study.method)
    stored = [(condition, [0, 2, 3], (a,)), (condition, [2, 4], (b,))]
    plan = plan_of(study, stored, [(condition, [3], (b, a))])
    found = {job.replicate: (job.fits, job.pairs) for _, job in jobs_of(plan)}
    both = (("A", "B"),)
    assert found == {
        0: (("B",), both),
        1: (("A", "B"), both),
        3: (("B",), ()),  # the pair is there
        4: (("A",), both),
        5: (("A", "B"), both),
    }
    assert plan.n_fits == 7
    assert [job.replicate for _, job in jobs_of(plan_of(study, stored, most=2))] == [0, 1]
    everything = [(condition, range(6), (key,)) for key in (a, b)]
    assert jobs_of(plan_of(study, everything)) == []


def test_tasks_are_made_as_they_are_taken_up():
    """The first task of millions of replicates is there before the others are thought of."""
    study = design(replicates=3_000_000)
    tasks = plan_of(study).tasks(1)
    assert [task.jobs[0].replicate for task in islice(tasks, 3)] == [0, 5, 10]


def test_halves_make_up_a_task():
    task = next(plan_of(design(replicates=20)).tasks(1))
    first, second = task.halves()
    assert first.jobs + second.jobs == task.jobs
    assert (len(first.jobs), len(second.jobs)) == (2, 3)

"""How far a run has come, and when it will be done: by a clock that the test turns."""

import math
from collections import Counter

import numpy as np
import pytest

from mixtures.study.costs import Costs
from mixtures.study.ledger import Ledger
from mixtures.study.methods import expected_seconds
from mixtures.study.parts import Part
from mixtures.study.plan import Plan
from mixtures.study.progress import Progress, Tracker
from mixtures.study.runner import run
from study.designs import CLOSE, design, grid, truth

QUICK, SLOW = 0.019, 1.999  # seconds of a fit
BESIDES = 0.001  # in which it is drawn and compared


class Clock:
    """A clock that goes where it is told."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def study():
    two = [{"name": "quick", "engine": "halves"}, {"name": "slow", "engine": "halves", "noise": 0.1}]
    return design(method=two, grid=grid(truth(), CLOSE), replicates=100)


def cells(study):
    return {
        (condition.truth.name, method.name): (condition.key, method.key)
        for condition in study.conditions
        for method in study.method
    }


def plan(study, most=None, stored=None):
    limits = {} if most is None else {condition.key: most for condition in study.conditions}
    return Plan(study, limits, stored or Ledger(), Ledger())


def part(seconds, n=1, status="converged"):
    """A part with n fits of each cell, that took so many seconds each."""
    return Part(
        statuses=Counter({(*cell, status): n for cell in seconds}),
        seconds={cell: n * each for cell, each in seconds.items() if math.isfinite(each)},
        failures=(),
        files={},
    )


class Run:
    """What a run tells, on a clock of its own."""

    def __init__(self, study):
        self.clock, self.costs = Clock(), Costs(study)
        self.tracker = Tracker(study, "here", self.costs, self.clock)
        self.expect = self.tracker.expect

    def add(self, done):
        self.costs.learn(done, sum(done.seconds.values()) + BESIDES * done.statuses.total())
        return self.tracker.add(done)


def follow(study, seconds, *, speed=2.0, rounds=10):
    """Do rounds of one fit in each of some cells, at so many seconds of work in a second."""
    told = Run(study)
    seen = told.expect(plan(study))
    told.clock.now += 77.0  # workers start
    for i in range(rounds):
        told.clock.now += sum(each + BESIDES for each in seconds.values()) / speed if i else 0.0
        seen = told.add(part(seconds))
    return seen


def test_nothing_is_told_of_a_pace_before_there_is_one(study):
    told = Run(study)
    seen = told.expect(plan(study))
    assert (seen.n_done, seen.n_total, seen.rate, seen.speed, seen.seconds_left) == (0, 400, None, None, None)
    told.clock.now += 50
    seen = told.add(part(dict.fromkeys(cells(study).values(), QUICK)))
    assert (seen.n_done, seen.rate, seen.seconds_left) == (4, None, None)
    assert seen.elapsed == 50


def test_costs_are_those_measured_and_the_start_of_workers_is_no_work(study):
    each = {cell: SLOW if "slow" in name else QUICK for name, cell in cells(study).items()}
    seen = follow(study, each, speed=2.0, rounds=10)
    assert seen.speed == pytest.approx(2.0)
    assert seen.rate == pytest.approx(4 / (4.04 / 2))
    assert seen.seconds_left == pytest.approx(90 * 4.04 / 2)


def test_a_slow_method_that_is_almost_done_is_not_waited_for(study):
    """The rate of late is that of slow fits; what is left are quick ones."""
    at = cells(study)
    each = {cell: SLOW if "slow" in name else QUICK for name, cell in at.items()}
    told = Run(study)
    told.expect(plan(study))
    told.add(part({cell: each[cell] for cell in each}))
    for _ in range(99):
        slow = {at["apart", "slow"]: SLOW, at["close", "slow"]: SLOW}
        told.clock.now += 2.0  # two workers, of two seconds each
        seen = told.add(part(slow))
    assert seen.seconds_left == pytest.approx(2 * 99 * 0.02 / 2)
    by_counts = (seen.n_total - seen.n_done) / seen.rate
    assert by_counts > 90 * seen.seconds_left  # what a mean over all fits would have said


def test_a_cell_that_was_not_measured_is_scaled_by_its_method(study):
    at = cells(study)
    measured = {at["apart", "quick"]: QUICK, at["apart", "slow"]: SLOW}
    seen = follow(study, measured)
    expected = {
        (condition.key, method.key): expected_seconds(method, condition)
        for condition in study.conditions
        for method in study.method
    }
    for name, cost in (("quick", 0.02), ("slow", 2.0)):
        ratio = expected[at["close", name]] / expected[at["apart", name]]
        assert seen.costs[at["apart", name]] == pytest.approx(cost)
        assert seen.costs[at["close", name]] == pytest.approx(cost * ratio)


def test_a_method_that_was_not_measured_is_scaled_by_the_others(study):
    at = cells(study)
    seen = follow(study, {at["apart", "quick"]: QUICK})
    assert seen.costs[at["apart", "slow"]] == pytest.approx(0.02)  # expected to take as long


def test_the_pace_is_that_of_the_last_minutes(study):
    told = Run(study)
    told.expect(plan(study))
    one = {cells(study)["apart", "slow"]: 0.999}
    for pause in [20.0] * 40 + [1.0] * 700:  # a machine that was busy with something else
        told.clock.now += pause
        seen = told.add(part(one))
    assert seen.rate == pytest.approx(1.0, rel=0.01)
    assert len(told.tracker._pace._marks) <= 602


def test_more_fits_may_be_expected_later(study):
    told = Run(study)
    assert told.expect(plan(study, 3)).n_total == 12
    done = part(dict.fromkeys(cells(study).values(), QUICK), n=3)
    assert told.add(done).seconds_left == 0.0
    stored = Ledger()
    for cell in cells(study).values():
        stored.add(cell, np.arange(3))
    seen = told.expect(plan(study, 5, stored))
    assert (seen.n_done, seen.n_total, seen.n_stored) == (12, 20, 0)


def test_fits_whose_seconds_are_unknown_are_counted(study):
    lost = {cells(study)["apart", "quick"]: math.nan}
    told = Run(study)
    told.expect(plan(study))
    told.add(part(lost, status="worker_lost"))
    told.clock.now += 10
    seen = told.add(part(lost, status="worker_lost"))
    assert seen.by_status == {"worker_lost": 2}
    assert seen.seconds_left > 0


def test_a_run_that_goes_on_counts_only_what_it_does(tmp_path):
    seen: list[Progress] = []
    methods = [{"name": "A", "engine": "halves"}, {"name": "R", "engine": "raising"}]
    run(design(method=methods), tmp_path, replicates=3, n_workers=1)
    run(design(method=methods), tmp_path, n_workers=1, on_progress=seen.append)
    assert (seen[0].n_done, seen[0].n_total, seen[0].n_stored) == (0, 2, 6)
    assert seen[-1].by_status == {"converged": 1, "error": 1}
    assert seen[-1].folder == str(tmp_path)
    (failure,) = [row for one in seen for row in one.failures]
    assert (failure.replicate, failure.error_type) == (3, "RuntimeError")

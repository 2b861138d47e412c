"""When a condition has replicates enough: by the Monte Carlo error of the rows, however they came to be."""

import math

import numpy as np
import pytest

from mixtures.comparison.performance import Measure, proportion
from mixtures.study import runner
from mixtures.study.runner import run
from mixtures.study.stopping import error_of, look
from mixtures.study.summary import summarise
from study import engines
from study.designs import CLOSE, claim, design, grid, truth
from study.test_runner import all_rows, assert_same_rows

A = {"name": "A", "engine": "halves", "noise": 0.3, "intervals": 1.0}
B = {"name": "B", "engine": "halves", "noise": 0.1, "intervals": 0.8}
COVERAGE = {"measure": "coverage", "parameter": "means", "mcse": 0.09, "least": 10, "batch": 5}
TWO = {"grid": grid(truth(), CLOSE), "method": [A, B], "replicates": 40, "until": COVERAGE}


def made(store):
    """Replicates of each condition and method that are stored."""
    study, fits = store.study(), store.read("fits")
    return {
        (condition.truth.name, method.name): int(
            ((fits["condition"] == condition.key) & (fits["method"] == method.key)).sum()
        )
        for condition in study.conditions
        for method in study.method
    }


def stops_of(store):
    return list(look(store.study(), store))


def wilson_error(hits, n):
    """Half the width of the 95% Wilson interval over 1.96, by the roots of the score equation."""
    z, p = 1.959964, hits / n
    low, high = sorted(np.roots([1 + z**2 / n, -(2 * p + z**2 / n), p**2]).real)
    return (high - low) / 2 / z


def first_enough(store, condition, mcse, looks):
    """The first look at which coverage of every method and mean is known well enough: a plain loop."""
    rows = store.read("parameters")
    rows = rows[(rows["condition"] == condition.key) & (rows["parameter"] == "means")]
    for n in looks:
        cells = rows[rows["replicate"] < n].groupby(["method", "component"])
        errors = [
            wilson_error(sum((cell["lower"] <= cell["truth"]) & (cell["truth"] <= cell["upper"])), len(cell))
            for _, cell in cells
        ]
        if max(errors) <= mcse:
            return n
    return looks[-1]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Results of a study with the rule, run in one process without interruption."""
    with pytest.MonkeyPatch.context() as patch:
        engines.register(patch)
        return run(design(**TWO), tmp_path_factory.mktemp("until"), n_workers=1)


def test_a_condition_ends_at_the_first_look_that_is_enough(tmp_path, whole):
    every = run(design(**TWO | {"until": None}), tmp_path, n_workers=1)
    conditions = whole.study().conditions
    looks = [*range(10, 41, 5)]
    expected = {one.truth.name: first_enough(every, one, 0.09, looks) for one in conditions}
    assert made(whole) == {(name, method): n for name, n in expected.items() for method in "AB"}
    assert len(set(expected.values())) == 2  # one look would be no test
    assert all(10 < n < 40 for n in expected.values())


def test_the_errors_are_those_of_the_report(whole):
    summary = summarise(whole)
    for stop in summary.stops:
        assert stop.is_over
        for method in "AB":
            coverage = [
                error_of(one.measures["coverage"])
                for one in summary.parameters
                if (one.condition, one.method, one.parameter) == (stop.condition, method, "means")
            ]
            assert stop.errors[method] == pytest.approx(max(coverage))
            assert stop.errors[method] <= 0.09
            assert stop.outcome(method, whole.study().until) == "reached"


def test_two_processes_make_the_same_replicates(tmp_path, monkeypatch, whole):
    monkeypatch.setattr(runner, "work", engines.work)
    assert_same_rows(all_rows(run(design(**TWO), tmp_path, n_workers=2)), all_rows(whole))


@pytest.mark.parametrize("at", [1, 30, 60])
def test_an_interruption_changes_nothing(tmp_path, monkeypatch, whole, at):
    attempt, calls = runner.attempt, []

    def interrupted(*arguments):
        calls.append(1)
        if len(calls) == at:
            raise KeyboardInterrupt
        return attempt(*arguments)

    monkeypatch.setattr(runner, "attempt", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(design(**TWO), tmp_path, n_workers=1)
    store = run(design(**TWO), tmp_path, n_workers=1)
    assert_same_rows(all_rows(store), all_rows(whole))
    assert stops_of(store) == stops_of(whole)


def test_a_cap_for_one_run_is_no_end(tmp_path, whole):
    for most in (7, 17):
        store = run(design(**TWO), tmp_path, n_workers=1, replicates=most)
        assert max(made(store).values()) == most
    assert_same_rows(all_rows(run(design(**TWO), tmp_path, n_workers=1)), all_rows(whole))


def test_running_again_computes_nothing(whole):
    engines.calls.clear()
    run(design(**TWO), whole.folder, n_workers=1)
    assert not engines.calls


def test_a_smaller_error_extends_a_study_as_if_it_had_been_asked_for_at_first(tmp_path):
    smaller = TWO | {"until": COVERAGE | {"mcse": 0.08}}
    before = run(design(**TWO), tmp_path / "grown", n_workers=1)
    n_before = made(before)
    grown = run(design(**smaller), tmp_path / "grown", n_workers=1)
    assert all(n_before[place] < n < 40 for place, n in made(grown).items())
    assert_same_rows(all_rows(grown), all_rows(run(design(**smaller), tmp_path / "fresh", n_workers=1)))


def test_a_method_added_later_has_its_say(tmp_path):
    few = TWO | {"grid": grid(CLOSE)}
    more = few | {"method": [A, B, A | {"name": "C", "noise": 2.0}]}
    run(design(**few), tmp_path / "grown", n_workers=1)
    grown = run(design(**more), tmp_path / "grown", n_workers=1)
    assert_same_rows(all_rows(grown), all_rows(run(design(**more), tmp_path / "fresh", n_workers=1)))


REFUSED = {
    "a larger error": (COVERAGE | {"mcse": 0.1}, "until.mcse was 0.09 and is 0.1"),
    "another measure": (COVERAGE | {"measure": "bias"}, "until.measure was 'coverage' and is 'bias'"),
    "other looks": (COVERAGE | {"batch": 10}, "until.batch was 5 and is 10"),
    "a later beginning": (COVERAGE | {"least": 15}, "until.least was 10 and is 15"),
}


@pytest.mark.parametrize(("until", "message"), REFUSED.values(), ids=REFUSED)
def test_a_rule_may_only_ask_for_more(whole, until, message):
    with pytest.raises(ValueError, match=message):
        run(design(**TWO | {"until": until}), whole.folder, n_workers=1)


def test_a_rule_may_be_given_up_and_taken_up(tmp_path):
    few = TWO | {"until": None, "replicates": 10}
    run(design(**few), tmp_path, n_workers=1)
    with pytest.raises(ValueError, match=r"until\.least is 5 where 10 replicates were asked for"):
        run(design(**TWO | {"until": COVERAGE | {"least": 5}}), tmp_path, n_workers=1)
    ruled = run(design(**TWO), tmp_path, n_workers=1)
    assert max(made(ruled).values()) < 40
    assert set(made(run(design(**TWO | {"until": None}), tmp_path, n_workers=1)).values()) == {40}


def test_intervals_that_always_cover_do_not_end_a_condition_at_once(tmp_path):
    study = design(method=[A | {"intervals": 100.0}], replicates=60, until=COVERAGE | {"mcse": 0.02})
    (stop,) = stops_of(run(study, tmp_path, n_workers=1))
    assert stop.n_asked == 50  # 1.96 / (2 (n + 1.96^2)) falls below 0.02 at 46
    assert stop.errors["A"] == pytest.approx(wilson_error(50, 50))


def test_a_method_without_intervals_has_no_say_on_coverage(tmp_path):
    study = design(method=[A, {"name": "E", "engine": "halves"}], replicates=40, until=COVERAGE)
    (stop,) = stops_of(run(study, tmp_path, n_workers=1))
    assert set(stop.errors) == {"A"}
    assert stop.outcome("E", study.until) == "has no say"


def test_a_rule_on_intervals_that_no_method_gives_is_refused(tmp_path):
    study = design(replicates=100, until=COVERAGE)
    with pytest.raises(ValueError, match="until: measure coverage needs a method with intervals"):
        run(study, tmp_path / "new", n_workers=1)
    assert not (tmp_path / "new").exists()


def test_the_cap_ends_what_the_error_does_not(tmp_path):
    until = {"measure": "bias", "parameter": "means", "mcse": 1e-6, "least": 5, "batch": 4}
    store = run(design(method=[A], replicates=12, until=until), tmp_path, n_workers=1)
    (stop,) = stops_of(store)
    assert (stop.n_asked, stop.is_over) == (12, True)
    assert stop.outcome("A", store.study().until) == "all replicates made"
    rows = store.read("parameters")
    means = rows[rows["parameter"] == "means"].groupby("component")
    errors = (means["estimate"].std() / math.sqrt(12)).max()
    assert stop.errors["A"] == pytest.approx(errors)


def test_a_method_at_its_own_cap_holds_nobody_up(tmp_path):
    method = [A, B | {"replicates": 6}]
    store = run(design(method=method, replicates=40, until=COVERAGE), tmp_path, n_workers=1)
    (stop,) = stops_of(store)
    assert made(store) == {("apart", "A"): stop.n_asked, ("apart", "B"): 6}
    assert stop.errors["A"] <= 0.09 < stop.errors["B"]
    assert stop.outcome("B", store.study().until) == "all replicates made"


def test_a_method_without_estimates_goes_on_to_the_cap(tmp_path):
    study = design(method=[A, {"name": "D", "engine": "degenerate"}], replicates=30,
                   until={"measure": "bias", "mcse": 10.0, "least": 5, "batch": 5})  # fmt: skip
    (stop,) = stops_of(run(study, tmp_path, n_workers=1))
    assert stop.n_asked == 30
    assert math.isnan(stop.errors["D"])


@pytest.mark.parametrize("measure", ["failure_rate", "badly_wrong", "brier"])
def test_measures_of_whole_fits_end_a_condition(tmp_path, measure):
    until = {"measure": measure, "mcse": 0.11, "least": 10, "batch": 10}
    method = [A, {"name": "R", "engine": "raising", "above": 1.5}]
    store = run(design(method=method, replicates=40, until=until), tmp_path, n_workers=1)
    summary = summarise(store)
    assert summary.stops[0].n_asked < 40
    found = {one.method: one.measures[measure] for one in summary.fits if measure in one.measures}
    assert summary.stops[0].errors == pytest.approx({name: error_of(found[name]) for name in ("A", "R")})


def test_claims_have_no_say(tmp_path, whole):
    claims = [claim(), claim(id="hopeless", between=[50.0, 60.0])]
    assert made(run(design(**TWO, claim=claims), tmp_path, n_workers=1)) == made(whole)


def test_an_error_that_is_not_known_is_not_small():
    assert math.isnan(error_of(Measure(1.0, 0.0, 30)))
    assert math.isnan(error_of(Measure(1.0, math.nan, 1)))
    assert error_of(proportion(np.zeros(0))) > 0.25
    assert error_of(proportion([1, 1, 0, 1])) == pytest.approx(wilson_error(3, 4))

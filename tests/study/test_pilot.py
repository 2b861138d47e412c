"""A pilot: a little of everything, in bounded time, and nothing kept; and what it lets one foresee."""

import math
import tempfile
from itertools import count
from time import process_time
from types import SimpleNamespace

import pytest

from mixtures.comparison.performance import Measure, proportion, replicates_needed
from mixtures.study import pilot as pilot_module
from mixtures.study.costs import Costs
from mixtures.study.expectation import expect
from mixtures.study.forecast import foresee
from mixtures.study.methods import expected_seconds
from mixtures.study.pilot import Pilot, Trial, try_study
from mixtures.study.runner import run
from mixtures.study.summary import summarise
from study import engines
from study.designs import CLOSE, design, grid, truth

A = {"name": "A", "engine": "halves", "noise": 0.3, "intervals": 1.0}
B = {"name": "B", "engine": "raising", "above": 1.6, "replicates": 20}
TWO = {"grid": grid(truth(), CLOSE), "method": [A, B], "replicates": 24}


@pytest.fixture(autouse=True)
def _folders(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def forecast_of(study, **changes):
    return foresee(try_study(study, n_workers=1, seconds=1000, **changes))


def test_a_pilot_of_everything_foresees_what_the_study_finds(tmp_path):
    study = design(**TWO)
    forecast = forecast_of(study, replicates=24)
    assert not list(tmp_path.iterdir())
    store = run(study, tmp_path / "whole", n_workers=1)
    summary = summarise(store)
    for one in forecast.methods:
        assert (one.n_tried, one.n_planned) == ((24, 24) if one.method == "A" else (20, 20))
        found = {expectation.name: expectation for expectation in one.expectations}
        here = (one.condition, one.method)
        for measure, parameter in (("bias", "means"), ("mse", "weights"), ("empirical_se", "variances")):
            errors = [
                cell.measures[measure].mcse
                for cell in summary.parameters
                if (cell.condition, cell.method, cell.parameter) == (*here, parameter)
            ]
            assert found[f"{measure} of {parameter}"].mcse(one.n_planned) == pytest.approx(max(errors))
        brier = next(fit.measures["brier"] for fit in summary.fits if (fit.condition, fit.method) == here)
        assert found["brier"].mcse(one.n_planned) == pytest.approx(brier.mcse)


def test_storage_is_foreseen_to_a_factor(tmp_path, monkeypatch):
    monkeypatch.setattr(Costs, "learn", lambda *_: None)  # tasks of the same size, however quick the machine
    study = design(**TWO | {"replicates": 300, "method": [A, B | {"replicates": 200}]})
    forecast = forecast_of(study, replicates=20)
    store = run(study, tmp_path / "whole", n_workers=1)
    files = list((store.folder / "rows").rglob("*.parquet"))
    assert forecast.n_parts == len([path for path in files if path.parent.name == "fits"])
    assert 1 / 1.5 < forecast.n_bytes / sum(path.stat().st_size for path in files) < 1.5


def test_a_pilot_tries_each_condition_before_it_tries_any_further():
    trials = []
    try_study(design(**TWO), n_workers=1, replicates=9, seconds=1000, on_trial=trials.append)
    assert [(one.condition.truth.name, one.n_replicates) for one in trials] == [
        ("apart", 1), ("close", 1), ("apart", 1), ("close", 1), ("apart", 7), ("close", 7)
    ]  # fmt: skip
    assert [one.is_first for one in trials] == [True, False, False, False, False, False]
    assert engines.calls["A"] == 18


def test_a_pilot_begins_nothing_more_when_its_time_is_over(monkeypatch):
    ticks = count()
    clock = SimpleNamespace(perf_counter=lambda: float(next(ticks)), process_time=process_time)
    monkeypatch.setattr(pilot_module, "time", clock)
    study = design(**TWO | {"grid": grid(truth(), CLOSE, n=[40, 60, 80])})
    pilot = try_study(study, n_workers=1, seconds=9)
    assert 0 < len(pilot.trials) < 6
    forecast = foresee(pilot)
    tried = [trial.condition for trial in pilot.trials]
    for one in forecast.methods:
        assert one.is_scaled == (one.condition not in tried)
        assert (one.n_tried > 0) == (one.condition in tried)
        assert one.seconds > 0


def made_pilot(study, *, fit, other, of_part, start):
    """A pilot whose trials cost what is said."""
    pilot = Pilot(study, 4, starting_seconds=start)
    for n in (1, 1, 10):
        for condition in study.conditions:
            seconds = n * (sum(fit.values()) + other) + of_part
            pilot.trials.append(
                Trial(condition, n, seconds, seconds / 2, fit, 500 + 100 * n, 7 if n == 1 else 0, 1, False)
            )
    return pilot


def test_times_and_sizes_add_up(monkeypatch):
    study = design(**TWO | {"replicates": 1000, "method": [A, B | {"replicates": 200}]})
    pilot = made_pilot(study, fit={"A": 0.02, "B": 0.3}, other=0.01, of_part=0.05, start=3.0)
    monkeypatch.setattr("mixtures.study.forecast._expectations", lambda *_: (10, []))
    forecast = foresee(pilot)
    work = 2 * (1000 * 0.02 + 200 * 0.3 + 1000 * 0.01) + forecast.n_parts * 0.05
    assert forecast.work_seconds == pytest.approx(work)
    assert forecast.seconds == pytest.approx(3.0 + work / 4)
    assert forecast.processor_share == pytest.approx(0.5)
    # half of a replicate's 100 bytes for each method
    assert forecast.n_bytes == 2 * (1000 + 200) * 50 + 2 * 7 + forecast.n_parts * 500
    assert all(one.seconds == pytest.approx(0.02 if one.method == "A" else 0.3) for one in forecast.methods)


def test_a_part_of_one_replicate_is_not_taken_for_the_replicate(monkeypatch):
    study = design(**TWO | {"replicates": 1000, "method": [A]})
    pilot = made_pilot(study, fit={"A": 20.0}, other=0.01, of_part=0.05, start=3.0)
    pilot.trials = [trial for trial in pilot.trials if trial.n_replicates == 1]
    monkeypatch.setattr("mixtures.study.forecast._expectations", lambda *_: (1, []))
    forecast = foresee(pilot)
    assert forecast.work_seconds == pytest.approx(2 * 1000 * 20.06)
    assert forecast.n_bytes == pytest.approx(600 * (0.95 * forecast.n_parts + 0.05 * 2000), abs=20)


def test_time_is_counted_from_the_first_result(monkeypatch):
    seconds = iter([0.0, 500.0])  # it began; the first worker had to compile
    clock = SimpleNamespace(perf_counter=lambda: next(seconds, 500.5), process_time=process_time)
    monkeypatch.setattr(pilot_module, "time", clock)
    trials = []
    try_study(design(**TWO), n_workers=1, replicates=2, seconds=1, on_trial=trials.append)
    assert len(trials) == 4


def test_conditions_not_tried_cost_what_the_others_do_by_what_they_should_take(monkeypatch):
    study = design(**TWO | {"grid": grid(truth(), n=[40, 4000])})
    pilot = made_pilot(study, fit={"A": 0.02, "B": 0.3}, other=0.01, of_part=0.05, start=3.0)
    small, large = study.conditions
    pilot.trials = [trial for trial in pilot.trials if trial.condition == small]
    monkeypatch.setattr("mixtures.study.forecast._expectations", lambda *_: (10, []))
    for one, method in zip(foresee(pilot).methods[2:], study.method, strict=True):
        ratio = expected_seconds(method, large) / expected_seconds(method, small)
        assert one.condition == large
        assert one.is_scaled
        assert one.seconds == pytest.approx(ratio * (0.02 if method.name == "A" else 0.3))


def test_a_study_of_which_nothing_can_be_tried_is_an_error(monkeypatch):
    def broken(_):
        raise OSError("no memory for this")

    monkeypatch.setattr(pilot_module, "work", broken)
    pilot = try_study(design(**TWO), n_workers=1)
    assert pilot.problems[0] == "apart, n = 40: no memory for this"
    with pytest.raises(ValueError, match="a replicate must be tried; got apart, n = 40: no memory for this"):
        foresee(pilot)


def test_two_processes_are_tried_with_both(monkeypatch):
    monkeypatch.setattr(pilot_module, "try_out", engines.try_out)
    pilot = try_study(design(**TWO), n_workers=2, replicates=3, seconds=1000)
    assert pilot.starting_seconds > 0
    assert sum(trial.is_first for trial in pilot.trials) == len({trial.worker for trial in pilot.trials})
    assert foresee(pilot).methods[0].n_tried == 3


def test_coverage_is_expected_where_it_is_nominal_and_at_worst():
    study = design(method=[{"name": "E", "engine": "em", "intervals": "information", "level": 0.9}])
    covers = proportion([1, 0, 0, 0] * 10)
    found = expect("coverage of means", [covers, covers], study.method[0], 50)
    assert found.mcse(2000) == pytest.approx(math.sqrt(0.9 * 0.1 / 1600))  # 40 of 50 have an estimate
    assert found.worst_mcse(2000) == pytest.approx(0.5 / 40)
    assert (found.n_needed(0.01), found.n_needed_at_worst(0.01)) == (1125, 3125)


def test_replicates_needed_are_those_of_the_measure():
    method = design().method[0]
    small, large = Measure(0.1, 0.02, 30), Measure(0.0, 0.05, 30)
    found = expect("bias of means", [small, large], method, 30)
    assert found.n_needed(0.01) == replicates_needed(large, 0.01)
    assert found.n_needed_at_worst(0.01) is None
    assert math.isnan(found.worst_mcse(100))


def test_what_never_happened_in_the_pilot_may_happen_yet():
    found = expect("failure_rate", [proportion([0] * 30)], design().method[0], 30)
    assert found.n_needed(0.01) == replicates_needed(proportion([0] * 30), 0.01)
    assert 0 < found.mcse(100) < found.worst_mcse(100) == 0.05


def test_one_replicate_tells_no_spread():
    found = expect("bias of means", [Measure(0.1, math.nan, 1)], design().method[0], 1)
    assert math.isnan(found.mcse(100))
    assert found.n_needed(0.01) is None
    nothing = expect("bias of means", [Measure(math.nan, math.nan, 0)], design().method[0], 0)
    assert math.isnan(nothing.mcse(100))

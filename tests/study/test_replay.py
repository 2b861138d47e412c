"""A replicate computed again: the same bits, and words for what is not."""

import os
import re
from dataclasses import dataclass, replace

import numpy as np
import pytest

from mixtures.model.data import Dataset
from mixtures.model.fit import Status
from mixtures.study import methods, replay, runner
from mixtures.study.conditions import ORACLE
from mixtures.study.environment import environment, list_other
from mixtures.study.outcomes import Failed
from mixtures.study.parts import Part
from mixtures.study.replay import find_condition, find_replicate, replay_command
from mixtures.study.replicate import Replicate, attempt, generate, hash_of, record, record_failure
from mixtures.study.rows import TABLES, Rows
from mixtures.study.runner import run
from mixtures.study.store import Store
from study import engines
from study.designs import CLOSE, PRIOR, design, grid, truth

METHODS = [
    {"name": "A", "engine": "halves", "intervals": 0.5},
    {"name": "B", "engine": "halves", "noise": 0.1},
    {"name": "R", "engine": "raising", "above": 1.5},
    {"name": "D", "engine": "degenerate"},
    {"name": "M", "engine": "misshapen"},
    {"name": "EM", "engine": "quick_em"},
]
NORMAL = {
    "name": "one normal",
    "prior": {"weights": {"dirichlet": 1}, "means": {"normal": [0, 3]}, "sds": {"log_normal": [0, 0.3]}},
}
_NOT_VALUES = {"condition", "replicate", "method", "versus", "parameter", "component", "axis", "quantity"} | {
    "bin", "name", "observation", "seconds", "data_hash", "host", "worker",
}  # fmt: skip


def again(store, name, index, method=None):
    return replay.replay(store, *_arguments(find_replicate(store, name, index, method), index))


def _arguments(found, index):
    return found[0], index, found[1]


def n_values(store, names, condition, index):
    """Values that are stored of a replicate and methods, in every table."""
    keys = [one.key for one in store.study().method if one.name in names] + ["oracle"]
    count = 0
    for kind in TABLES:
        frame = store.read(kind)
        own = frame[(frame["condition"] == condition) & (frame["replicate"] == index)]
        own = own[own["method"].isin(keys)]
        if kind == "pairs":
            own = own[own["versus"].isin(keys)]
        count += len(own) * len([name for name in own.columns if name not in _NOT_VALUES])
    return count


@pytest.fixture
def store(tmp_path):
    return run(design(method=METHODS, grid=grid(truth(), CLOSE, PRIOR)), tmp_path, n_workers=1)


# The same ---------------------------------------------------------------------------------------


def test_every_replicate_is_the_same_bit_for_bit_and_every_value_is_compared(store):
    for condition in store.study().conditions:
        for index in (0, 3):  # the first has examples
            found = again(store, condition.name, index)
            assert found.has_same_data
            assert found.is_same, found.comparisons
            assert set(found.comparisons) == {"A", "B", "R", "D", "M", "EM", ORACLE}
            compared = sum(one.n_values for one in found.comparisons.values())
            assert compared == n_values(store, found.attempts, condition.key, index)


def test_ranks_and_diagnostics_are_compared(tmp_path):
    method = [{"name": "C", "engine": "conjugate", "prior": NORMAL["prior"]}]
    study = design(method=method, grid=grid(NORMAL), components=1)
    found = again(run(study, tmp_path, n_workers=1), "one normal, n = 40", 2)
    assert found.is_same
    assert found.comparisons["C"].n_values > 30


def test_a_seed_may_have_many_digits(tmp_path):
    store = run(design(seed=10**40 + 1, replicates=1), tmp_path, n_workers=1)
    assert store.read("fits")["seed"].tolist() == [str(10**40 + 1)]
    assert again(store, "apart, n = 40", 0).is_same


def test_one_method_is_replayed_alone(store):
    engines.calls.clear()
    found = again(store, "apart, n = 40", 1, "B")
    assert found.is_same
    assert list(found.attempts) == list(found.stored) == ["B"]
    assert dict(engines.calls) == {"B": 1}


def test_a_failure_is_the_same_failure_with_its_exception(store):
    found = again(store, "close, n = 40", 0)
    assert {name: row.status for name, row in found.stored.items()} == {
        name: attempted.fit.status for name, attempted in found.attempts.items()
    }
    assert isinstance(found.attempts["R"].error, RuntimeError) or found.stored["R"].status == "converged"
    assert found.attempts["M"].error is not None
    assert found.attempts["M"].fit.message.startswith("in the comparison: ")
    assert found.attempts["D"].error is None


def test_pairs_are_compared_in_the_order_in_which_they_are_stored(tmp_path):
    run(design(method=METHODS[:2]), tmp_path, n_workers=1)
    store = run(design(method=METHODS[1::-1]), tmp_path, n_workers=1)
    found = again(store, "apart, n = 40", 0)
    assert found.is_same
    assert sum(one.n_values for one in found.comparisons.values()) == n_values(
        store, "AB", found.replicate.condition.key, 0
    )


@pytest.fixture
def _workers_know_the_fakes(monkeypatch):
    monkeypatch.setattr(runner, "work", engines.work)


@pytest.mark.usefixtures("_workers_know_the_fakes")
def test_what_two_workers_stored_is_the_same_in_this_process(tmp_path):
    several = [METHODS[0], {"name": "EM", "engine": "em", "n_starts": 2}]
    study = design(method=several, grid=grid(truth(), CLOSE), replicates=6)
    store = run(study, tmp_path, n_workers=2)
    assert os.getpid() not in set(store.read("fits")["worker"])
    for condition in study.conditions:
        for index in range(6):
            found = again(store, condition.key, index)
            assert found.is_same, found.comparisons


@pytest.mark.parametrize("data_hash", ["", "of the data"])
def test_a_fit_that_killed_its_worker_is_told_from_one_that_does_not(tmp_path, data_hash):
    study, rows = design(), Rows.empty()
    store = Store.prepare(tmp_path, study.to_toml())
    (condition,), (method,) = study.conditions, study.method
    replicate = generate(study.seed, condition, 0)
    record_failure(
        rows,
        method.key,
        condition,
        0,
        status=Status.WORKER_LOST,
        failed=Failed("", "the worker died"),
        data_hash=data_hash and hash_of(replicate.dataset.x),
        seed=study.seed,
    )
    store.write(Part.of(rows))
    found = again(store, condition.key, 0)
    assert found.stored["A"].status == "worker_lost"
    assert found.has_same_data
    assert list(found.comparisons) == ["A"]  # there are no rows at the truth without a fit
    by_column = {(one.table, one.column): one for one in found.comparisons["A"].differences}
    assert by_column["fits", "status"].again == "converged"


# What differs -----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, kw_only=True)
class _Moved(engines.Halves):
    shift: float = 0.25


def test_what_differs_is_named_with_its_size(store, monkeypatch):
    monkeypatch.setitem(methods.ENGINES, "halves", _Moved)
    found = again(store, "apart, n = 40", 0)
    assert found.has_same_data
    assert not found.is_same
    assert found.comparisons[ORACLE].differences == ()
    assert {one.table for one in found.comparisons["EM"].differences} == {"pairs"}  # against the others
    by_column = {(one.table, one.column): one for one in found.comparisons["A"].differences}
    moved = by_column["parameters", "estimate"]
    assert (moved.n_differ, moved.n_rows) == (2, 6)  # the means, not the weights and variances
    assert moved.largest == pytest.approx(0.25)
    assert moved.largest_share > 0.25 / 6
    assert moved.again - moved.stored == pytest.approx(0.25)
    assert ("parameters", "truth") not in by_column
    assert ("fits", "log_likelihood") in by_column


def test_a_difference_in_the_last_bit_is_one(store, monkeypatch):
    monkeypatch.setattr(
        replay, "attempt", lambda *a: _nudged(attempt(*a)) if a[0].name == "A" else attempt(*a)
    )
    found = again(store, "apart, n = 40", 0)
    (difference,) = found.comparisons["A"].differences
    assert (difference.column, difference.n_differ) == ("log_likelihood", 1)
    assert 0 < difference.largest_share < 1e-15


def _nudged(attempted):
    fit = attempted.fit
    return replace(attempted, fit=replace(fit, log_likelihood=np.nextafter(fit.log_likelihood, 0)))


def test_rows_on_one_side_alone_are_a_difference(store, monkeypatch):
    monkeypatch.setitem(methods.ENGINES, "quick_em", engines.Degenerate)
    found = again(store, "apart, n = 40", 0)
    by_column = {(one.table, one.column): one for one in found.comparisons["EM"].differences}
    assert by_column["parameters", "rows"].n_differ == 6
    status = by_column["fits", "status"]
    assert (status.stored, status.again, status.largest) == ("converged", "degenerate", None)
    assert by_column["fits", "hellinger"].again is None


def test_other_data_are_told_from_other_fits(store, monkeypatch):
    def other(*arguments):
        drawn = generate(*arguments)
        dataset = Dataset(drawn.dataset.x * (1 + 1e-15), drawn.dataset.labels)
        return Replicate(drawn.seed, drawn.condition, drawn.index, drawn.truth, dataset, drawn.oracle)

    monkeypatch.setattr(replay, "generate", other)
    found = again(store, "apart, n = 40", 0)
    assert not found.has_same_data
    assert not found.is_same
    assert all(
        "data_hash" not in {one.column for one in part.differences} for part in found.comparisons.values()
    )


def test_other_versions_are_named():
    here = environment()
    then = here | {"created": "then", "packages": here["packages"] | {"numpy": "1.0"}, "python": "3.1"}
    numpy = here["packages"]["numpy"]
    assert list_other(then, here) == [
        f"python 3.1 then, {here['python']} now",
        f"numpy 1.0 then, {numpy} now",
    ]
    assert list_other(here | {"created": "then"}, here) == []
    assert list_other({}, here) == []


# What there is ----------------------------------------------------------------------------------


def test_a_condition_has_a_name_a_key_and_beginnings_of_it(store):
    study = store.study()
    for condition in study.conditions:
        for given in (condition.name, condition.key, condition.key[:8]):
            assert find_condition(study, given) == condition


@pytest.mark.parametrize("given", ["", "far apart", "apart", "not a key"])
def test_a_condition_that_is_not_there_is_told_those_that_are(store, given):
    with pytest.raises(ValueError, match="condition must be the key or the name of one of these") as caught:
        find_condition(store.study(), given)
    for condition in store.study().conditions:
        assert f"\n  {condition.key}  {condition.name}" in str(caught.value)


def test_a_beginning_of_several_keys_is_told_them():
    study = design(grid=grid(n=range(10, 50)))  # more conditions than hexadecimal digits
    with pytest.raises(ValueError, match="begin the key of one alone") as caught:
        find_condition(study, "1")
    listed = re.findall(r"^  (\w{16})", str(caught.value), re.MULTILINE)
    assert listed == [one.key for one in study.conditions if one.key.startswith("1")]


def test_a_replicate_or_method_that_is_not_there_is_told_those_that_are(tmp_path):
    more = [METHODS[0], METHODS[1] | {"replicates": 2}]
    store = run(design(method=more), tmp_path, n_workers=1)
    with pytest.raises(ValueError, match=r"replicate must be one .* of apart, n = 40: 0-3; got 4$"):
        find_replicate(store, "apart, n = 40", 4)
    with pytest.raises(ValueError, match=r"of apart, n = 40, B: 0-1; got 3$"):
        find_replicate(store, "apart, n = 40", 3, "B")
    with pytest.raises(ValueError, match=r"method must be one of A, B; got 'C'$"):
        find_replicate(store, "apart, n = 40", 0, "C")
    assert [one.name for one in find_replicate(store, "apart, n = 40", 3)[1]] == ["A"]


def test_of_a_study_without_rows_nothing_can_be_replayed(tmp_path):
    store = Store.prepare(tmp_path, design().to_toml())
    with pytest.raises(ValueError, match="is stored of apart, n = 40: none; got 0"):
        find_replicate(store, "apart, n = 40", 0)


@pytest.mark.parametrize(
    ("numbers", "said"),
    [([], "none"), ([3], "3"), ([0, 1, 2], "0-2"), ([0, 2, 3, 7], "0, 2-3, 7")],
)
def test_ranges(numbers, said):
    assert replay._ranges(numbers) == said


def test_many_ranges_are_cut():
    assert replay._ranges(range(0, 60, 2)).endswith(", 38 and 10 more")


def test_the_command_can_be_typed():
    command = replay_command("a folder", "0123456789abcdef", 3, "EM's")
    assert command == (
        """mixtures replay 'a folder' --condition 0123456789abcdef --replicate 3 --method 'EM'"'"'s'"""
    )


def test_recording_gives_the_exception_of_a_comparison():
    study = design(method=[METHODS[4]])
    (condition,), (method,) = study.conditions, study.method
    replicate, engine = generate(study.seed, condition, 0), methods.build(method)
    attempted = attempt(engine, method.key, replicate, study.seed)
    assert attempted.error is None
    assert record(Rows.empty(), method.key, replicate, attempted).error is not None

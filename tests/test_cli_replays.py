"""Commands on single fits of a study: what failed, and a replicate computed again."""

import json
import shlex
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from study import engines
from study.designs import CLOSE, design, grid, truth

from mixtures.cli import _run
from mixtures.study import environment, methods, replay
from mixtures.study.runner import run

METHODS = [
    {"name": "A", "engine": "halves"},
    {"name": "R", "engine": "raising", "above": 1.5},
    {"name": "D", "engine": "degenerate"},
    {"name": "U", "engine": "unsettled"},
]


@pytest.fixture(autouse=True)
def _somewhere_else(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    engines.register(monkeypatch)


@pytest.fixture
def store():
    return run(design(method=METHODS, grid=grid(truth(), CLOSE)), "results/a trial", n_workers=1)


@pytest.fixture
def no_files(monkeypatch):
    """Leave out the report, which has tests of its own and takes its time."""
    monkeypatch.setattr("mixtures.report.export.write_fit", lambda folder, _: [folder / "report.html"])


def call(capsys, *arguments):
    """Run a command in this process; return its exit code, stdout and stderr."""
    code = _run([str(argument) for argument in arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


@dataclass(frozen=True, eq=False, kw_only=True)
class _Moved(engines.Halves):
    shift: float = 0.25


# Replay -----------------------------------------------------------------------------------------


def test_a_replicate_is_as_stored_and_leaves_the_files_of_a_fit(store, capsys):
    condition = store.study().conditions[0]
    code, out, err = call(
        capsys, "replay", store.folder, "--condition", condition.key[:6], "--replicate", 2, "--out", "again"
    )
    assert (code, err) == (0, "")
    fits = store.read("fits")
    own = fits[(fits["condition"] == condition.key) & (fits["replicate"] == 2)]
    assert f"replicate 2 of apart, n = 40 ({condition.key}): the data are as stored" in out
    assert own["data_hash"].iloc[0] in out
    assert "rows that differ" not in out
    assert sorted(path.name for path in Path("again").iterdir()) == [
        "assignments.csv", "fit.json", "report.html",
    ]  # fmt: skip
    account = json.loads(Path("again/fit.json").read_text(encoding="utf-8"))
    assert account["command"] == (
        f"mixtures replay 'results/a trial' --condition {condition.key} --replicate 2 --out again"
    )
    assert [fit["method"] for fit in account["fits"]] == ["A", "R", "D", "U"]
    stored = own.set_index("method").loc[store.study().method[0].key]
    assert account["fits"][0]["log_likelihood"] == stored["log_likelihood"]
    known = account["known_groups"]
    assert (known["column"], known["components"]) == ("component", ["component 1", "component 2"])
    assert known["scores"][0]["scores"]["log_score"] == pytest.approx(stored["log_score"])
    assert not known["is_assumed"]
    assert len(pd.read_csv("again/assignments.csv")) == 40


@pytest.mark.usefixtures("no_files")
def test_a_failure_fails_again_and_shows_its_traceback(store, capsys):
    stored = store.read("fits").query("error_type == 'RuntimeError'")
    assert len(stored)
    where = stored.iloc[0]
    words = ["replay", store.folder, "--condition", where["condition"], "--replicate", where["replicate"]]
    code, out, _ = call(capsys, *words, "--method", "R")
    assert code == 0
    assert "R: RuntimeError: no luck today" in out
    assert "Traceback" not in out
    code, out, _ = call(capsys, *words, "--traceback")
    assert code == 0
    assert "Traceback (most recent call last)" in out
    assert 'raise RuntimeError("no luck today")' in out
    assert "wrote results/replay-trial-" in out


@pytest.mark.usefixtures("no_files")
def test_what_differs_is_shown_with_the_versions(store, capsys, monkeypatch):
    monkeypatch.setitem(methods.ENGINES, "halves", _Moved)
    words = ["replay", store.folder, "--condition", "apart, n = 40", "--replicate", 0]
    code, out, _ = call(capsys, *words)
    assert code == 1
    assert "the data are as stored" in out
    assert "versions and platform are those noted" in out
    (line,) = [line for line in out.splitlines() if "parameters.estimate" in line]
    assert "2 of 6" in line
    assert "0.25" in line
    monkeypatch.setattr(environment.platform, "platform", lambda: "another machine")
    code, out, _ = call(capsys, *words)
    assert code == 1
    assert "which does not make the stored ones wrong" in out
    assert " then, another machine now" in out


@pytest.mark.usefixtures("no_files")
def test_other_data_are_said_to_be_other_data(store, capsys, monkeypatch):
    monkeypatch.setattr(replay, "hash_of", lambda _: "0123")
    code, out, _ = call(capsys, "replay", store.folder, "--condition", "apart, n = 40", "--replicate", 0)
    assert code == 1
    assert "the data drawn now, hash 0123, are not those that were fitted then, " in out


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"--condition": "far"}, "condition must be the key or the name of one of these; got 'far'"),
        ({"--replicate": 4}, "replicate must be one that is stored of apart, n = 40: 0-3; got 4"),
        ({"--method": "Z"}, "method must be one of A, R, D, U; got 'Z'"),
        ({"--out": "results/a trial"}, "must not hold results of a study"),
    ],
)
def test_what_is_not_there_is_told_what_is(store, capsys, changes, rule):
    options = {"--condition": "apart, n = 40", "--replicate": 0} | changes
    engines.calls.clear()
    code, out, err = call(
        capsys, "replay", store.folder, *(word for pair in options.items() for word in pair)
    )
    assert (code, out) == (2, "")
    assert rule in err
    assert not engines.calls


def test_a_folder_without_results_is_refused(capsys):
    for words in (["failures", "."], ["replay", ".", "--condition", "a", "--replicate", "0"]):
        code, out, err = call(capsys, *words)
        assert (code, out) == (2, "")
        assert "must hold results of a study" in err


# Failures ---------------------------------------------------------------------------------------


def test_failures_are_listed_by_kind_with_a_command_for_one(store, capsys):
    code, out, err = call(capsys, "failures", store.folder)
    assert (code, err) == (0, "")
    fits = store.read("fits")
    n_lost = int((~fits["has_estimate"]).sum())
    assert out.startswith(f"{n_lost} fits without an estimate; 8 with one that did not end as converged\n")
    assert "\n8 degenerate, without an estimate: every start collapsed\n  methods: D (8)\n" in out
    assert "without an estimate: RuntimeError: no luck today\n" in out
    assert "\n8 not_converged, with an estimate\n  methods: U (8)\n" in out
    assert out.count("  mixtures replay ") == 3
    assert call(capsys, "failures", store.folder, "--all")[1].count("  mixtures replay ") == n_lost + 8


@pytest.mark.usefixtures("no_files")
def test_every_command_replays_its_failure(store, capsys):
    code, out, err = call(capsys, "failures", store.folder, "--all", "--json")
    assert (code, err) == (0, "")
    kinds = json.loads(out)
    assert [kind["n"] for kind in kinds] == [len(kind["fits"]) for kind in kinds]
    assert {kind["status"]: kind["methods"] for kind in kinds}["degenerate"] == {"D": 8}
    for kind in kinds:
        code, out, _ = call(capsys, *shlex.split(kind["fits"][-1]["replay"])[1:])
        assert code == 0
        assert f" {kind['status']} " in out
        assert kind["fits"][-1]["message"] in out


def test_a_study_without_failures_says_so(capsys):
    store = run(design(), "here", n_workers=1)
    said = "0 fits without an estimate; 0 with one that did not end as converged\n"
    assert call(capsys, "failures", store.folder) == (0, said, "")
    assert call(capsys, "failures", store.folder, "--json") == (0, "[]\n", "")

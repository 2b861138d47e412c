"""The command line: what it prints and where, its exit codes, and that nobody meets a traceback."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from study import engines
from study.designs import claim, grid, text, truth
from study.tables import all_rows, assert_same_rows

from mixtures.cli import _run
from mixtures.study.store import Store

MIXTURE = "weights = [0.5, 0.5]\nmeans = [0, 4]\nvariances = [1, 1]\n"


@pytest.fixture(autouse=True)
def _somewhere_else(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    engines.register(monkeypatch)


@pytest.fixture
def no_report(monkeypatch):
    """Leave out the figures, which have tests of their own and take their time."""

    def write(store, _=None):
        path = store.folder / "report.html"
        path.write_text("a report", encoding="utf-8")
        return path

    monkeypatch.setattr("mixtures.report.page.write_study_report", write)


def call(capsys, *arguments):
    """Run a command in this process; return its exit code, stdout and stderr."""
    code = _run([str(argument) for argument in arguments])
    said = capsys.readouterr()
    assert "Traceback" not in said.out + said.err
    return code, said.out, said.err


def shell(*arguments, **options):
    """Run a command as a user does."""
    command = [sys.executable, "-m", "mixtures", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **options)


def write(name, content):
    Path(name).write_text(content, encoding="utf-8")
    return name


def files(folder="."):
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file())


# Help -------------------------------------------------------------------------------------------


def test_help_names_every_command(capsys):
    code, out, err = call(capsys, "--help")
    assert (code, err) == (0, "")
    for command in ("plan", "run", "report", "status", "simulate"):
        assert f"\n  {command} " in out
        assert call(capsys, command, "-h")[0] == 0


def test_help_is_whole_and_gives_the_exit_codes(capsys):
    _, out, _ = call(capsys, "--help")
    assert "..." not in out.replace("[ARGS]...", "")
    for code in ("0 done", "1 a claim is refuted", "2 bad input", "130 interrupted"):
        assert code in " ".join(out.split())


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "trial.toml", "--out", ""],
        ["run", ""],
        ["simulate", "m.toml", "--n", "5", "--seed", "1", "--out", ""],
        ["fit", "data.csv", "--column", "x", "--components", "2", "--out", ""],
    ],
)
def test_an_empty_path_is_refused(capsys, arguments):
    prepare()
    code, _, err = call(capsys, *arguments)
    assert code == 2
    assert "the path must not be empty" in err
    assert files() == ["trial.toml"]


def test_the_version_is_the_packages(capsys):
    from mixtures import __version__

    assert call(capsys, "--version") == (0, f"mixtures, version {__version__}\n", "")


def test_help_is_light():
    code = "from mixtures.cli import _run; _run(['--help']); import sys; print(*sys.modules, file=sys.stderr)"
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    loaded = {name.partition(".")[0] for name in shown.stderr.split()}
    assert "mixtures" in loaded
    assert not loaded & {
        "pymc",
        "scipy",
        "pandas",
        "pyarrow",
        "matplotlib",
        "numba",
        "arviz",
        "pydantic",
        "rich",
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Usage: mixtures"),
        (["fly"], "No such command 'fly'"),
        (["run"], "Missing argument 'STUDY'"),
        (["run", "a.toml", "--workers", "0"], "--workers"),
        (["run", "a.toml", "--workers", "two"], "--workers"),
        (["run", "a.toml", "--replicates", "-1"], "--replicates"),
        (["run", "a.toml", "--colour"], "--colour"),
        (["simulate", "m.toml", "--n", "5", "--out", "a.csv"], "Missing option '--seed'"),
        (["simulate", "m.toml", "--n", "0", "--seed", "1", "--out", "a.csv"], "--n"),
        (["simulate", "m.toml", "--n", "5", "--seed", "-1", "--out", "a.csv"], "--seed"),
    ],
)
def test_wrong_arguments_are_named(capsys, arguments, message):
    code, out, err = call(capsys, *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert files() == []


# simulate ---------------------------------------------------------------------------------------


def test_simulate_writes_data_with_their_components(capsys):
    write("m.toml", MIXTURE)
    assert call(capsys, "simulate", "m.toml", "--n", 50, "--seed", 3, "--out", "a.csv") == (
        0,
        "50 observations: a.csv\n",
        "",
    )
    frame = pd.read_csv("a.csv")
    assert list(frame.columns) == ["x", "component"]
    assert len(frame) == 50
    assert set(frame["component"]) == {1, 2}
    call(capsys, "simulate", "m.toml", "--n", 50, "--seed", 3, "--out", "b.csv")
    call(capsys, "simulate", "m.toml", "--n", 50, "--seed", 4, "--out", "c.csv")
    assert Path("a.csv").read_bytes() == Path("b.csv").read_bytes() != Path("c.csv").read_bytes()


def test_simulate_reads_json_in_several_dimensions(capsys):
    identity = [[1, 0], [0, 1]]
    mixture = {"weights": [0.5, 0.5], "means": [[0, 0], [5, 5]], "covariances": [identity, identity]}
    write("m.json", str(mixture).replace("'", '"'))
    assert call(capsys, "simulate", "m.json", "--n", 5, "--seed", 3, "--out", "a.csv")[0] == 0
    assert list(pd.read_csv("a.csv").columns) == ["x1", "x2", "component"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.toml", None, "none.toml: the file must be readable; No such file"),
        ("m.yaml", "", "m.yaml: a mixture file must end in .toml or .json; got .yaml"),
        ("m.toml", "weights = ", "m.toml: a mixture must be valid TOML"),
        ("m.toml", MIXTURE.replace("0.5]", "0.6]"), "m.toml: weights must sum to 1 within 1e-08; got 1.1"),
        ("m.toml", MIXTURE.replace("[1, 1]", "[1, -1]"), "m.toml: variances must be positive"),
        ("m.toml", MIXTURE.replace("[1, 1]", '[1, "one"]'), "m.toml: variances must hold real numbers"),
        ("m.toml", MIXTURE + "sds = [1, 1]", "m.toml: a mixture must have the keys"),
        ("m.json", "[1]", "m.json: a mixture must be a JSON object"),
    ],
)
def test_simulate_refuses_what_is_no_mixture(capsys, name, content, message):
    if content is not None:
        write(name, content)
    code, out, err = call(capsys, "simulate", name, "--n", 5, "--seed", 1, "--out", "a.csv")
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {message}")
    assert not Path("a.csv").exists()


def test_simulate_names_a_file_that_cannot_be_written(capsys):
    write("m.toml", MIXTURE)
    for out, message in {
        "m.toml/a.csv": "m.toml/a.csv: the file must be writable; ",
        "none/a.csv": "none/a.csv: the folder none must exist; got none",
        "a.parquet": "a.parquet: a file to write must end in .csv; got .parquet",
    }.items():
        code, _, err = call(capsys, "simulate", "m.toml", "--n", 5, "--seed", 1, "--out", out)
        assert code == 2
        assert err.startswith(f"error: {message}")
    assert files() == ["m.toml"]


@pytest.mark.parametrize("n", [10**15, 10**30])
def test_simulate_says_when_there_is_too_much(capsys, n):
    write("m.toml", MIXTURE)
    code, _, err = call(capsys, "simulate", "m.toml", "--n", n, "--seed", 1, "--out", "a.csv")
    assert code == 2
    assert err.startswith("error: a number must be small enough to be computed with; ")
    assert not Path("a.csv").exists()


# run, status, report ----------------------------------------------------------------------------

GOOD = claim(id="good", text="All is well.", between=[-5.0, 5.0])
BAD = claim(id="bad", text="All is ill.", between=[50.0, 51.0])
OPEN = claim(id="open", text="Who knows?", between=[-0.001, 0.001])
A = {"name": "A", "engine": "quick_em"}


def prepare(**changes):
    return write("trial.toml", text(**{"method": [A], "replicates": 8} | changes))


@pytest.mark.usefixtures("no_report")
@pytest.mark.parametrize(
    ("changes", "code", "verdict"),
    [
        ({"claim": [GOOD]}, 0, "supported"),
        ({"claim": [GOOD, OPEN]}, 0, "inconclusive"),
        ({"claim": [GOOD, BAD]}, 1, "refuted"),
        ({}, 0, ""),
        ({"method": [A, {"name": "D", "engine": "degenerate"}]}, 1, ""),
        ({"method": [A, {"name": "R", "engine": "raising", "above": 1.9}]}, 1, ""),
        ({"method": [A, {"name": "U", "engine": "unsettled"}]}, 0, ""),
    ],
)
def test_run_exits_by_what_came_out(capsys, changes, code, verdict):
    exit_code, out, err = call(capsys, "run", prepare(**changes), "--workers", 1)
    assert exit_code == code
    assert verdict in out
    assert out.endswith("report: results/trial/report.html\n")
    assert " fits: " in err
    assert Path("results/trial/report.html").read_text(encoding="utf-8") == "a report"


@pytest.mark.usefixtures("no_report")
def test_run_again_does_nothing_but_report(capsys):
    study = prepare(claim=[GOOD])
    call(capsys, "run", study, "--out", "here", "--replicates", 3, "--workers", 1)
    assert len(Store.open("here").done()) == 3
    call(capsys, "run", study, "--out", "here", "--workers", 1)
    assert len(Store.open("here").done()) == 8
    engines.calls.clear()
    code, out, err = call(capsys, "run", study, "--out", "here", "--workers", 1)
    assert (code, engines.calls["A"]) == (0, 0)
    assert "supported" in out
    assert "8 stored before" in err


@pytest.mark.usefixtures("no_report")
def test_a_claim_is_printed_letter_by_letter(capsys):
    odd = claim(id="odd", text="The means [bold] lie in [/close] and :smile: at that.")
    _, out, _ = call(capsys, "run", prepare(claim=[odd]), "--workers", 1)
    assert odd["text"] in out


BAD_STUDIES = {
    "missing": (None, "trial.toml: the file must be readable; No such file or directory"),
    "not toml": ("name", "trial.toml: the file must be valid TOML; "),
    "not utf-8": (b"\xff\xfe", "trial.toml: the file must be text in UTF-8"),
    "wrong": (text(seed=True), "trial.toml: seed: Input should be a valid integer; got True"),
    "wrong setting": (
        text(method=[{"name": "A", "engine": "em", "starts": 3}]),
        "trial.toml: method 'A': a setting must be one of the engine's start, ",
    ),
    "unknown engine": (
        text(method=[{"name": "A", "engine": "gibbs"}]),
        "trial.toml: method 'A': engine must be one of em",
    ),
    "no intervals": (
        text(
            method=[{"name": "A", "engine": "em"}, {"name": "B", "engine": "halves"}],
            claim=[claim(method="B", versus="A", measure="coverage")],
        ),
        "trial.toml: claim 'means': measure coverage needs a method with intervals; got 'A', whose engine",
    ),
    "too large": (text(grid=grid(n=[10**14])), "trial.toml: grid.n: n must be at most 1000000000; got "),
}


@pytest.mark.parametrize(("content", "message"), BAD_STUDIES.values(), ids=BAD_STUDIES)
def test_run_refuses_a_wrong_study_before_it_writes_anything(capsys, content, message):
    if content is not None:
        Path("trial.toml").write_bytes(content if isinstance(content, bytes) else content.encode())
    code, out, err = call(capsys, "run", "trial.toml", "--out", "here")
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {message}")
    assert not Path("here").exists()


@pytest.mark.usefixtures("no_report")
def test_run_refuses_results_of_another_study(capsys):
    call(capsys, "run", prepare(), "--out", "here", "--workers", 1)
    before = {name: Path("here", name).stat().st_mtime_ns for name in files("here")}
    code, out, err = call(capsys, "run", prepare(seed=12), "--out", "here", "--workers", 1)
    assert (code, out) == (2, "")
    assert "seed was 11 and is 12" in err
    assert {name: Path("here", name).stat().st_mtime_ns for name in files("here")} == before


@pytest.mark.parametrize("out", ["trial.toml", "trial.toml/inside", "full"])
def test_run_refuses_a_folder_that_is_none_of_its_own(capsys, out):
    study = prepare()
    Path("full").mkdir()
    write("full/thesis.tex", "")
    before = files()
    code, _, err = call(capsys, "run", study, "--out", out, "--workers", 1)
    assert code == 2
    assert err.startswith(f"error: {out}: the folder must be ")
    assert files() == before


@pytest.mark.usefixtures("no_report")
def test_an_interrupted_run_says_how_to_go_on(capsys):
    method = {"name": "I", "engine": "interrupted", "at": 12}
    study = prepare(method=[method], grid=grid(truth(), n=[40, 60]))
    folder = Path("my results")
    code, out, err = call(capsys, "run", study, "--out", folder, "--workers", 1)
    assert (code, out) == (130, "")
    assert "what was done is kept in my results" in err
    assert "To go on: mixtures run trial.toml --out 'my results' --workers 1" in err
    assert 0 < len(Store.open(folder).done()) < 16
    code, _, _ = call(capsys, "run", study, "--out", folder, "--workers", 1)
    assert code == 0
    assert len(Store.open(folder).done()) == 16


def test_a_full_disk_says_how_to_go_on(capsys, monkeypatch):
    def full(self, rows):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Store, "write", full)
    code, out, err = call(capsys, "run", prepare(), "--out", "here", "--workers", 1)
    assert (code, out) == (2, "")
    assert "error: here: No space left on device; what was done is kept. To go on: mixtures run" in err


@pytest.mark.usefixtures("no_report")
def test_status_says_what_is_done_missing_and_failed(capsys):
    methods_ = [A, {"name": "D", "engine": "degenerate"}]
    call(capsys, "run", prepare(method=methods_), "--out", "here", "--replicates", 3, "--workers", 1)
    code, out, err = call(capsys, "status", "here")
    assert (code, err) == (0, "")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "apart, n = 40 A 3 of 8 5 3 converged" in lines
    assert "apart, n = 40 D 3 of 8 5 3 degenerate" in lines
    assert lines[-1] == "10 fits missing; to go on: mixtures run here/study.toml --out here"
    call(capsys, "run", "here/study.toml", "--out", "here", "--workers", 1)
    assert call(capsys, "status", "here")[1].endswith("0 fits missing\n")


PLANNED = {"name": "A", "engine": "halves", "noise": 0.3, "intervals": 1.0}


def test_plan_says_what_a_study_will_take_and_keeps_nothing(capsys):
    study = prepare(method=[PLANNED], replicates=400)
    before = files()
    code, out, err = call(capsys, "plan", study, "--replicates", 4, "--workers", 1, "--mcse", 0.05)
    assert (code, err) == (0, "")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    (row,) = [line.split() for line in lines if line.startswith("apart, n = 40 A 4 ")]
    assert row[7] == "400"
    assert "Replicates that a Monte Carlo error of 0.05 needs." in lines
    assert any(line.startswith("Time: about ") and " with 1 worker: " in line for line in lines)
    assert any(line.startswith("Storage: about ") for line in lines)
    assert "to a factor of 0.57 to 3.73 (95%)" in out  # chi-square, 3 degrees of freedom
    assert files() == before


def test_plan_in_json_is_whole(capsys):
    until = {"measure": "bias", "parameter": "means", "mcse": 0.02, "least": 10}
    study = prepare(method=[PLANNED], replicates=400, until=until)
    code, out, _ = call(capsys, "plan", study, "--replicates", 5, "--workers", 1, "--json")
    found = json.loads(out)
    (method,) = found["methods"]
    assert code == 0
    assert (method["condition"], method["method"], method["tried"]) == ("apart, n = 40", "A", 5)
    bias = method["errors"]["bias of means"]
    assert bias["replicates_needed"] == pytest.approx(400 * (bias["mcse"] / 0.02) ** 2, abs=1)
    assert found["seconds"] == pytest.approx(found["starting_seconds"] + found["work_seconds"])
    assert found["bytes"] > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--measure", "seconds", "--mcse", "0.1"], "--measure must be one of bias, empirical_se, mse"),
        (["--measure", "bias"], "--mcse must be given with --measure; got --measure bias alone"),
        (["--mcse", "0"], "Invalid value for '--mcse'"),
        (["--mcse", "nan"], "Invalid value for '--mcse': nan is not a finite number."),
        (["--seconds", "inf"], "Invalid value for '--seconds': inf is not a finite number."),
    ],
)
def test_plan_refuses_an_error_that_it_cannot_work_out(capsys, options, message):
    study = prepare(method=[PLANNED])
    code, out, err = call(capsys, "plan", study, "--workers", 1, *options)
    assert (code, out) == (2, "")
    assert message in err


@pytest.mark.usefixtures("no_report")
def test_status_says_how_far_a_rule_has_come(capsys):
    until = {"measure": "bias", "parameter": "means", "mcse": 0.12, "least": 3, "batch": 2}
    study = prepare(method=[A, {"name": "D", "engine": "degenerate", "replicates": 4}], until=until)
    for most, rows, missing in (
        (
            2,
            ["A 3 of at most 8 – not looked at yet", "D 3 of at most 4 – not looked at yet"],
            "2 fits missing",
        ),
        (8, ["A 5 of at most 8 ", "D 4 of at most 4 – all replicates made"], "0 fits missing"),
    ):
        call(capsys, "run", study, "--out", "here", "--replicates", most, "--workers", 1)
        code, out, _ = call(capsys, "status", "here")
        assert code == 0
        lines = [" ".join(line.split()) for line in out.splitlines()]
        assert all(any(line.startswith(f"apart, n = 40 {row}") for line in lines) for row in rows)
        assert (
            "The number of replicates is chosen by a rule: a condition ends once the Monte Carlo error" in out
        )
        assert lines[-1].startswith(missing)


@pytest.mark.parametrize("command", ["status", "report"])
def test_what_holds_no_results_is_named(capsys, command):
    write("file", "")
    for folder in ("none", ".", "file"):
        code, out, err = call(capsys, command, folder)
        assert (code, out) == (2, "")
        assert err == f"error: {folder}: the folder must hold results of a study; got none\n"
    assert files() == ["file"]


@pytest.mark.usefixtures("no_report")
@pytest.mark.parametrize("command", ["status", "run"])
def test_truncated_results_are_set_aside(capsys, command):
    study = prepare()
    call(capsys, "run", study, "--out", "here", "--workers", 1)
    part = next(Path("here/rows/fits").iterdir())
    part.write_bytes(part.read_bytes()[:100])
    arguments = ["here"] if command == "status" else [study, "--out", "here", "--workers", "1"]
    code, out, err = call(capsys, command, *arguments)
    assert code == 0
    quarantine = Path("here/quarantine/fits") / part.name
    assert f"warning: a damaged part was set aside, and counts as missing: {quarantine}" in err
    assert quarantine.stat().st_size == 100
    if command == "status":
        assert "0 fits missing" not in out
    assert "0 fits missing" in call(capsys, "status", "here")[1] or command == "status"


@pytest.mark.usefixtures("no_report")
def test_a_changed_study_is_refused_with_the_command_that_starts_afresh(capsys):
    call(capsys, "run", prepare(), "--out", "a folder", "--workers", 1)
    Path("a folder-2").mkdir()
    code, out, err = call(capsys, "run", prepare(seed=12), "--out", "a folder", "--workers", 1)
    assert (code, out) == (2, "")
    said, _, afresh = err.partition("; seed was 11 and is 12. To start afresh, give another folder: ")
    assert said == "error: a folder: the results must be of the same study, which may only grow"
    program, *arguments = shlex.split(afresh)
    assert arguments == ["run", "trial.toml", "--out", "a folder-3", "--workers", "1"]
    assert (program, call(capsys, *arguments)[0]) == ("mixtures", 0)


def test_shards_do_a_study_together_and_status_names_those_that_are_missing(capsys):
    study = prepare()
    for shard in ("1/3", "3/3"):
        code, out, _ = call(capsys, "run", study, "--out", "here", "--workers", 1, "--shard", shard)
        assert code == 0
        assert f"shard {shard} is done" in out
    assert not Path("here/report.html").exists()
    assert {run["shard"] for run in Store.open("here").runs()} == {"1/3", "3/3"}
    lines = call(capsys, "status", "here")[1].splitlines()
    (line,) = (line for line in lines if line.startswith("shard"))
    assert line.startswith("shard 2/3: ")
    assert line.endswith("never begun: mixtures run here/study.toml --out here --shard 2/3")
    call(capsys, "run", study, "--out", "here", "--workers", 1, "--shard", "2/3")
    assert "shard" not in call(capsys, "status", "here")[1]
    whole = call(capsys, "run", study, "--out", "there", "--workers", 1)
    assert whole[0] == 0
    assert_same_rows(all_rows(Store.open("here")), all_rows(Store.open("there")))


def test_status_names_missing_shards_however_many_runs_were_one_of(capsys):
    for shard in ("1/3", "2/3", "2/2"):
        call(capsys, "run", prepare(), "--out", "here", "--workers", 1, "--shard", shard)
    lines = call(capsys, "status", "here")[1].splitlines()
    assert [" ".join(line.split()[:3]) for line in lines if line.startswith("shard ")] == [
        "shard 1/2: 1",  # of replicates 0 to 7, number 2 is missing
        "shard 3/3: 1",
    ]
    assert "Runs were shards of 2 and of 3: those of either do what is missing." in lines


@pytest.mark.parametrize(
    ("shard", "message"),
    [("4/3", "a shard must be one of 1 to 3; got 4"), ("0/3", "as i/N"), ("1", "as i/N"), ("a/b", "as i/N")],
)
def test_a_shard_that_is_none_is_refused(capsys, shard, message):
    code, _, err = call(capsys, "run", prepare(), "--out", "here", "--shard", shard)
    assert code == 2
    assert message in err
    assert not Path("here").exists()


def test_small_parts_are_made_into_larger_ones(capsys):
    study = prepare()
    call(capsys, "run", study, "--out", "here", "--workers", 1)
    n_parts = len(list(Path("here/rows/fits").iterdir()))
    assert n_parts > 1
    assert call(capsys, "compact", "here")[1] == f"{n_parts} parts made into 1\n"
    assert len(list(Path("here/rows/fits").iterdir())) == 1


# fit --------------------------------------------------------------------------------------------

DATA = "x,y,flat,kind\n" + "".join(f"{i * i},{i % 3},7,{'abc'[i % 3]}\n" for i in range(12))
WRONG_FITS = {
    "constant": (["--column", "flat"], "data.csv, column flat: the observations must vary; got "),
    "constant, of two": (
        ["--column", "x", "--column", "flat", "--engine", "em"],
        "data.csv, columns x, flat: the observations must vary; got the constant 7.0 in column 'flat'",
    ),
    "too few": (["--column", "x", "--components", "13"], "data.csv, column x: the observations must hold"),
    "two columns": (
        ["--column", "x", "--column", "y"],
        "NUTS takes one column; got 2. Fit by EM alone: --engine em",
    ),
    "tied": (
        ["--column", "x", "--covariance", "tied"],
        "NUTS: covariance must be full, diagonal or spherical",
    ),
    "no such column": (["--column", "z"], "data.csv: column 'z' must be in the file; got x, y, flat, kind"),
    "nothing to select by": (
        ["--column", "x", "--where", "=a"],
        "where must be a column and values, NAME=A,B",
    ),
    "nothing to select": (["--column", "x", "--where", "kind= ,a"], "where must be a column and values, "),
    "no such column to select by": (
        ["--column", "x", "--where", "sort=a"],
        "data.csv: to select rows by: column 'sort' must be in the file; got x, y, flat, kind",
    ),
    "groups without labels": (["--column", "x", "--groups", "a,b"], "groups need labels"),
    "intervals of NUTS": (
        ["--column", "x", "--engine", "nuts", "--intervals", "profile"],
        "intervals must be left out where EM does not fit; got 'profile'",
    ),
    "profiles in two dimensions": (
        ["--column", "x", "--column", "y", "--engine", "em", "--intervals", "profile"],
        "EM: intervals must not be 'profile' for data in several dimensions; got 2",
    ),
}


@pytest.mark.parametrize(("arguments", "message"), WRONG_FITS.values(), ids=WRONG_FITS)
def test_fit_refuses_what_it_cannot_fit_in_the_words_of_the_file(capsys, arguments, message):
    write("data.csv", DATA)
    code, out, err = call(capsys, "fit", "data.csv", "--components", 2, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {message}")


def test_blanks_around_names_of_groups_do_not_count(capsys):
    write("data.csv", DATA)
    options = ["--components", 2, "--engine", "em", "--labels", "kind", "--groups", " a + b , c "]
    code, _, err = call(capsys, "fit", "data.csv", "--column", "x", *options, "--where", " kind = a, b ,c")
    assert (code in {0, 1}, err) == (True, "")
    assert Path("results/fit-data/report.html").is_file()


def test_intervals_of_em_are_those_that_are_asked_for(capsys):
    draws = np.random.default_rng(1).normal([0, 1.5], 1, size=(30, 2)).ravel()  # so close that ends are open
    write("data.csv", "x\n" + "\n".join(map(str, draws)) + "\n")
    command = ["fit", "data.csv", "--column", "x", "--components", 2, "--engine", "em"]
    code, out, _ = call(capsys, *command)
    assert code == 0
    assert "(SE " in out
    assert "profile intervals" not in out
    code, out, _ = call(capsys, *command, "--intervals", "profile")
    assert code == 0
    assert "profile intervals are open" in out
    account = json.loads(Path("results/fit-data/fit.json").read_text())["fits"][0]["intervals"]
    assert account["level"] == 0.95
    assert None in [*account["lower"]["means"], *account["upper"]["means"]]
    page = Path("results/fit-data/report.html").read_text()
    assert "95% interval" in page
    assert "∞" in page


# As a user runs it ------------------------------------------------------------------------------


def test_bad_input_ends_a_process_with_2():
    ended = shell("run", "none.toml")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "error: none.toml: the file must be readable; No such file or directory\n"


@pytest.mark.slow
def test_a_study_runs_is_reported_and_reported_again():
    method = [{"name": "EM", "engine": "em", "n_starts": 2}, {"name": "tight", "engine": "em", "n_starts": 3}]
    prepare(method=method, claim=[GOOD | {"method": "EM"}, BAD | {"method": "EM"}], replicates=6)
    ran = shell("run", "trial.toml", "--workers", 2)
    assert ran.returncode == 1, ran.stderr
    assert "Traceback" not in ran.stderr
    assert "refuted" in ran.stdout
    assert ran.stdout.endswith("report: results/trial/report.html\n")
    assert "12 of 12 fits: 12 converged" in ran.stderr
    page = Path("results/trial/report.html")
    first = page.read_bytes()
    page.unlink()
    again = shell("report", "results/trial")
    assert (again.returncode, again.stdout) == (0, "report: results/trial/report.html\n")
    assert page.read_bytes() == first


@pytest.mark.slow
def test_ctrl_c_keeps_what_was_done_and_the_same_command_goes_on():
    """The signal goes to the workers too, as a terminal sends it."""
    n_fits = 800
    prepare(
        method=[{"name": "EM", "engine": "em", "n_starts": 20}],
        replicates=n_fits,
        grid=grid(truth(), n=[100]),
    )
    command = [sys.executable, "-m", "mixtures", "run", "trial.toml", "--out", "here", "--workers", "2"]
    running = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 60
    while not list(Path("here/rows").glob("fits/*.parquet")):
        assert running.poll() is None, running.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(running.pid, signal.SIGINT)
    out, err = running.communicate(timeout=30)
    assert (running.returncode, out) == (130, ""), err
    assert "Traceback" not in err, err
    assert "To go on: mixtures run trial.toml --out here --workers 2\n" in err
    assert is_gone(running.pid)
    assert not [name for name in files("here") if Path(name).name.startswith(".")]
    kept = Store.open("here").done()
    assert 0 < len(kept) < n_fits
    again = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert again.returncode == 0, again.stderr
    assert f"{len(kept)} stored before" in again.stderr
    assert len(Store.open("here").done()) == n_fits
    assert Path("here/report.html").is_file()


@pytest.mark.slow
def test_ctrl_c_while_workers_start_shows_no_traceback():
    """They import for a second before they can be told to leave the signal to the coordinator."""
    prepare(method=[{"name": "EM", "engine": "em"}], replicates=400)
    command = [sys.executable, "-m", "mixtures", "run", "trial.toml", "--out", "here", "--workers", "2"]
    running = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert "starting" in running.stderr.readline()
    time.sleep(0.2)
    os.killpg(running.pid, signal.SIGINT)
    _, err = running.communicate(timeout=30)
    assert running.returncode == 130
    assert err.startswith("interrupted; what was done is kept in here. To go on: ")
    assert err.count("\n") == 1
    assert is_gone(running.pid)


@pytest.mark.slow
def test_ctrl_c_in_code_made_of_text_ends_with_the_exit_code_for_it():
    """Python would end itself by the signal, where a module is run."""
    Path("main.py").write_text(
        "import mixtures.cli\n"
        "def main():\n"
        "    try:\n"
        "        exec('raise KeyboardInterrupt')\n"
        "    except KeyboardInterrupt:\n"
        "        raise SystemExit(130)\n"
        "mixtures.cli.main = main\n"
        "import runpy\n"
        "runpy.run_module('mixtures', run_name='__main__')\n"
    )
    ended = subprocess.run([sys.executable, "-m", "main"], capture_output=True, text=True, check=False)
    assert ended.returncode == 130, ended.stderr


def is_gone(group):
    """Say whether every process of a group ends within ten seconds."""
    for _ in range(100):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False

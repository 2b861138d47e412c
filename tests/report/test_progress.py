"""What is told of a run: lines, JSON, and frames of a terminal."""

import io
import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console
from study.designs import design, grid, truth

from mixtures.report import told
from mixtures.report.bars import Bars
from mixtures.report.progress import JSON, PLAIN, Lines, _write
from mixtures.study.progress import Progress
from mixtures.study.rows import FitRow

METHODS = [{"name": "EM", "engine": "em"}, {"name": "NUTS", "engine": "nuts", "replicates": 2}]


def study(n_conditions=2):
    truths = [truth(name=f"separation {i}", means=[0.0, 1.0 + i]) for i in range(n_conditions)]
    return design(method=METHODS, grid=grid(*truths), replicates=4)


def progress(n_conditions=2, n_done=0, **changes):
    """A run that has done so many replicates of every condition by EM, the last of which are failures."""
    one = study(n_conditions)
    em, nuts = (method.key for method in one.method)
    keys = [condition.key for condition in one.conditions]
    statuses = Counter({(key, em, "converged"): n_done for key in keys if n_done})
    seen = Progress(
        study=one,
        folder="results/a trial",
        missing={(key, method): n for key in keys for method, n in ((em, 4), (nuts, 2))},
        n_stored=0,
        statuses=statuses,
        seconds=np.array([[1.0, 10.0]] * n_conditions),
        failures=(),
        elapsed=100.0,
        rate=0.5 if n_done else None,
        speed=0.5 if n_done else None,
    )
    return replace(seen, **changes)


def failed(of, replicate=0, message="no luck at 1.5", **changes):
    row = FitRow(
        condition=of.study.conditions[0].key,
        replicate=replicate,
        method=of.study.method[0].key,
        status="error",
        has_estimate=False,
        message=message,
        warnings="",
        error_type="RuntimeError",
        seconds=1.0,
        data_hash="",
        seed="1",
        host="",
        worker=1,
    )
    return row._replace(**changes)


def test_a_reader_that_has_gone_ends_nothing(monkeypatch):
    class Closed:
        def write(self, _):
            raise BrokenPipeError

    monkeypatch.setattr("sys.stderr", Closed())
    _write("4 of 8 fits")


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def lines(form, seen, pause=0.0):
    """What is written of a run."""
    clock, written = Clock(), []
    telling = Lines(written.append, form, clock)
    for one in seen:
        telling(one)
        clock.now += pause
    telling.close()
    return written


# Failures ---------------------------------------------------------------------------------------


def test_a_few_failures_of_a_kind_are_told_in_a_minute_and_the_others_counted():
    log, of = told.FailureLog(), progress()
    rows = [failed(of, i, f"no luck at {i}.5") for i in range(10)]
    assert [(one.row.replicate, one.n_untold) for one in log.choose(rows, 0.0)] == [(0, 0), (1, 0), (2, 0)]
    assert list(log.choose(rows[:5], 59.0)) == []
    assert [(one.row.replicate, one.n_untold) for one in log.choose(rows[7:9], 60.0)] == [(7, 12), (8, 0)]
    assert list(log.untold()) == []
    list(log.choose(rows, 61.0))
    assert [(one.row.replicate, one.n_untold) for one in log.untold()] == [(9, 8)]
    assert list(log.untold()) == []


def test_kinds_differ_in_status_exception_or_message():
    log, of = told.FailureLog(), progress()
    kinds = [{"message": "other"}, {"error_type": "ValueError"}, {"status": "degenerate"}]
    rows = [failed(of, **kind) for kind in kinds for _ in range(5)]
    assert len(list(log.choose(rows, 0.0))) == 9


def test_the_kinds_remembered_are_bounded():
    log, of = told.FailureLog(), progress()
    words = [chr(97 + i % 26) + chr(97 + i // 26) for i in range(500)]
    chosen = list(log.choose([failed(of, message=word) for word in words], 0.0))
    assert len(chosen) == told._MOST_KINDS + told._MOST_OF_A_KIND
    assert sum(one.n_untold + 1 for one in log.untold()) == 500 - len(chosen)


# Lines ------------------------------------------------------------------------------------------


def test_lines_tell_the_beginning_the_end_and_a_line_now_and_then():
    seen = [progress(n_done=n) for n in (0, 1, 2, 3)]
    whole = progress(n_done=4, missing=dict.fromkeys(list(seen[0].missing)[::2], 4))
    assert lines(PLAIN, [*seen, whole], pause=6.0) == [
        "0 of 12 fits: starting",
        "4 of 12 fits: 4 converged; 0.5 fits/s, about 1 min 28 s left",
        "8 of 8 fits: 8 converged; 0.5 fits/s",
        "8 of 8 fits: 8 converged; in 1 min 40 s",
    ]


def test_lines_come_less_often_in_a_long_run():
    seen = [progress(n_done=1, elapsed=float(t)) for t in range(0, 7200, 5)]
    n_lines = len(lines(PLAIN, seen, pause=5.0))
    assert 7200 / 144 < n_lines < 7200 / 10


def test_a_run_that_was_interrupted_has_no_last_line():
    assert lines(PLAIN, [progress(), progress(n_done=1)]) == ["0 of 12 fits: starting"]


def test_what_was_stored_before_is_told():
    assert lines(PLAIN, [progress(n_stored=7)]) == ["0 of 12 fits: 7 stored before"]
    assert lines(PLAIN, [progress(n_stored=7, missing={})]) == ["0 of 0 fits: 7 stored before"]


def test_failures_are_lines_of_their_own():
    of = progress(n_done=1)
    rows = tuple(failed(of, i, "no luck\nat all") for i in range(5))
    written = lines(PLAIN, [progress(), replace(of, failures=rows)])
    place = "separation 0, n = 40, replicate {}, EM: error"
    assert written[1:] == [
        *(f"{place.format(i)}: RuntimeError: no luck at all" for i in range(3)),
        f"{place.format(4)} (and 1 more): RuntimeError: no luck at all",
    ]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.4, "0 s"),
        (59.4, "59 s"),
        (60, "1 min 0 s"),
        (599, "9 min 59 s"),
        (3599, "59 min"),
        (3600, "1 h 0 min"),
        (86399, "23 h 59 min"),
        (90000, "1 d 1 h"),
    ],
)
def test_durations(seconds, said):
    assert told.say_seconds(seconds) == said


@pytest.mark.parametrize(
    ("rate", "said"),
    [(1234.5, "1234 fits/s"), (12.34, "12.3 fits/s"), (0.1, "0.1 fits/s"), (0.05, "180 fits/h")],
)
def test_rates(rate, said):
    assert told.say_rate(rate) == said


def test_names_are_cut_in_their_middle():
    assert told.shortened("separation 2.5, n = 1000", 24) == "separation 2.5, n = 1000"
    assert told.shortened("separation 2.5, n = 1000", 15) == "separat… = 1000"


# JSON -------------------------------------------------------------------------------------------


def test_json_is_an_object_a_line():
    of = progress(n_done=1)
    rows = tuple(failed(of, i, 'a "quote"\nand a break') for i in range(5))
    written = [
        json.loads(line) for line in lines(JSON, [progress(), replace(of, failures=rows), of], pause=11.0)
    ]
    assert [one["event"] for one in written] == [
        "begin",
        *["failure"] * 3,
        "progress",
        "progress",
        "failure",
        "end",
    ]
    assert all(one["time"].startswith("20") for one in written)
    begin, failure, end = written[0], written[1], written[-1]
    assert (begin["n_total"], begin["rate"], begin["seconds_left"]) == (12, None, None)
    assert (end["n_done"], end["rate"], end["statuses"]) == (2, 0.5, {"converged": 2})
    assert end["seconds_left"] == pytest.approx(92.0)
    key = of.study.conditions[0].key
    assert end["fits"][0] == {
        "condition": key,
        "name": "separation 0, n = 40",
        "method": "EM",
        "n_done": 1,
        "n_total": 4,
        "statuses": {"converged": 1},
    }
    assert failure["message"] == 'a "quote"\nand a break'
    assert failure["replay"] == (
        f"mixtures replay 'results/a trial' --condition {key} --replicate 0 --method EM"
    )
    assert (written[-2]["replicate"], written[-2]["n_untold"]) == (4, 1)


# Bars -------------------------------------------------------------------------------------------


def frame(seen, width, height, later=0.0):
    """A frame as a terminal shows it."""
    clock = Clock()
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=None)
    bars = Bars(console, clock)
    bars(seen)
    clock.now += later
    with console.capture() as captured:
        console.print(bars.render())
    return captured.get().splitlines()


@pytest.mark.parametrize("width", [80, 200])
def test_a_frame_has_a_line_for_the_run_and_one_for_each_condition(width):
    shown = frame(progress(n_done=1), width, 24)
    assert len(shown) == 3
    assert all(len(line) <= width for line in shown)
    assert shown[0].split()[0] == "trial"
    assert "2/12" in shown[0]
    assert "0.5 fits/s" in shown[0]
    assert "1 min 32 s left" in shown[0]
    assert shown[1].startswith("separation 0, n = 40 ")
    assert "1/6" in shown[1]
    assert ("1 converged" in shown[1]) == (width == 200)


def test_time_runs_down_between_two_reports():
    assert "1 min 0 s left" in frame(progress(n_done=1), 80, 24, later=32.0)[0]
    assert "0 s left" in frame(progress(n_done=1), 80, 24, later=3200.0)[0]


@pytest.mark.parametrize(("width", "height"), [(80, 24), (200, 50), (60, 6), (40, 3)])
def test_many_conditions_fit_the_terminal(width, height):
    shown = frame(progress(300, n_done=1), width, height)
    assert len(shown) <= max(height, 3)
    assert all(len(line) <= width for line in shown)
    assert shown[-1].startswith(f"and {300 - (len(shown) - 2)} conditions more, 0 of them done"[:width])


def test_conditions_that_are_over_make_room():
    seen = progress(40, n_done=4)
    first = {condition.key for condition in seen.study.conditions[:30]}
    missing = {cell: n for cell, n in seen.missing.items() if n == 4 or cell[0] not in first}
    shown = frame(replace(seen, missing=missing), 80, 16)
    assert [line.split(",")[0] for line in shown[1:3]] == ["separation 0", "separation 1"]
    assert [line.split(",")[0] for line in shown[3:13]] == [f"separation {i}" for i in range(30, 40)]
    assert [line.split()[-1] for line in shown[1:3]] == ["done", "done"]
    assert shown[13] == "and 28 conditions more, 28 of them done"


def test_a_run_that_is_over_tells_its_time():
    (line,) = frame(progress(1, n_done=4, missing=dict.fromkeys(list(progress(1).missing)[:1], 4)), 80, 24)
    assert line.rstrip().endswith("4/4 0.5 fits/s in 1 min 40 s")


def test_one_condition_has_one_bar_and_failures_are_counted():
    em = progress(1).study.method[0].key
    key = progress(1).study.conditions[0].key
    seen = progress(1, statuses=Counter({(key, em, "converged"): 1, (key, em, "error"): 2}))
    (line,) = frame(seen, 80, 24)
    assert "3/6" in line
    assert line.rstrip().endswith("2 failed")
    assert "1 converged, 2 error" in frame(seen, 200, 24)[0]


def test_nothing_is_known_at_first():
    assert frame(progress(), 80, 24)[0].split()[-1] == "0/12"


def test_failures_stand_above_the_bars():
    out = io.StringIO()
    console = Console(file=out, width=80, height=24, force_terminal=True, color_system=None)
    of = progress(n_done=1)
    rows = tuple(failed(of, i, f"no luck at {i} " + 20 * "and more ") for i in range(5))
    with Bars(console, Clock()) as bars:
        bars(replace(of, failures=rows))
    said = [line for line in out.getvalue().splitlines() if "replicate" in line]
    assert len(said) == 4
    assert all(len(line.replace("\x1b[2K", "").lstrip("\r")) < 100 for line in said)
    assert "replicate 4, EM: error (and 1 more): RuntimeError" in said[-1]

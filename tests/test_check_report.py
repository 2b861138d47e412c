"""The check of a study's report that every build runs: it must pass a good page and fail a bad one."""

import importlib.util
from pathlib import Path

import pytest

_FILE = Path(__file__).parents[1] / ".ci" / "check_report.py"
STUDY = """
title = "How well are two species told apart?"
[[claim]]
id = "means"
[[claim]]
id = "weights"
"""
PAGE = """<html><head><style>.supported { color: green }</style></head><body>
<h1>How well are two species
told apart?</h1><h2>Accounting</h2>
<table><tr><td><b>means</b></td><td>Supported</td></tr>
<tr><td>weights</td><td>inconclusive</td></tr></table></body></html>"""


@pytest.fixture
def check(tmp_path):
    """Return a function that checks a page, or that there is none."""
    spec = importlib.util.spec_from_file_location("check_report", _FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / "study.toml").write_text(STUDY, encoding="utf-8")

    def run(page):
        if page is not None:
            (tmp_path / "report.html").write_text(page, encoding="utf-8")
        module.main(str(tmp_path / "study.toml"), str(tmp_path / "report.html"))

    return run


def test_a_good_page_passes(check, capsys):
    check(PAGE)
    assert capsys.readouterr().out == "the report holds its title, the accounting and 2 verdicts\n"


BAD = {
    "no page": (None, "no report at "),
    "nothing on it": ("", "lacks the words 'How well"),
    "no title": (PAGE.replace("two species", "three species"), "lacks the words 'How well are two species"),
    "no accounting": (PAGE.replace("Accounting", "Numbers"), "lacks the words 'Accounting'"),
    "no claim": (PAGE.replace("weights", ""), "lacks a verdict on the claim 'weights'"),
    "no verdict": (PAGE.replace("Supported", ""), "lacks a verdict on the claim 'means'"),
    "a verdict in another row": (
        PAGE.replace("Supported", "").replace("inconclusive", "inconclusive, supported"),
        "lacks a verdict on the claim 'means'",
    ),
    "a verdict that no reader sees": (
        PAGE.replace("Supported", "<script>supported</script>"),
        "lacks a verdict on the claim 'means'",
    ),
    "a verdict inside a word": (
        PAGE.replace("Supported", "unsupported"),
        "lacks a verdict on the claim 'means'",
    ),
}


@pytest.mark.parametrize(("page", "message"), BAD.values(), ids=BAD)
def test_a_bad_page_is_named(check, page, message):
    with pytest.raises(SystemExit) as caught:
        check(page)
    assert message in str(caught.value)

"""Which fits failed, by kind."""

from dataclasses import dataclass

import numpy as np
import pytest

from mixtures.study import methods
from mixtures.study.failures import list_failures, without_numbers
from mixtures.study.runner import run
from study import engines
from study.designs import CLOSE, design, grid, truth


@dataclass(frozen=True, eq=False, kw_only=True)
class _Precise(engines.Halves):
    """Raise, naming a number that differs from data set to data set."""

    def fit(self, spec, x, rng):  # noqa: ARG002
        raise ArithmeticError(f"singular at {np.mean(x):.6f}")


@pytest.fixture
def _precise(monkeypatch):
    monkeypatch.setitem(methods.ENGINES, "precise", _Precise)


@pytest.mark.usefixtures("_precise")
def test_failures_are_gathered_by_kind(tmp_path):
    several = [
        {"name": "A", "engine": "halves"},
        {"name": "P", "engine": "precise"},
        {"name": "U", "engine": "unsettled"},
        {"name": "D", "engine": "degenerate", "replicates": 5},
    ]
    study = design(method=several, grid=grid(truth(), CLOSE))
    kinds = list_failures(run(study, tmp_path, n_workers=1))
    assert [(kind.status, kind.has_estimate, len(kind.fits)) for kind in kinds] == [
        ("degenerate", False, 10),
        ("error", False, 8),
        ("not_converged", True, 8),
    ]
    _, error, unsettled = kinds
    assert (error.error_type, error.message) == ("ArithmeticError", "singular at #")
    assert len({fit.message for fit in error.fits}) == 8
    assert error.conditions == {"apart, n = 40": 4, "close, n = 40": 4}
    assert error.methods == {"P": 8}
    assert [fit.replicate for fit in error.fits] == [0, 1, 2, 3] * 2
    assert (unsettled.error_type, unsettled.methods) == ("", {"U": 8})


def test_a_study_without_failures_has_none(tmp_path):
    assert list_failures(run(design(), tmp_path, n_workers=1)) == []


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("rhat 1.04 above 1.01", "rhat # above #"),
        ("at -1.5e-300, nan and −inf", "at #, # and #"),
        ("<Thing at 0x7f3aE2>", "<Thing at #>"),
        ("no number", "no number"),
        ("information", "information"),
    ],
)
def test_numbers_are_left_out(text, kind):
    assert without_numbers(text) == kind

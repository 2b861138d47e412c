"""Measures of a study that rest on standard errors, intervals and pairs, and the claims about them."""

import math
from dataclasses import replace

import numpy as np
import pytest

from mixtures.comparison.performance import (
    Proportion,
    ProportionDifference,
    bias_eliminated_coverage,
    coverage,
    paired_proportions,
    relative_error_model_se,
    relative_precision,
)
from mixtures.model.fit import Intervals
from mixtures.study.runner import run
from mixtures.study.summary import summarise
from study import engines
from study.designs import CLOSE, claim, design, grid, truth

A = {"name": "A", "engine": "halves", "noise": 1.0, "intervals": 4.0}
B = {"name": "B", "engine": "halves", "noise": 0.1, "intervals": 1.0}
EVEN = grid(truth(weights=[0.5, 0.5]))


@pytest.fixture
def results(tmp_path):
    """Results of two methods with intervals."""
    claims = [
        claim(id="a", measure="relative_precision", method="A", versus="B", between=None, below=0.0),
        claim(id="b", measure="relative_precision", method="B", versus="A", between=None, above=0.0),
        claim(id="se", measure="relative_error_model_se", between=None, above=50.0),
        claim(id="be", measure="bias_eliminated_coverage", between=None, above=0.7),
        claim(id="pair", measure="coverage", versus="B", between=[-0.5, 0.5]),
    ]
    return run(design(method=[A, B], grid=EVEN, claim=claims, replicates=100), tmp_path, n_workers=1)


def cell(results, method, parameter, component):
    frame = results.read("parameters")
    key = {one.name: one.key for one in results.study().method}[method]
    rows = (frame["method"] == key) & (frame["parameter"] == parameter) & (frame["component"] == component)
    return frame[rows].set_index("replicate").sort_index()


def assert_same(measure, other):
    """Compare two measures, up to the rounding of rows in another order."""
    assert type(measure) is type(other)
    assert (measure.value, measure.mcse, measure.n) == pytest.approx(
        (other.value, other.mcse, other.n), rel=1e-9, nan_ok=True
    )


def test_the_measures_are_those_of_the_rows(results):
    for one in summarise(results).parameters:
        own = cell(results, one.method, one.parameter, one.component)
        errors, se = (own["estimate"] - own["truth"]).to_numpy(), own["standard_error"]
        ends = own["lower"].to_numpy(), own["upper"].to_numpy(), own["truth"].to_numpy()
        assert_same(one.measures["relative_error_model_se"], relative_error_model_se(errors, se))
        assert_same(one.measures["bias_eliminated_coverage"], bias_eliminated_coverage(*ends, errors))
        assert_same(one.measures["coverage"], coverage(*ends))


def test_pairs_have_a_relative_precision_and_a_difference_in_coverage(results):
    (pair,) = summarise(results).pairs
    assert (pair.method, pair.versus) == ("B", "A")
    for place, precision in pair.relative_precision.items():
        a, b = cell(results, "A", *place[:2]), cell(results, "B", *place[:2])
        errors = [one["estimate"] - one["truth"] for one in (b, a)]
        assert_same(precision, relative_precision(*errors))
        covers = [(one["lower"] <= one["truth"]) & (one["truth"] <= one["upper"]) for one in (b, a)]
        assert_same(pair.parameter_differences["coverage", *place], paired_proportions(*covers))


def test_claims_about_them_are_judged(results):
    judged = {one.claim.id: one for one in summarise(results).claims}
    assert {name: one.verdict for name, one in judged.items()} == {
        "a": "supported", "b": "supported", "se": "supported", "be": "supported", "pair": "supported"
    }  # fmt: skip
    for (_, one), (_, other) in zip(judged["a"].judgements, judged["b"].judgements, strict=True):
        ratio = 1 + other.measure.value / 100
        assert one.measure.value == pytest.approx(100 * (1 / ratio - 1))
        assert one.measure.mcse == pytest.approx(other.measure.mcse / ratio**2)
    assert isinstance(judged["pair"].judgements[0][1].measure, ProportionDifference)


def test_intervals_that_never_differ_still_have_an_interval_of_their_difference(tmp_path):
    """Both always cover: the difference is 0, and 40 replicates do not make it certain."""
    wide = {"engine": "halves", "intervals": 50.0}
    pair = claim(measure="coverage", versus="B", between=[-0.01, 0.01])
    methods = [{"name": "A"} | wide, {"name": "B", "noise": 0.02} | wide]
    (judged,) = summarise(
        run(design(method=methods, claim=[pair], replicates=40), tmp_path, n_workers=1)
    ).claims
    judgement = judged.judgements[0][1]
    assert (judgement.measure.value, judgement.measure.mcse) == (0.0, 0.0)
    assert -0.25 < judgement.lower < 0 < judgement.upper < 0.25
    assert judgement.verdict == "inconclusive"
    assert 100 < judgement.n_needed < 10_000


def test_intervals_refused_throughout_a_condition_are_misses(tmp_path, monkeypatch):
    """A method that gives intervals elsewhere misses the truth here every time."""

    def refuse(self, estimate):
        """Refuse every interval where components are close."""
        given = original(self, estimate)
        if np.ptp(estimate.means) > 4:
            return given
        missing = replace(
            given.lower,
            weights=np.full(2, math.nan),
            means=np.full((2, 1), math.nan),
            variances=np.full((2, 1), math.nan),
        )
        return Intervals(given.level, missing, missing, missing)

    original = engines.Halves._intervals
    monkeypatch.setattr(engines.Halves, "_intervals", refuse)
    study = design(
        method=[A | {"noise": 0.01}, {"name": "C", "engine": "halves"}],
        grid=grid(truth(means=[0.0, 9.0], weights=[0.5, 0.5]), CLOSE),
        replicates=8,
    )
    for one in summarise(run(study, tmp_path, n_workers=1)).parameters:
        if one.method == "C":
            assert not {"coverage", "model_se"} & set(one.measures)
        elif one.condition.truth.name == "close":
            assert one.measures["coverage"] == Proportion(0.0, 0.0, 8)
            assert one.measures["coverage_given_interval"].n == one.measures["model_se"].n == 0
        else:
            assert one.measures["coverage_given_interval"].n == 8


def test_a_method_that_refuses_every_interval_of_a_study_covers_never(tmp_path, monkeypatch):
    """By its settings it gives intervals: to refuse all of them is no better than to refuse some."""
    original = engines.Halves.fit
    monkeypatch.setattr(engines.Halves, "fit", lambda *given: replace(original(*given), intervals=None))
    for one in summarise(run(design(method=[A], replicates=6), tmp_path, n_workers=1)).parameters:
        assert one.measures["coverage"] == Proportion(0.0, 0.0, 6)

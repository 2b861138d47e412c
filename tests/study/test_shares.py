"""Shares of data sets: fits that went badly wrong, and likelihoods lower than another's."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from mixtures.comparison.difficulty import expected_standard_errors
from mixtures.comparison.performance import Proportion, ProportionDifference, paired_proportions, proportion
from mixtures.study import shares
from mixtures.study.runner import run
from mixtures.study.shares import lower_likelihood, mark_badly_wrong
from mixtures.study.summary import summarise
from mixtures.study.tables import Tables
from study.designs import CLOSE, PRIOR, claim, design, grid, truth

APART = design(grid=grid(truth(), n=(200,))).conditions[0]
SAME = truth(means=[0.0, 0.0], variances=[1.0, 1.0])
PLANE = truth(means=[[0.0, 0.0], [5.0, 5.0]], variances=None, covariances=[np.eye(2).tolist()] * 2)


def tables(condition, errors):
    """Rows of fits that are so many expected standard errors off, (r, 3, k); NaN where there is none."""
    theta = condition.truth.as_mixture()
    se = expected_standard_errors(theta, condition.n)
    parts = ("weights", "means", "variances")
    r = len(errors)
    centre = np.array([getattr(theta, name).ravel() for name in parts])
    scale = np.array([getattr(se, name).ravel() for name in parts])
    has_estimate = ~np.isnan(errors).any(axis=(1, 2))
    replicate, name, j = (index.ravel() for index in np.indices(errors.shape))
    parameters = pd.DataFrame(
        {
            "method": "A",
            "replicate": replicate,
            "parameter": np.array(parts)[name],
            "component": j + 1,
            "axis": 1,
            "truth": np.broadcast_to(centre, errors.shape).ravel(),
            "estimate": (centre + errors * scale).ravel(),
        }
    )
    fits = pd.DataFrame({"method": "A", "replicate": np.arange(r), "has_estimate": has_estimate})
    empty = pd.DataFrame()
    return Tables(fits, parameters[has_estimate[replicate]], empty, empty, empty)


def normal_errors(r, seed):
    """Independent standard normal errors, but the two weights', which sum to 0."""
    errors = np.random.default_rng(seed).standard_normal((r, 3, 2))
    errors[:, 0, 1] = -errors[:, 0, 0]
    return errors


def share_wrong(errors):
    return proportion(mark_badly_wrong(APART, tables(APART, errors)).fits["badly_wrong"])


@pytest.mark.parametrize("limit", [4.0, 2.0])
def test_normal_estimates_are_as_rarely_wrong_as_the_tail_says(limit, monkeypatch):
    """Within 4 Monte Carlo errors, a false alarm once in 15,000; shifted by 4 limits they always are."""
    monkeypatch.setattr(shares, "_FAR", limit)
    errors = normal_errors(20_000, 1)
    expected = 1 - (1 - 2 * norm.sf(limit)) ** 5  # five independent parameters
    tolerance = 4 * math.sqrt(expected * (1 - expected) / len(errors))
    assert share_wrong(errors).value == pytest.approx(expected, abs=tolerance)
    assert share_wrong(1.25 * errors).value > expected + tolerance
    for place in np.ndindex(3, 2):
        shifted = errors[:200].copy()
        shifted[:, *place] += 4 * limit
        assert share_wrong(shifted) == Proportion(1.0, 0.0, 200)


def test_one_parameter_is_enough_and_four_errors_are_not_too_many():
    for sign in (-1, 1):
        for place in np.ndindex(3, 2):
            errors = np.zeros((2, 3, 2))
            errors[0, *place], errors[1, *place] = sign * 3.99, sign * 4.01
            marked = mark_badly_wrong(APART, tables(APART, errors)).fits["badly_wrong"]
            assert marked.tolist() == [False, True]


def test_a_fit_without_an_estimate_is_badly_wrong():
    errors = np.zeros((4, 3, 2))
    errors[2] = np.nan
    assert share_wrong(errors) == Proportion(0.25, math.sqrt(0.25 * 0.75 / 4), 4)


METHODS = [
    {"name": "A", "engine": "halves", "noise": 0.6},
    {"name": "B", "engine": "halves", "noise": 0.3, "shift": 0.3},
    {"name": "D", "engine": "degenerate"},
]


@pytest.fixture
def results(tmp_path):
    """Results of methods that are wrong now and then, and of one without estimates, on two truths."""
    about = {"parameter": None, "between": None, "below": 0.99}
    claims = [
        claim(id="share", measure="badly_wrong", **about),
        claim(id="pair", measure="badly_wrong", versus="B", **about),
        claim(id="other way", measure="badly_wrong", method="B", versus="A", **about),
        claim(id="none", measure="badly_wrong", method="D", **about),
        claim(id="lower", measure="lower_likelihood", versus="B", **about),
        claim(id="higher", measure="lower_likelihood", method="B", versus="A", **about),
    ]
    study = design(method=METHODS, claim=claims, grid=grid(truth(), CLOSE), replicates=30)
    return run(study, tmp_path, n_workers=1)


def wrong_by_loop(results, condition, method):
    """Plain computation, replicate by replicate."""
    cells = results.read("parameters")
    key = {one.name: one.key for one in results.study().method}[method]
    cells = cells[(cells["condition"] == condition.key) & (cells["method"] == key)]
    se = expected_standard_errors(condition.truth.as_mixture(), condition.n)
    wrong = []
    for replicate in range(30):
        own = cells[cells["replicate"] == replicate]
        is_wrong = len(own) == 0
        for row in own.itertuples():
            limit = 4 * getattr(se, row.parameter).ravel()[row.component - 1]
            is_wrong |= abs(row.estimate - row.truth) > limit
        wrong.append(bool(is_wrong))
    return wrong


def test_the_shares_are_those_of_a_plain_computation(results):
    summary = summarise(results)
    shares_found = set()
    for condition in results.study().conditions:
        wrong = {name: wrong_by_loop(results, condition, name) for name in "ABD"}
        for one in summary.fits:
            if one.condition == condition and one.method != "oracle":
                assert one.measures["badly_wrong"] == proportion(wrong[one.method])
                shares_found.add(one.measures["badly_wrong"].value)
        for pair in summary.pairs:
            if pair.condition == condition:
                expected = paired_proportions(wrong[pair.method], wrong[pair.versus])
                found = pair.differences["badly_wrong"]
                assert isinstance(found, ProportionDifference)
                assert (found.value, found.mcse) == pytest.approx((expected.value, expected.mcse))
                assert found.n == 30
    assert len(shares_found) > 2
    assert 1.0 in shares_found  # that of D


def test_claims_about_them_are_judged(results):
    judged = {one.claim.id: one.judgements[0][1] for one in summarise(results).claims}
    assert isinstance(judged["share"].measure, Proportion)
    assert isinstance(judged["pair"].measure, ProportionDifference)
    assert judged["pair"].measure.value == -judged["other way"].measure.value != 0
    assert judged["none"].measure == Proportion(1.0, 0.0, 30)
    assert 0.5 < judged["none"].lower < judged["none"].upper == 1.0  # Wilson's: 30 fits are not all fits
    assert judged["lower"].measure.value + judged["higher"].measure.value == pytest.approx(1.0)


def test_a_likelihood_is_lower_by_more_than_rounding():
    heights = {"A": [-5.0, -5.0, -5.0, math.nan, -5.0], "B": [-5.0, -5.0 + 9e-7, -4.9, 1.0, math.nan]}
    fits = pd.concat(
        pd.DataFrame({"method": name, "replicate": range(5), "log_likelihood": values})
        for name, values in heights.items()
    )
    assert lower_likelihood(fits, "A", "B") == proportion([False, False, True])
    assert lower_likelihood(fits, "B", "A") == proportion([False, False, False])
    assert lower_likelihood(fits, "A", "C").n == 0


@pytest.mark.parametrize("undefined", [PRIOR, PLANE, SAME], ids=["prior", "plane", "same"])
def test_nothing_is_marked_where_standard_errors_are_not_known(undefined):
    (condition,) = design(grid=grid(undefined)).conditions
    rows = tables(APART, np.zeros((2, 3, 2)))
    assert mark_badly_wrong(condition, rows) is rows


@pytest.mark.parametrize(
    ("asked", "got"),
    [
        ({"grid": grid(PRIOR)}, "drawn"),
        ({"grid": grid(PLANE)}, "apart"),
        ({"grid": grid(SAME)}, "apart"),
        ({"grid": grid(truth(weights=[1.0, 0.0]))}, "apart"),
        ({"grid": grid(CLOSE), "covariance": "tied"}, "close"),
    ],
    ids=["prior", "plane", "same", "no weight", "tied"],
)
def test_claims_where_it_is_undefined_are_refused(asked, got):
    """They could never be judged."""
    about = claim(measure="badly_wrong", parameter=None, between=None, below=0.1)
    rule = f"claim 'means': measure badly_wrong needs univariate mixtures as truths, .*; got '{got}'"
    with pytest.raises(ValueError, match=rule):
        design(claim=[about], **asked)
    design(**asked)

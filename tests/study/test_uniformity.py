"""Ranks in studies: truths from a prior, their ranks among the draws, and the claim that they are uniform."""

import math

import numpy as np
import pytest

from mixtures.comparison.calibration import holm, uniformity
from mixtures.comparison.ranks import N_DRAWS, points_of, rank_fit
from mixtures.model.density import log_responsibilities
from mixtures.model.fit import Draws, Fit, Status
from mixtures.study.claim import PARAMETERS
from mixtures.study.methods import build
from mixtures.study.replicate import Attempt, attempt, generate, record
from mixtures.study.rows import Rows
from mixtures.study.runner import run
from mixtures.study.seeds import stream
from mixtures.study.summary import summarise
from study.designs import claim, design, grid

PRIOR = {"weights": {"dirichlet": 1}, "means": {"normal": [1, 2]}, "sds": {"log_normal": [-0.5, 0.5]}}
RIGHT = {"name": "right", "engine": "conjugate", "prior": PRIOR}
NARROW = RIGHT | {"name": "narrow", "spread": 0.5}
POOR = RIGHT | {"name": "poor", "above": 2.0, "worth": 57.0}
QUANTITIES = [
    "mean 1",
    "log variance 1",
    "log-likelihood",
    "mixture mean",
    "log mixture variance",
    "log density at -1",
    "log density at 1",
    "log density at 3",
]


def study_of(*methods, n=4, replicates=8, **changes):
    truth = {"name": "drawn", "prior": PRIOR}
    return design(
        components=1, method=list(methods), replicates=replicates, grid=grid(truth, n=(n,)), **changes
    )


def says_uniform(method, **changes):
    entry = {"id": method, "measure": "uniformity", "method": method, "above": 0.01}
    return claim(parameter=None, between=None) | entry | changes


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """A study of a right posterior, and of one from a prior half as wide."""
    from study import engines

    with pytest.MonkeyPatch.context() as patch:
        engines.register(patch)
        claims = [says_uniform(name) for name in ("right", "narrow")]
        study = study_of(RIGHT, NARROW, replicates=150, claim=claims)
        return run(study, tmp_path_factory.mktemp("ranks"), n_workers=1)


def test_the_rows_are_the_ranks_of_the_fit():
    study = study_of(RIGHT)
    (condition,), (method,) = study.conditions, study.method
    replicate, rows = generate(study.seed, condition, 3), Rows.empty()
    attempted = attempt(build(method), method.key, replicate, study.seed)
    record(rows, method.key, replicate, attempted)
    expected = rank_fit(
        replicate.truth,
        replicate.dataset.x,
        attempted.fit,
        points=points_of(condition.truth.as_prior()),
        rng=stream(study.seed, condition.key, 3, f"ranks/{method.key}"),
    )
    assert [row.quantity for row in rows.ranks] == list(expected.names) == QUANTITIES
    assert [row.rank for row in rows.ranks] == expected.ranks.tolist()
    assert [(row.truth, row.mean, row.sd) for row in rows.ranks] == [
        *zip(expected.truth, expected.mean, expected.sd, strict=True)
    ]
    assert {(row.condition, row.replicate, row.method, row.n_draws) for row in rows.ranks} == {
        (condition.key, 3, method.key, N_DRAWS)
    }
    assert rows.fits[0].warnings == ""


def test_the_label_rule_of_the_study_is_that_of_its_ranks(rng):
    of_both = [
        design(grid=grid({"name": "drawn", "prior": PRIOR}, n=(15,)), label_rule=rule)
        for rule in ("ordering", "reference")
    ]
    ranks = []
    for study in of_both:
        (condition,), rows = study.conditions, Rows.empty()
        replicate = generate(study.seed, condition, 0)
        drawn = [condition.truth.as_prior().sample(2, seed) for seed in range(N_DRAWS)]
        draws = Draws(*(np.array([[getattr(one, part) for one in drawn]]) for part in PARAMETERS))
        soft = log_responsibilities(drawn[0], replicate.dataset.x)
        fit = Fit("m", study.spec, Status.CONVERGED, drawn[0], soft, draws=draws)
        record(rows, "m", replicate, Attempt(fit, 0.1))
        expected = rank_fit(
            replicate.truth,
            replicate.dataset.x,
            fit,
            points=points_of(condition.truth.as_prior()),
            rng=rng,
            label_rule=study.label_rule,
        )
        ranks.append([row.rank for row in rows.ranks])
        assert ranks[-1] == expected.ranks.tolist()  # without ties
    assert ranks[0] != ranks[1]


def test_only_draws_under_a_truth_from_a_prior_are_ranked():
    constant = design(
        components=1,
        grid=grid(
            {"name": "a", **dict(zip(("weights", "means", "variances"), ([1.0], [0.0], [1.0]), strict=True))}
        ),
    )
    replicate, rows = generate(1, constant.conditions[0], 0), Rows.empty()
    record(rows, "m", replicate, attempt(build(study_of(RIGHT).method[0]), "m", replicate, 1))
    pointwise = generate(1, study_of(RIGHT).conditions[0], 0)
    record(rows, "m", pointwise, attempt(build(design().method[0]), "m", pointwise, 1))
    assert [row.has_estimate for row in rows.fits] == [True, True]
    assert rows.ranks == []
    assert {row.warnings for row in rows.fits} == {""}


def test_too_few_effective_draws_are_a_warning_and_lose_nothing(tmp_path):
    store = run(study_of(POOR, RIGHT, replicates=12), tmp_path, n_workers=1)
    fits, ranks = store.read("fits"), store.read("ranks")
    is_poor = fits["status"] == Status.NOT_MIXED
    assert 0 < is_poor.sum() < 12
    message = "not ranked: draws must be worth at least 99 independent ones to be ranked; got 57"
    assert set(fits.loc[is_poor, "warnings"]) == {message}
    assert set(fits.loc[~is_poor, "warnings"]) == {""}
    assert fits["has_estimate"].all()
    accounts = {one.method: one for one in summarise(store).rank_accounts}
    n_poor = int(is_poor.sum())
    assert (accounts["poor"].n_attempted, accounts["poor"].n_ranked) == (12, 12 - n_poor)
    assert list(accounts["poor"].failing) == sorted(fits.loc[is_poor, "replicate"])
    assert (accounts["right"].n_attempted, accounts["right"].n_ranked, accounts["right"].failing) == (
        12,
        12,
        (),
    )
    assert len(ranks) == (24 - n_poor) * len(QUANTITIES)


def test_an_error_in_the_ranks_is_a_warning(monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("no rank today")

    monkeypatch.setattr("mixtures.study.replicate.rank_fit", fail)
    study, rows = study_of(RIGHT), Rows.empty()
    replicate = generate(1, study.conditions[0], 0)
    fit = build(study.method[0]).fit(replicate.condition.spec, replicate.dataset.x, np.random.default_rng(1))
    record(rows, "m", replicate, Attempt(fit, 0.1))
    (row,) = rows.fits
    assert (row.status, row.warnings) == ("converged", "not ranked: no rank today")
    assert row.hellinger is not None
    assert rows.ranks == []


def test_a_wrong_posterior_is_refuted_and_a_right_one_is_not(judged):
    verdicts = {one.claim.id: one for one in summarise(judged).claims}
    assert {name: one.verdict.value for name, one in verdicts.items()} == {
        "right": "supported",
        "narrow": "refuted",
    }
    for one in verdicts.values():
        ((place, judgement),) = one.judgements
        assert place == "drawn, n = 4"
        assert judgement.lower == judgement.upper == judgement.measure.value
        assert judgement.measure.n == 150


def test_summaries_are_of_the_rows(judged):
    summary, rows = summarise(judged), judged.read("ranks")
    names = {method.key: method.name for method in judged.study().method}
    rows["method"] = rows["method"].map(names)
    assert len(summary.ranks) == 2 * len(QUANTITIES)
    raw = []
    for one in summary.ranks:
        cell = rows[(rows["method"] == one.method) & (rows["quantity"] == one.quantity)]
        raw.append(uniformity(cell["rank"].to_numpy(), N_DRAWS).value)
        assert (one.n_draws, one.p_value.n, one.p_value.value) == (N_DRAWS, 150, raw[-1])
        z = (cell["mean"] - cell["truth"]) / cell["sd"]
        assert one.z.value == pytest.approx(z.mean())
        assert one.z_squared.value == pytest.approx((z**2).mean())
        share = (cell["sd"] ** 2).mean() / cell["truth"].var()
        if one.quantity == "log-likelihood":
            assert math.isnan(one.contraction.value)
        else:
            assert one.contraction.value == pytest.approx(1 - share)
        inside = cell["rank"].between(25, 74).mean()
        assert one.coverage.nearest(0.5).value == inside
        assert one.band.n == 150
    assert [one.adjusted.value for one in summary.ranks] == pytest.approx(holm(raw))


def test_a_method_with_another_prior_is_known_by_it(tmp_path):
    other = PRIOR | {"means": {"normal": [1, 3]}}
    whole = PRIOR | {"means": {"normal": [1.0, 2.0]}}
    study = study_of(RIGHT | {"prior": whole}, RIGHT | {"name": "other", "prior": other}, replicates=2)
    accounts = summarise(run(study, tmp_path, n_workers=1)).rank_accounts
    assert {one.method: one.has_prior_of_truth for one in accounts} == {"right": True, "other": False}


def test_coverage_of_intervals_under_truths_from_a_prior_can_be_claimed(tmp_path):
    """The same idea for a point estimate with intervals: no ranks, but coverage over the prior."""
    covers = claim(id="covers", measure="coverage", between=None, above=0.5)
    study = study_of({"name": "A", "engine": "halves", "intervals": 4.0}, n=30, replicates=40, claim=[covers])
    summary = summarise(run(study, tmp_path, n_workers=1))
    (judged,) = summary.claims
    ((place, judgement),) = judged.judgements
    assert (place, judgement.measure.value, judgement.measure.n) == ("drawn, n = 30, mean 1", 1.0, 40)
    assert judged.verdict == "supported"
    assert summary.ranks == summary.rank_accounts == []


def test_without_ranks_a_claim_is_undecided(tmp_path):
    methods = [RIGHT | {"name": "A", "above": -1e9, "worth": 5.0}]
    study = study_of(*methods, {"name": "B", "engine": "halves"}, claim=[says_uniform("A")])
    summary = summarise(run(study, tmp_path, n_workers=1))
    (account,) = summary.rank_accounts  # of fits that were to be ranked, all of which were attempted
    assert (account.method, account.n_attempted, account.n_ranked) == ("A", 8, 0)
    assert summary.claims[0].verdict == "inconclusive"
    assert summary.claims[0].judgements[0][1].n_needed is None


def test_a_claim_of_uniform_ranks_needs_a_prior_and_draws(tmp_path):
    with pytest.raises(ValueError, match="measure uniformity needs truths drawn from a prior; got 'apart'"):
        design(claim=[says_uniform("A")])
    with pytest.raises(ValueError, match="versus"):
        study_of(RIGHT, NARROW, claim=[says_uniform("right", versus="narrow")])
    study = study_of({"name": "A", "engine": "em"}, claim=[says_uniform("A")])
    with pytest.raises(ValueError, match="needs a method with posterior draws; got 'A', whose engine 'em'"):
        run(study, tmp_path, n_workers=1)

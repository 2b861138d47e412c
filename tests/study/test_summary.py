"""From rows to measures and verdicts; and that a broken engine is found out."""

import errno
import math
import os
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from mixtures.comparison.performance import Measure
from mixtures.model.fit import Diagnostic, Intervals
from mixtures.study.runner import run
from mixtures.study.store import Store
from mixtures.study.summary import summarise
from mixtures.study.tables import _with_misses
from study.designs import CLOSE, PRIOR, claim, design, grid, truth

_replace = os.replace

A = {"name": "A", "engine": "halves", "noise": 0.3, "intervals": 1.0}
B = {"name": "B", "engine": "unsettled", "above": 1.6}
F = {"name": "F", "engine": "raising", "above": 1.5}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Results of a study with intervals, fits that fail or have not converged, and unequal replicates."""
    from study import engines

    with pytest.MonkeyPatch.context() as patch:
        engines.register(patch)
        study = design(method=[A | {"replicates": 15}, B, F], grid=grid(truth(), CLOSE), replicates=10)
        return run(study, tmp_path_factory.mktemp("summary"), n_workers=1)


@pytest.fixture
def summary(results):
    return summarise(results)


def rows(store, kind, method, condition):
    """Return the rows of a method in a condition, straight from the tables."""
    frame = store.read(kind)
    key = {one.name: one.key for one in store.study().method}[method]
    return frame[(frame["method"] == key) & (frame["condition"] == condition.key)].set_index("replicate")


def cells(results, summary):
    """Yield each parameter's summary with its rows."""
    for one in summary.parameters:
        frame = rows(results, "parameters", one.method, one.condition)
        place = (frame["parameter"] == one.parameter) & (frame["component"] == one.component)
        yield one, frame[place & (frame["axis"] == one.axis)]


def test_everything_is_accounted_for(results, summary):
    assert len(summary.accounts) == 2 * 3
    for account in summary.accounts:
        fits = rows(results, "fits", account.method, account.condition)
        assert account.n_planned == account.n_attempted == len(fits) == (15 if account.method == "A" else 10)
        assert account.statuses == fits["status"].value_counts().to_dict()
        assert sum(account.statuses.values()) == account.n_attempted
        assert account.n_estimates == fits["has_estimate"].sum()
        assert account.n_ambiguous == (fits["is_ambiguous"].astype(object) == True).sum()  # noqa: E712
        assert account.n_warned == 0
        assert account.n_spurious is None
    failing = [account for account in summary.accounts if account.method == "F"]
    assert all(0 < account.n_estimates < 10 for account in failing)
    assert {"converged", "error"} == set(failing[0].statuses)


def test_parameters_have_the_measures_of_their_rows(results, summary):
    assert len(summary.parameters) == 2 * 3 * 6
    for one, cell in cells(results, summary):
        errors = cell["estimate"] - cell["truth"]
        n = len(cell)
        assert one.measures["bias"].n == n
        assert one.measures["bias"].value == pytest.approx(errors.mean())
        assert one.measures["bias"].mcse == pytest.approx(errors.std() / math.sqrt(n))
        assert one.measures["empirical_se"].value == pytest.approx(errors.std())
        assert one.measures["mse"].value == pytest.approx((errors**2).mean())
        assert one.measures["rmse"].value == pytest.approx(math.sqrt((errors**2).mean()))
        assert one.truth == cell["truth"].iloc[0]
        if one.truth:
            assert one.measures["relative_bias"].value == pytest.approx(errors.mean() / one.truth)
        else:
            assert math.isnan(one.measures["relative_bias"].value)


def test_intervals_have_their_coverage(results, summary):
    for one, cell in cells(results, summary):
        if one.method != "A":
            assert "coverage" not in one.measures
            continue
        covers = (cell["lower"] <= cell["truth"]) & (cell["truth"] <= cell["upper"])
        share = covers.mean()
        assert one.measures["coverage"].value == share
        assert one.measures["coverage"].mcse == pytest.approx(math.sqrt(share * (1 - share) / len(cell)))
        assert one.measures["interval_width"].value == pytest.approx(2.0)
        assert one.measures["model_se"].value == pytest.approx(1.0)
    assert len({one.measures["coverage"].value for one in summary.parameters if one.method == "A"}) > 1


def test_sensitivity_uses_converged_fits_only(results, summary):
    is_smaller = False
    for one, cell in cells(results, summary):
        status = rows(results, "fits", one.method, one.condition)["status"]
        settled = cell[status.loc[cell.index] == "converged"]
        errors = settled["estimate"] - settled["truth"]
        assert one.converged["bias"].n == len(settled)
        assert one.converged["bias"].value == pytest.approx(errors.mean())
        is_smaller |= 0 < len(settled) < len(cell)
        assert one.measures["bias"].n == len(cell)
    assert is_smaller


def test_fits_have_the_measures_of_their_rows(results, summary):
    for one in summary.fits:
        if one.method == "oracle":
            continue
        fits = rows(results, "fits", one.method, one.condition)
        for name in ("hellinger", "kl", "total_variation", "log_score", "brier", "error_rate", "seconds"):
            assert one.measures[name].value == pytest.approx(fits[name].mean())
            assert one.measures[name].n == fits[name].notna().sum()
        assert one.measures["failure_rate"].value == (~fits["has_estimate"]).mean()
        assert one.measures["not_converged_rate"].value == (fits["status"] != "converged").mean()
        assert one.measures["failure_rate"].n == one.measures["not_converged_rate"].n == len(fits)
    unsettled = [one.measures for one in summary.fits if one.method == "B"]
    assert {measures["failure_rate"].value for measures in unsettled} == {0.0}
    assert any(measures["not_converged_rate"].value > 0 for measures in unsettled)


def test_an_estimate_without_intervals_is_a_miss_where_its_method_gives_some():
    """Of soft assignments, whether the method gave others or none; one component leaves nothing to hold."""
    fits = pd.DataFrame(
        {
            "method": ["A", "A", "A", "B", "C"],
            "has_estimate": [True, True, False, True, True],
            "soft_coverage": [0.9, None, None, None, None],
        }
    )
    study = design(method=[A, B, A | {"name": "C", "noise": 0.1}])
    np.testing.assert_array_equal(_with_misses(fits, study), [0.9, 0.0, np.nan, np.nan, 0.0])
    one = study.model_copy(update={"components": 1})
    np.testing.assert_array_equal(_with_misses(fits, one), [0.9, np.nan, np.nan, np.nan, np.nan])


def test_the_oracle_is_scored_on_the_data_of_the_first_method(results, summary):
    oracles = [one for one in summary.fits if one.method == "oracle"]
    assert len(oracles) == 2
    for one in oracles:
        fits = rows(results, "fits", "A", one.condition)
        assert one.measures["brier"].value == pytest.approx(fits["oracle_brier"].mean())
        assert one.measures["brier"].n == 15
        assert one.measures["bayes_error"].value == pytest.approx(fits["bayes_error"].iloc[0])


def test_differences_are_taken_on_the_common_replicates(results, summary):
    assert {(pair.method, pair.versus) for pair in summary.pairs} == {("B", "A"), ("F", "A"), ("F", "B")}
    for pair in summary.pairs:
        a, b = (rows(results, "fits", name, pair.condition) for name in (pair.method, pair.versus))
        both = a["kl"].notna() & b["kl"].reindex(a.index).notna()
        gap = (a["kl"] - b["kl"].reindex(a.index))[both]
        assert pair.differences["kl"].n == both.sum() <= 10
        assert pair.differences["kl"].value == pytest.approx(gap.mean())
        assert pair.differences["kl"].mcse == pytest.approx(gap.std() / math.sqrt(len(gap)))
        stored = rows(results, "pairs", pair.method, pair.condition)
        versus = {one.name: one.key for one in results.study().method}[pair.versus]
        distances = stored[stored["versus"] == versus]["soft_assignment_distance"]
        assert pair.distances["soft_assignment_distance"].n == len(distances) == both.sum()
        assert pair.distances["soft_assignment_distance"].value == pytest.approx(distances.mean())


def test_differences_of_errors_are_paired(results, summary):
    for pair in summary.pairs:
        parameters = [
            rows(results, "parameters", name, pair.condition) for name in (pair.method, pair.versus)
        ]
        first, second = (
            frame[(frame["parameter"] == "means") & (frame["component"] == 2)] for frame in parameters
        )
        common = first.index.intersection(second.index)
        errors = [(frame["estimate"] - frame["truth"]).loc[common] for frame in (first, second)]
        bias = pair.parameter_differences["bias", "means", 2, 1]
        assert bias.n == len(common)
        assert bias.value == pytest.approx((errors[0] - errors[1]).mean())
        gaps = errors[0] ** 2 - errors[1] ** 2
        mse = pair.parameter_differences["mse", "means", 2, 1]
        assert mse.value == pytest.approx(gaps.mean())
        assert mse.mcse == pytest.approx(gaps.std() / math.sqrt(len(common)))
        assert ("coverage", "means", 2, 1) not in pair.parameter_differences


def test_bins_are_added_over_replicates(results, summary):
    assert {one.method for one in summary.calibration} >= {"A", "B", "F"}
    for curve in summary.calibration:
        if curve.method == "oracle":
            continue
        frame = rows(results, "reliability", curve.method, curve.condition)
        assert [one.bin for one in curve.bins] == sorted(frame["bin"].unique())
        for one in curve.bins:
            cell = frame[frame["bin"] == one.bin]
            assert one.count == cell["count"].sum()
            assert one.assigned == pytest.approx(cell["assigned"].sum() / one.count)
            assert (one.bin - 1) / 10 <= one.assigned <= one.bin / 10
            assert one.belonging.value == pytest.approx(cell["belonging"].sum() / one.count)
            assert one.belonging.n == len(cell)
            assert 0 <= one.lower <= one.belonging.value <= one.upper <= 1


# What is missing --------------------------------------------------------------------------------


def test_a_study_that_has_not_run_has_a_summary(tmp_path):
    claims = [claim(), claim(id="kl", measure="kl", parameter=None, between=None, below=1.0)]
    claims += [claim(id="pair", versus="B"), claim(id="rate", measure="failure_rate", parameter=None)]
    store = Store.prepare(tmp_path, design(method=[A, B], claim=claims).to_toml())
    summary = summarise(store)
    assert [(one.n_planned, one.n_attempted, one.n_estimates) for one in summary.accounts] == [(4, 0, 0)] * 2
    assert summary.parameters == []
    assert [one.verdict for one in summary.claims] == ["inconclusive"] * 4
    assert not any(one.is_post_hoc for one in summary.claims)


def test_a_method_that_never_has_an_estimate(tmp_path):
    claims = [claim(), claim(id="other", method="A"), claim(id="pair", versus="A")]
    claims = [one | {"method": "D"} if one["id"] != "other" else one for one in claims]
    store = run(
        design(method=[A, {"name": "D", "engine": "degenerate"}], claim=claims, replicates=6),
        tmp_path,
        n_workers=1,
    )
    summary = summarise(store)
    assert {one.method for one in summary.parameters} == {"A"}
    (fits,) = [one for one in summary.fits if one.method == "D"]
    assert (fits.measures["kl"].n, fits.measures["failure_rate"].value) == (0, 1.0)
    (pair,) = summary.pairs
    assert pair.distances["soft_assignment_distance"].n == 0
    assert pair.parameter_differences == {}
    verdicts = {one.claim.id: one for one in summary.claims}
    assert verdicts["means"].verdict == verdicts["pair"].verdict == "inconclusive"
    for name in ("means", "pair"):
        assert [place for place, _ in verdicts[name].judgements] == [
            "apart, n = 40, mean 1",
            "apart, n = 40, mean 2",
        ]


def test_a_claim_is_not_supported_by_some_of_its_conditions(tmp_path):
    """All fits of one condition fail: what is claimed of both is not known."""
    far = truth(name="far", means=[100.0, 105.0])
    methods = [{"name": "A", "engine": "raising", "above": 50.0}]
    wide = {"measure": "bias", "between": [-50.0, 50.0]}
    study = design(
        method=methods,
        grid=grid(truth(), far),
        claim=[claim(id="both", **wide), claim(id="one", truth=["apart"], **wide)],
    )
    both, one = summarise(run(study, tmp_path, n_workers=1)).claims
    assert (both.verdict, one.verdict) == ("inconclusive", "supported")
    assert len(both.judgements) == 4


def test_a_missing_interval_is_a_miss(tmp_path, monkeypatch):
    from study import engines

    def without_some(self, estimate):
        """Give no interval to components on the left."""
        given = original(self, estimate)
        is_left = estimate.means < -0.4
        ends = [replace(end, means=np.where(is_left, np.nan, end.means)) for end in (
            given.standard_errors, given.lower, given.upper
        )]  # fmt: skip
        return Intervals(given.level, *ends)

    original = engines.Halves._intervals
    monkeypatch.setattr(engines.Halves, "_intervals", without_some)
    store = run(design(method=[A | {"intervals": 50.0}], replicates=20), tmp_path, n_workers=1)
    (one,) = [one for one in summarise(store).parameters if (one.parameter, one.component) == ("means", 1)]
    assert one.measures["bias"].n == 20
    assert one.measures["coverage"].n == 20
    assert 0 < one.measures["coverage"].value < 1
    given = one.measures["coverage_given_interval"]
    assert given.value == 1.0
    assert given.n == one.measures["interval_width"].n == round(20 * one.measures["coverage"].value)


def test_infinite_scores_are_not_clipped(tmp_path, monkeypatch):
    from study import engines

    def certain(self, spec, x, rng):
        fit = original(self, spec, x, rng)
        with np.errstate(divide="ignore"):
            hard = np.log(np.eye(2)[1 - fit.assignments])
        return replace(fit, log_responsibilities=hard)

    original = engines.Halves.fit
    monkeypatch.setattr(engines.Halves, "fit", certain)
    store = run(design(replicates=3), tmp_path, n_workers=1)
    (fits, _) = summarise(store).fits
    assert (fits.measures["log_score"].value, fits.measures["log_score"].n) == (math.inf, 3)
    assert fits.measures["log_score_finite"].n == 0


def test_finite_scores_stand_beside_infinite_ones(tmp_path, monkeypatch):
    from study import engines

    def certain_once(self, spec, x, rng):
        fit = original(self, spec, x, rng)
        calls.append(fit)
        if len(calls) > 1:
            return fit
        with np.errstate(divide="ignore"):
            return replace(fit, log_responsibilities=np.log(np.eye(2)[1 - fit.assignments]))

    calls, original = [], engines.Halves.fit
    monkeypatch.setattr(engines.Halves, "fit", certain_once)
    store = run(design(replicates=4), tmp_path, n_workers=1)
    scores = store.read("fits")["log_score"]
    finite = scores[np.isfinite(scores)]
    (fits, _) = summarise(store).fits
    assert fits.measures["log_score"].value == math.inf
    assert fits.measures["log_score_finite"].n == len(finite) == 3
    assert fits.measures["log_score_finite"].value == pytest.approx(finite.mean())
    assert "brier_finite" not in fits.measures


def test_fits_with_a_spurious_maximum_are_counted_and_left_out_beside(tmp_path, monkeypatch):
    from study import engines

    def sometimes(self, spec, x, rng):
        fit = original(self, spec, x, rng)
        calls.append(fit)
        return replace(fit, diagnostics=(Diagnostic("spurious_set_aside", float(len(calls) % 3 == 0)),))

    calls, original = [], engines.Halves.fit
    monkeypatch.setattr(engines.Halves, "fit", sometimes)
    store = run(design(replicates=7), tmp_path, n_workers=1)
    summary = summarise(store)
    (account,) = summary.accounts
    assert account.n_spurious == 2
    for one in (*summary.parameters, *(fit for fit in summary.fits if fit.method != "oracle")):
        name = "bias" if "bias" in one.measures else "kl"
        assert (one.measures[name].n, one.without_spurious[name].n) == (7, 5)
    rows, counts = store.read("parameters"), store.read("diagnostics").set_index("replicate")["value"]
    one = summary.parameters[0]
    cell = rows[(rows["parameter"] == one.parameter) & (rows["component"] == one.component)]
    kept = cell[cell["replicate"].map(counts) == 0]
    assert one.without_spurious["bias"].value == pytest.approx((kept["estimate"] - kept["truth"]).mean())


def test_rows_without_their_fit_are_left_out(tmp_path, monkeypatch):
    """A disk that fails just before the fits are stored leaves their parameters behind."""

    def fail_at_fits(source, target):
        if "/fits/" in target:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        _replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail_at_fits)
        with pytest.raises(OSError, match="No space"):
            run(design(method=[A, B]), tmp_path, n_workers=1)
    store = Store.open(tmp_path)
    assert store.parts("parameters")
    assert len(store.has_pair()) == 0
    summary = summarise(store)
    assert summary.parameters == []
    assert summary.calibration == []
    assert summary.pairs[0].distances["soft_assignment_distance"].n == 0


def test_truths_from_a_prior_have_errors_but_no_relative_bias(tmp_path):
    store = run(design(grid=grid(PRIOR), replicates=8), tmp_path, n_workers=1)
    for one, cell in cells(store, summarise(store)):
        assert one.truth is None
        assert "relative_bias" not in one.measures
        errors = cell["estimate"] - cell["truth"]
        assert one.measures["bias"].value == pytest.approx(errors.mean())
        assert one.measures["empirical_se"].value == pytest.approx(errors.std())


# Claims -----------------------------------------------------------------------------------------


def test_a_claim_is_judged_on_every_condition_and_component(tmp_path):
    claims = [claim(), claim(id="one", component=2, truth=["close"])]
    store = run(design(grid=grid(truth(), CLOSE), claim=claims), tmp_path, n_workers=1)
    both, one = summarise(store).claims
    assert [place for place, _ in both.judgements] == [
        "apart, n = 40, mean 1",
        "apart, n = 40, mean 2",
        "close, n = 40, mean 1",
        "close, n = 40, mean 2",
    ]
    assert [place for place, _ in one.judgements] == ["close, n = 40, mean 2"]
    measure = one.judgements[0][1].measure
    halves = (one.judgements[0][1].upper - measure.value) / measure.mcse
    assert halves == pytest.approx(t.ppf(1 - 0.01 / (2 * 5), measure.n - 1))  # five judgements in all


@pytest.mark.parametrize("order", [["A", "B"], ["B", "A"]])
def test_a_difference_is_that_of_the_claim_whatever_the_order(tmp_path, order):
    methods = {"A": A, "B": {"name": "B", "engine": "halves", "shift": 2.0}}
    claims = [
        claim(id="b", method="B", versus="A", between=None, above=1.0),
        claim(id="a", method="A", versus="B", between=None, below=-1.0),
        claim(id="kl", measure="kl", parameter=None, method="B", versus="A", between=None, above=0.0),
    ]
    study = design(method=[methods[name] for name in order], claim=claims, replicates=20)
    b, a, kl = summarise(run(study, tmp_path, n_workers=1)).claims
    for (_, one), (_, other) in zip(b.judgements, a.judgements, strict=True):
        assert one.measure.value == pytest.approx(2.0, abs=0.5)
        assert other.measure == Measure(-one.measure.value, one.measure.mcse, 20)
    assert (b.verdict, a.verdict, kl.verdict) == ("supported", "supported", "supported")


def test_pairs_stay_when_the_file_lists_methods_in_another_order(tmp_path):
    study = design(method=[A, B], replicates=6)
    (before,) = summarise(run(study, tmp_path, n_workers=1)).pairs
    (after,) = summarise(run(design(method=[B, A], replicates=6), tmp_path, n_workers=1)).pairs
    assert (before.method, after.method) == ("B", "A")
    assert after.distances == before.distances
    assert after.distances["soft_assignment_distance"].n == 6


def test_a_claim_made_after_data_exist_is_post_hoc(tmp_path):
    run(design(claim=[claim()]), tmp_path, n_workers=1)
    store = run(design(claim=[claim(), claim(id="late", between=[-0.4, 0.4])]), tmp_path, n_workers=1)
    assert {one.claim.id: one.is_post_hoc for one in summarise(store).claims} == {
        "means": False,
        "late": True,
    }


def test_a_method_and_its_claim_added_later_are_post_hoc(tmp_path):
    run(design(), tmp_path, n_workers=1)
    grown = design(method=[{"name": "A", "engine": "halves"}, B], claim=[claim(method="B")])
    (one,) = summarise(run(grown, tmp_path, n_workers=1)).claims
    assert one.is_post_hoc


# The check can fail, and it can pass ------------------------------------------------------------

UNEQUAL = truth(weights=[0.75, 0.25], means=[0.0, 5.0])
RECOVERY_CLAIMS = [
    claim(id="means", method="engine", between=[-0.2, 0.2]),
    claim(id="variances", method="engine", parameter="variances", between=[-0.5, 0.5]),
    claim(id="weights", method="engine", parameter="weights", between=[-0.05, 0.05]),
    claim(id="density", method="engine", measure="hellinger", parameter=None, between=None, below=0.15),
]


@pytest.mark.parametrize(
    ("engine", "verdict"),
    [("quick_em", "supported"), ("swapped", "refuted")],
    ids=["sound", "weights swapped"],
)
def test_an_engine_that_swaps_weights_is_refuted_on_weights_and_stands_on_means(tmp_path, engine, verdict):
    study = design(
        method=[{"name": "engine", "engine": engine}],
        grid=grid(UNEQUAL, n=[200]),
        claim=RECOVERY_CLAIMS,
        replicates=60,
    )
    summary = summarise(run(study, tmp_path, n_workers=1))
    verdicts = {one.claim.id: one.verdict for one in summary.claims}
    assert verdicts == {
        "means": "supported",
        "variances": "supported",
        "weights": verdict,
        "density": verdict,
    }
    if engine == "swapped":
        weights = {one.component: one for one in summary.parameters if one.parameter == "weights"}
        assert weights[1].measures["bias"].value == pytest.approx(-0.5, abs=0.03)
        assert weights[2].measures["bias"].value == pytest.approx(0.5, abs=0.03)


def test_em_recovers_well_separated_components_as_theory_says(tmp_path):
    """At separation 5 the labels are all but known: means, variances and weights vary as sample ones do.

    Standard errors sd / sqrt(n w), v sqrt(2 / (n w)) and sqrt(w (1 - w) / n), a few per cent more for
    what overlap remains; six measures at 4 Monte Carlo errors and 5%.
    """
    n, weights = 500, np.array([0.6, 0.4])
    study = design(
        method=[{"name": "EM", "engine": "em", "n_starts": 2}],
        grid=grid(truth(weights=weights.tolist()), n=[n]),
        replicates=200,
    )
    summary = summarise(run(study, tmp_path, n_workers=1))
    expected = {
        "means": 1 / np.sqrt(n * weights),
        "variances": np.sqrt(2 / (n * weights)),
        "weights": np.sqrt(weights * (1 - weights) / n),
    }
    assert [account.statuses for account in summary.accounts] == [{"converged": 200}]
    for one in summary.parameters:
        theory = expected[one.parameter][one.component - 1]
        spread, bias = one.measures["empirical_se"], one.measures["bias"]
        assert abs(spread.value - theory) < 4 * spread.mcse + 0.05 * theory
        assert abs(bias.value) < 4 * bias.mcse + 0.02
        assert bias.mcse == pytest.approx(theory / math.sqrt(200), rel=0.25)

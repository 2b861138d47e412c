import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mixtures.comparison.difficulty import Difficulty
from mixtures.model.fit import Diagnostic, Draws, Status
from mixtures.report import figures, numbers
from mixtures.report.page import render_study, write_study_report
from mixtures.study.replay import find_replicate
from mixtures.study.store import Store
from mixtures.study.summary import parameter_name, summarise
from report.pages import check_page
from report.stores import PLANE, PRIOR, TWO, failed_fit, make_store, noisy_fit


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("two"), TWO)


@pytest.fixture(scope="module")
def page(store):
    return check_page(render_study(store))


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """Stores of other designs, and their pages."""
    stores = [make_store(tmp_path_factory.mktemp("other"), text) for text in (PRIOR, PLANE)]
    return {
        name: (one, check_page(render_study(one)))
        for name, one in zip(("five components from a prior", "two dimensions"), stores, strict=True)
    }


def test_the_report_is_written_beside_the_rows(store):
    path = write_study_report(store)
    assert path == str(store.folder / "report.html")
    assert Path(path).read_text(encoding="utf-8") == render_study(store)
    assert not list(store.folder.glob(".*"))


def test_the_same_rows_give_the_same_bytes(store):
    assert render_study(store) == render_study(Store.open(store.folder))


def test_every_claim_has_its_verdict_and_judgements(store, page):
    claims = summarise(store).claims
    assert {claim.verdict for claim in claims} == {"supported", "refuted", "inconclusive"}
    for claim in claims:
        (head,) = [row[0] for row in page.rows if f"{claim.claim.id}: {claim.claim.text}" in row[0]]
        assert head.split()[1] == claim.verdict.value
        for place, judgement in claim.judgements:
            rows = [row for row in page.rows if row[0] == place and row[5:6] == [judgement.verdict.value]]
            assert any(numbers.estimate(judgement.measure) == row[2] for row in rows)
    assert f"correction over all {sum(len(claim.judgements) for claim in claims)} judgements" in page.text


def test_verdicts_come_before_everything_else(page):
    headings = [attributes["id"] for tag, attributes in page.tags if tag == "h2"]
    assert headings[:2] == ["claims", "accounting"]


def test_the_accounting_counts_every_fit(store, page):
    for account in summarise(store).accounts:
        cells = [str(n) for n in (account.n_planned, account.n_attempted, account.n_estimates)]
        rows = [row for row in page.rows if row[:4] == [account.method, *cells]]
        assert {row[-2] for row in rows} == {numbers.MISSING}
        assert len(rows) == 2
    assert "Not converged" in page.text
    assert "stopped <early>" in page.text


def test_replicates_by_a_rule_are_reported_with_the_error_reached(store, page):
    assert (
        "The number of replicates was chosen by a rule: a condition ends once the Monte Carlo error of bias "
        "of means is at most 0.001 for every method, looked at after 3 replicates and then every 3"
    ) in page.text
    for stop in summarise(store).stops:
        for method, cap in (("EM", "8"), ("NUTS", "4")):
            error = numbers.number(stop.errors[method])
            assert [method, cap, cap, error, "all replicates made"] in page.rows


def spurious_fit(replicate, method, rng):
    """A noisy fit; of the first two replicates it met a spurious maximum."""
    return replace(
        noisy_fit(replicate, method, rng),
        warnings=(f"a maximum with log-likelihood {rng.normal():.6f} was set aside",),
        diagnostics=(Diagnostic("spurious_set_aside", float(replicate.index < 2)),),
    )


def test_spurious_maxima_are_counted_and_left_out_beside(tmp_path):
    page = check_page(render_study(make_store(tmp_path, TWO, spurious_fit)))
    heads = [row for row in page.rows if "Spurious mode set aside" in row]
    place = heads[0].index("Spurious mode set aside")
    assert {row[place] for row in page.rows if row[:2] == ["EM", "8"] and len(row) == len(heads[0])} == {"2"}
    assert "8 fits of this study" in page.text
    assert page.text.count("Sensitivity: fits that set no spurious maximum aside") == 4


def test_messages_that_differ_in_numbers_are_of_one_kind(tmp_path):
    page = check_page(render_study(make_store(tmp_path, TWO, spurious_fit)))
    rows = [row for row in page.rows if "was set aside" in row[-1]]
    assert [row[:3] for row in rows] == [
        ["EM", "converged", "14"],
        ["NUTS", "converged", "6"],
        ["EM", "not converged", "2"],
        ["NUTS", "not converged", "2"],
    ]
    assert all("the numbers differ" in row[-1] for row in rows)


def test_failures_have_the_command_that_replays_one(tmp_path):
    store = make_store(tmp_path, TWO, failed_fit)
    page = check_page(render_study(store))
    rows = [row for row in page.rows if row[-1].startswith("all starts collapsed")]
    assert len(rows) == 2
    for row in rows:
        words = shlex.split(row[-1].removeprefix("all starts collapsed"))
        assert words[:3] == ["mixtures", "replay", "."]
        given = dict(zip(words[3::2], words[4::2], strict=True))
        condition, (method,) = find_replicate(
            store, given["--condition"], int(given["--replicate"]), given["--method"]
        )
        assert condition in store.study().conditions
        assert method.name == row[0]
    assert "mixtures failures . lists all fits" in page.text


def test_only_fits_that_did_not_converge_have_a_command(page):
    rows = [row for row in page.rows if "stopped <early>" in row[-1]]
    assert rows
    assert all(row[1] == "not converged" and "mixtures replay . --condition" in row[-1] for row in rows)
    assert sum("mixtures replay" in row[-1] for row in page.rows) == len(rows)


def test_coverage_has_its_nominal_level(page, tmp_path):
    assert any("Coverage of 95% intervals" in row for row in page.rows)
    assert "Nominal level of the intervals: 95% for NUTS." in page.text
    other = TWO.replace('engine = "nuts"', 'engine = "nuts"\nlevel = 0.9')
    assert "Coverage of 90% intervals" in check_page(render_study(make_store(tmp_path, other))).text


def test_infinite_scores_stand_beside_finite_ones(tmp_path):
    def fit(replicate, method, rng):
        noisy = noisy_fit(replicate, method, rng)
        if replicate.index != 1:
            return noisy
        with np.errstate(divide="ignore"):
            return replace(noisy, log_responsibilities=np.log(np.eye(2)[1 - noisy.assignments]))

    store = make_store(tmp_path, TWO, fit)
    page = check_page(render_study(store))
    one = summarise(store).fits[0]
    finite = one.measures["log_score_finite"]
    assert finite.n == 7
    assert any(f"1 infinite, else {numbers.estimate(finite)} n = 7" in row for row in page.rows)


def test_open_intervals_stand_beside_closed_ones(tmp_path):
    def fit(replicate, method, rng):
        noisy = noisy_fit(replicate, method, rng)
        if replicate.index != 1 or noisy.intervals is None:
            return noisy
        upper = replace(noisy.intervals.upper, means=np.full((2, 1), np.inf))
        return replace(noisy, intervals=replace(noisy.intervals, upper=upper))

    store = make_store(tmp_path, TWO, fit)
    page = check_page(render_study(store))
    parameters = summarise(store).parameters
    one = next(one for one in parameters if (one.method, one.parameter) == ("NUTS", "means"))
    closed = one.measures["interval_width_finite"]
    assert (one.measures["interval_width"].value, closed.n) == (np.inf, one.measures["bias"].n - 1)
    assert any(f"1 infinite, else {numbers.estimate(closed)} n = {closed.n}" in row for row in page.rows)


def test_the_verdicts_are_counted(page):
    assert "3 claims: 1 supported, 1 refuted, 1 inconclusive" in page.text


def test_the_calibration_of_the_oracle_is_drawn(store):
    (svg,) = re.findall(
        r'<svg[^>]*aria-label="apart[^"]*calibration.*?</svg>', render_study(store), re.DOTALL
    )
    assert ">oracle</text>" in svg
    assert "oracle" in {one.method for one in summarise(store).calibration}


def test_intervals_of_soft_assignments_have_a_table_where_there_are_some(tmp_path):
    def banded_fit(replicate, method, rng):
        fit = noisy_fit(replicate, method, rng)
        ends = np.stack([0.7 * fit.responsibilities, np.minimum(1.3 * fit.responsibilities, 1)], axis=-1)
        return replace(fit, responsibility_intervals=ends) if method.engine == "nuts" else fit

    store = make_store(tmp_path / "some", TWO, banded_fit)
    found = check_page(render_study(store))
    for one in summarise(store).fits:
        measures = [one.measures.get(name) for name in ("soft_coverage", "soft_interval_width")]
        if one.method == "NUTS":
            assert 0 < measures[0].value < 1
            cells = [numbers.estimate(measure) for measure in measures]
            assert any(row[0] == "NUTS" and row[2:] == cells for row in found.rows)
    assert "share that hold the oracle’s, and width" in found.text
    without = make_store(tmp_path / "none", TWO.replace('engine = "nuts"', 'engine = "em"\nn_starts = 3'))
    assert "share that hold the oracle’s, and width" not in check_page(render_study(without)).text


def test_fits_badly_wrong_have_a_table_where_that_is_defined(tmp_path, page, others):
    def often_failed(replicate, method, rng):
        return (
            failed_fit(replicate, method, rng) if replicate.index < 2 else noisy_fit(replicate, method, rng)
        )

    failing = make_store(tmp_path / "failing", TWO, often_failed)
    found = check_page(render_study(failing))
    for one in summarise(failing).fits:
        if one.method != "oracle":
            measure = one.measures["badly_wrong"]
            assert measure.value == 2 / measure.n
            assert [one.method, str(measure.n), numbers.estimate(measure)] in found.rows
    assert "Fits badly wrong" in page.text
    for _, other in others.values():
        assert "Fits badly wrong" not in other.text


def test_lower_likelihoods_have_a_table_wherever_there_are_two_methods(store, page, others):
    """In two dimensions too, where no fit is marked as badly wrong; not where a method is alone."""
    for results, found in ((store, page), others["two dimensions"]):
        for pair in summarise(results).pairs:
            for one, other in ((pair.method, pair.versus), (pair.versus, pair.method)):
                lower = pair.lower_likelihood[one]
                cells = [pair.condition.name, f"{one} against {other}", str(lower.n), numbers.estimate(lower)]
                assert cells in found.rows
        assert "Which method has the lower likelihood" in found.text
    assert "Which method has the lower likelihood" not in others["five components from a prior"][1].text


def test_calibration_stands_in_numbers_too(store, page):
    for curve in summarise(store).calibration:
        for one in curve.bins:
            ends = f"[{one.lower:.3f}, {one.upper:.3f}]"
            cells = [str(one.count), str(one.belonging.n), f"{one.assigned:.3f}"]
            rows = [row for row in page.rows if row[0] == curve.method and row[2:5] == cells]
            assert any(row[5:] == [numbers.estimate(one.belonging), ends] for row in rows)


def test_runs_that_are_not_recorded_are_said_not_to_be(tmp_path):
    store = make_store(tmp_path, TWO)
    shutil.rmtree(tmp_path / "runs")
    assert "not recorded" in check_page(render_study(store)).text


def test_diagnostics_are_summarised(page):
    first, second = (row for row in page.rows if row[:2] == ["NUTS", "worst R-hat of the gate"])
    assert first[2:] == second[2:] == ["4", "1", "1.002", "1.003"]
    assert page.rows[page.rows.index(first) - 1] == ["apart, n = 60"]


def test_recovery_tables_hold_the_numbers_of_the_summary(store, page):
    for one in summarise(store).parameters:
        wanted = [numbers.estimate(one.measures[name]) for name in ("bias", "empirical_se", "rmse")]
        (row,) = [row for row in page.rows if all(text in row for text in wanted) and one.method in row]
        assert str(one.measures["bias"].n) in row
        if one.method == "NUTS":
            for name in ("coverage", "bias_eliminated_coverage", "model_se", "relative_error_model_se"):
                assert numbers.estimate(one.measures[name]) in row
    assert parameter_name("means", 2, 1) in {row[0] for row in page.rows}


def test_paired_differences_are_on_common_replicates(store, page):
    for pair in summarise(store).pairs:
        for measure in ("bias", "mse"):
            difference = pair.parameter_differences[measure, "means", 1, 1]
            assert difference.n == 4
            assert any(
                row[:2] == ["mean 1", "4"] and numbers.estimate(difference) in row for row in page.rows
            )
        precision = numbers.estimate(pair.relative_precision["means", 1, 1])
        assert any(row[:2] == ["mean 1", "4"] and row[-1] == precision for row in page.rows)


def test_density_and_assignment_tables_hold_the_numbers_of_the_summary(store, page):
    for fit in summarise(store).fits:
        for name, measure in fit.measures.items():
            if name != "bayes_error":
                assert any(numbers.estimate(measure) in row for row in page.rows), name


def test_converged_fits_alone_stand_beside(page):
    assert page.text.count("Sensitivity: converged fits only") == 4
    assert len(page.all("details")) == 7  # two hold calibration in numbers, and one the study file


def test_conditions_have_their_difficulty(store, page):
    for condition in store.study().conditions:
        theory = Difficulty.of(condition.truth.as_mixture(), condition.n)
        (row,) = [
            row for row in page.rows if row[1:2] == [str(condition.n)] and row[0] == condition.truth.name
        ]
        shown = (theory.separation, theory.overlap.largest, theory.bayes_error)
        assert row[3:6] == [numbers.number(value, 3) for value in shown]
        assert row[7].startswith(f"weight {numbers.number(theory.standard_errors.weights[0], 2)}; means ")


def test_names_are_escaped(store):
    text = render_study(store)
    assert "<b>one</b>" not in text
    assert "close <i>" not in text
    assert "&lt;b&gt;one&lt;/b&gt;" in text


def test_every_condition_has_its_figures(page):
    # recovery of three kinds of parameters, density, along x, agreement and calibration, and one of seconds
    assert len(page.all("figure")) == 2 * 7 + 1


def test_the_provenance_says_how_to_run_it_again(store, page):
    assert "mixtures run study.toml --out" in page.text
    assert (store.folder / "study.toml").read_text(encoding="utf-8").strip() in page.text
    for method in store.study().method:
        assert method.key in page.text


def test_other_designs_are_reported(others):
    for _, page in others.values():
        assert "The study makes no claims" in page.text
        assert "there is no coverage to show" in page.text


def drawn_fit(replicate, method, rng):
    """A noisy fit with draws from the prior; those of the second replicate are too few."""
    drawn = [replicate.condition.truth.as_prior().sample(5, rng) for _ in range(100)]
    n_draws = 50 if replicate.index == 1 else 100
    weights = np.array([one.weights for one in drawn[:n_draws]])
    means, variances = (
        np.array([getattr(one, name) for one in drawn[:n_draws]]) for name in ("means", "variances")
    )
    return replace(
        noisy_fit(replicate, method, rng),
        status=Status.NOT_MIXED if replicate.index == 2 else Status.CONVERGED,
        draws=Draws(weights[None], means[None], variances[None]),
    )


def test_ranks_have_their_tables_and_figures(tmp_path):
    store = make_store(tmp_path, PRIOR, drawn_fit)
    page, summary = check_page(render_study(store)), summarise(store)
    assert ["only", "3", "2", "1", "2"] in page.rows  # attempted, ranked, not converged, and which
    assert "not ranked: draws must be worth at least 99 independent ones" in page.text
    assert "Components are in the order of their means, in the truth as in every draw" in page.text
    assert "The prior of only is not the one that truths are drawn from" in page.text
    assert len(summary.ranks) == 4 + 5 + 5 + 6
    for one in summary.ranks:
        row = next(row for row in page.rows if row[:2] == [one.quantity, "2"])
        assert row[2:4] == [numbers.number(p.value, 2) for p in (one.p_value, one.adjusted)]
        assert row[5:7] == [numbers.estimate(measure) for measure in (one.z, one.z_squared)]
        assert row[-1] == numbers.estimate(one.coverage.nearest(0.9))
    (svg,) = re.findall(
        r'<svg[^>]*aria-label="[^"]*ECDF of the ranks.*?</svg>', render_study(store), re.DOTALL
    )
    assert all(f">{one.quantity}</text>" in svg for one in summary.ranks)


def test_fits_that_were_to_be_ranked_and_were_not_are_accounted_for(tmp_path):
    text = PRIOR.replace('engine = "em"', 'engine = "nuts"').replace(
        "[grid]", 'label_rule = "reference"\n[grid]'
    )
    page = check_page(render_study(make_store(tmp_path, text)))
    assert ["only", "3", "0", "0", "none"] in page.rows  # attempted, ranked, not converged, and which
    assert "Components are assigned to those of a reference computed from the data alone, in" in page.text
    assert "No truth was ranked" in page.text
    assert "chi-square" not in page.text


def test_without_ranks_nothing_is_said_of_them(page):
    assert "Calibration of the posterior" not in page.text


def test_axes_are_told_apart(others):
    _, page = others["two dimensions"]
    assert {"mean 2", "mean 2, axis 2"} <= {row[0] for row in page.rows}


def test_methods_that_all_failed_are_said_to_have(tmp_path):
    page = check_page(render_study(make_store(tmp_path, TWO, failed_fit)))
    assert page.text.count("No fit of this condition has an estimate") == 2
    assert "all starts collapsed" in page.text
    assert page.text.count("inconclusive") >= 3


def test_one_method_may_fail_alone(tmp_path):
    def fit(replicate, method, rng):
        return (failed_fit if method.name == "NUTS" else noisy_fit)(replicate, method, rng)

    page = check_page(render_study(make_store(tmp_path, TWO, fit)))
    assert "No replicate has an estimate by both NUTS and EM" in page.text


def test_no_rows_make_a_report_that_says_so(tmp_path):
    page = check_page(render_study(Store.prepare(tmp_path, TWO)))
    assert "No fit is stored yet" in page.text
    assert not page.all("figure")


def test_one_replicate_shows_no_estimate(tmp_path):
    page = check_page(render_study(make_store(tmp_path, TWO.replace("replicates = 8", "replicates = 1"))))
    row = page.row("weight 1", "0.6", "EM")
    assert row[3:7] == ["1", numbers.MISSING, numbers.MISSING, numbers.MISSING]


def test_a_folder_that_cannot_be_written_is_named(store, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.replace", refuse)
    with pytest.raises(ValueError, match="must be writable; Permission denied") as error:
        write_study_report(store)
    assert str(store.folder) in str(error.value)


def test_of_many_points_some_are_drawn_and_the_captions_say_so(tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "MOST_POINTS", 5)
    page = check_page(render_study(make_store(tmp_path, TWO)))
    assert (
        page.text.count("Of 8 points of a kind 5 are drawn.") == 7
    )  # three parameters of two truths, and time

import pytest

from mixtures.report import numbers
from mixtures.report.page import render_study, write_study_report
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


def test_the_report_is_written_beside_the_rows(store):
    path = write_study_report(store)
    assert path == store.folder / "report.html"
    assert path.read_text(encoding="utf-8") == render_study(store)
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
        assert any(row[-9:-6] == cells or row[-8:-5] == cells for row in page.rows)
    assert "Not converged" in page.text
    assert "stopped <early>" in page.text


def test_diagnostics_are_summarised(page):
    row = page.row("apart, n = 60", "NUTS", "worst R-hat of the gate")
    assert row[3:] == ["4", "1", "1.002", "1.003"]


def test_recovery_tables_hold_the_numbers_of_the_summary(store, page):
    for one in summarise(store).parameters:
        wanted = [numbers.estimate(one.measures[name]) for name in ("bias", "empirical_se", "rmse")]
        (row,) = [row for row in page.rows if all(text in row for text in wanted) and one.method in row]
        assert str(one.measures["bias"].n) in row
        if one.method == "NUTS":
            assert numbers.estimate(one.measures["coverage"]) in row
    assert parameter_name("means", 2, 1) in {row[0] for row in page.rows}


def test_paired_differences_are_on_common_replicates(store, page):
    for pair in summarise(store).pairs:
        for measure in ("bias", "mse"):
            difference = pair.parameter_differences[measure, "means", 1, 1]
            assert difference.n == 4
            assert any(
                row[:2] == ["mean 1", "4"] and numbers.estimate(difference) in row for row in page.rows
            )


def test_density_and_assignment_tables_hold_the_numbers_of_the_summary(store, page):
    for fit in summarise(store).fits:
        for name, measure in fit.measures.items():
            if name != "bayes_error":
                assert any(numbers.estimate(measure) in row for row in page.rows), name


def test_converged_fits_alone_stand_beside(page):
    assert page.text.count("Sensitivity: converged fits only") == 4
    assert len(page.all("details")) == 5


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


@pytest.mark.parametrize("text", [PRIOR, PLANE], ids=["five components from a prior", "two dimensions"])
def test_other_designs_are_reported(tmp_path, text):
    page = check_page(render_study(make_store(tmp_path, text)))
    assert "The study makes no claims" in page.text
    assert "there is no coverage to show" in page.text


def test_axes_are_told_apart(tmp_path):
    page = check_page(render_study(make_store(tmp_path, PLANE)))
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

    monkeypatch.setattr("pathlib.Path.write_bytes", refuse)
    with pytest.raises(ValueError, match="must be writable; Permission denied") as error:
        write_study_report(store)
    assert str(store.folder) in str(error.value)

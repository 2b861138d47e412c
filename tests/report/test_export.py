import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from mixtures.bayes.compile import Sample, SampleStats
from mixtures.bayes.draws import MixtureDraws
from mixtures.bayes.posterior import Posterior
from mixtures.bayes.relabel import Relabel
from mixtures.comparison.single import KnownGroups
from mixtures.em.fitter import EM
from mixtures.model.density import log_responsibilities
from mixtures.model.files import read_data
from mixtures.model.fit import Fit, Status
from mixtures.model.labels import align
from mixtures.model.mixture import NormalMixture
from mixtures.model.prior import Prior
from mixtures.model.spec import MixtureSpec
from mixtures.report import export
from mixtures.report.data_fit import DataFit
from mixtures.report.export import as_json, assignments, write_fit
from report.pages import check_page
from report.stores import intervals_about

TRUTH = NormalMixture.univariate([0.5, 0.5], [2.0, 9.0], [1.0, 1.0])


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    rng = np.random.default_rng(4)
    groups = rng.integers(0, 3, 90)
    frame = pd.DataFrame(
        {
            "mass <g>": np.where(groups == 1, 2.0, 9.0) + rng.normal(size=90),
            "kind": np.array(list("abc"))[groups],
        }
    )
    frame.loc[[3, 7], "mass <g>"] = np.nan
    frame.loc[5, "kind"] = None
    path = tmp_path_factory.mktemp("data") / "animals.csv"
    frame.to_csv(path, index=False)
    return read_data(path, ["mass <g>"], label_column="kind")


@pytest.fixture(scope="module")
def fits(data):
    x = data.dataset.x
    em = EM().fit(MixtureSpec(2), x, 1)
    other = em.estimate.permuted(np.argsort(-em.estimate.means[:, 0]))
    soft = log_responsibilities(other, x)
    bands = np.exp(soft)[..., None].repeat(2, axis=2)
    posterior = Fit(
        "NUTS",
        em.spec,
        Status.CONVERGED,
        estimate=other,
        log_responsibilities=soft,
        intervals=intervals_about(other, 0.2),
        responsibility_intervals=bands,
        warnings=("x has <ties>",),
    )
    return em, posterior


def result_of(data, fits, **settings):
    return DataFit.of(
        "animals.csv", data, fits, seed=1, command="mixtures fit animals.csv", label_column="kind", **settings
    )


def test_components_of_all_engines_have_one_order(data, fits):
    result = result_of(data, fits)
    assert [fit.estimate.means[:, 0].argsort().tolist() for fit in result.fits] == [[0, 1], [0, 1]]
    assert result.agreement.distance.total_variation < 1e-12


def test_known_groups_that_make_up_the_components_order_them(data, fits):
    result = result_of(data, fits, groups=[["a", "c"], ["b"]])
    assert result.fits[0].estimate.means[0, 0] > result.fits[0].estimate.means[1, 0]
    assert result.known.component_names == ("a+c", "b")
    assert result.scores[0].scores.error_rate < 0.05
    assert result.scores[0].error_after_best_mapping is None
    assert align(result.fits[0].estimate, result.fits[1].estimate).permutation.tolist() == [0, 1]


def test_groups_that_are_not_the_components_give_only_partitions(data, fits):
    scores = result_of(data, fits).scores
    assert [score.method for score in scores] == ["EM", "NUTS"]
    assert scores[0].scores is None
    assert scores[0].error_after_best_mapping < 0.05
    assert scores[0].n == scores[0].counts.sum() == 87


@pytest.mark.parametrize(
    ("groups", "rule"),
    [
        ([["a"]], "must make up 2 components; got 1"),
        ([["a"], ["z"]], "must be among a, b, c; got 'z'"),
        ([["a", "b"], ["a"]], "each group must be named once; got 'a' 2 times"),
    ],
)
def test_wrong_groups_are_named(groups, rule):
    with pytest.raises(ValueError, match=rule):
        KnownGroups.of(np.array([0, 1, 2]), ("a", "b", "c"), 2, groups)


def test_assignments_read_back_equal(tmp_path, data, fits):
    result = result_of(data, fits)
    write_fit(tmp_path, result)
    frame = pd.read_csv(tmp_path / "assignments.csv")
    assert list(frame) == [
        "data_row",
        "mass <g>",
        "kind",
        "EM_component_1",
        "EM_component_2",
        "EM_assignment",
        "EM_doubt_overlap",
        "EM_doubt_parameters",
        "EM_stability",
        "EM_in_doubt_by",
        "NUTS_component_1",
        "NUTS_component_1_lower",
        "NUTS_component_1_upper",
        "NUTS_component_2",
        "NUTS_component_2_lower",
        "NUTS_component_2_upper",
        "NUTS_assignment",
    ]
    assert frame["data_row"].tolist() == [row + 1 for row in range(90) if row not in (3, 7)]
    assert frame["mass <g>"].to_numpy() == pytest.approx(data.dataset.x[:, 0], rel=0, abs=0)
    np.testing.assert_array_equal(
        frame[["EM_component_1", "EM_component_2"]], result.fits[0].responsibilities
    )
    np.testing.assert_array_equal(frame["EM_assignment"], result.fits[0].assignments + 1)
    assert frame["kind"].isna().sum() == 1
    assert len(assignments(result)) == 88


def test_json_reads_back_equal(tmp_path, data, fits):
    result = result_of(data, fits, groups=[["a", "c"], ["b"]])
    write_fit(tmp_path, result)
    read = json.loads((tmp_path / "fit.json").read_text(encoding="utf-8"))
    fresh = as_json(result)
    assert {**read, "environment": 0} == {**fresh, "environment": 0}
    em, nuts = read["fits"]
    assert em["estimate"]["means"] == result.fits[0].estimate.means[:, 0].tolist()
    assert em["em"]["is_maximum"] is True
    assert em["em"]["bic"] == pytest.approx(-2 * em["log_likelihood"] + 5 * math.log(88))
    assert em["intervals"] is None
    assert nuts["intervals"]["upper"]["weights"] == result.fits[1].intervals.upper.weights.tolist()
    assert nuts["em"] is None
    assert nuts["log_likelihood"] is None
    assert read["data"]["n_missing"] == 2
    assert read["known_groups"]["components"] == ["a+c", "b"]


def test_the_page_says_what_was_fitted(tmp_path, data, fits):
    write_fit(tmp_path, result_of(data, fits, groups=[["a", "c"], ["b"]]))
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    page = check_page(text)
    assert "2 rows with a missing value left out" in page.text
    assert "x has <ties>" in page.text
    assert "<ties>" not in text
    assert page.row("Certified as a maximum")[1] == "yes"
    assert {"weight 1", "mean 2", "sd 1"} <= {row[0] for row in page.rows}
    assert "mixtures fit animals.csv" in page.text


def test_the_page_says_that_a_mapping_is_chosen_on_the_labels(tmp_path, data, fits):
    write_fit(tmp_path, result_of(data, fits))
    page = check_page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "chosen on the labels, and flatters" in page.text
    assert "Log score" not in page.text


def test_fits_without_estimates_leave_files_too(tmp_path, data):
    failed = Fit("EM", MixtureSpec(2), Status.DEGENERATE, message="all starts collapsed")
    paths = write_fit(tmp_path, result_of(data, [failed]))
    assert [path.name for path in paths] == ["assignments.csv", "report.html", "fit.json"]
    page = check_page(paths[1].read_text(encoding="utf-8"))
    assert "No fit has an estimate" in page.text
    assert "all starts collapsed" in page.text


def test_several_dimensions_without_labels(tmp_path, rng):
    path = tmp_path / "plane.csv"
    pd.DataFrame(rng.normal(size=(60, 2)) + 4 * rng.integers(0, 2, 60)[:, None], columns=["u", "v"]).to_csv(
        path, index=False
    )
    data = read_data(path, ["u", "v"])
    fit = EM().fit(MixtureSpec(2), data.dataset.x, 1)
    result = DataFit.of("plane.csv", data, [fit], seed=1, command="mixtures fit plane.csv")
    write_fit(tmp_path / "out", result)
    page = check_page((tmp_path / "out" / "report.html").read_text(encoding="utf-8"))
    assert "mean 2, v" in {row[0] for row in page.rows}
    assert len(as_json(result)["fits"][0]["estimate"]["covariances"][0]) == 2


def test_a_folder_that_cannot_be_written_is_named(tmp_path, data, fits):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ValueError, match="file: the folder must be writable"):
        write_fit(tmp_path / "file", result_of(data, fits))


@pytest.fixture(scope="module")
def sampled(data):
    """A fit with draws about the truth, its components in decreasing order of means; no sampler runs."""
    rng, shape, x = np.random.default_rng(8), (2, 60, 2), data.dataset.x
    draws = MixtureDraws(
        rng.dirichlet([50, 50], shape[:2]), rng.normal([9, 2], 0.1, shape), rng.gamma(200, 0.005, shape)
    )
    stats = SampleStats(*np.zeros((8, *shape[:2]), dtype=bool))
    prior = Prior.weakly_informative(x, 2)
    posterior = Posterior.of(Sample(draws, stats), prior, x[:, 0], method=Relabel.NONE)
    soft = posterior.soft_assignments(0.9)
    return Fit(
        "NUTS",
        MixtureSpec(2),
        Status.CONVERGED,
        estimate=posterior.mean(),
        log_responsibilities=soft.log_responsibilities,
        log_likelihood=-100.0,
        intervals=posterior.intervals(0.9),
        responsibility_intervals=soft.intervals,
        draws=posterior.draws,
        details=posterior,
    )


def test_draws_are_left_in_the_common_order(tmp_path, data, fits, sampled):
    result = result_of(data, [fits[0], sampled])
    paths = write_fit(tmp_path, result)
    assert paths[1].name == "posterior.nc"
    tree = xr.open_datatree(paths[1], engine="h5netcdf")
    np.testing.assert_array_equal(tree["posterior"]["means"], sampled.details.means[..., ::-1])
    np.testing.assert_array_equal(tree["posterior"]["component"], [0, 1])
    assert set(tree.children) == {"posterior", "sample_stats", "observed_data", "log_likelihood"}
    tree.close()


def test_diagnostics_follow_the_common_order(tmp_path, data, fits, sampled):
    result = result_of(data, [fits[0], sampled])
    account = as_json(result)["fits"][1]
    assert account["estimate"]["means"][0] < account["estimate"]["means"][1]
    assert account["intervals"]["level"] == 0.9
    names = sampled.details.parameters.names
    by_name = {row["name"]: row["rhat"] for row in account["posterior"]["diagnostics"]["parameters"]}
    assert list(by_name) == ["weight 1", "weight 2", "mean 1", "mean 2", "sd 1", "sd 2"]
    assert by_name["mean 1"] == sampled.details.parameters.rhat[names.index("means[1]")]
    write_fit(tmp_path, result)
    page = check_page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert page.row("mean 1", f"{by_name['mean 1']:.3f}")
    assert "90% interval" in page.text
    assert "2 chains of 60 draws; 0 divergent" in page.text


def test_several_fits_by_one_engine_have_sections_and_draws_of_their_own(tmp_path, data, fits, sampled):
    one_start = replace(EM(n_starts=1).fit(MixtureSpec(2), data.dataset.x, 3), method="one start")
    other = replace(sampled, method="NUTS <2>")
    paths = write_fit(tmp_path, result_of(data, [fits[0], one_start, sampled, other]))
    assert [path.name for path in paths] == [
        "assignments.csv",
        "posterior.nc",
        "posterior-2.nc",
        "report.html",
        "fit.json",
    ]
    page = check_page((tmp_path / "report.html").read_text(encoding="utf-8"))
    linked = [attributes["href"] for attributes in page.all("a")]
    assert linked[-5:] == ["#em", "#em-2", "#posterior", "#posterior-2", "#provenance"]
    for method in ("EM", "one start"):
        assert f"{method}: certificate and starts" in page.text
    for method in ("NUTS", "NUTS <2>"):
        assert f"{method}: diagnostics" in page.text
    assert "Those of NUTS and NUTS <2> are averages over the draws" in page.text
    starts = [row for row in page.rows if row[0] == "Starts"]
    assert [row[1] for row in starts] == [str(fits[0].details.n_starts), "1"]


def test_no_file_of_an_earlier_fit_stays(tmp_path, data, fits):
    for name in ("posterior.nc", "posterior-2.nc"):
        (tmp_path / name).write_text("of other data", encoding="utf-8")
    (tmp_path / "mine.txt").write_text("not ours", encoding="utf-8")
    write_fit(tmp_path, result_of(data, fits[:1]))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "assignments.csv",
        "fit.json",
        "mine.txt",
        "report.html",
    ]


def test_an_interrupt_while_writing_leaves_nothing(tmp_path, data, fits, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(export, "render_fit", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_fit(tmp_path, result_of(data, fits[:1]))
    assert list(tmp_path.iterdir()) == []

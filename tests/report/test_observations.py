"""Doubt in the files of a fit: overlapping components, by EM and by draws that stand in for a posterior."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from mixtures.comparison.doubt import Doubt
from mixtures.em.approximation import normal_draws
from mixtures.em.fitter import EM
from mixtures.model.files import read_data
from mixtures.model.fit import Draws, Fit, Status
from mixtures.model.spec import MixtureSpec
from mixtures.report import numbers
from mixtures.report.data_fit import DataFit
from mixtures.report.export import as_json, write_fit
from mixtures.report.observations import draw_reliability, most_doubtful
from report.pages import check_page


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    rng = np.random.default_rng(9)
    kind = rng.integers(0, 2, 150)
    x = (3 * kind + rng.normal(size=150)).round(1)
    path = tmp_path_factory.mktemp("data") / "near.csv"
    pd.DataFrame({"x": x, "kind": np.array(["a", "b"])[kind]}).to_csv(path, index=False)
    return read_data(path, ["x"], label_column="kind")


@pytest.fixture(scope="module")
def result(data):
    x = data.dataset.x
    em = EM().fit(MixtureSpec(2), x, 1)
    draws = normal_draws(em.estimate, x, em.spec.covariance, n_draws=200, rng=np.random.default_rng(2))
    soft = Doubt.at(draws, x).responsibilities.values
    ends = np.stack([soft / 2, (1 + soft) / 2], axis=-1)
    other = Fit(
        "NUTS",
        em.spec,
        Status.CONVERGED,
        estimate=em.estimate,
        log_responsibilities=np.log(soft),
        responsibility_intervals=ends,
        draws=draws,
    )
    return DataFit.of("near.csv", data, [em, other], seed=1, command="mixtures fit", label_column="kind")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, result):
    folder = tmp_path_factory.mktemp("fit")
    write_fit(folder, result)
    return folder


@pytest.fixture(scope="module")
def page(folder):
    return check_page((folder / "report.html").read_text(encoding="utf-8"))


def test_doubt_stands_in_every_file(folder, result, page):
    frame = pd.read_csv(folder / "assignments.csv")
    account = json.loads((folder / "fit.json").read_text(encoding="utf-8"))
    for fit, doubt, one in zip(result.fits, result.doubts, account["fits"], strict=True):
        np.testing.assert_array_equal(frame[f"{fit.method}_doubt_overlap"], doubt.overlap.values)
        np.testing.assert_array_equal(frame[f"{fit.method}_doubt_parameters"], doubt.parameters.values)
        sources = frame[f"{fit.method}_in_doubt_by"].value_counts()
        counts = [150 - sources["none"], sources.get("overlap", 0), sources.get("parameters", 0)]
        counts.append((frame[f"{fit.method}_stability"] < 0.95).sum())
        assert list(one["doubt"].values()) == counts
        assert min(counts[0], counts[3]) > 5
        assert page.row(fit.method, *map(str, counts))


def test_doubt_is_over_the_draws_of_a_fit_or_over_a_normal_approximation(result, data):
    of_draws = Doubt.at(result.fits[1].draws, data.dataset.x)
    np.testing.assert_array_equal(result.doubts[1].total.values, of_draws.total.values)
    gap = result.doubts[0].total.values - of_draws.total.values  # EM's own draws, of the same distribution
    assert 0 < np.abs(gap).max() < 5 * np.hypot(result.doubts[0].total.mcse, of_draws.total.mcse).max()


def test_doubt_is_over_the_resamples_of_a_bootstrap_in_the_common_order(data):
    fit = EM(intervals="bootstrap", n_resamples=60).fit(MixtureSpec(2), data.dataset.x, 3)
    for groups in ([["a"], ["b"]], [["b"], ["a"]]):
        result = DataFit.of("near.csv", data, [fit], seed=1, command="", groups=groups)
        found, order = fit.details.bootstrap, result.orders[0]
        arrays = (found.weights[:, order], found.means[:, order], found.covariances[:, order, 0])
        by_hand = Doubt.at(Draws(*(array[None] for array in arrays)), data.dataset.x)
        soft = result.doubts[0].responsibilities.values
        np.testing.assert_array_equal(soft, by_hand.responsibilities.values)
        assert np.abs(soft - result.fits[0].responsibilities).max() < 0.2
    (account,) = as_json(result)["fits"]
    entries = account["em"]["bootstrap"]
    counts = {name: entries[name] for name in ("n_resamples", "n_flipped", "n_collapsed", "n_not_converged")}
    assert counts == {name: getattr(found, name) for name in counts}
    assert {type(count) for count in counts.values()} == {int}
    assert set(entries) - set(counts) == {"mcse_of_errors", "mcse_of_ends"}
    assert 0 < entries["mcse_of_errors"] < entries["mcse_of_ends"] < 1
    refused = replace(fit, intervals=None)  # its resamples are those that are left of many
    plain = EM(start=fit.estimate).fit(MixtureSpec(2), data.dataset.x, 3)
    of_refused, of_plain = (
        DataFit.of("near.csv", data, [one], seed=1, command="") for one in (refused, plain)
    )
    soft, expected = (each.doubts[0].responsibilities.values for each in (of_refused, of_plain))
    np.testing.assert_allclose(soft, expected, atol=1e-6)
    assert as_json(of_plain)["fits"][0]["em"]["bootstrap"] is None


def test_the_least_certain_observations_are_listed_once_each(result, data, page):
    lines = most_doubtful(result)
    assert len({tuple(line.values) for line in lines}) == len(lines) == 20
    x, soft = data.dataset.x[:, 0], result.fits[0].responsibilities
    worst = int(soft.max(axis=1).argmin())
    (line,) = [line for line in lines if line.values == [numbers.number(x[worst])]]
    assert line.n == (x == x[worst]).sum()
    assert line.row == np.flatnonzero(x == x[worst])[0] + 1
    assert line.component == soft[worst].argmax() + 1
    cells = page.row(str(line.row), str(line.n), *line.values, str(line.component))
    lower, upper = result.fits[1].responsibility_intervals[worst, line.component - 1]
    assert cells[4] == f"{soft[worst].max():.3f}"
    assert f"[{lower:.3f}, {upper:.3f}]" in cells
    assert len(cells) == 4 + 4 + 5  # EM has no intervals here


def test_reliability_is_drawn_where_groups_are_components(page, data):
    assert "95% Wilson intervals" in page.text
    three = EM().fit(MixtureSpec(3), data.dataset.x, 1)
    other = DataFit.of("near.csv", data, [three], seed=1, command="mixtures fit")
    assert other.scores[0].scores is None
    assert list(draw_reliability(other)) == []


def test_what_has_no_uncertainty_has_no_doubt(data):
    one = EM().fit(MixtureSpec(1), data.dataset.x, 1)
    result = DataFit.of("near.csv", data, [one], seed=1, command="mixtures fit")
    assert result.doubts == (None,)
    assert most_doubtful(result) == []
    bare = replace(EM().fit(MixtureSpec(2), data.dataset.x, 1), details=None)
    result = DataFit.of("near.csv", data, [bare], seed=1, command="mixtures fit")
    assert result.doubts == (None,)
    assert {entry.overlap for line in most_doubtful(result) for entry in line.entries} == {numbers.MISSING}

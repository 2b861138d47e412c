"""Performance from anybody's table: the published worked example, tidy rows, pairing, and bad input."""

import math

import numpy as np
import pandas as pd
import pytest
from references import reference_file

import mixtures as mx
from mixtures.comparison.performance import (
    bias,
    coverage,
    empirical_se,
    model_se,
    monte_carlo_interval,
    paired_proportions,
    relative_precision,
)
from mixtures.comparison.replicates import MEASURES
from mixtures.comparison.table import measure_performance

# Morris, White & Crowther's worked example -------------------------------------------------------

#: Methods are 1 exponential, 2 Weibull, 3 Cox; mechanisms 1 and 2 have gamma 1 and 1.5.
PUBLISHED = [
    (1, 1, "bias", -0.0029, 0.0052),
    (1, 2, "bias", -0.0032, None),
    (1, 3, "bias", -0.0021, None),
    (1, 1, "empirical_se", 0.2093, 0.0037),
    (1, 2, "empirical_se", 0.2094, 0.0037),
    (1, 3, "empirical_se", 0.2091, 0.0037),
    (1, 1, "coverage", 0.9544, 0.0052),
    (2, 1, "bias", 0.0494, 0.0035),
    (2, 2, "bias", 0.0048, 0.0038),
    (2, 3, "bias", 0.0062, 0.0038),
    (2, 1, "relative_error_model_se", 11.46, 1.97),
    (2, 1, "coverage", 0.9600, None),
    (2, 2, "coverage", 0.9556, None),
    (2, 3, "coverage", 0.9575, None),
    (2, 1, "bias_eliminated_coverage", 0.9719, 0.0041),
]


@pytest.fixture(scope="module")
def example():
    """Estimates of the published example, with Wald intervals."""
    columns = {"idrep": "replicate", "theta": "estimate", "se": "standard_error"}
    table = pd.read_csv(reference_file("simtutorial_estimates.csv")).rename(columns=columns)
    table["lower"] = table["estimate"] - 1.959964 * table["standard_error"]
    table["upper"] = table["estimate"] + 1.959964 * table["standard_error"]
    return table


@pytest.mark.parametrize(("dgm", "method", "measure", "value", "mcse"), PUBLISHED)
def test_the_worked_example_as_printed(example, dgm, method, measure, value, mcse):
    rows = measure_performance(example, truth=-0.5, by=["dgm"], theory="normal")
    (row,) = rows[
        (rows["dgm"] == dgm) & (rows["method"] == method) & (rows["measure"] == measure)
    ].itertuples()
    digits = 2 if measure == "relative_error_model_se" else 4
    assert round(row.value, digits) == value
    assert mcse is None or round(row.mcse, digits) == mcse
    assert row.n_replicates == 1600


# Tidy rows --------------------------------------------------------------------------------------

TRUTH = 3.0


def made(n=60, seed=1, gaps=True):
    """Two methods on the same replicates; one fails at times, refuses an interval at times."""
    rng = np.random.default_rng(seed)
    common = rng.normal(0.1, 1, size=n)
    tables = []
    for name, noise in (("A", 0.5), ("B", 0.2)):
        estimate = TRUTH + common + noise * rng.standard_normal(n)
        error = rng.uniform(0.8, 1.2, size=n)
        table = pd.DataFrame({"replicate": np.arange(n), "method": name, "estimate": estimate})
        table["standard_error"] = error
        table["lower"], table["upper"] = estimate - 2 * error, estimate + 2 * error
        if gaps and name == "B":
            table.loc[:4, ["estimate", "standard_error", "lower", "upper"]] = math.nan
            table.loc[5:14, ["lower", "upper"]] = math.nan
            table.loc[15:16, "standard_error"] = math.nan
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def found(rows, method, measure, versus=""):
    of = (rows["method"] == method) & (rows["measure"] == measure) & (rows["versus"] == versus)
    (row,) = rows[of].itertuples(index=False)
    return row


def test_every_measure_has_a_row_for_each_method():
    rows = measure_performance(made(), truth=TRUTH)
    for method in ("A", "B"):
        assert set(rows.loc[rows["method"] == method, "measure"]) == {"failure_rate", *MEASURES}
    assert list(rows.columns) == [
        "method", "versus", "measure", "value", "mcse", "n_replicates", "lower", "upper", "n_needed"
    ]  # fmt: skip


def test_values_are_those_of_the_measures():
    table = made()
    rows = measure_performance(table, truth=TRUTH)
    own = table[table["method"] == "A"]
    for name, expected in {
        "bias": bias(own["estimate"] - TRUTH),
        "empirical_se": empirical_se(own["estimate"] - TRUTH),
        "model_se": model_se(own["standard_error"]),
        "coverage": coverage(own["lower"], own["upper"], TRUTH),
    }.items():
        row = found(rows, "A", name)
        assert (row.value, row.mcse, row.n_replicates) == (expected.value, expected.mcse, expected.n)
        assert (row.lower, row.upper) == monte_carlo_interval(expected, 0.95)


def test_failures_and_refusals_are_counted_as_what_they_are():
    table = made()
    rows = measure_performance(table, truth=TRUTH)
    failed = found(rows, "B", "failure_rate")
    assert (failed.value, failed.n_replicates) == (pytest.approx(5 / 60), 60)
    assert {name: found(rows, "B", name).n_replicates for name in MEASURES} == {
        "bias": 55, "relative_bias": 55, "empirical_se": 55, "mse": 55, "rmse": 55,
        "model_se": 53, "relative_error_model_se": 53, "coverage": 55, "coverage_given_interval": 45,
        "bias_eliminated_coverage": 55, "interval_width": 45,
    }  # fmt: skip
    headline, given = found(rows, "B", "coverage"), found(rows, "B", "coverage_given_interval")
    assert headline.value == pytest.approx(given.value * 45 / 55)


def test_theories_differ_in_the_errors_of_variances_only():
    robust = measure_performance(made(), truth=TRUTH, versus="A")
    normal = measure_performance(made(), truth=TRUTH, versus="A", theory="normal")
    assert robust["value"].equals(normal["value"])
    differ = robust.loc[robust["mcse"].ne(normal["mcse"]) & robust["mcse"].notna(), "measure"]
    assert set(differ) == {"empirical_se", "relative_error_model_se", "relative_precision"}


def test_groups_are_measured_by_themselves():
    first, second = made(seed=1).assign(n=50, setting="x"), made(seed=2).assign(n=100, setting="y")
    rows = measure_performance(pd.concat([first, second]), truth=TRUTH, by=["setting", "n"], versus="A")
    for one, name in ((first, "x"), (second, "y")):
        alone = measure_performance(one, truth=TRUTH, versus="A")
        group = rows[rows["setting"] == name].drop(columns=["setting", "n"]).reset_index(drop=True)
        pd.testing.assert_frame_equal(group, alone)
        assert set(rows.loc[rows["setting"] == name, "n"]) == set(one["n"])


def test_parameters_are_not_pooled_where_by_is_forgotten():
    table = pd.concat([made().assign(parameter="w"), made(seed=2).assign(parameter="mu")])
    with pytest.raises(ValueError, match=r"replicate must name .* \(name in by .*\); got 0 in row 120"):
        measure_performance(table, truth=TRUTH)
    assert set(measure_performance(table, truth=TRUTH, by=["parameter"])["parameter"]) == {"w", "mu"}


def test_a_mapping_of_arrays_will_do():
    rng = np.random.default_rng(3)
    estimates, truths = rng.normal(size=30), rng.normal(size=30)
    rows = measure_performance({"estimate": estimates, "truth": truths})
    assert set(rows["measure"]) == {"failure_rate", "bias", "relative_bias", "empirical_se", "mse", "rmse"}
    assert found(rows, "", "bias").value == pytest.approx((estimates - truths).mean())
    assert math.isnan(found(rows, "", "relative_bias").value)


def test_one_replicate_has_no_monte_carlo_error():
    table = {"estimate": [1.2], "standard_error": [0.3], "lower": [0.6], "upper": [1.8]}
    rows = measure_performance(table, truth=1.0).set_index("measure")
    assert rows["mcse"].isna().all()
    assert rows["n_replicates"].eq(1).all()
    assert tuple(rows.loc["coverage", ["lower", "upper"]]) == pytest.approx((1 / (1 + 1.96**2), 1), abs=1e-4)


def test_a_method_without_an_estimate_has_its_failures():
    table = {"estimate": [math.nan] * 3, "standard_error": [math.nan] * 3}
    rows = measure_performance(table, truth=1.0).set_index("measure")
    assert rows.loc["failure_rate", "value"] == 1
    assert rows["value"].drop("failure_rate").isna().all()


def test_refusing_every_interval_is_missing_it_every_time():
    """Whatever the rest of the table holds: a group is measured as it is measured alone."""
    table = made(gaps=False)
    table["hard"] = table["replicate"] >= 30
    table.loc[(table["method"] == "A") & table["hard"], ["lower", "upper"]] = math.nan
    rows = measure_performance(table, truth=TRUTH, by=["hard"])
    assert found(rows[rows["hard"]], "A", "coverage").value == 0
    assert found(rows[~rows["hard"]], "A", "coverage").value > 0.5
    alone = measure_performance(table[table["hard"]], truth=TRUTH)
    pd.testing.assert_frame_equal(rows[rows["hard"]].drop(columns="hard").reset_index(drop=True), alone)


def test_who_gives_no_intervals_is_not_measured_by_them():
    table = pd.concat([made(gaps=False).assign(parameter=name) for name in ("mean", "weight")])
    table.loc[table["method"].eq("B") | table["parameter"].eq("weight"), ["lower", "upper"]] = math.nan
    without = [{"method": "B"}, {"method": "A", "parameter": "weight"}]
    rows = measure_performance(
        table, truth=TRUTH, by=["parameter"], versus="B", without_intervals=without
    ).set_index(["parameter", "method", "versus"])
    intervals = ["coverage", "coverage_given_interval", "bias_eliminated_coverage", "interval_width"]
    for place in (("mean", "B", ""), ("weight", "A", ""), ("weight", "B", ""), ("mean", "A", "B")):
        assert not set(rows.loc[place, "measure"]) & set(intervals)
    assert set(rows.loc[("mean", "A", ""), "measure"]) > set(intervals)
    rows = measure_performance(table, truth=TRUTH, by=["parameter"])
    assert rows.loc[rows["measure"] == "coverage", "value"].eq(0).sum() == 3  # the control


@pytest.mark.parametrize(
    ("column", "value"),
    [
        (np.float32([0.3, 0.5]), 0.3),
        (np.array([100, 200], dtype=np.int16), 100),
        (pd.to_datetime(["2020-01-01", "2020-01-02"]), "2020-01-01"),
        (pd.PeriodIndex(["2020", "2021"], freq="Y"), "2020"),
        (pd.Categorical(["easy", "hard"]), "easy"),
        (pd.array(["easy", None], dtype="string"), "easy"),
        (pd.array([1, None], dtype="Int64"), 1),
    ],
)
def test_a_part_without_intervals_is_applied_to_the_rows_it_is_found_in(column, value):
    table = pd.concat([made(gaps=False).assign(part=part) for part in pd.Series(column)])
    table["part"] = table["part"].astype(pd.Series(column).dtype)
    without = {"method": "B", "part": value}
    rows = measure_performance(table, truth=TRUTH, by="part", without_intervals=without)
    assert rows["method"][rows["measure"] == "coverage"].tolist() == ["A", "A", "B"]  # B in the second part
    as_sequence = measure_performance(table, truth=TRUTH, by="part", without_intervals=[without])
    pd.testing.assert_frame_equal(rows, as_sequence)


@pytest.mark.parametrize("without", [None, "B", ["B"], 1, ["method", "B"]])
def test_what_names_no_part_is_refused(without):
    with pytest.raises(TypeError, match=r"^without_intervals must be a mapping such as .*; got "):
        measure_performance(PAIRED, truth=0.0, without_intervals=without)


@pytest.mark.parametrize("value", [["A", "B"], ("A", "B"), np.array(["A"]), {"A"}])
def test_a_part_without_intervals_has_one_value_of_each_column(value):
    with pytest.raises(TypeError, match=r"^without_intervals must give one value of each column; got "):
        measure_performance(PAIRED, truth=0.0, without_intervals=[{"method": value}])


def test_open_intervals_cover_and_have_no_finite_width():
    table = {"estimate": [1.0, 2.0, 3.0], "lower": [0.0, -math.inf, 2.0], "upper": [2.0, 3.0, 6.0]}
    rows = measure_performance(table, truth=1.0).set_index("measure")
    assert rows.loc["coverage", "value"] == pytest.approx(2 / 3)
    assert rows.loc["interval_width", "value"] == math.inf
    assert tuple(rows.loc["interval_width_finite", ["value", "n_replicates"]]) == (3.0, 2)
    assert math.isnan(rows.loc["interval_width", "mcse"])


def test_replicates_wanted_are_said_where_asked():
    rows = measure_performance(made(gaps=False), truth=TRUTH, wanted={"bias": 0.01})
    asked = found(rows, "A", "bias")
    assert asked.n_needed == math.ceil(60 * (asked.mcse / 0.01) ** 2)
    assert rows.loc[rows["measure"] != "bias", "n_needed"].isna().all()


# Pairs ------------------------------------------------------------------------------------------


def test_methods_are_paired_by_replicate():
    """Whatever the order of the rows; over the replicates where both have an estimate."""
    table = made().sample(frac=1, random_state=1)
    rows = measure_performance(table, truth=TRUTH, versus="A")
    wide = table.pivot_table(index="replicate", columns="method", values=["estimate", "lower", "upper"])
    wide = wide[wide["estimate"].notna().all(axis=1)]
    a, b = wide["estimate"]["A"] - TRUTH, wide["estimate"]["B"] - TRUTH
    row = found(rows, "B", "bias", "A")
    assert (row.value, row.n_replicates) == (pytest.approx((b - a).mean()), 55)
    assert row.mcse == pytest.approx((b - a).std() / math.sqrt(55))
    assert row.mcse < 0.7 * found(rows, "B", "bias").mcse  # pairing sees what two columns do not
    assert found(rows, "B", "mse", "A").value == pytest.approx((b**2 - a**2).mean())
    expected = relative_precision(b, a)
    row = found(rows, "B", "relative_precision", "A")
    assert (row.value, row.mcse) == (pytest.approx(expected.value), pytest.approx(expected.mcse))
    covers = [(wide["lower"][m] <= TRUTH) & (wide["upper"][m] >= TRUTH) for m in "BA"]
    assert found(rows, "B", "coverage", "A").value == pytest.approx(paired_proportions(*covers).value)
    assert set(rows["versus"]) == {"", "A"}
    assert set(rows.loc[rows["versus"] == "A", "method"]) == {"B"}


def test_methods_may_be_numbers():
    table = made()
    named = measure_performance(table, truth=TRUTH, versus="A")
    table["method"] = table["method"].map({"A": 1, "B": 2})
    numbered = measure_performance(table, truth=TRUTH, versus=1)
    assert numbered["value"].equals(named["value"])
    assert set(numbered["versus"]) == {"", 1}


def test_a_group_without_the_other_method_has_no_pairs():
    table = made().assign(place="x")
    alone = made(seed=2).query("method == 'B'").assign(place="y")
    rows = measure_performance(pd.concat([table, alone]), truth=TRUTH, by=["place"], versus="A")
    assert set(rows.loc[rows["versus"] == "A", "place"]) == {"x"}


# Bad input --------------------------------------------------------------------------------------

GOOD = {"estimate": [1.0, 2.0], "truth": [1.0, 1.0]}
PAIRED = GOOD | {"method": ["A", "B"], "replicate": [1, 1]}
WRONG = {
    "no estimate": ({"truth": [1.0]}, {}, "table must have a column estimate; got truth"),
    "no truth": ({"estimate": [1.0]}, {}, "truth must be either a column of the table or a constant"),
    "two truths": (GOOD, {"truth": 1.0}, "truth must be either a column of the table or a constant"),
    "no rows": ({"estimate": [], "truth": []}, {}, "table must have at least one row"),
    "one end": (GOOD | {"lower": [0.0, 0.0]}, {}, "table must have both lower and upper, or neither"),
    "an infinite estimate": (GOOD | {"estimate": [1.0, math.inf]}, {}, "estimate must be .*; got inf"),
    "a missing truth": (GOOD | {"truth": [math.nan, 1.0]}, {}, "truth must be finite; got nan in row 0"),
    "a negative error": (
        GOOD | {"standard_error": [1.0, -1.0]}, {}, "standard_error must be .*; got -1.0 in row 1"
    ),
    "ends the wrong way": (
        GOOD | {"lower": [0.0, 2.0], "upper": [1.0, 1.0]}, {}, "lower must not exceed upper; got 2.0 in row 1"
    ),
    "a missing method": (GOOD | {"method": ["A", None]}, {}, "method must not be missing"),
    "an unknown group": (GOOD, {"by": ["n"]}, "table must have a column n; got estimate, truth"),
    "a group of estimates": (GOOD, {"by": ["estimate"]}, "by must name further columns"),
    "a group named as a result": (GOOD | {"value": [1, 2]}, {"by": ["value"]}, "by must name further"),
    "an unknown theory": (GOOD, {"theory": "exact"}, "theory must be one of robust, normal; got 'exact'"),
    "a level of 95": (GOOD, {"level": 95}, "level must lie between 0 and 1; got 95"),
    "an unknown measure": (GOOD, {"wanted": {"power": 0.1}}, "wanted must name measures, .*; got 'power'"),
    "no method without intervals": (
        PAIRED, {"without_intervals": [{"method": "C"}]}, "without_intervals must give values of rows .*'C'"
    ),
    "a wrong column without intervals": (
        GOOD, {"without_intervals": [{"n": 1}]}, "without_intervals must give values of method; got {'n': 1}"
    ),
    "no error wanted": (GOOD, {"wanted": {"bias": 0.0}}, "mcse must be positive; got 0.0"),
    "an unknown method": (PAIRED, {"versus": "C"}, "versus must be one of the table's methods; got 'C'"),
    "no replicates": (
        GOOD | {"method": ["A", "B"]}, {"versus": "A"}, "table must have a column replicate"
    ),
    "a replicate twice": (
        PAIRED | {"method": ["A", "A"]}, {}, "replicate must name .* once .*; got 1 in row 1"
    ),
    "a missing replicate": (
        PAIRED | {"replicate": [1.0, math.nan]}, {"versus": "A"}, "replicate must not be missing; .* in row 1"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("table", "settings", "message"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_measured_is_said(table, settings, message):
    with pytest.raises(ValueError, match=message):
        measure_performance(table, **settings)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (["a", "b"], "got 'a' in row 0"),
        ([True, False], "got .*True.* in row 0"),
        ([1 + 1j, 2.0], r"got .*\(1\+1j\).* in row 0"),
        ([1.0, "b"], "got 'b' in row 1"),
        ([1.0, True], "got True in row 1"),
    ],
)
def test_numbers_must_be_numbers(column, message):
    with pytest.raises(TypeError, match=f"estimate must hold numbers; {message}"):
        measure_performance({"estimate": column}, truth=1.0)


def test_numbers_may_come_as_objects():
    """As tables read from elsewhere have them: floats, whole numbers, and what is missing, in any way."""
    plain = pd.DataFrame({"estimate": [1.0, math.nan, 3.0, math.nan], "lower": 0.0, "upper": [2, 3, 4, 5]})
    objects = plain.astype(object)
    objects.loc[1, "estimate"], objects.loc[3, "estimate"] = None, pd.NA
    expected = measure_performance(plain, truth=1.0)
    pd.testing.assert_frame_equal(measure_performance(objects, truth=1.0), expected)


def test_one_column_of_groups_needs_no_list():
    table = made().assign(parameter="w")
    expected = measure_performance(table, truth=TRUTH, by=["parameter"])
    pd.testing.assert_frame_equal(measure_performance(table, truth=TRUTH, by="parameter"), expected)
    with pytest.raises(ValueError, match="table must have a column par; got replicate, method"):
        measure_performance(table, truth=TRUTH, by="par")


def test_the_table_given_stays_as_it_is():
    table = made()
    before = table.copy()
    measure_performance(table, truth=TRUTH)
    pd.testing.assert_frame_equal(table, before)


def test_it_has_a_public_name():
    assert mx.measure_performance is measure_performance

"""What a study file may say, and what it is told where it is wrong."""

import datetime as dt

import pytest

from mixtures.model.mixture import NormalMixture
from mixtures.study.conditions import key_of
from mixtures.study.design import Study
from mixtures.study.methods import build
from study.designs import CLOSE, PRIOR, claim, design, entries, grid, text, truth


def complaint(**changes):
    """Return what a study file is told, which must be an error."""
    with pytest.raises(ValueError, match=r"trial\.toml: ") as caught:
        design(**changes)
    return str(caught.value)


def test_a_valid_file_says_everything():
    study = design(
        grid=grid(truth(), CLOSE, n=[40, 80]),
        method=[
            {"name": "EM", "engine": "em", "n_starts": 3, "replicates": 9},
            {"name": "B", "engine": "halves"},
        ],
        claim=[claim(method="EM", truth=["apart"], n=[80])],
    )
    assert [condition.name for condition in study.conditions] == [
        "apart, n = 40",
        "apart, n = 80",
        "close, n = 40",
        "close, n = 80",
    ]
    assert [study.replicates_of(method) for method in study.method] == [9, 4]
    assert [study.replicates_of(method, 6) for method in study.method] == [6, 4]
    assert study.method[0].settings == {"n_starts": 3}
    assert build(study.method[0]).n_starts == 3
    assert (study.spec.n_components, study.spec.covariance) == (2, "full")
    assert [condition.name for condition in study.conditions_of(study.claim[0])] == ["apart, n = 80"]
    assert study.conditions[0].truth.as_mixture().means[:, 0].tolist() == [0.0, 5.0]


def test_a_claim_is_about_every_condition_unless_it_names_some():
    study = design(grid=grid(truth(), CLOSE, n=[40, 80]), claim=[claim(), claim(id="b", truth=["close"])])
    assert study.conditions_of(study.claim[0]) == study.conditions
    assert study.conditions_of(study.claim[1]) == study.conditions[2:]


def test_the_text_of_a_study_gives_the_study_back():
    study = design(
        grid=grid(truth(), PRIOR, n=[40, 80]),
        method=[
            {"name": "A", "engine": "halves", "replicates": 2},
            {"name": "NUTS", "engine": "nuts", "prior": PRIOR["prior"]},
        ],
        claim=[claim(), claim(id="pair", measure="mse", versus="NUTS", between=None, below=0)],
    )
    again = Study.from_toml(study.to_toml())
    assert again == study
    assert [condition.key for condition in again.conditions] == [
        condition.key for condition in study.conditions
    ]
    assert [method.key for method in again.method] == [method.key for method in study.method]


TABLES = {
    "unknown key": ({"replicate": 3}, "replicate: the key must be one of name, title, aims, seed, "),
    "unknown key in grid": (
        {"grid": grid() | {"m": [1]}},
        "grid.m: the key must be one of n, truth; got 'm'",
    ),
    "unknown key in a truth": (
        {"grid": grid(truth(mean=[1.0]))},
        "grid.truth[1].mean: the key must be one of name, weights, means, variances, covariances, prior; got",
    ),
    "unknown key in a claim": (
        {"claim": [claim(level=0.9)]},
        "claim[1].level: the key must be one of id, text, ",
    ),
    "name missing": ({"name": None}, "name: Field required"),
    "seed missing": ({"seed": None}, "seed: Field required"),
    "name that is no folder": ({"name": "a/b"}, "name: String should match"),
    "seed true": ({"seed": True}, "seed: Input should be a valid integer; got True"),
    "seed text": ({"seed": "7"}, "seed: Input should be a valid integer; got '7'"),
    "seed a fraction": ({"seed": 7.5}, "seed: Input should be a valid integer; got 7.5"),
    "seed negative": ({"seed": -1}, "seed: Input should be greater than or equal to 0; got -1"),
    "replicates zero": ({"replicates": 0}, "replicates: Input should be greater than or equal to 1; got 0"),
    "components zero": ({"components": 0}, "components: Input should be greater than or equal to 1; got 0"),
    "title not text": ({"title": 3}, "title: Input should be a valid string; got 3"),
    "covariance unknown": (
        {"covariance": "round"},
        "must be one of full, diagonal, spherical, tied; got 'round'",
    ),
    "label rule unknown": (
        {"label_rule": "truth", "grid": grid(PRIOR)},
        "label_rule: label_rule must be one of ordering, reference; got 'truth'",
    ),
    "label rule without a prior": (
        {"label_rule": "reference"},
        "label_rule must be left out where no truth is drawn from a prior; got 'reference'",
    ),
    "grid without truths": ({"grid": {"n": [40], "truth": []}}, "grid.truth: List should have at least 1"),
    "grid without n": ({"grid": grid(n=[])}, "grid.n: List should have at least 1"),
    "n below 2": (
        {"grid": grid(n=[40, 1])},
        "grid.n: n must hold distinct numbers of observations, at least 2",
    ),
    "n repeated": ({"grid": grid(n=[40, 40])}, "grid.n: n must hold distinct numbers of observations"),
    "n beyond all memory": (
        {"grid": grid(n=[40, 10**14])},
        "grid.n: n must be at most 1000000000; got 100000000000000",
    ),
    "n true": ({"grid": grid(n=[True])}, "grid.n[1]: Input should be a valid integer; got True"),
    "weights over one": (
        {"grid": grid(truth(weights=[0.7, 0.4]))},
        "weights must sum to 1 within 1e-08; got 1.1",
    ),
    "weight negative": ({"grid": grid(truth(weights=[1.2, -0.2]))}, "grid.truth[1]: weights must"),
    "weight true": (
        {"grid": grid(truth(weights=[0.0, True]))},
        "grid.truth[1].weights[2]: Input should be a valid number",
    ),
    "weight text": (
        {"grid": grid(truth(weights=[0.7, "0.3"]))},
        "grid.truth[1].weights[2]: Input should be a valid number",
    ),
    "mean text": (
        {"grid": grid(truth(means=[0.0, "five"]))},
        "grid.truth[1]: means must hold real numbers; got text",
    ),
    "mean not a number": (
        {"grid": grid(truth(means=[0.0, float("nan")]))},
        "grid.truth[1]: means must be finite",
    ),
    "variance negative": (
        {"grid": grid(truth(variances=[1.0, -1.0]))},
        "grid.truth[1]: variances must be positive",
    ),
    "variance missing": (
        {"grid": grid(truth(variances=None))},
        "a mixture must have the keys weights, means, and",
    ),
    "sizes differ": ({"grid": grid(truth(means=[0.0, 1.0, 2.0]))}, "grid.truth[1]: "),
    "mixture and prior": (
        {"grid": grid(truth(prior=PRIOR["prior"]))},
        "must be a mixture or a prior, not both",
    ),
    "prior of a wrong family": (
        {"grid": grid({"name": "p", "prior": PRIOR["prior"] | {"means": {"cauchy": [0, 1]}}})},
        "grid.truth[1]: means must be a table with one of normal",
    ),
    "prior of true": (
        {"grid": grid({"name": "p", "prior": PRIOR["prior"] | {"weights": {"dirichlet": True}}})},
        "grid.truth[1]: weights.dirichlet: ",
    ),
    "truths of one name": (
        {"grid": grid(truth(), truth(means=[0.0, 6.0]))},
        "each truth must have a name of its own; got 'apart' 2 times",
    ),
    "another k": ({"components": 3}, "grid.truth 'apart' must have 3 components; got 2"),
    "a prior of another k": (
        {"grid": grid({"name": "p", "prior": PRIOR["prior"] | {"weights": {"dirichlet": [1, 1, 1]}}})},
        "grid.truth 'p' must have 2 components; got 3",
    ),
    "no method": ({"method": []}, "method: List should have at least 1"),
    "method without engine": ({"method": [{"name": "A"}]}, "method[1].engine: Field required"),
    "method's replicates true": (
        {"method": [{"name": "A", "engine": "em", "replicates": True}]},
        "method[1].replicates: Input should be a valid integer; got True",
    ),
    "methods of one name": (
        {"method": [{"name": "A", "engine": "em"}, {"name": "A", "engine": "halves"}]},
        "each method must have a name of its own; got 'A' 2 times",
    ),
    "the same method twice": (
        {"method": [{"name": "A", "engine": "em"}, {"name": "B", "engine": "em"}]},
        "methods must differ in engine or settings; got the same twice",
    ),
    "a method of the oracle's name": (
        {"method": [{"name": "oracle", "engine": "em"}]},
        "no method must be called 'oracle'",
    ),
    "too many replicates": (
        {"replicates": 10**9},
        "replicates: Input should be less than or equal to 10000",
    ),
    "the same truth twice": (
        {"grid": grid(truth(), truth(name="another"))},
        "grid.truth must differ in more than their names; got the same twice",
    ),
    "a rule on a measure it cannot use": (
        {"until": {"measure": "seconds", "mcse": 0.1}},
        "until: measure must be one of bias, empirical_se, mse, rmse, coverage, bias_eliminated_coverage, ",
    ),
    "a rule on two methods": (
        {"until": {"measure": "relative_precision", "mcse": 0.1}},
        "until: measure must be one of bias, empirical_se",
    ),
    "a rule on a parameter that there is not": (
        {"until": {"measure": "bias", "mcse": 0.1, "parameter": "sds"}},
        "until: parameter must be one of weights, means, variances; got 'sds'",
    ),
    "a rule on a parameter of a measure that has none": (
        {"until": {"measure": "brier", "mcse": 0.1, "parameter": "means"}},
        "until: parameter must not be given for the measure brier",
    ),
    "a rule that is never met": (
        {"until": {"measure": "bias", "mcse": 0.0}},
        "until.mcse: Input should be greater than 0; got 0.0",
    ),
    "a rule with an unknown key": (
        {"until": {"measure": "bias", "mcse": 0.1, "minimum": 3}},
        "until.minimum: the key must be one of measure, parameter, mcse, least, batch; got 'minimum'",
    ),
    "a rule that never looks": (
        {"until": {"measure": "bias", "mcse": 0.1}},
        "until.least must be below the replicates, of which there are 4 at most; got 500",
    ),
    "a rule on what is not known of the truths": (
        {
            "until": {"measure": "badly_wrong", "mcse": 0.1, "least": 2},
            "grid": grid({"name": "p", "prior": PRIOR["prior"]}),
        },
        "until: measure badly_wrong needs univariate mixtures as truths, of different components",
    ),
    "a date as a setting": (
        {"method": [{"name": "A", "engine": "em", "n_starts": dt.date(2020, 1, 1)}]},
        "method[1]: n_starts must be numbers, text, true or false, in lists or tables; got datetime.date",
    ),
    "a number beyond all floats": (
        {"method": [{"name": "A", "engine": "em", "n_starts": 10**400}]},
        "method[1]: n_starts must be numbers",
    ),
}


@pytest.mark.parametrize(("changes", "message"), TABLES.values(), ids=TABLES)
def test_what_is_wrong_is_named_with_its_rule(changes, message):
    said = complaint(**changes)
    assert said.startswith("trial.toml: ")
    assert message in said
    assert "\n" not in said


TWO = [{"name": "A", "engine": "halves"}, {"name": "B", "engine": "em"}]
CLAIMS = {
    "unknown measure": (claim(measure="luck"), "claim[1]: measure must be one of bias, "),
    "unknown parameter": (
        claim(parameter="mean"),
        "claim[1]: parameter must be one of weights, means, variances",
    ),
    "parameter missing": (claim(parameter=None), "claim[1]: parameter must be given for the measure bias"),
    "parameter superfluous": (
        claim(measure="kl"),
        "claim[1]: parameter must not be given for the measure kl",
    ),
    "component without a parameter": (
        claim(measure="kl", parameter=None, component=1),
        "claim[1]: component must not be given without a parameter",
    ),
    "no bound": (claim(between=None), "claim[1]: a claim must have exactly one of below, above and between"),
    "two bounds": (claim(below=1.0), "claim[1]: a claim must have exactly one of below, above and between"),
    "bounds the wrong way": (claim(between=[1.0, 0.0]), "claim[1]: between must be two increasing numbers"),
    "three bounds": (claim(between=[0.0, 1.0, 2.0]), "claim[1]: between must be two increasing numbers"),
    "a bound that is no number": (
        claim(between=None, below=float("nan")),
        "claim[1].below: Input should be a finite number; got nan",
    ),
    "an infinite bound": (
        claim(between=[float("-inf"), 0.0]),
        "claim[1].between[1]: Input should be a finite number; got -inf",
    ),
    "a bound of true": (
        claim(between=None, below=True),
        "claim[1].below: Input should be a valid number; got True",
    ),
    "no difference of this measure": (
        claim(measure="rmse", versus="B"),
        "claim[1]: measure, with versus, must be one of bias, mse, coverage",
    ),
    "no difference of failure rates": (
        claim(measure="failure_rate", parameter=None, versus="B"),
        "claim[1]: measure, with versus, must be one of",
    ),
    "no difference of rates of convergence": (
        claim(measure="not_converged_rate", parameter=None, versus="B"),
        "claim[1]: measure, with versus, must be one of",
    ),
    "a pair of one": (
        claim(measure="soft_assignment_distance", parameter=None),
        "claim[1]: versus must be given for the measure soft_assignment_distance",
    ),
    "unknown method": (claim(method="C"), "claim 'means': method must be one of A, B; got 'C'"),
    "precision of one method": (
        claim(measure="relative_precision", between=None, above=0.0),
        "claim[1]: versus must be given for the measure relative_precision",
    ),
    "likelihoods of one method": (
        claim(measure="lower_likelihood", parameter=None, between=None, below=0.1),
        "claim[1]: versus must be given for the measure lower_likelihood",
    ),
    "precision of no parameter": (
        claim(measure="relative_precision", parameter=None, versus="B", between=None, above=0.0),
        "claim[1]: parameter must be given for the measure relative_precision",
    ),
    "unknown other method": (claim(versus="C"), "claim 'means': versus must be one of A, B; got 'C'"),
    "versus the same": (claim(versus="A"), "claim 'means': versus must be another method; got 'A'"),
    "unknown truth": (claim(truth=["far"]), "claim 'means': truth must be one of apart; got 'far'"),
    "unknown n": (claim(n=[50]), "claim 'means': n must be one of 40; got 50"),
    "about nothing": (claim(n=[]), "claim[1].n: List should have at least 1"),
    "about no truth": (claim(truth=[]), "claim[1].truth: List should have at least 1"),
    "component too large": (claim(component=3), "claim 'means': component must be at most 2; got 3"),
    "component zero": (claim(component=0), "claim[1].component: Input should be greater than or equal to 1"),
}


@pytest.mark.parametrize(("wrong", "message"), CLAIMS.values(), ids=CLAIMS)
def test_a_claim_that_cannot_be_judged_is_refused(wrong, message):
    said = complaint(method=TWO, claim=[wrong])
    assert message in said
    assert "\n" not in said


def test_claims_have_names_of_their_own():
    assert "each claim must have a id of its own; got 'means' 2 times" in complaint(claim=[claim(), claim()])


def test_every_error_is_reported_at_once():
    said = complaint(
        seed=True, extra=1, grid=grid(truth(weights=[0.7, 0.4]), n=[1]), claim=[claim(between=None)]
    )
    lines = said.splitlines()
    assert len(lines) == 5
    assert all(line.startswith("trial.toml: ") for line in lines)
    for key in ("seed", "extra", "grid.truth[1]", "grid.n", "claim[1]"):
        assert any(line.startswith(f"trial.toml: {key}: ") for line in lines)


def test_a_long_value_is_cut():
    said = complaint(seed="x" * 500)
    assert len(said) < 200
    assert said.endswith("...")


def test_invalid_toml_is_named():
    with pytest.raises(ValueError, match=r"bad\.toml: the file must be valid TOML; .*line 2"):
        Study.from_toml("seed = 1\nname = x\n", "bad.toml")


def test_a_file_is_read(tmp_path):
    path = tmp_path / "study.toml"
    path.write_text(text(), encoding="utf-8")
    assert Study.read(path) == Study.read(str(path)) == design()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"none\.toml: the file must be readable; No such file"):
        Study.read(tmp_path / "none.toml")


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(ValueError, match="the file must be readable; Is a directory"):
        Study.read(tmp_path)


def test_text_must_be_utf8(tmp_path):
    (tmp_path / "latin.toml").write_bytes('title = "Größe"'.encode("latin-1"))
    with pytest.raises(ValueError, match=r"latin\.toml: the file must be text in UTF-8"):
        Study.read(tmp_path / "latin.toml")


# Keys are hashes of content ---------------------------------------------------------------------


def keys(**changes):
    study = design(**changes)
    return {condition.key for condition in study.conditions}, {method.key for method in study.method}


def test_keys_are_written_down():
    """They name rows on disk: a key that changes orphans every result that was ever stored."""
    assert keys() == ({"4f58846c79f6952f"}, {"86208122162d3d31"})


SAME = {
    "renamed study": {"name": "other", "title": "Other", "aims": "Other."},
    "renamed truth": {"grid": grid(truth(name="far"))},
    "renamed method": {"method": [{"name": "Z", "engine": "halves"}]},
    "other seed": {"seed": 12},
    "more replicates": {"replicates": 40},
    "a method's replicates": {"method": [{"name": "A", "engine": "halves", "replicates": 9}]},
    "whole numbers": {"grid": grid(truth(means=[0, 5], variances=[1, 1]))},
    "keys in another order": {
        "grid": grid(dict(reversed(truth().items()))),
        "method": [{"engine": "halves", "name": "A"}],
    },
    "a default written out": {"covariance": "full", "label_rule": "ordering"},
}


@pytest.mark.parametrize("changes", SAME.values(), ids=SAME)
def test_names_and_order_change_no_key(changes):
    assert keys(**changes) == keys()


def test_more_conditions_and_methods_leave_the_keys_alone():
    methods = [{"name": "B", "engine": "em"}, {"name": "A", "engine": "halves"}]
    conditions, names = keys(grid=grid(CLOSE, truth(), n=[80, 40]), method=methods)
    assert keys()[0] < conditions
    assert keys()[1] < names


OTHER = {
    "mean": {"grid": grid(truth(means=[0.0, 5.0000001]))},
    "weights": {"grid": grid(truth(weights=[0.6, 0.4]))},
    "variance": {"grid": grid(truth(variances=[1.0, 2.0]))},
    "order of components": {
        "grid": grid(truth(weights=[0.3, 0.7], means=[5.0, 0.0])),
    },
    "n": {"grid": grid(n=[41])},
    "covariance": {"covariance": "tied"},
}


@pytest.mark.parametrize("changes", OTHER.values(), ids=OTHER)
def test_a_changed_value_changes_the_condition(changes):
    assert not keys(**changes)[0] & keys()[0]
    assert keys(**changes)[1] == keys()[1]


def test_a_reference_needs_more_observations_than_components():
    drawn = {"label_rule": "reference", "components": 3}
    with pytest.raises(
        ValueError, match="n must be more than components, 3, where label_rule is 'reference'; got 3"
    ):
        design(grid=grid(PRIOR, n=(40, 3)), **drawn)
    design(grid=grid(PRIOR, n=(40, 4)), **drawn)


def test_the_label_rule_changes_the_study_and_none_of_its_data():
    one, other = (design(grid=grid(PRIOR), label_rule=rule) for rule in ("ordering", "reference"))
    assert [condition.key for condition in one.conditions] == [
        condition.key for condition in other.conditions
    ]
    assert [condition.label_rule for condition in (*one.conditions, *other.conditions)] == [
        "ordering",
        "reference",
    ]
    assert one.content() == design(grid=grid(PRIOR)).content() != other.content()
    assert "label_rule" not in design().content()  # nor was it in results from before there was a choice


def test_the_number_of_components_changes_the_condition():
    drawn = [{"grid": grid(PRIOR), "components": k} for k in (2, 3)]
    assert not keys(**drawn[0])[0] & keys(**drawn[1])[0]


@pytest.mark.parametrize("method", [{"engine": "em"}, {"engine": "halves", "noise": 0.02}])
def test_a_changed_setting_changes_the_method(method):
    assert not keys(method=[{"name": "A", **method}])[1] & keys()[1]


def test_true_and_one_are_different_content():
    assert key_of({"a": True}) != key_of({"a": 1}) == key_of({"a": 1.0})


def test_a_truth_may_be_a_prior():
    (condition,) = design(grid=grid(PRIOR)).conditions
    drawn = condition.truth.as_prior().sample(2, 5)
    assert isinstance(drawn, NormalMixture)
    assert drawn.n_components == 2


def test_several_dimensions_are_possible():
    wide = {
        "name": "wide",
        "weights": [0.5, 0.5],
        "means": [[0.0, 0.0], [4.0, 1.0]],
        "covariances": [[[1.0, 0.0], [0.0, 1.0]]] * 2,
    }
    assert design(grid=grid(wide)).conditions[0].truth.as_mixture().n_dims == 2


def test_an_entry_that_is_absent_is_not_in_the_text():
    assert "covariances" not in design().to_toml()
    assert entries(seed=None).get("seed") is None

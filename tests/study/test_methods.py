"""From the names of a study file to engines."""

import pytest

from mixtures.bayes.fitter import NUTS
from mixtures.em.fitter import EM
from mixtures.em.starts import Start
from mixtures.model.mixture import NormalMixture
from mixtures.model.prior import Prior
from mixtures.study.claim import Claim
from mixtures.study.design import Method
from mixtures.study.methods import build, check_claim, expected_seconds, gives_intervals
from study.designs import PRIOR, claim, design, grid, truth


def method(**settings):
    return Method.model_validate({"name": "mine", "engine": "em", **settings})


def test_engines_are_built_with_their_settings():
    engine = build(method(n_starts=4, tolerance=1e-7))
    assert isinstance(engine, EM)
    assert (engine.name, engine.n_starts, engine.tolerance) == ("mine", 4, 1e-7)
    engine = build(method(engine="nuts", n_draws=200, relabel="ordering"))
    assert isinstance(engine, NUTS)
    assert (engine.name, engine.n_draws, engine.relabel) == ("mine", 200, "ordering")


def test_tables_become_values():
    start = {"weights": [0.5, 0.5], "means": [0, 1], "variances": [1, 1]}
    assert isinstance(build(method(start=start)).start, NormalMixture)
    assert build(method(start=["quantiles", "kmeans++"])).start == (Start.QUANTILES, Start.KMEANS)
    engine = build(method(engine="nuts", prior=PRIOR["prior"], gate={"rhat": 1.05, "ess": 100}))
    assert isinstance(engine.prior, Prior)
    assert engine.prior.means.scale == 3
    assert (engine.gate.rhat, engine.gate.ess) == (1.05, 100)


@pytest.mark.parametrize("measure", ["coverage", "model_se", "interval_width"])
def test_em_gives_intervals_where_they_are_asked_for(measure):
    engine = build(method(intervals="bootstrap", level=0.9, n_resamples=200, resampling="weighted"))
    assert (engine.intervals, engine.level, engine.n_resamples) == ("bootstrap", 0.9, 200)
    about = Claim.model_validate(claim(method="mine", measure=measure))
    check_claim(about, [method(intervals="profile")])
    with pytest.raises(
        ValueError, match="got 'mine', whose engine 'em' gives none without the setting 'intervals'"
    ):
        check_claim(about, [method()])


def test_who_gives_intervals_is_a_matter_of_settings():
    assert gives_intervals(method(intervals="information"))
    assert gives_intervals(method(engine="nuts"))
    assert not gives_intervals(method(n_starts=4))


WRONG = {
    "engine": ({"engine": "gibbs"}, "engine must be one of em, nuts"),
    "setting": ({"n_start": 4}, "a setting must be one of the engine's start, n_starts, tolerance"),
    "setting of the other engine": ({"n_draws": 4}, "a setting must be one of the engine's start, "),
    "setting, what came": ({"n_start": 4}, "; got 'n_start'"),
    "value": ({"n_starts": 0}, "n_starts must be at least 1; got 0"),
    "kind": ({"n_starts": "ten"}, "n_starts must be a whole number; got 'ten'"),
    "true for a number": ({"n_starts": True}, "n_starts must be a whole number; got True"),
    "start": ({"start": "middle"}, "start must be one of"),
    "intervals": ({"intervals": "wald"}, "intervals must be one of information, outer, sandwich, bootstrap"),
    "resamples": ({"intervals": "bootstrap", "n_resamples": 10}, "n_resamples must be at least 40"),
    "mixture": ({"start": {"weights": [1.0]}}, "a mixture must have the keys"),
    "prior": (
        {"engine": "nuts", "prior": {"means": {"normal": [0, 1]}}},
        "prior: a prior must have the keys",
    ),
    "prior's number": (
        {"engine": "nuts", "prior": PRIOR["prior"] | {"sds": {"half_normal": -1}}},
        "sds.half_normal: scale must be positive",
    ),
    "prior that is no table": ({"engine": "nuts", "prior": "flat"}, "prior must be a table; got 'flat'"),
    "gate": (
        {"engine": "nuts", "gate": {"rhat": 1.02, "speed": 4}},
        "gate: a limit must be one of rhat, ess, divergences; got 'speed'",
    ),
    "gate's number": ({"engine": "nuts", "gate": {"rhat": "low"}}, "gate: rhat must be"),
    "gate that is no table": ({"engine": "nuts", "gate": 3}, "gate must be a table; got 3"),
}


@pytest.mark.parametrize(("settings", "message"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_names_the_method(settings, message):
    with pytest.raises(ValueError, match="method 'mine': ") as caught:
        build(method(**settings))
    assert str(caught.value).startswith("method 'mine': ")
    assert message in str(caught.value)


def test_every_engine_has_an_expected_time_that_grows_with_the_data():
    small, large = design(grid=grid(truth(), n=[500, 5000])).conditions
    em, nuts, other = (method(engine=engine) for engine in ("em", "nuts", "halves"))
    assert 0.001 < expected_seconds(em, small) < 0.01 < expected_seconds(nuts, small) < 1
    slow = (
        method(engine="em", acceleration="none"),
        method(engine="em", intervals="bootstrap"),
        method(engine="em", intervals="profile"),
        method(engine="nuts", target_ess=20_000),
    )
    for one, quick in zip(slow, (em, em, em, nuts), strict=True):
        assert expected_seconds(one, small) > 10 * expected_seconds(quick, small)
    for one in (em, nuts, other):
        assert (
            expected_seconds(one, small) < expected_seconds(one, large) <= 10 * expected_seconds(one, small)
        )

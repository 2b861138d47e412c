"""The prior of a whole mixture: its parts together, order, exchangeability, and what a study file may say."""

import math

import numpy as np
import pytest
from scipy import stats

from mixtures.model.families import Dirichlet, HalfNormal, InverseGamma, LogNormal, Normal
from mixtures.model.mixture import NormalMixture
from mixtures.model.prior import Prior

FALSE_ALARM = 1e-6  # of each Kolmogorov-Smirnov test


def ks(values, oracle):
    return stats.kstest(values, oracle.cdf).pvalue


def prior(**changes):
    parts = {"weights": Dirichlet(2.0), "means": Normal(0.0, 2.0), "sds": LogNormal(0.0, 0.5)}
    return Prior(**(parts | changes))


MIXTURE = NormalMixture.univariate([0.3, 0.7], [-1, 2], [0.5, 4])


def test_the_log_density_is_the_sum_of_its_parts():
    expected = (
        stats.dirichlet([2, 2]).logpdf([0.3, 0.7])
        + stats.norm(0, 2).logpdf([-1, 2]).sum()
        + stats.lognorm(s=0.5).logpdf(np.sqrt([0.5, 4])).sum()
    )
    assert prior().log_density(MIXTURE) == pytest.approx(expected, rel=1e-12)


def test_components_may_have_priors_of_their_own():
    own = prior(means=Normal([-1.0, 3.0], [1.0, 0.5]))
    assert own.n_components == 2
    assert not own.is_exchangeable
    difference = own.log_density(MIXTURE) - prior().log_density(MIXTURE)
    expected = stats.norm([-1, 3], [1, 0.5]).logpdf([-1, 2]).sum() - stats.norm(0, 2).logpdf([-1, 2]).sum()
    assert difference == pytest.approx(expected, rel=1e-12)
    assert own.log_density(MIXTURE.permuted([1, 0])) != pytest.approx(own.log_density(MIXTURE))
    means = np.array([own.sample(2, seed).means[:, 0] for seed in range(2000)])
    for j, oracle in enumerate([stats.norm(-1, 1), stats.norm(3, 0.5)]):
        assert ks(means[:, j], oracle) > FALSE_ALARM
        assert ks(means[:, 1 - j], oracle) < FALSE_ALARM  # the control


def test_the_whole_prior_draws_what_its_parts_say():
    draws = [prior().sample(2, seed) for seed in range(2000)]
    assert ks([m.weights[0] for m in draws], stats.beta(2, 2)) > FALSE_ALARM
    assert ks([m.means[1, 0] for m in draws], stats.norm(0, 2)) > FALSE_ALARM
    assert ks([m.sds[0, 0] for m in draws], stats.lognorm(s=0.5)) > FALSE_ALARM
    assert ks([m.variances[0, 0] for m in draws], stats.lognorm(s=0.5)) < FALSE_ALARM  # the control


def test_a_seed_is_the_generator_that_it_makes():
    first, second = prior().sample(3, 5), prior().sample(3, np.random.default_rng(5))
    assert first.to_dict() == second.to_dict()


def test_an_ordered_prior_is_the_prior_restricted_to_increasing_means():
    ordered = prior(ordered=True)
    assert ordered.log_density(MIXTURE) == prior().log_density(MIXTURE)
    assert ordered.log_density(MIXTURE.permuted([1, 0])) == -math.inf
    draws = np.array([ordered.sample(2, seed).means[:, 0] for seed in range(2000)])
    assert (np.diff(draws, axis=1) > 0).all()
    z = stats.norm(0, 2)  # the smaller of two: 1 - (1 - F)^2

    class Smaller:
        cdf = staticmethod(lambda x: 1 - (1 - z.cdf(x)) ** 2)

    assert ks(draws[:, 0], Smaller) > FALSE_ALARM
    assert ks(draws[:, 0], z) < FALSE_ALARM  # the control


def test_an_ordered_prior_with_different_components_is_drawn_by_rejection():
    """The gap between N(1, 1) and N(0, 1) given that it is positive is N(-1, 2) cut at 0."""
    ordered = prior(means=Normal([1.0, 0.0], 1.0), ordered=True)
    gaps = [np.diff(ordered.sample(2, seed).means[:, 0])[0] for seed in range(1500)]
    root = math.sqrt(2)
    assert ks(gaps, stats.truncnorm(1 / root, np.inf, loc=-1, scale=root)) > FALSE_ALARM
    assert ks(gaps, stats.truncnorm(-1 / root, np.inf, loc=1, scale=root)) < FALSE_ALARM  # the control
    with pytest.raises(ValueError, match="must put its means in order now and then"):
        prior(means=Normal([100.0, 0.0], 1.0), ordered=True).sample(2, 1)


def test_exchangeability():
    assert prior().is_exchangeable
    assert prior(weights=Dirichlet([2.0, 2.0])).is_exchangeable
    assert not prior(weights=Dirichlet([2.0, 3.0])).is_exchangeable
    assert not prior(sds=HalfNormal([2.0, 3.0])).is_exchangeable
    assert not prior(ordered=True).is_exchangeable
    assert prior().log_density(MIXTURE) == pytest.approx(
        prior().log_density(MIXTURE.permuted([1, 0])), rel=1e-14
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: prior(weights=Dirichlet([1.0, 1.0, 1.0])).log_density(MIXTURE), "of 3 components; got 2"),
        (lambda: prior(weights=Dirichlet([1.0, 1.0, 1.0])).sample(2, 1), "of 3 components; got 2"),
        (
            lambda: prior(weights=Dirichlet([1.0, 1.0]), means=Normal([0.0] * 3, 1.0)),
            r"agree .* got \[2, 3\]",
        ),
        (
            lambda: prior().log_density(NormalMixture([1.0], [[0, 0]], [np.eye(2)])),
            "univariate mixture; got 2 dim",
        ),
    ],
)
def test_other_numbers_of_components_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Normal(0.0, 0.0), ValueError, "scale must be positive; got 0.0"),
        (lambda: Normal(math.nan, 1.0), ValueError, "location must be a finite number"),
        (lambda: Normal("0", 1.0), TypeError, "location must be a number or k numbers; got '0'"),
        (lambda: Normal(True, 1.0), TypeError, "location must be a number"),
        (lambda: Dirichlet([[1.0]]), ValueError, "concentration must be a finite number or k finite numbers"),
        (lambda: Dirichlet([]), (TypeError, ValueError), "concentration must be"),
        (lambda: InverseGamma(-1.0, 1.0), ValueError, "shape must be positive"),
        (lambda: prior(means=Dirichlet(1.0)), TypeError, "means must be Normal; got Dirichlet"),
        (
            lambda: prior(sds=Normal(0.0, 1.0)),
            TypeError,
            "sds must be LogNormal or HalfNormal or InverseGamma",
        ),
    ],
)
def test_bad_hyperparameters_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


# From a table -----------------------------------------------------------------------------------

TABLE = {"weights": {"dirichlet": 5}, "means": {"normal": [0, 2]}, "sds": {"half_normal": 2}}


def test_the_prior_of_posteriordb_from_a_table():
    made = Prior.from_dict(TABLE | {"ordered": True})
    expected = (
        stats.beta(5, 5).logpdf(0.3) + stats.norm(0, 2).logpdf([-1, 2]).sum()
        + stats.halfnorm(scale=2).logpdf(np.sqrt([0.5, 4])).sum()
    )  # fmt: skip
    assert made.log_density(MIXTURE) == pytest.approx(expected, rel=1e-12)
    assert made.ordered


@pytest.mark.parametrize(
    ("entry", "kind"),
    [
        ({"log_normal": [0, 0.5]}, LogNormal),
        ({"half_normal": [1, 2]}, HalfNormal),
        ({"variance_inverse_gamma": [[2, 3], 1]}, InverseGamma),
    ],
)
def test_each_family_from_a_table(entry, kind):
    assert isinstance(Prior.from_dict(TABLE | {"sds": entry}).sds, kind)


@pytest.mark.parametrize(
    ("table", "error", "message"),
    [
        ({}, ValueError, "must have the keys weights, means and sds, .* got none"),
        (TABLE | {"variances": 1}, ValueError, "got means, sds, variances, weights"),
        (TABLE | {"ordered": "yes"}, TypeError, "ordered must be true or false; got 'yes'"),
        (TABLE | {"means": [0, 2]}, ValueError, r"means must be a table with one of normal; got \[0, 2\]"),
        (TABLE | {"means": {"cauchy": [0, 2]}}, ValueError, "means must be a table with one of normal"),
        (
            TABLE | {"sds": {"log_normal": [0, 1], "half_normal": 1}},
            ValueError,
            "sds must be a table with one of",
        ),
        (TABLE | {"means": {"normal": 0}}, ValueError, r"means\.normal must be location and scale; got 0"),
        (TABLE | {"means": {"normal": [0, 1, 2]}}, ValueError, r"means\.normal must be location and scale"),
        (TABLE | {"means": {"normal": [0, -1]}}, ValueError, r"means\.normal: scale must be positive"),
        (
            TABLE | {"weights": {"dirichlet": "5"}},
            TypeError,
            r"weights\.dirichlet: concentration must be a number",
        ),
        (
            TABLE | {"weights": {"dirichlet": True}},
            TypeError,
            r"weights\.dirichlet: concentration must be a number",
        ),
    ],
)
def test_bad_tables_are_refused_by_key(table, error, message):
    with pytest.raises(error, match=message):
        Prior.from_dict(table)


# The default ------------------------------------------------------------------------------------


def test_the_default_prior_is_what_its_documentation_says(rng):
    x = rng.normal(10, 3, size=200)
    default = Prior.weakly_informative(x, 3)
    assert default.weights.concentration == 2
    assert default.means.location == pytest.approx(x.mean())
    assert default.means.scale == pytest.approx(2 * x.std())
    assert np.exp(default.sds.location) == pytest.approx(x.std() / 3)
    assert default.sds.scale == 0.75
    assert default.sds.is_zero_avoiding
    assert not HalfNormal.is_zero_avoiding
    assert default.is_exchangeable


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("shift", [0.0, 1000.0])
def test_the_default_prior_moves_with_the_data(unit, shift, rng):
    """Shifting and scaling data and mixture together adds the log Jacobian of k means and k sds."""
    x = rng.normal(size=100)
    moved = NormalMixture.univariate(
        MIXTURE.weights, unit * (MIXTURE.means[:, 0] + shift), unit**2 * MIXTURE.variances[:, 0]
    )
    there = Prior.weakly_informative(unit * (x + shift), 2).log_density(moved)
    here = Prior.weakly_informative(x, 2).log_density(MIXTURE)
    assert there == pytest.approx(here - 4 * math.log(unit), abs=1e-8)


def test_constant_data_set_no_scale():
    with pytest.raises(ValueError, match=r"x must vary to set a prior from its scale; got the constant 3.0"):
        Prior.weakly_informative([3.0, 3.0], 2)

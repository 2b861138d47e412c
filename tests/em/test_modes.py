"""Which maxima are slivers: those of galaxies and acidity are, the galaxies' real small component is not."""

import numpy as np
import pytest
from references import acidity, galaxies

from mixtures.em.fitter import EM
from mixtures.em.modes import SliverRule
from mixtures.model.data import rounding_unit
from mixtures.model.mixture import NormalMixture
from mixtures.model.scale import Scale
from mixtures.model.spec import MixtureSpec


def rule_for(x):
    x = np.asarray(x, dtype=float).reshape(len(x), -1)
    return SliverRule.of(x, Scale.of(x))


def sliver_of(x, mixture):
    rule = rule_for(x)
    return rule.find(rule.scale.standardise_mixture(mixture))


def test_the_real_small_component_of_the_galaxies_is_kept():
    x = galaxies()
    fit = EM().fit(MixtureSpec(3), x, 1)
    order = np.argsort(fit.estimate.weights)
    small = order[0]
    assert fit.estimate.weights[small] * 82 == pytest.approx(3, abs=0.1)
    sds = fit.estimate.sds[:, 0]
    assert min(sds) / sds.max() == pytest.approx(0.19, abs=0.005)
    assert sliver_of(x, fit.estimate) is None
    assert fit.status == "converged"


@pytest.mark.parametrize(("data", "k"), [(galaxies, 3), (acidity, 2)])
def test_slivers_on_close_points_are_found(data, k):
    """Start EM on the closest three values: it stays there, with a higher likelihood than without."""
    x = np.unique(data())  # no ties: the rounding unit plays no part
    i = int(np.argmin(x[2:] - x[:-2]))
    near = x[i : i + 3]
    base = EM().fit(MixtureSpec(k), x, 1)
    start = NormalMixture.univariate(
        [*(base.estimate.weights * 0.97), 0.03],
        [*base.estimate.means[:, 0], near.mean()],
        [*base.estimate.variances[:, 0], near.var() + 1e-6 * x.var()],
    )
    fit = EM(start=start).fit(MixtureSpec(k + 1), x, 1)
    assert fit.status == "spurious"
    assert fit.log_likelihood > base.log_likelihood
    sliver = sliver_of(x, fit.estimate)
    sds = fit.estimate.sds[:, 0]
    assert sds[sliver] / sds.max() < 0.02
    assert fit.message.startswith(f"component {sliver + 1}, with ")
    assert fit.message.endswith(", is a sliver on a few close observations")


N = 100  # a component with weight .05 has 5 of these, below 10 d; one with .2 has 20
WIDE = np.random.default_rng(1).normal(size=N)


@pytest.mark.parametrize(
    ("weight", "sd", "is_sliver"),
    [(0.05, 0.04, True), (0.05, 0.06, False), (0.2, 0.04, False), (0.099, 0.04, True), (0.101, 0.04, False)],
)
def test_a_sliver_is_small_and_thin(weight, sd, is_sliver):
    mixture = NormalMixture.univariate([weight, 1 - weight], [0, 0], [sd**2, 1])
    assert (sliver_of(WIDE, mixture) == 0) == is_sliver
    assert (sliver_of(WIDE, mixture.permuted([1, 0])) == 1) == is_sliver


def test_in_two_dimensions_the_thinnest_direction_and_20_observations_count():
    x = np.random.default_rng(2).normal(size=(N, 2))
    thin = np.array([[1.0, 0.999], [0.999, 1.0]])  # smallest sd .03, though neither variance is small
    for weight, expected in ((0.15, 0), (0.25, None)):
        assert (
            sliver_of(x, NormalMixture([weight, 1 - weight], np.zeros((2, 2)), [thin, np.eye(2)])) == expected
        )
    assert sliver_of(x, NormalMixture([0.15, 0.85], np.zeros((2, 2)), [np.eye(2), np.eye(2)])) is None


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_the_rule_is_free_of_units(unit):
    mixture = NormalMixture.univariate([0.05, 0.95], [0, 0], [(unit * 0.04) ** 2, unit**2])
    assert sliver_of(WIDE * unit, mixture) == 0


def test_one_component_is_no_sliver():
    assert sliver_of(WIDE.round(0), NormalMixture.univariate([1], [0], [1e-6])) is None


def test_the_rounding_unit_is_that_of_ties():
    x = np.random.default_rng(3).normal(size=(200, 2)) * 3
    assert rounding_unit(x).tolist() == [0, 0]
    assert rounding_unit(x.round(1)) == pytest.approx([0.1, 0.1], rel=1e-9)
    assert rounding_unit(np.array([[5.0], [5.0], [15.0], [40.0]])).tolist() == [10]


def test_rounding_error_hides_no_ties():
    a, b = np.random.default_rng(6).normal(size=(2, 300)).round(1)
    x = (a - b)[:, None]  # multiples of 0.1 but for rounding error
    assert len(np.unique(x)) > len(np.unique(x.round(1)))
    assert rounding_unit(x) == pytest.approx([0.1])


def test_a_component_narrower_than_the_rounding_is_a_sliver_however_many_it_holds():
    """The error of rounding to 0.1 has an sd of .0289."""
    x = np.random.default_rng(4).normal(size=N).round(1)
    rule = rule_for(x)
    narrow = NormalMixture.univariate([0.5, 0.5], [0, 0], [0.028**2, 1])
    assert "less than the rounding of the data alone" in rule.describe(rule.scale.standardise_mixture(narrow))
    for sd, expected in ((0.028, 0), (0.030, None)):
        assert sliver_of(x, NormalMixture.univariate([0.5, 0.5], [0, 0], [sd**2, 1])) == expected
    untied = x + 1e-4 * np.arange(N)  # the control: without ties there is no unit
    assert sliver_of(untied, NormalMixture.univariate([0.5, 0.5], [0, 0], [0.028**2, 1])) is None

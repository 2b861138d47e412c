"""Standard errors and Wald intervals: published numbers, differencing, equivariance, coverage, refusals."""

import math

import numpy as np
import pytest
from oracles import STRUCTURES, displaced, numerical_gradient, numerical_hessian, two_components
from references import faithful, galaxies, geyser, penguins

from mixtures.em.fitter import EM
from mixtures.em.information import Form, Information, curve, information_at
from mixtures.model.data import simulate
from mixtures.model.density import log_likelihood, log_responsibilities, responsibilities
from mixtures.model.mixture import NormalMixture
from mixtures.model.spec import Covariance, MixtureSpec

WALD = ("information", "outer", "sandwich")

#: Data, k, structure; standard errors of the first weights, the means and the variances, as printed.
PUBLISHED = {
    "faithful, equal variances": (
        faithful, 2, "tied", [".03012"], [".64609", ".47632"], ["3.18025", "3.18025"],
    ),
    "faithful": (faithful, 2, "full", [".03116"], [".69967", ".50459"], ["6.30948", "4.70547"]),
    "geyser": (geyser, 2, "full", [".03044"], [".68307", ".63339"], ["5.13256", "7.61416"]),
    "galaxies": (
        galaxies, 3, "full", [".03086", ".03614"], [".15969", ".25864", ".53218"],
        [".09542", ".80296", ".69368"],
    ),
    "galaxies, corrected": (
        lambda: galaxies(corrected=True), 3, "full", [".03086", ".03614"], [".15970", ".25973", ".53218"],
        [".09542", ".80977", ".69368"],
    ),
    "penguins": (penguins, 2, "full", [".08058"], [".06089", ".14609"], [".02817", ".10059"]),
    "penguins, equal variances": (
        penguins, 2, "tied", [".0345"], [".04199", ".06117"], [".02177", ".02177"],
    ),
}  # fmt: skip


def by_means(fit):
    """Return a univariate fit with its components in the order of their means."""
    return fit.permuted(np.argsort(fit.estimate.means[:, 0]))


def flat(parameters):
    """One vector of all values."""
    return np.concatenate([parameters.weights, parameters.means.ravel(), parameters.variances.ravel()])


@pytest.mark.parametrize("row", PUBLISHED)
def test_published_standard_errors(row):
    """Within 0.1%, or half a unit of the last digit printed where that is coarser."""
    data, k, covariance, weights, means, variances = PUBLISHED[row]
    fit = by_means(EM(intervals="information").fit(MixtureSpec(k, covariance), data(), 1))
    errors = fit.intervals.standard_errors
    ours = [*errors.weights[: len(weights)], *errors.means[:, 0], *errors.variances[:, 0]]
    for value, printed in zip(ours, [*weights, *means, *variances], strict=True):
        half_unit = 0.5 * 10.0 ** -len(printed.split(".")[1])
        assert value == pytest.approx(float(printed), abs=max(1e-3 * float(printed), 1.001 * half_unit))
    other = EM(intervals="sandwich").fit(MixtureSpec(k, covariance), data(), 1)  # the control
    assert flat(by_means(other).intervals.standard_errors) != pytest.approx(flat(errors), rel=2e-3)


@pytest.mark.parametrize("d", [1, 2])
@pytest.mark.parametrize("covariance", STRUCTURES)
def test_standard_errors_are_those_by_differencing(covariance, d):
    """Hessian, and derivatives of the parameters and of logits of responsibilities, all by differences."""
    x = simulate(two_components(np.random.default_rng(3), d, covariance), 300, 4).x
    fit = EM(intervals="information", level=0.9).fit(MixtureSpec(2, covariance), x, 1)
    p = MixtureSpec(2, covariance).n_parameters(d)

    def at(theta):
        return displaced(fit.estimate, theta, covariance)

    inverse = np.linalg.inv(-numerical_hessian(lambda theta: log_likelihood(at(theta), x), p))

    def errors_of(function):
        derivatives = np.array(
            [
                numerical_gradient(lambda theta, i=i: function(at(theta))[i], p)
                for i in range(len(function(at(np.zeros(p)))))
            ]
        )
        return np.sqrt(np.einsum("ap,pq,aq->a", derivatives, inverse, derivatives))

    expected = errors_of(flat)
    assert flat(fit.intervals.standard_errors) == pytest.approx(expected, rel=1e-5)

    def logits(mixture):
        logs = log_responsibilities(mixture, x[:20])
        return logs[:, 0] - logs[:, 1]

    half = 1.6448536269514722 * errors_of(logits)
    for side, end in ((-1, 0), (1, 1)):
        expected = 1 / (1 + np.exp(-logits(fit.estimate) - side * half))
        assert fit.responsibility_intervals[:20, 0, end] == pytest.approx(expected, rel=1e-4)
        assert fit.responsibility_intervals[:20, 1, 1 - end] == pytest.approx(
            1 - expected, rel=1e-4, abs=1e-9
        )


@pytest.mark.parametrize("covariance", STRUCTURES)
def test_information_is_made_of_the_scores_and_the_hessian(covariance):
    x = simulate(two_components(np.random.default_rng(5), 2, covariance), 100, 6).x
    mixture = two_components(np.random.default_rng(7), 2, covariance)
    curvature = curve(mixture, x, Covariance(covariance))
    information = information_at(mixture, x, Covariance(covariance))
    outer = curvature.scores.T @ curvature.scores
    assert information.observed == pytest.approx(-curvature.hessian, abs=1e-9 * np.abs(outer).max())
    assert information.outer == pytest.approx(outer, abs=1e-9 * np.abs(outer).max())


def test_the_three_covariances():
    rng = np.random.default_rng(1)
    observed, outer = (root @ root.T for root in rng.normal(size=(2, 4, 6)))
    information = Information(observed, outer)
    inverse = np.linalg.inv(observed)
    assert information.covariance(Form.INFORMATION) == pytest.approx(inverse, rel=1e-9)
    assert information.covariance(Form.OUTER) == pytest.approx(np.linalg.inv(outer), rel=1e-9)
    assert information.covariance(Form.SANDWICH) == pytest.approx(inverse @ outer @ inverse, rel=1e-9)
    ridge = observed - np.linalg.eigvalsh(observed)[0] * np.eye(4)
    assert Information(ridge, outer).covariance(Form.SANDWICH) is None
    assert Information(observed, ridge).covariance(Form.OUTER) is None
    assert Information(observed, ridge).covariance(Form.SANDWICH) is not None


def test_one_component_has_the_textbook_errors():
    x = galaxies()
    fit = EM(intervals="information", level=0.99).fit(MixtureSpec(1), x, 1)
    errors, z = fit.intervals.standard_errors, 2.5758293035489004
    assert errors.weights.tolist() == [0.0]
    assert errors.means[0, 0] == pytest.approx(x.std() / math.sqrt(len(x)))
    assert errors.variances[0, 0] == pytest.approx(x.var() * math.sqrt(2 / len(x)))
    assert fit.intervals.lower.weights.tolist() == fit.intervals.upper.weights.tolist() == [1.0]
    assert fit.intervals.upper.means[0, 0] == pytest.approx(x.mean() + z * errors.means[0, 0])
    assert fit.intervals.lower.variances[0, 0] == pytest.approx(
        x.var() * math.exp(-z * math.sqrt(2 / len(x)))
    )
    assert (fit.responsibility_intervals == 1).all()


def test_the_forms_agree_on_many_observations_from_the_model_and_only_there():
    truth = NormalMixture.univariate([0.4, 0.6], [0, 4], [1, 2])
    x = simulate(truth, 50_000, 1).x
    errors = [flat(EM(intervals=form).fit(MixtureSpec(2), x, 1).intervals.standard_errors) for form in WALD]
    for other in errors[1:]:
        assert other == pytest.approx(errors[0], rel=0.03)
    rng = np.random.default_rng(2)
    x = np.concatenate([rng.laplace(0, 1, 20_000), rng.laplace(9, 1, 30_000)])  # the control
    errors = [flat(EM(intervals=form).fit(MixtureSpec(2), x, 1).intervals.standard_errors) for form in WALD]
    assert (errors[2][4:] > 1.3 * errors[0][4:]).all()
    assert (errors[1][4:] < errors[0][4:] / 1.3).all()


# Relations that hold ----------------------------------------------------------------------------

METHODS = [*WALD, "bootstrap", "profile"]


def settings_of(method):
    return {"intervals": method, "n_resamples": 60} if method == "bootstrap" else {"intervals": method}


@pytest.mark.parametrize("method", METHODS)
def test_labels_mean_nothing(method):
    x, spec = galaxies(), MixtureSpec(3)
    start = EM().fit(spec, x, 1).estimate
    order, settings = [2, 0, 1], settings_of(method) | {"level": 0.3}  # a quarter of the resamples collapse
    here = EM(start=start, **settings).fit(spec, x, 2)
    there = EM(start=start.permuted(order), **settings).fit(spec, x, 2)
    expected = here.permuted(order)
    for name in ("standard_errors", "lower", "upper"):
        one, other = getattr(expected.intervals, name), getattr(there.intervals, name)
        assert flat(other) == pytest.approx(flat(one), rel=1e-5)
    assert there.responsibility_intervals == pytest.approx(expected.responsibility_intervals, abs=1e-5)
    assert flat(there.intervals.upper) != pytest.approx(flat(here.intervals.upper), rel=1e-2)  # the control


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("unit", "shift"), [(1e-6, 0), (1e6, -3e7)])
def test_units_and_origin_move_the_ends_with_the_data(method, unit, shift):
    x, spec = faithful(), MixtureSpec(2)
    start = EM().fit(spec, x, 1).estimate
    moved = NormalMixture(start.weights, unit * start.means + shift, unit**2 * start.covariances)
    here = EM(start=start, **settings_of(method)).fit(spec, x, 2).intervals
    there = EM(start=moved, **settings_of(method)).fit(spec, unit * x + shift, 2).intervals
    for name in ("lower", "upper"):
        one, other = getattr(here, name), getattr(there, name)
        assert other.weights == pytest.approx(one.weights, rel=1e-5)
        assert (other.means - shift) / unit == pytest.approx(one.means, rel=1e-5)
        assert other.variances / unit**2 == pytest.approx(one.variances, rel=1e-5)
    assert there.standard_errors.means / unit == pytest.approx(here.standard_errors.means, rel=1e-5)
    assert there.standard_errors.variances / unit**2 == pytest.approx(
        here.standard_errors.variances, rel=1e-5
    )


@pytest.mark.parametrize("method", [*WALD, "bootstrap"])
@pytest.mark.parametrize("covariance", STRUCTURES)
def test_units_of_columns_in_several_dimensions(covariance, method):
    x = simulate(two_components(np.random.default_rng(2), 2, covariance, separation=5), 200, 3).x
    units = np.array([1e3, 1e3]) if covariance == "spherical" else np.array([1e-3, 1e4])
    start = EM().fit(MixtureSpec(2, covariance), x, 1).estimate
    moved = NormalMixture(start.weights, units * start.means, units[:, None] * start.covariances * units)
    here = EM(start=start, **settings_of(method)).fit(MixtureSpec(2, covariance), x, 2)
    there = EM(start=moved, **settings_of(method)).fit(MixtureSpec(2, covariance), units * x, 2)
    assert here.status == there.status == "converged"
    for name in ("standard_errors", "lower", "upper"):
        one, other = getattr(here.intervals, name), getattr(there.intervals, name)
        assert other.weights == pytest.approx(one.weights, rel=1e-5)
        assert other.means / units == pytest.approx(one.means, rel=1e-5)
        assert other.variances / units**2 == pytest.approx(one.variances, rel=1e-5)
    assert there.responsibility_intervals == pytest.approx(here.responsibility_intervals, abs=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_intervals_change_nothing_else(method):
    x = faithful()
    without, fit = EM().fit(MixtureSpec(2), x, 1), EM(**settings_of(method)).fit(MixtureSpec(2), x, 1)
    assert without.intervals is without.responsibility_intervals is None
    assert without.warnings == fit.warnings == ()
    assert np.array_equal(fit.estimate.means, without.estimate.means)
    assert np.array_equal(fit.log_responsibilities, without.log_responsibilities)
    estimate, intervals = flat(fit.estimate), fit.intervals
    assert intervals.level == 0.95
    assert (flat(intervals.lower) < estimate).all()
    assert (flat(intervals.upper) > estimate).all()
    lower, upper = np.moveaxis(fit.responsibility_intervals, -1, 0)
    assert ((lower <= fit.responsibilities + 1e-12) & (fit.responsibilities <= upper + 1e-12)).mean() > 0.95
    assert ((lower >= 0) & (upper <= 1) & (lower <= upper)).all()


def test_responsibilities_of_the_truth_are_covered():
    """Mean coverage over 200 data sets within 3.5 Monte Carlo errors of 0.95; a level of 0.8 is not."""
    truth, spec = NormalMixture.univariate([0.4, 0.6], [0, 3.5], [1, 1]), MixtureSpec(2)
    shares = {0.95: [], 0.8: []}
    for seed in range(200):
        x = simulate(truth, 500, seed).x
        for level, own in shares.items():
            fit = EM(start=truth, intervals="information", level=level).fit(spec, x, 1)
            lower, upper = np.moveaxis(fit.responsibility_intervals[:, 0], -1, 0)
            target = responsibilities(truth, x)[:, 0]
            own.append(((lower <= target) & (target <= upper)).mean())
    for level, own in shares.items():
        z = (np.mean(own) - 0.95) / (np.std(own, ddof=1) / math.sqrt(len(own)))
        assert (abs(z) < 3.5) == (level == 0.95)


# What is refused --------------------------------------------------------------------------------


def refused(fit, reason):
    """Check that a fit has no intervals, and says why in one warning."""
    assert fit.intervals is fit.responsibility_intervals is None
    assert [w for w in fit.warnings if w.startswith("no intervals: ")] == [f"no intervals: {reason}"]


@pytest.mark.parametrize("method", METHODS)
def test_what_is_no_certified_maximum_gets_none(method):
    x, settings = faithful(), settings_of(method)
    fit = EM(max_iter=1, **settings).fit(MixtureSpec(2), x, 1)
    refused(fit, fit.message)
    assert "is still to gain" in fit.message
    saddle = NormalMixture.univariate([0.3, 0.7], [x.mean()] * 2, [x.var()] * 2)
    fit = EM(start=saddle, **settings).fit(MixtureSpec(2), x, 1)
    refused(fit, "the Hessian at the estimate is not negative definite: no strict maximum")
    degenerate = EM(**settings).fit(MixtureSpec(2), np.repeat([3.0, 8.0], [30, 20]), 1)
    refused(degenerate, "there is no estimate")
    assert EM(max_iter=1).fit(MixtureSpec(2), x, 1).warnings == ()  # nothing was asked for


@pytest.mark.parametrize("method", METHODS)
def test_a_sliver_gets_none(method):
    x = simulate(NormalMixture.univariate([0.5, 0.5], [0, 5], [1, 1]), 60, 5).x[:, 0]
    x = np.concatenate([x, [2.0, 2.0001, 2.0003]])
    fit = EM(n_starts=20, allow_spurious=True, **settings_of(method)).fit(MixtureSpec(3), x, 2)
    assert fit.status == "spurious"
    refused(fit, fit.message)
    assert "is a sliver on a few close observations" in fit.message


def test_too_few_observations_for_the_outer_products():
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.normal(0, 1, size=(9, 3)), rng.normal(9, 1, size=(9, 3))])
    fit = EM(intervals="outer").fit(MixtureSpec(2), x, 1)  # 19 parameters, 18 scores that sum to 0
    refused(fit, "the sum of the outer products of scores is not positive definite")


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"intervals": "wald"}, ValueError, "intervals must be one of information, outer, .*; got 'wald'"),
        ({"intervals": True}, ValueError, "intervals must be one of information, .*; got True"),
        ({"level": 1.0}, ValueError, "level must lie between 0 and 1; got 1.0"),
        ({"level": math.nan}, ValueError, "level must lie between 0 and 1; got nan"),
        ({"level": "high"}, TypeError, "level must be a number; got 'high'"),
        ({"intervals": "bootstrap", "n_resamples": 39}, ValueError, "n_resamples must be at least 40, .* 39"),
        ({"intervals": "bootstrap", "n_resamples": 1e3}, TypeError, "n_resamples must be a whole number"),
        (
            {"intervals": "bootstrap", "resampling": "block"},
            ValueError,
            "resampling must be one of nonparametric, parametric, weighted; got 'block'",
        ),
        (
            {"intervals": "profile", "n_resamples": 50},
            ValueError,
            "intervals must be 'bootstrap' where n_resamp",
        ),
        ({"resampling": "weighted"}, ValueError, "intervals must be 'bootstrap' where .*; got None"),
    ],
)
def test_bad_settings_are_refused(settings, error, message):
    with pytest.raises(error, match=message):
        EM(**settings)


def test_numbers_of_numpy_are_numbers():
    """A level in single precision is kept as a float, which a file of JSON takes."""
    engine = EM(
        intervals="bootstrap", level=np.float32(0.8), n_resamples=np.int64(10), tolerance=np.float32(1e-9)
    )
    assert type(engine.level) is float
    assert engine.level == pytest.approx(0.8, abs=1e-7)
    intervals = (
        EM(intervals="information", level=np.float32(0.95)).fit(MixtureSpec(2), faithful(), 1).intervals
    )
    assert type(intervals.level) is float
    with pytest.raises(TypeError, match=r"level must be a number; got .*True"):
        EM(level=np.True_)


def test_profiles_are_univariate():
    with pytest.raises(
        ValueError, match="intervals must not be 'profile' for data in several dimensions; got 2"
    ):
        EM(intervals="profile").fit(MixtureSpec(2), np.random.default_rng(1).normal(size=(50, 2)), 1)

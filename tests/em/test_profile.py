"""Profile-likelihood intervals against brute force, closed forms, and where they are open."""

import math

import numpy as np
import pytest
from oracles import density_1d
from references import acidity, faithful, galaxies
from scipy.optimize import brentq, minimize

from mixtures.em import profile
from mixtures.em.fitter import EM
from mixtures.em.modes import SliverRule
from mixtures.em.profile import Stop
from mixtures.model.data import simulate
from mixtures.model.mixture import NormalMixture
from mixtures.model.scale import Scale
from mixtures.model.spec import MixtureSpec

CHI_SQUARED = 3.841458820694124  # 0.95 quantile, one degree of freedom


def pack(mixture, is_tied):
    """Vector of logits against the last weight, means and log standard deviations."""
    sds = np.log(mixture.sds[:, 0])
    logits = np.log(mixture.weights[:-1] / mixture.weights[-1])
    return np.concatenate([logits, mixture.means[:, 0], sds[:1] if is_tied else sds])


def unpack(vector, k):
    logits = np.append(vector[: k - 1], 0.0)
    weights = np.exp(logits - logits.max())
    sds = np.exp(vector[2 * k - 1 :])
    return weights / weights.sum(), vector[k - 1 : 2 * k - 1], np.square(sds) * np.ones(k)


def held(parts, kind, j, value):
    """Set one weight, mean or variance (all, if tied) of a mixture; the other weights keep their ratios."""
    weights, means, variances = (part.copy() for part in parts)
    if kind == "weights":
        weights *= (1 - value) / (1 - weights[j])
        weights[j] = value
    else:
        {"means": means, "variances": variances}[kind][j] = value
    return weights, means, variances


def constrained_maximum(x, start, is_tied, kind, j, value):
    """Largest log-likelihood with one parameter held, by a general optimiser from the estimate."""
    k = start.n_components

    def loss(vector):
        weights, means, variances = held(unpack(vector, k), kind, j, value)
        if is_tied:
            variances = np.full(k, variances[j] if kind == "variances" else variances[0])
        return -np.log(density_1d(NormalMixture.univariate(weights, means, variances), x)).sum()

    vector = pack(start, is_tied)
    for _ in range(3):
        vector = minimize(loss, vector, method="BFGS", options={"gtol": 1e-8}).x
        vector = minimize(loss, vector, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-10}).x
    return -loss(vector)


CASES = [
    *[(faithful, 2, "full", kind, j) for kind in ("weights", "means", "variances") for j in (0, 1)],
    *[(acidity, 2, "tied", kind, 1) for kind in ("weights", "means", "variances")],
    *[
        (galaxies, 3, "full", kind, j)
        for kind, j in (("weights", 0), ("weights", 2), ("means", 1), ("variances", 2))
    ],
]


@pytest.mark.parametrize(("data", "k", "covariance", "kind", "j"), CASES)
def test_the_deviance_at_the_ends_is_the_quantile(data, k, covariance, kind, j):
    x = data()
    fit = EM(intervals="profile").fit(MixtureSpec(k, covariance), x, 1)
    fit = fit.permuted(np.argsort(fit.estimate.means[:, 0]))
    assert fit.warnings == ()
    for end in (fit.intervals.lower, fit.intervals.upper):
        value = getattr(end, kind).reshape(-1)[j]
        height = constrained_maximum(x, fit.estimate, covariance == "tied", kind, j, value)
        assert 2 * (fit.log_likelihood - height) == pytest.approx(CHI_SQUARED, abs=1e-3)


@pytest.mark.slow
def test_an_interval_holds_what_a_grid_holds():
    """Means of faithful's first component, on a grid that the ends are not on."""
    x = faithful()
    fit = EM(intervals="profile").fit(MixtureSpec(2), x, 1)
    fit = fit.permuted(np.argsort(fit.estimate.means[:, 0]))
    lower, upper = fit.intervals.lower.means[0, 0], fit.intervals.upper.means[0, 0]
    for value in np.arange(52.45, 57, 0.25):
        deviance = 2 * (fit.log_likelihood - constrained_maximum(x, fit.estimate, False, "means", 0, value))
        assert (deviance <= CHI_SQUARED) == (lower <= value <= upper)


LAST_STRIDE_SHORT = np.random.default_rng(0).normal(size=3)  # a hundredth of a standard error


@pytest.mark.parametrize(
    ("x", "level"),
    [
        *[(galaxies(), level) for level in (0.5, 0.95, 0.999)],
        (np.arange(5.0) ** 1.2, 1 - 1e-8),
        (LAST_STRIDE_SHORT, 0.9997862037910498),
    ],
)
def test_one_component_has_ends_in_closed_form(x, level):
    fit = EM(intervals="profile", level=level).fit(MixtureSpec(1), x, 1)
    assert fit.warnings == ()
    from scipy.stats import chi2

    n, variance, quantile = len(x), x.var(), chi2.ppf(level, 1)
    half = math.sqrt(variance * math.expm1(quantile / n))
    assert fit.intervals.lower.means[0, 0] == pytest.approx(x.mean() - half, rel=1e-6)
    assert fit.intervals.upper.means[0, 0] == pytest.approx(x.mean() + half, rel=1e-6)

    def excess(ratio):
        return n * (math.log(ratio) + 1 / ratio - 1) - quantile

    assert fit.intervals.lower.variances[0, 0] == pytest.approx(variance * brentq(excess, 1e-3, 1), rel=1e-6)
    assert fit.intervals.upper.variances[0, 0] == pytest.approx(variance * brentq(excess, 1, 1e6), rel=1e-6)
    assert fit.intervals.lower.weights.tolist() == fit.intervals.upper.weights.tolist() == [1.0]


def test_two_weights_share_one_interval_and_equal_variances_too():
    intervals = EM(intervals="profile").fit(MixtureSpec(2, "tied"), faithful(), 1).intervals
    assert intervals.lower.weights + intervals.upper.weights[::-1] == pytest.approx([1, 1], abs=1e-15)
    assert np.ptp(intervals.lower.variances) == np.ptp(intervals.upper.variances) == 0


def test_with_many_observations_the_ends_are_walds():
    x = simulate(NormalMixture.univariate([0.3, 0.5, 0.2], [0, 6, 12], [1, 1, 2]), 100_000, 1).x
    start = EM(intervals="information").fit(MixtureSpec(3), x, 1)
    fit = EM(intervals="profile", start=start.estimate).fit(MixtureSpec(3), x, 1)
    for name in ("weights", "means", "variances"):
        error = getattr(start.intervals.standard_errors, name)
        for end in ("lower", "upper"):
            one, other = (getattr(getattr(each.intervals, end), name) for each in (fit, start))
            assert np.abs(one - other).max() < 0.05 * error.max()
        assert getattr(fit.intervals.standard_errors, name) == pytest.approx(error, rel=1e-5)


def test_an_end_that_the_likelihood_does_not_reach_is_open_and_said_to_be():
    """Components that overlap: one of them may go anywhere, with little weight."""
    truth = NormalMixture.univariate([0.5, 0.5], [0, 2], [1, 1])
    bounds = {"weight": (0.0, 1.0), "mean": (-math.inf, math.inf), "variance": (0.0, math.inf)}
    n_open = 0
    for seed in range(12):
        fit = EM(intervals="profile", start=truth).fit(MixtureSpec(2), simulate(truth, 60, seed).x, 1)
        if fit.intervals is None:
            continue
        said = "".join(fit.warnings)
        for kind, (lowest, highest) in bounds.items():
            name = f"{kind}s"
            for side, end, bound in (("below", "lower", lowest), ("above", "upper", highest)):
                values = getattr(getattr(fit.intervals, end), name).reshape(-1)
                is_open = [f"{kind} {j + 1} {side}" in said for j in (0, 1)]
                if kind == "weight":  # the second's interval is the first's, from the other side
                    other = {"below": "above", "above": "below"}[side]
                    is_open[1] = f"weight 1 {other}" in said
                assert (values == bound).tolist() == is_open
                n_open += sum(is_open)
    assert n_open > 5


def reason_by_hand(x, fit, is_tied, kind, j, side):
    """Follow a branch by a general optimiser in steps of a twentieth of a standard error until it ends."""
    k, top = fit.estimate.n_components, fit.log_likelihood
    error = getattr(fit.intervals.standard_errors, kind).reshape(-1)[j]
    value, deviance = getattr(fit.estimate, kind).reshape(-1)[j], 0.0
    rule = SliverRule.of(x[:, None], Scale.of(x[:, None], "tied" if is_tied else "full"))
    vector = pack(fit.estimate, is_tied)
    bound = {"weights": (0, 1), "means": (-math.inf, math.inf), "variances": (0, math.inf)}[kind]
    while deviance < CHI_SQUARED:
        step = side * error / 20
        room = bound[side > 0] - value
        value += step if abs(step) < abs(room) / 4 else room / 4

        def parts_at(vector, value=value):
            weights, means, variances = held(unpack(vector, k), kind, j, value)
            return weights, means, np.full(k, variances[j]) if is_tied and kind == "variances" else variances

        def loss(vector):
            return -np.log(density_1d(NormalMixture.univariate(*parts_at(vector)), x)).sum()

        found = minimize(loss, vector, method="BFGS", options={"gtol": 1e-7})
        weights, means, variances = parts_at(found.x)
        own = pack(NormalMixture.univariate(weights, means, variances), is_tied)
        jump = np.abs(own - vector)[k - 1 :].max()
        if weights.min() * len(x) < 0.01:
            return Stop.EMPTY
        if jump > 0.5:
            return Stop.END
        if rule.find(NormalMixture.univariate(weights, means, variances)) is not None:
            return Stop.SLIVER
        if 2 * (top + found.fun) < deviance - 1e-5:
            return Stop.END
        vector, deviance = own, 2 * (top + found.fun)
    return None


OVERLAPPING = NormalMixture.univariate([0.5, 0.5], [0, 2], [1, 1])
WHY = [
    ("full", 100, 7, "variances", 0, 1, Stop.SLIVER),  # the other component is the sliver
    ("full", 60, 3, "means", 1, -1, Stop.END),  # it turns upwards
    ("full", 60, 3, "weights", 0, 1, Stop.END),  # a fold
    ("tied", 100, 7, "weights", 0, -1, Stop.EMPTY),
]


def said_open(fit):
    """Names of the open ends and why each is open, as the warning has them."""
    said = [one for one in fit.warnings if one.startswith("profile intervals are open: ")]
    groups = said[0].removeprefix("profile intervals are open: ").split("; ") if said else []
    pairs = [group.removesuffix(")").split(" (") for group in groups]
    return {name: why for names, why in pairs for name in names.split(", ")}


@pytest.mark.parametrize(("covariance", "n", "seed", "kind", "j", "side", "why"), WHY)
def test_on_these_branches_a_general_optimiser_meets_the_reason_given(
    covariance, n, seed, kind, j, side, why
):
    """Not on all: past a fold it lands on some other branch, where a component may be empty or a sliver."""
    x = simulate(OVERLAPPING, n, seed).x[:, 0]
    fit = EM(intervals="profile").fit(MixtureSpec(2, covariance), x, 1)
    name = f"{kind.removesuffix('s')} {j + 1} {'above' if side > 0 else 'below'}"
    assert said_open(fit)[name] == why
    assert reason_by_hand(x, fit, covariance == "tied", kind, j, side) == why


def test_these_open_ends_stay_open_with_steps_a_thousand_times_shorter(monkeypatch):
    """As 883 of 886 did in a wider check. The control: where no step is halved, more ends are open."""
    truth, n_open = NormalMixture.univariate([0.5, 0.5], [0, 3], [1, 1]), dict.fromkeys((1.0, 1e-2, 1e-5), 0)
    for seed in range(8):
        x, spec = simulate(truth, 20, seed).x, MixtureSpec(2, "tied" if seed % 2 else "full")
        opened = {}
        for shortest in n_open:
            monkeypatch.setattr(profile, "_SHORTEST", shortest)
            opened[shortest] = said_open(EM(intervals="profile").fit(spec, x, 1))
            n_open[shortest] += len(opened[shortest])
        assert opened[1e-2].keys() == opened[1e-5].keys() <= opened[1.0].keys()
        assert Stop.LONG not in opened[1e-5].values()
    assert 10 < n_open[1e-2] < n_open[1.0]


def test_where_components_become_one_the_branch_ends():
    """The likelihood is flat there: that of one normal, whatever the weight."""
    x = simulate(NormalMixture.univariate([0.6, 0.4], [0, 2], [1, 1]), 80, 0).x
    fit = EM(intervals="profile").fit(MixtureSpec(2, "tied"), x, 1)
    assert said_open(fit)["weight 1 below"] == Stop.END
    alone = EM().fit(MixtureSpec(1), x, 1)
    assert fit.log_likelihood - alone.log_likelihood < CHI_SQUARED / 2


def test_ends_keep_clear_of_slivers():
    """Five close points: at a very high level the component's variance reaches the rule of slivers first."""
    rng = np.random.default_rng(3)
    x = np.concatenate([rng.normal(0, 1, 60), 6 + np.array([-0.2, -0.1, 0.0, 0.11, 0.19])])
    closed, opened = (
        EM(intervals="profile", level=level).fit(MixtureSpec(2), x, 1) for level in (0.9999, 1 - 1e-7)
    )
    j = int(closed.estimate.means[:, 0].argmax())
    assert closed.warnings == ()
    assert closed.intervals.lower.variances[j, 0] > closed.estimate.variances.max() / 400
    j = int(opened.estimate.means[:, 0].argmax())
    assert opened.intervals.lower.variances[j, 0] == 0
    assert f"variance {j + 1} below" in opened.warnings[0]

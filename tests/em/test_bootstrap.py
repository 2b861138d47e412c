"""The bootstrap: published standard errors, exact ones, labels, collapses."""

import math

import numpy as np
import pytest
from oracles import STRUCTURES, two_components
from references import acidity, faithful, galaxies

from mixtures.em.bootstrap import Bootstrap, Resampling
from mixtures.em.fitter import EM
from mixtures.model.data import simulate
from mixtures.model.density import responsibilities
from mixtures.model.labels import align
from mixtures.model.mixture import NormalMixture
from mixtures.model.spec import MixtureSpec


def fit_of(x, spec, n_resamples=1000, **settings):
    """Fit with a bootstrap."""
    return EM(intervals="bootstrap", n_resamples=n_resamples, **settings).fit(spec, x, 1)


def relative_error_of_sd(values):
    """Monte Carlo error of the standard deviation of (b,) values, as a share of it."""
    centred = values - values.mean()
    kurtosis = (centred**4).mean() / (centred**2).mean() ** 2
    return math.sqrt((kurtosis - 1) / (4 * len(values)))


def test_published_errors_of_acidity():
    """Within 3 combined Monte Carlo errors; mclust makes 999 resamples. Errors a sixth larger are not."""
    fit = fit_of(acidity(), MixtureSpec(2, "tied"), 2000)
    fit = fit.permuted(np.argsort(fit.estimate.means[:, 0]))
    draws, errors = fit.details.bootstrap, fit.intervals.standard_errors
    assert fit.log_likelihood == pytest.approx(-185.9493, abs=1e-4)
    assert (draws.n_resamples, draws.n_collapsed) == (2000, 0)
    cases = [
        (errors.weights[0], 0.0413, draws.weights[:, 0]),
        (errors.means[0, 0], 0.0467, draws.means[:, 0, 0]),
        (errors.means[1, 0], 0.0672, draws.means[:, 1, 0]),
        (errors.variances[0, 0], 0.0238, draws.covariances[:, 0, 0, 0]),
    ]
    for ours, published, values in cases:
        combined = published * relative_error_of_sd(values) * math.sqrt(1 + 2000 / 999)
        assert abs(ours - published) < 3 * combined
        assert abs(ours * 7 / 6 - published) > 3 * combined


@pytest.mark.parametrize("resampling", Resampling)
def test_one_component_has_errors_in_closed_form(resampling):
    """Skewed data, where the parametric bootstrap sees another variance of the variance."""
    x = np.random.default_rng(3).exponential(size=60)
    n, variance = len(x), x.var()
    fit = fit_of(x, MixtureSpec(1), 4000, resampling=resampling)
    fourth = ((x - x.mean()) ** 4).mean()
    of_mean = {"nonparametric": variance / n, "parametric": variance / n, "weighted": variance / (n + 1)}
    of_variance = variance**2 * 2 * (n - 1) / n**2
    if resampling == "nonparametric":  # Cramer (1946, section 27.4), the data being the population
        of_variance = (fourth - variance**2) / n - 2 * (fourth - 2 * variance**2) / n**2
        of_variance += (fourth - 3 * variance**2) / n**3
    draws, errors = fit.details.bootstrap, fit.intervals.standard_errors
    within = 4 * relative_error_of_sd(draws.means[:, 0, 0])
    assert errors.means[0, 0] == pytest.approx(math.sqrt(of_mean[resampling]), rel=within)
    within = 4 * relative_error_of_sd(draws.covariances[:, 0, 0, 0])
    if resampling != "weighted":
        assert errors.variances[0, 0] == pytest.approx(math.sqrt(of_variance), rel=within)
        other = variance**2 * 2 / n if resampling == "nonparametric" else (fourth - variance**2) / n
        assert errors.variances[0, 0] != pytest.approx(math.sqrt(other), rel=within)  # the control


@pytest.mark.parametrize("resampling", Resampling)
@pytest.mark.parametrize("covariance", STRUCTURES)
def test_every_resampling_agrees_with_the_information_under_the_model(covariance, resampling):
    """To a tenth, with 600 observations of two components well apart."""
    x = simulate(two_components(np.random.default_rng(2), 2, covariance, separation=6), 600, 3).x
    wald = EM(intervals="information").fit(MixtureSpec(2, covariance), x, 1).intervals.standard_errors
    fit = fit_of(x, MixtureSpec(2, covariance), 2000, resampling=resampling)
    errors = fit.intervals.standard_errors
    within = 0.1 if resampling == "parametric" else 0.15  # data have a kurtosis of their own
    assert errors.weights == pytest.approx(wald.weights, rel=within)
    assert errors.means == pytest.approx(wald.means, rel=within)
    assert errors.variances == pytest.approx(wald.variances, rel=within)


def test_intervals_are_percentiles_of_the_estimates_in_one_order():
    """Overlapping components: flipped resamples are counted and put in order."""
    truth = NormalMixture.univariate([0.5, 0.5], [0, 2], [1, 1.5])
    x = simulate(truth, 150, 4).x
    fit = fit_of(x, MixtureSpec(2), 500, level=0.9, start=truth)
    draws = fit.details.bootstrap
    assert 0 < draws.n_flipped < 100
    n_kept = 500 - draws.n_collapsed
    assert draws.weights.shape == (n_kept, 2)
    for weights, means, covariances in zip(draws.weights, draws.means, draws.covariances, strict=True):
        estimate = NormalMixture(weights, means, covariances)
        assert align(fit.estimate, estimate).permutation.tolist() == [0, 1]
    at = np.quantile(draws.means[:, 0, 0], [0.05, 0.95])
    assert [fit.intervals.lower.means[0, 0], fit.intervals.upper.means[0, 0]] == pytest.approx(at)
    at = np.quantile(draws.covariances[:, 1, 0, 0], [0.05, 0.95])
    assert [fit.intervals.lower.variances[1, 0], fit.intervals.upper.variances[1, 0]] == pytest.approx(at)
    assert fit.intervals.standard_errors.weights == pytest.approx(draws.weights.std(axis=0, ddof=1))
    soft = [
        responsibilities(NormalMixture(*parts), x)
        for parts in zip(draws.weights, draws.means, draws.covariances, strict=True)
    ]
    assert draws.responsibilities(x) == pytest.approx(np.array(soft), abs=1e-12)
    expected = np.quantile(soft, [0.05, 0.95], axis=0)
    assert np.moveaxis(fit.responsibility_intervals, -1, 0) == pytest.approx(expected, abs=1e-9)
    named = {one.name: one.value for one in fit.diagnostics}
    assert named["resamples"] == 500
    assert named["resamples_flipped"] == draws.n_flipped
    assert named["resamples_collapsed"] == draws.n_collapsed


def test_few_observations_of_a_component_collapse_and_are_counted():
    """Three of the galaxies make a component: a resample holds none of them with probability (79/82)^82."""
    fit = fit_of(galaxies(), MixtureSpec(3), 400)
    draws = fit.details.bootstrap
    assert draws.n_collapsed > 400 * (79 / 82) ** 82 > 10  # ten lie beyond each end at a level of 0.95
    assert len(draws.weights) == 400 - draws.n_collapsed
    assert fit.intervals is None
    control = fit_of(faithful(), MixtureSpec(2), 400)
    assert control.details.bootstrap.n_collapsed == 0
    assert control.intervals is not None
    assert control.warnings == ()


def test_intervals_are_refused_where_an_end_lies_among_what_collapsed():
    """Two components at a separation of 3, n = 50: the same resamples serve wide tails and not narrow."""
    x = simulate(NormalMixture.univariate([0.5, 0.5], [0, 3], [1, 1]), 50, 6).x
    wide, narrow = (fit_of(x, MixtureSpec(2), 400, level=level) for level in (0.5, 0.95))
    n = wide.details.bootstrap.n_collapsed
    assert 10 <= n < 100
    what = f"{n} of 400 resamples of the bootstrap collapsed on few observations"
    assert wide.intervals is not None
    assert wide.warnings == (f"{what} and are left out",)
    assert narrow.details.bootstrap.n_collapsed == n
    assert narrow.intervals is narrow.responsibility_intervals is None
    assert narrow.warnings == (f"no intervals: {what}, no fewer than lie beyond each end at level 0.95",)
    at_edge = [fit_of(x, MixtureSpec(2), 400, level=1 - 2 * (n + above) / 400) for above in (0, 1)]
    assert [fit.intervals is None for fit in at_edge] == [True, False]


def test_a_bootstrap_of_which_most_collapses_is_refused_with_the_count():
    x = np.array([0.0, 0.5, 1.1, 1.4, 2.0, 2.2, 9.0, 9.9])
    fit = EM(intervals="bootstrap", n_resamples=200).fit(MixtureSpec(2), x, 1)
    assert fit.status == "converged"
    assert fit.intervals is fit.responsibility_intervals is None
    n = fit.details.bootstrap.n_collapsed
    assert 100 < n <= 200
    what = f"{n} of 200 resamples of the bootstrap collapsed on few observations"
    assert fit.warnings == (f"no intervals: {what}, no fewer than lie beyond each end at level 0.95",)
    assert {one.name: one.value for one in fit.diagnostics}["resamples_collapsed"] == n
    weighted = EM(intervals="bootstrap", n_resamples=200, resampling="weighted").fit(MixtureSpec(2), x, 1)
    assert weighted.details.bootstrap.n_collapsed < n


@pytest.mark.parametrize(("level", "least"), [(0.9, 20), (0.8, 10), (0.95, 40), (0.99, 200), (0.7, 7)])
def test_the_fewest_resamples_have_one_beyond_each_end(level, least):
    """2 / (1 - level), which rounding must not raise: 1 - 0.9 is a little below 0.1."""
    assert EM(intervals="bootstrap", level=level, n_resamples=least).n_resamples == least
    with pytest.raises(ValueError, match=f"n_resamples must be at least {least}, "):
        EM(intervals="bootstrap", level=level, n_resamples=least - 1)
    nothing = np.zeros((least, 1))
    one_lost, none_lost = (
        Bootstrap(least, 0, n, 0, nothing, nothing[..., None], nothing[..., None, None]) for n in (1, 0)
    )
    assert one_lost.has_lost_tail(level)
    assert not none_lost.has_lost_tail(level)


@pytest.mark.parametrize(
    ("sample", "of_error", "of_end"),
    [  # sqrt((K - 1) / 4b), and sqrt(p (1 - p) / b) over the density at the end that is known worse, at p
        (lambda rng, b: rng.normal(5, 3, b), math.sqrt(2 / 4), math.sqrt(0.05 * 0.95) / 0.10313564),
        (lambda rng, b: 2 * rng.exponential(size=b), math.sqrt(8 / 4), math.sqrt(0.05 * 0.95) / 0.05),
    ],
)
def test_monte_carlo_errors_are_those_of_a_known_distribution(sample, of_error, of_end):
    b = 1_000_000
    values = sample(np.random.default_rng(1), b)
    resampled = Bootstrap(b, 0, 0, 0, np.ones((b, 1)), values[:, None, None], np.ones((b, 1, 1, 1)))
    found = resampled.monte_carlo_errors(0.9)
    assert found[0] == pytest.approx(of_error / math.sqrt(b), rel=0.05)
    assert found[1] == pytest.approx(of_end / math.sqrt(b), rel=0.15)


def test_monte_carlo_errors_stand_among_the_diagnostics():
    """The largest over weights, means and variances; near a thirtieth with 500 resamples of normal shape."""
    fit = fit_of(
        simulate(NormalMixture.univariate([0.5, 0.5], [0, 6], [1, 1]), 600, 3).x, MixtureSpec(2), 500
    )
    named = {one.name: one.value for one in fit.diagnostics}
    errors, ends = fit.details.bootstrap.monte_carlo_errors(0.95)
    assert (named["resamples_mcse_of_errors"], named["resamples_mcse_of_ends"]) == (errors, ends)
    assert 1 / math.sqrt(2 * 500) * 0.9 < errors < 0.06
    assert errors < ends < 0.3


def test_where_no_resample_differs_the_monte_carlo_errors_are_unknown():
    """Three resamples of three observations with the same mean and variance."""
    fit = EM(intervals="bootstrap", n_resamples=3, level=0.1).fit(MixtureSpec(1), [0.0, 1.0, 2.0], 8)
    found = fit.details.bootstrap
    assert fit.status == "converged"
    assert np.ptp(found.means) == np.ptp(found.covariances) == 0
    assert found.monte_carlo_errors(0.1) is None
    named = [one.name for one in fit.diagnostics if one.name.startswith("resamples")]
    assert named == ["resamples", "resamples_flipped", "resamples_collapsed", "resamples_not_converged"]


def test_the_same_seed_gives_the_same_resamples():
    x = faithful()
    one, same = fit_of(x, MixtureSpec(2), 50), fit_of(x, MixtureSpec(2), 50)
    assert np.array_equal(one.details.bootstrap.means, same.details.bootstrap.means)
    other = EM(intervals="bootstrap", n_resamples=50).fit(MixtureSpec(2), x, 2)
    assert not np.array_equal(one.details.bootstrap.means, other.details.bootstrap.means)

"""EM as a user has it: published fits, invariance, statuses, and an oracle on many data sets."""

import math
import warnings

import numpy as np
import pytest
from oracles import STRUCTURES, two_components
from references import acidity, faithful, galaxies, geyser, penguins

from mixtures.em.climb import climb_all
from mixtures.em.coordinates import shape_of, to_mixture
from mixtures.em.fitter import EM
from mixtures.em.modes import SliverRule
from mixtures.em.search import Search
from mixtures.em.starts import Start, draw_start
from mixtures.model.data import simulate
from mixtures.model.density import log_likelihood, responsibilities
from mixtures.model.labels import align
from mixtures.model.mixture import NormalMixture
from mixtures.model.scale import Scale
from mixtures.model.spec import MixtureSpec

# Published numbers ------------------------------------------------------------------------------

#: Data, k, structure, log-likelihood, weights, means, variances; a weight left out is what is missing to 1.
PUBLISHED = {
    "faithful, equal variances": (
        faithful, "tied", -1034.001760, [0.360849, 0.639151], [54.613626, 80.090304], [34.446234] * 2,
    ),
    "faithful": (
        faithful, "full", -1034.001750, [0.360886, 0.639114], [54.614856, 80.091069], [34.471217, 34.430307],
    ),
    "geyser": (geyser, "full", -1157.542016, [0.307594], [54.202649, 80.360309], [24.522317, 56.364605]),
    "galaxies": (
        galaxies, "full", -203.179228, [0.085365, 0.878051], [9.710140, 21.400099, 33.044377],
        [0.178514, 4.816031, 0.849562],
    ),
    "galaxies, corrected": (
        lambda: galaxies(corrected=True), "full", -203.481980, [0.085365, 0.878051],
        [9.710139, 21.403851, 33.044382], [0.178514, 4.856735, 0.849562],
    ),
    "penguins": (penguins, "full", -380.870886, [0.506299], [3.590783, 4.828317], [0.129499, 0.390669]),
    "penguins, equal variances": (
        penguins, "tied", -383.837003, [0.665967], [3.739629, 5.123103], [0.215472] * 2,
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", PUBLISHED)
def test_the_published_fits_are_reached(row):
    data, covariance, height, weights, means, variances = PUBLISHED[row]
    weights = weights if len(weights) == len(means) else [*weights, 1 - sum(weights)]
    published = NormalMixture.univariate(np.array(weights) / sum(weights), means, variances)
    fit = EM().fit(MixtureSpec(len(means), covariance), data(), 1)
    ours = fit.estimate.permuted(align(published, fit.estimate).permutation)
    assert fit.status == "converged"
    assert fit.log_likelihood == pytest.approx(height, abs=1e-6)
    assert ours.weights == pytest.approx(published.weights, rel=1e-4)
    assert ours.means == pytest.approx(published.means, rel=1e-4)
    assert ours.variances == pytest.approx(published.variances, rel=1e-4)
    assert fit.details.certificate.is_maximum


def test_the_trace_from_a_given_start():
    start = NormalMixture.univariate([0.5, 0.5], [55, 80], [25, 25])
    fit = EM(start=start, acceleration="none").fit(MixtureSpec(2, "tied"), faithful(), 1)
    expected = [-1051.08964, -1034.17387, -1034.01394, -1034.00276, -1034.00185]
    assert fit.details.trace[:5] == pytest.approx(expected, abs=6e-6)
    ecm = [-1034.168, -1034.013]  # the control: what a program that silently runs ECM prints instead
    assert fit.details.trace[1:3] != pytest.approx(ecm, abs=6e-4)
    assert fit.details.n_starts == 1


@pytest.mark.parametrize(
    ("k", "height"),
    [(1, -240.3379), (2, -230.3524), (3, -212.3519), (4, -207.7223), (5, -204.6054), (6, -197.0108)],
)
def test_galaxies_with_equal_variances(k, height):
    fit = EM().fit(MixtureSpec(k, "tied"), galaxies(), 1)
    assert fit.log_likelihood == pytest.approx(height, abs=5.1e-5)
    assert fit.status == "converged"


@pytest.mark.parametrize(
    ("data", "k", "covariance", "bic"),
    [(faithful, 2, "tied", -2090.427), (galaxies, 3, "full", -441.6122)],
)
def test_bic_as_mclust_prints_it(data, k, covariance, bic):
    x, spec = data(), MixtureSpec(k, covariance)
    fit = EM().fit(spec, x, 1)
    assert 2 * fit.log_likelihood - spec.n_parameters(1) * math.log(len(x)) == pytest.approx(bic, abs=1.1e-3)


def test_acidity_with_equal_variances():
    """Published fits are often short of the mode: ours is at least as high, and not higher than rounding."""
    height = EM().fit(MixtureSpec(2, "tied"), acidity(), 1).log_likelihood
    assert -185.9493 - 5e-5 <= height < -185.9493 + 5e-4


# Relations that hold ----------------------------------------------------------------------------


@pytest.mark.parametrize("covariance", STRUCTURES)
@pytest.mark.parametrize("d", [1, 3])
@pytest.mark.parametrize(("unit", "shift", "within"), [(1e-6, 0, 1e-6), (1e6, 0, 1e-6), (1, 1e8, 1e-5)])
def test_units_and_origin_change_no_responsibility(covariance, d, unit, shift, within):
    x = simulate(two_components(np.random.default_rng(d), d, covariance), 200, 3).x
    here = EM().fit(MixtureSpec(2, covariance), x, 4)
    there = EM().fit(MixtureSpec(2, covariance), x * unit + shift, 4)
    assert there.status == here.status == "converged"
    back = NormalMixture(
        there.estimate.weights, (there.estimate.means - shift) / unit, there.estimate.covariances / unit**2
    )
    matched = there.permuted(align(here.estimate, back).permutation)
    assert matched.responsibilities == pytest.approx(here.responsibilities, abs=within)
    assert there.log_likelihood == pytest.approx(here.log_likelihood - d * 200 * math.log(unit), abs=1e-3)


def test_columns_in_different_units():
    x = simulate(two_components(np.random.default_rng(2), 2, "diagonal"), 200, 3).x
    here = EM().fit(MixtureSpec(2, "diagonal"), x, 4)
    there = EM().fit(MixtureSpec(2, "diagonal"), x * [1e-4, 1e5], 4)
    assert there.responsibilities == pytest.approx(here.responsibilities, abs=1e-6)


@pytest.mark.parametrize("covariance", STRUCTURES)
def test_what_is_reported_belongs_to_the_parameters(covariance):
    x = simulate(two_components(np.random.default_rng(5), 2, covariance), 150, 6).x
    for max_iter in (3, 10_000):
        fit = EM(max_iter=max_iter).fit(MixtureSpec(2, covariance), x, 7)
        # computed in standardised units, where correlated data lose no digits
        assert fit.log_likelihood == pytest.approx(log_likelihood(fit.estimate, x), rel=1e-12)
        assert fit.details.trace[-1] == pytest.approx(fit.log_likelihood, abs=1e-9)
        assert fit.responsibilities == pytest.approx(responsibilities(fit.estimate, x), abs=1e-12)
        NormalMixture(fit.estimate.weights, fit.estimate.means, fit.estimate.covariances)
        gains = np.diff(fit.details.trace)
        assert (gains >= -1e-10 * (np.abs(fit.details.trace[:-1]) + len(x))).all()


def test_the_same_seed_gives_the_same_bits():
    x = galaxies()
    first, second = EM().fit(MixtureSpec(4), x, 11), EM().fit(MixtureSpec(4), x, np.random.default_rng(11))
    assert np.array_equal(first.estimate.means, second.estimate.means)
    assert np.array_equal(first.log_responsibilities, second.log_responsibilities)
    assert np.array_equal(first.details.log_likelihoods, second.details.log_likelihoods, equal_nan=True)
    other = EM().fit(MixtureSpec(4), x, 12)  # the control
    assert not np.array_equal(first.details.log_likelihoods, other.details.log_likelihoods, equal_nan=True)


def test_one_component_is_the_sample_itself():
    x = galaxies()
    fit = EM().fit(MixtureSpec(1), x, 1)
    assert fit.estimate.means[0, 0] == pytest.approx(x.mean(), rel=1e-13)
    assert fit.estimate.variances[0, 0] == pytest.approx(x.var(), rel=1e-12)
    assert fit.status == "converged"
    assert fit.responsibilities.tolist() == [[1.0]] * 82


# Settings ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [*Start, "kmeans++", ["quantiles", "random_parameters"]])
def test_every_kind_of_start_finds_the_faithful_mode(start):
    fit = EM(start=start, n_starts=6).fit(MixtureSpec(2), faithful(), 2)
    assert fit.log_likelihood == pytest.approx(-1034.001750, abs=1e-6)
    assert fit.details.n_starts == 6
    assert 1 <= fit.details.n_reached_best <= 6
    assert len(fit.details.log_likelihoods) == 6


@pytest.mark.parametrize("kind", [Start.RANDOM_PARAMETERS, Start.RANDOM_RESPONSIBILITIES, Start.KMEANS])
def test_one_start_of_one_kind_is_that_run_and_no_other(kind):
    """The textbook's trace begins at the start drawn from the same stream; no short runs choose it."""
    x, spec = galaxies()[:, None], MixtureSpec(3)
    details = EM(start=kind, n_starts=1, acceleration="none").fit(spec, x, 7).details
    assert (details.n_starts, details.n_short, len(details.log_likelihoods)) == (1, 0, 1)
    z = (x - x.mean()) / x.std()
    shape = shape_of(spec, 1)
    drawn = to_mixture(draw_start(kind, z, shape, np.random.default_rng(7)), shape)
    expected = log_likelihood(drawn, z) - len(x) * np.log(x.std())
    assert details.trace[0] == pytest.approx(expected, rel=1e-10)
    assert EM(start=kind, n_starts=1).fit(spec, x, 7).details.n_short == 0
    assert EM(n_starts=6).fit(spec, x, 7).details.n_short > 0


def test_there_are_at_most_ten_starts_by_default():
    assert EM().fit(MixtureSpec(4), galaxies(), 1).details.n_starts == 10
    assert EM(start="kmeans++").fit(MixtureSpec(2), faithful(), 1).details.n_starts == 10


@pytest.mark.parametrize("n_starts", [10, 60])
def test_short_runs_that_lead_to_one_mode_make_one_start(n_starts):
    details = EM(n_starts=n_starts).fit(MixtureSpec(2), faithful(), 1).details
    assert details.n_starts == details.n_reached_best == 4  # with one each of the other three kinds


@pytest.mark.parametrize("n_starts", [1, 2, 4])
@pytest.mark.parametrize("d", [1, 2])
def test_few_default_starts(n_starts, d):
    x = simulate(two_components(np.random.default_rng(d), d, "full"), 100, 1).x
    assert EM(n_starts=n_starts).fit(MixtureSpec(2), x, 1).details.n_starts == n_starts


GIVEN = NormalMixture.univariate([0.5, 0.5], [0, 1], [1, 2])


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"start": "kmeans"}, ValueError, r"start must be one of random_parameters, .* got 'kmeans'"),
        ({"start": ["quantiles", "magic"]}, ValueError, "got 'magic'"),
        (
            {"start": 3},
            TypeError,
            "start must be a kind of start, several of them, or a NormalMixture; got 3",
        ),
        ({"start": []}, TypeError, "start must be a kind of start"),
        ({"n_starts": 0}, ValueError, "n_starts must be at least 1; got 0"),
        ({"n_starts": 2.5}, TypeError, "n_starts must be a whole number; got 2.5"),
        ({"n_starts": True}, TypeError, "n_starts must be a whole number; got True"),
        ({"acceleration": "aitken"}, ValueError, "acceleration must be one of squarem, anderson, none; got"),
        ({"acceleration": None}, ValueError, "acceleration must be one of squarem, anderson, none; got None"),
        ({"start": GIVEN, "n_starts": 2}, ValueError, "n_starts must be 1 where start is a mixture; got 2"),
        ({"max_iter": 0}, ValueError, "max_iter must be at least 1; got 0"),
        ({"tolerance": 0.0}, ValueError, "tolerance must be positive and finite; got 0.0"),
        ({"tolerance": math.nan}, ValueError, "tolerance must be positive and finite; got nan"),
        ({"tolerance": "tight"}, TypeError, "tolerance must be a number; got 'tight'"),
    ],
)
def test_bad_settings_are_refused(settings, error, message):
    with pytest.raises(error, match=message):
        EM(**settings)


@pytest.mark.parametrize(
    ("start", "spec", "d", "message"),
    [
        (GIVEN, MixtureSpec(3), 1, "the spec's 3 components and the data's 1 dimensions; got 2 and 1"),
        (GIVEN, MixtureSpec(2), 2, "the spec's 2 components and the data's 2 dimensions; got 2 and 1"),
        (GIVEN, MixtureSpec(2, "tied"), 1, "start must have tied covariances, as the spec"),
        (
            two_components(np.random.default_rng(1), 2, "full"),
            MixtureSpec(2, "diagonal"),
            2,
            "must have diagonal",
        ),
        (
            two_components(np.random.default_rng(1), 2, "diagonal"),
            MixtureSpec(2, "spherical"),
            2,
            "must have spher",
        ),
        ("quantiles", MixtureSpec(2), 2, "start must not be 'quantiles' for data in several dimensions"),
    ],
)
def test_starts_that_do_not_suit_are_refused(start, spec, d, message):
    x = np.random.default_rng(1).normal(size=(50, d))
    with pytest.raises(ValueError, match=message):
        EM(start=start).fit(spec, x, 1)


def test_data_and_randomness_are_checked_at_the_door():
    with pytest.raises(ValueError, match="x must vary"):
        EM().fit(MixtureSpec(2), [1.0] * 10, 1)
    with pytest.raises(TypeError, match=r"rng must be a numpy.random.Generator or an int; got NoneType"):
        EM().fit(MixtureSpec(2), faithful(), None)


# Statuses ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("acceleration", ["squarem", "anderson", "none"])
def test_too_few_steps_are_not_converged(acceleration):
    fit = EM(max_iter=1, acceleration=acceleration).fit(MixtureSpec(2), faithful(), 1)
    assert fit.status == "not_converged"
    assert fit.message.endswith("of log-likelihood is still to gain after 1 step")
    assert fit.details.certificate.newton_decrement > 1e-8
    assert len(fit.details.trace) == 2


@pytest.mark.parametrize("acceleration", ["squarem", "anderson", "none"])
@pytest.mark.parametrize("tolerance", [1, 1e-4])
def test_a_loose_tolerance_still_ends_at_a_maximum(acceleration, tolerance):
    fit = EM(tolerance=tolerance, acceleration=acceleration).fit(MixtureSpec(2), faithful(), 1)
    assert fit.status == "converged"
    best = EM().fit(MixtureSpec(2), faithful(), 1)
    assert fit.log_likelihood == pytest.approx(best.log_likelihood, abs=tolerance)


def test_settings_of_other_types_compile_nothing_anew():
    EM().fit(MixtureSpec(2), faithful(), 1)
    n_signatures = len(climb_all.signatures)
    EM(tolerance=1e-3, max_iter=np.int32(50)).fit(MixtureSpec(2), faithful(), 1)
    EM(tolerance=1).fit(MixtureSpec(2), faithful(), 1)
    assert len(climb_all.signatures) == n_signatures


def test_a_huge_limit_of_steps_takes_no_memory():
    assert EM(max_iter=10**12).fit(MixtureSpec(2), faithful(), 1).status == "converged"


@pytest.mark.parametrize("acceleration", ["squarem", "none"])
def test_the_order_of_columns_does_not_matter(acceleration):
    """A component nearly on a line, steep in the first column or in the second."""
    rng = np.random.default_rng(1)
    t = rng.normal(size=400)
    line = np.column_stack([1e-3 * t, t + 1e-4 * rng.normal(size=400)])
    x = np.vstack([rng.normal([6, 0], 1, size=(400, 2)), line])
    one, other = (
        EM(n_starts=5, acceleration=acceleration).fit(MixtureSpec(2), columns, 1)
        for columns in (x, x[:, ::-1])
    )
    assert one.status == other.status
    if one.estimate is not None:
        assert one.log_likelihood == pytest.approx(other.log_likelihood, abs=1e-6)


@pytest.mark.parametrize("n_starts", [4, 5])
def test_a_spurious_mode_takes_no_ones_only_place(n_starts):
    x, best = galaxies(), EM().fit(MixtureSpec(4), galaxies(), 1).log_likelihood
    short = sum(
        EM(n_starts=n_starts).fit(MixtureSpec(4), x, seed).log_likelihood < best - 1e-6 for seed in range(10)
    )
    assert short == 0


def test_a_start_on_a_saddle_is_not_converged():
    x = faithful()
    saddle = NormalMixture.univariate([0.3, 0.7], [x.mean()] * 2, [x.var()] * 2)
    fit = EM(start=saddle).fit(MixtureSpec(2), x, 1)
    assert fit.status == "not_converged"
    assert not fit.details.certificate.is_negative_definite


@pytest.mark.parametrize("seed", [1468, 3575, 4123, 4361])
def test_runs_that_end_in_a_single_observation_crowd_out_no_sound_mode(monkeypatch, seed):
    """After few steps they are the likelier ones, so that none of the others went on."""
    x = simulate(NormalMixture.univariate([0.55, 0.45], [3.7, 4.664], [0.2116, 0.253]), 100, rng=seed).x
    assert EM().fit(MixtureSpec(2), x, 0).status == "converged"
    shortlist = Search.shortlist

    def never_thorough(self, n_kept, rng, **_):
        return shortlist(self, n_kept, rng)

    monkeypatch.setattr(Search, "shortlist", never_thorough)
    assert {EM().fit(MixtureSpec(2), x, start).status for start in range(20)} & {"spurious", "degenerate"}


TWICE_WITHOUT_A_SOUND_MODE = {
    27: [0.777, 0.965, -1.082, 0.867, -0.168, -0.19, 1.121, -0.437],
    79: [-0.733, 0.41, -0.53, 1.297, 0.007, -1.817, 0.551, -0.601, 0.676, 0.56],
}


@pytest.mark.parametrize("seed", TWICE_WITHOUT_A_SOUND_MODE)
@pytest.mark.parametrize("allow_spurious", [False, True])
def test_what_the_first_of_two_searches_found_counts(monkeypatch, seed, allow_spurious):
    """The second finds a lower spurious maximum with the one seed, and none with the other."""
    from_starts, searches = Search.from_starts, []

    def recorded(self, *args):
        searches.append(from_starts(self, *args))
        return searches[-1]

    monkeypatch.setattr(Search, "from_starts", recorded)
    x = np.array(TWICE_WITHOUT_A_SOUND_MODE[seed])
    fit = EM(allow_spurious=allow_spurious).fit(MixtureSpec(4), x, seed)
    first, second = searches
    details, shift = fit.details, len(x) * math.log(x.std())
    assert (fit.status, first.best, second.best) == ("spurious", None, None)
    assert second.spurious is None or second.spurious.log_likelihood < first.spurious.log_likelihood
    assert fit.log_likelihood + shift == pytest.approx(first.spurious.log_likelihood, abs=1e-6)
    assert details.spurious_log_likelihood == np.nanmax(details.log_likelihoods)
    for name in ("n_collapsed", "n_spurious", "n_short", "n_short_collapsed"):
        assert getattr(details, name) == getattr(first, name) + getattr(second, name)
    assert details.n_starts == details.n_collapsed + details.n_spurious


def test_the_textbooks_search_may_find_no_start_at_all():
    fit = EM(acceleration="none").fit(MixtureSpec(2), np.repeat([3.0, 8.0], [30, 20]), 1)
    assert (fit.status, fit.details.n_starts, fit.details.n_collapsed) == ("degenerate", 3, 3)


def test_where_every_start_collapses_the_fit_is_degenerate():
    x = np.repeat([3.0, 8.0], [30, 20])
    fit = EM().fit(MixtureSpec(2), x, 1)
    assert fit.status == "degenerate"
    assert fit.estimate is None
    assert math.isnan(fit.log_likelihood)
    assert fit.details.n_collapsed == fit.details.n_starts == 3
    assert np.isnan(fit.details.log_likelihoods).all()
    collapsed_on = {"1 collapsed on 30 observation(s), rows 0, 1, 2, ...": "(x = 3.0, 3.0, 3.0)"}
    start = EM(start=NormalMixture.univariate([0.6, 0.4], [3, 8], [0.1, 0.1])).fit(MixtureSpec(2), x, 1)
    for component, values in collapsed_on.items():
        assert f"component {component}" in start.message
        assert values in start.message
    assert fit.message.startswith("every start (3) was dropped: in the first, component ")
    assert fit.details.n_short_collapsed > 0
    assert "counted from 0" in fit.message


def test_some_starts_that_collapse_are_counted_and_dropped():
    x = np.concatenate([np.random.default_rng(1).normal(size=40), np.full(12, 6.0)])
    fit = EM(start="random_parameters", n_starts=30).fit(MixtureSpec(2), x, 1)
    assert 0 < fit.details.n_collapsed < 30
    assert fit.details.n_collapsed == np.isnan(fit.details.log_likelihoods).sum()
    assert fit.estimate is not None


@pytest.fixture(scope="module")
def slivered():
    """Two normals and three points a hair apart: a sliver on these has the highest likelihood."""
    x = simulate(NormalMixture.univariate([0.5, 0.5], [0, 5], [1, 1]), 60, 5).x[:, 0]
    return np.concatenate([x, [2.0, 2.0001, 2.0003]])


def test_a_spurious_maximum_is_reported_and_not_preferred(slivered):
    fit = EM(n_starts=20).fit(MixtureSpec(3), slivered, 2)
    details = fit.details
    assert fit.status != "spurious"
    assert details.n_spurious > 0
    assert details.spurious_log_likelihood > fit.log_likelihood
    assert log_likelihood(details.spurious, slivered) == pytest.approx(
        details.spurious_log_likelihood, abs=1e-6
    )
    (warning,) = fit.warnings
    assert (
        f"a spurious maximum with log-likelihood {details.spurious_log_likelihood:.6f} was set aside"
        in warning
    )
    assert "is a sliver" in warning


def test_a_spurious_maximum_is_given_to_those_who_ask(slivered):
    honest = EM(n_starts=20).fit(MixtureSpec(3), slivered, 2)
    fit = EM(n_starts=20, allow_spurious=True).fit(MixtureSpec(3), slivered, 2)
    assert fit.status == "spurious"
    assert fit.log_likelihood == pytest.approx(honest.details.spurious_log_likelihood, abs=1e-6)
    assert "is a sliver on a few close observations" in fit.message


def test_without_a_sliver_nothing_is_said():
    fit = EM().fit(MixtureSpec(2), faithful(), 1)
    assert (fit.details.n_spurious, fit.details.spurious, fit.warnings) == (0, None, ())
    assert math.isnan(fit.details.spurious_log_likelihood)


@pytest.mark.parametrize("thinness", 10.0 ** -np.arange(1, 15))
def test_nearly_dependent_columns_are_fitted_as_well_or_refused(thinness):
    """Affine maps of the data change nothing but the Jacobian, until the covariances cannot hold them."""
    rng = np.random.default_rng(21)
    x = np.vstack([rng.normal(size=(80, 2)), rng.normal(size=(80, 2)) + 4])
    thin = np.column_stack([x[:, 0], x[:, 0] + thinness * x[:, 1]])
    if thinness < 5e-6:
        with pytest.raises(ValueError, match="x must have linearly independent columns for full covariances"):
            EM().fit(MixtureSpec(2), thin, 1)
        return
    plain, fit = EM().fit(MixtureSpec(2), x, 1), EM().fit(MixtureSpec(2), thin, 1)
    order = align_responsibilities(plain, fit)
    assert fit.status == "converged"
    assert fit.log_likelihood == pytest.approx(plain.log_likelihood - len(x) * math.log(thinness), abs=1e-6)
    assert fit.responsibilities[:, order] == pytest.approx(plain.responsibilities, abs=1e-6)


def align_responsibilities(reference, fit):
    """Return the order of a fit's components in which its soft assignments are closest to a reference's."""
    orders = ([0, 1], [1, 0])
    return min(
        orders, key=lambda order: np.abs(fit.responsibilities[:, order] - reference.responsibilities).sum()
    )


def test_a_large_narrow_group_of_rounded_data_is_no_sliver():
    """Petal widths of irises, rounded to 0.1 cm: setosa's have an sd of .09, and there are 48 of them."""
    from sklearn.datasets import load_iris

    fit = EM().fit(MixtureSpec(2), load_iris().data[:, 3], 1)
    assert fit.status == "converged"
    assert fit.estimate.sds.min() == pytest.approx(0.087, abs=0.001)


# scikit-learn's best optimum --------------------------------------------------------------------

_NAMES = {"full": "full", "diagonal": "diag", "spherical": "spherical", "tied": "tied"}


def best_of_scikit_learn(x, spec, seed):
    """Log-likelihood of the best of 15 fits that is not spurious by our rule."""
    from sklearn.mixture import GaussianMixture

    scale = Scale.of(x, spec.covariance)
    z, rule = scale.standardise(x), SliverRule.of(x, scale)
    k, d = spec.n_components, x.shape[1]
    heights = []
    for init in ("kmeans", "k-means++", "random_from_data"):
        for i in range(5):
            model = GaussianMixture(
                k, covariance_type=_NAMES[spec.covariance], tol=1e-10, max_iter=20_000, reg_covar=0,
                init_params=init, random_state=100 * seed + i,
            )  # fmt: skip
            try:
                model.fit(z)
            except ValueError:  # a collapsed covariance
                continue
            factors = model.precisions_cholesky_
            if spec.covariance in ("diagonal", "spherical"):
                factors = factors.reshape(k, -1, 1) * np.eye(d)
            covariances = np.linalg.inv(factors @ factors.swapaxes(-1, -2))
            found = NormalMixture.unchecked(
                model.weights_, model.means_, np.broadcast_to(covariances, (k, d, d)).copy()
            )
            if np.linalg.eigvalsh(found.covariances).min() > 1e-12 and rule.find(found) is None:
                heights.append(log_likelihood(found, z) + scale.log_jacobian(len(x)))
    return max(heights, default=-math.inf)


def random_problem(i):
    """Return one of 50 data sets in 1 to 3 dimensions, with 2 to 4 components, and a structure to fit."""
    rng = np.random.default_rng(1000 + i)
    d, k, covariance = (1, 1, 2, 3)[i % 4], (2, 3, 4)[i % 3], STRUCTURES[(i // 4) % 4]
    n = int(rng.integers(60, 400))
    weights, means = rng.dirichlet(np.full(k, 3)), rng.normal(size=(k, d)) * 2.5
    mixture = NormalMixture(weights, means, rng.uniform(0.5, 1.5, size=(k, 1, 1)) ** 2 * np.eye(d))
    return simulate(mixture, n, rng).x, MixtureSpec(k, covariance)


@pytest.mark.slow
@pytest.mark.parametrize("i", range(50))
def test_never_below_the_best_of_scikit_learn(i):
    x, spec = random_problem(i)
    fit = EM().fit(spec, x, i)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert fit.log_likelihood >= best_of_scikit_learn(x, spec, i) - 1e-6

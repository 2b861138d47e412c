"""Ranks of fits by the label rule; and simulation-based calibration, which passes and fails where it should.

The posterior is exact: the prior is uniform on some thousand mixtures, whose likelihoods are enumerated.
Truths are drawn from the same mixtures, so that ties are frequent, and broken at random.
"""

import numpy as np
import pytest

from mixtures.comparison.calibration import holm, ranks_among, simultaneous_band, uniformity
from mixtures.comparison.label_rules import component_order, reference_of
from mixtures.comparison.ranks import LOG_LIKELIHOOD, N_DRAWS, points_of, quantities, rank_fit
from mixtures.model.data import simulate
from mixtures.model.density import log_density, log_likelihood
from mixtures.model.fit import Diagnostic, Draws, Fit, Status
from mixtures.model.mixture import NormalMixture
from mixtures.model.prior import LogNormal, Normal, Prior
from mixtures.model.spec import MixtureSpec

PRIOR = Prior.from_dict(
    {"weights": {"dirichlet": 2}, "means": {"normal": [0, 2]}, "sds": {"log_normal": [-0.693, 0.75]}}
)
HALF = Prior(PRIOR.weights, Normal(np.array(0.0), np.array(1.0)), LogNormal(PRIOR.sds.location, 0.75 / 2))
POINTS = points_of(PRIOR)
N = 15
N_ATOMS = 1500
MIXTURE = NormalMixture.univariate([0.3, 0.5, 0.2], [2.0, -1.0, 0.5], [1.0, 2.0, 0.5])


def fit_of(mixtures, n_chains=3, **changes):
    """A fit whose draws are the mixtures given, an equal number for each chain."""
    shape = (n_chains, len(mixtures) // n_chains, mixtures[0].n_components)
    draws = Draws(
        np.array([one.weights for one in mixtures]).reshape(shape),
        np.array([one.means for one in mixtures]).reshape(*shape, 1),
        np.array([one.variances for one in mixtures]).reshape(*shape, 1),
    )
    return Fit("m", MixtureSpec(shape[-1]), Status.CONVERGED, **({"draws": draws} | changes))


def test_quantities_are_what_they_say(rng):
    x = rng.normal(size=(20, 1))
    found = quantities(MIXTURE, x, np.array([-1.0, 4.0]))
    assert [found[f"weight {j}"] for j in (1, 2)] == [0.5, 0.2]
    assert [found[f"mean {j}"] for j in (1, 2, 3)] == [-1.0, 0.5, 2.0]
    assert [found[f"log variance {j}"] for j in (1, 2, 3)] == pytest.approx(np.log([2.0, 0.5, 1.0]))
    assert found[LOG_LIKELIHOOD] == pytest.approx(log_likelihood(MIXTURE, x))
    mean = 0.3 * 2 - 0.5 + 0.2 * 0.5
    assert found["mixture mean"] == pytest.approx(mean)
    square = 0.3 * (1 + 4) + 0.5 * (2 + 1) + 0.2 * (0.5 + 0.25)
    assert found["log mixture variance"] == pytest.approx(np.log(square - mean**2))
    assert found["log density at 4"] == pytest.approx(log_density(MIXTURE, [4.0])[0])
    assert len(found) == 2 + 3 + 3 + 3 + 2


def test_the_label_rule_forgets_the_order_of_components(rng):
    x = rng.normal(size=(20, 1))
    values = quantities(MIXTURE, x, POINTS)
    assert quantities(MIXTURE.permuted([2, 0, 1]), x, POINTS) == pytest.approx(values, rel=1e-14)


def test_relabelled_draws_have_the_same_ranks(rng):
    """However an engine relabels: in an order that every draw has of its own, too."""
    drawn = [PRIOR.sample(2, rng) for _ in range(3 * 99)]
    swapped = [one.permuted(rng.permutation(2)) for one in drawn]
    truth, x = PRIOR.sample(2, rng), rng.normal(size=(N, 1))
    first, second = (
        rank_fit(truth, x, fit_of(mixtures), points=POINTS, rng=np.random.default_rng(1))
        for mixtures in (drawn, swapped)
    )
    assert first.ranks.tolist() == second.ranks.tolist()
    assert first.mean == pytest.approx(second.mean)


def test_draws_are_thinned_evenly_over_all_chains(rng):
    drawn = [PRIOR.sample(2, rng) for _ in range(3 * 33)]
    thrice = [one for one in drawn for _ in range(3)]
    truth, x = PRIOR.sample(2, rng), rng.normal(size=(N, 1))
    all_of_them, thinned = (
        rank_fit(truth, x, fit_of(mixtures), points=POINTS, rng=rng) for mixtures in (drawn, thrice)
    )
    assert all_of_them.n_draws == thinned.n_draws == N_DRAWS
    assert all_of_them.ranks.tolist() == thinned.ranks.tolist()
    values = np.array([[*quantities(one, x, POINTS).values()] for one in drawn])
    assert thinned.mean == pytest.approx(values.mean(axis=0))
    assert thinned.sd == pytest.approx(values.std(axis=0, ddof=1))
    assert thinned.ranks.tolist() == (values < thinned.truth).sum(axis=0).tolist()


def test_what_has_no_ranks_says_why(rng):
    drawn = [PRIOR.sample(2, rng) for _ in range(3 * 40)]
    truth, x = drawn[0], rng.normal(size=(N, 1))
    few = (Diagnostic("rhat", 1.0), Diagnostic("ess_bulk", 400.0), Diagnostic("ess_tail_parameters", 57.3))
    refused = {
        "worth at least 99 independent ones to be ranked; got 57": fit_of(drawn, diagnostics=few),
        "worth at least 99 independent ones to be ranked; got 60": fit_of(drawn[:60]),
        "to be ranked; got nan": fit_of(drawn, diagnostics=(Diagnostic("ess_bulk", np.nan),)),
        "must have posterior draws to be ranked; got none from m": fit_of(drawn, draws=None),
    }
    for message, fit in refused.items():
        with pytest.raises(ValueError, match=message):
            rank_fit(truth, x, fit, points=POINTS, rng=rng)
    with pytest.raises(ValueError, match=r"must be univariate with the same components; .* \(3, 1\)"):
        rank_fit(MIXTURE, x, fit_of(drawn), points=POINTS, rng=rng)


class Enumerated:
    """Exact posteriors of mixtures from a prior that is uniform on a finite number of them."""

    def __init__(self, seed):
        rng = np.random.default_rng(seed)
        half = [PRIOR.sample(2, rng) for _ in range(N_ATOMS // 2)]
        twins = [NormalMixture(one.weights[::-1], one.means, one.covariances) for one in half]
        self.atoms = [*half, *twins]  # swapped weights are then another mixture of the prior
        self.weights = np.array([one.weights for one in self.atoms])
        self.means = np.array([one.means[:, 0] for one in self.atoms])
        self.sds = np.array([one.sds[:, 0] for one in self.atoms])
        named = [quantities(one, np.zeros((1, 1)), POINTS) for one in self.atoms]
        self.names = list(named[0])
        self.values = np.array([list(one.values()) for one in named])

    def log_likelihoods(self, x):
        z = (x[:, :, None] - self.means) / self.sds
        densities = np.exp(-0.5 * z**2) * self.weights / self.sds / np.sqrt(2 * np.pi)
        return np.log(densities.sum(axis=2) + 1e-300).sum(axis=0)

    def at(self, x):
        """Quantities (m, q) of every atom, given the data."""
        values = self.values.copy()
        values[:, self.names.index(LOG_LIKELIHOOD)] = self.log_likelihoods(x)
        return values

    def assigned(self, places, values, reference):
        """Quantities of some atoms, with components in the order of a reference's, not in that of means."""
        orders = np.array([component_order(self.atoms[i], reference) for i in places])
        is_swapped = np.take_along_axis(self.means[places], orders, axis=1) @ [1, -1] > 0
        changed = values[places]
        one, *others = (self.names.index(name) for name in ("weight 1", "mean 1", "log variance 1"))
        changed[is_swapped, one] = 1 - changed[is_swapped, one]
        for j in others:
            changed[is_swapped, j : j + 2] = changed[is_swapped, j : j + 2][:, ::-1]
        return changed

    def ranks(self, n_sets, seed, *, prior=PRIOR, spoil=None, by_reference=False):
        """Ranks (n_sets, q) of truths under a fit prior, with draws that `spoil(draws)` may change."""
        rng = np.random.default_rng(seed)
        tilt = np.array([prior.log_density(one) - PRIOR.log_density(one) for one in self.atoms])
        found = []
        for _ in range(n_sets):
            i = rng.integers(N_ATOMS)
            x = simulate(self.atoms[i], N, rng).x
            values = self.at(x)
            logs = values[:, self.names.index(LOG_LIKELIHOOD)] + tilt
            weights = np.exp(logs - logs.max())
            places = np.append(i, rng.choice(N_ATOMS, N_DRAWS, p=weights / weights.sum()))
            ordered = self.assigned(places, values, reference_of(x, 2)) if by_reference else values[places]
            true, draws = ordered[0], ordered[1:]
            found.append(ranks_among(true, draws if spoil is None else spoil(draws), rng))
        return np.array(found)


@pytest.fixture(scope="module")
def exact():
    return Enumerated(3)


def p_values(ranks):
    """Holm's p-values, one for each quantity."""
    return holm([uniformity(column, N_DRAWS).value for column in ranks.T])


def test_the_enumerated_likelihood_is_the_definition(exact, rng):
    x = rng.normal(size=(N, 1))
    values = exact.at(x)
    for i in (0, 7, 1499):
        assert values[i] == pytest.approx(list(quantities(exact.atoms[i], x, POINTS).values()))


def test_an_exact_posterior_is_calibrated(exact):
    """1,000 data sets, 11 quantities, errs in 1% of seeds."""
    assert p_values(exact.ranks(1000, seed=1)).min() > 0.01


def test_assigned_to_a_reference_it_is_calibrated_too(exact):
    """As above. The rule is another one: of the draws of a data set it orders some otherwise than means."""
    rng = np.random.default_rng(9)
    x = simulate(exact.atoms[0], N, rng).x
    values, reference, places = exact.at(x), reference_of(x, 2), rng.integers(N_ATOMS, size=20)
    for place, row in zip(places, exact.assigned(places, values, reference), strict=True):
        assert row == pytest.approx(list(quantities(exact.atoms[place], x, POINTS, reference).values()))
    assert (exact.assigned(places, values, reference) != values[places]).any()
    assert p_values(exact.ranks(1000, seed=8, by_reference=True)).min() > 0.01


def test_a_prior_half_as_wide_is_found(exact):
    """The power of 1,000 data sets of 15 observations, from as many others, comes first."""
    pilot, band = exact.ranks(1000, seed=2, prior=HALF), simultaneous_band(1000, N_DRAWS, 1 - 0.01 / 11)
    rng = np.random.default_rng(4)
    power = np.mean([leaves_any(pilot[rng.integers(1000, size=1000)], band) for _ in range(1000)])
    print(f"power against a prior half as wide, n = {N}, 1,000 data sets: {power:.3f}")
    assert power > 0.99
    assert p_values(exact.ranks(1000, seed=5, prior=HALF)).min() < 0.01


def leaves_any(ranks, band):
    """Whether the ECDF of any quantity's ranks leaves a band: Holm's rule for the smallest p-value."""
    ordered = np.sort(ranks, axis=0)
    places = np.arange(N_DRAWS)
    counts = np.array([np.searchsorted(column, places, side="right") for column in ordered.T])
    differences = counts / len(ranks) - (places + 1) / (N_DRAWS + 1)
    return ((differences < band.lower - 1e-12) | (differences > band.upper + 1e-12)).any()


def test_swapped_weights_are_found(exact):
    place = exact.names.index("weight 1")

    def swap(draws):
        swapped = draws.copy()
        swapped[:, place] = 1 - swapped[:, place]
        return swapped

    found = p_values(exact.ranks(300, seed=7, spoil=swap))
    assert found[place] < 0.01
    assert np.delete(found, place).min() > 0.01

"""The public door of relabelling: what it takes, what it refuses, and its report."""

import pickle
import subprocess
import sys
import time

import numpy as np
import pytest

import mixtures as mx
from mixtures.bayes import switching
from mixtures.bayes.draws import MixtureDraws
from mixtures.bayes.evidence import Evidence
from mixtures.bayes.permutations import reorder
from mixtures.bayes.relabel import Relabel, agreements, relabel, relabelled
from mixtures.model.density import responsibilities
from mixtures.model.fit import Draws
from mixtures.model.labels import align
from mixtures.model.mixture import NormalMixture

METHODS = [method for method in Relabel if method not in {Relabel.AUTO, Relabel.NONE}]
X = np.linspace(-3, 4, 12)


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_known_switches_are_undone(k):
    rng = np.random.default_rng(k)
    centres = np.arange(k) * 4.0
    ordered = MixtureDraws(
        rng.dirichlet(np.full(k, 50.0), size=(2, 40)),
        centres + rng.normal(0, 0.3, (2, 40, k)),
        rng.gamma(50, 0.02, (2, 40, k)),
    )
    switches = rng.permuted(np.broadcast_to(np.arange(k), (2, 40, k)), axis=-1)
    switched = ordered.reordered(switches)
    for method in (Relabel.REFERENCE, Relabel.ORDERING):
        found = relabel(switched, method, log_densities=rng.normal(size=(2, 40))).permutations
        np.testing.assert_array_equal(found, switches.argsort(axis=-1))
        np.testing.assert_array_equal(switched.reordered(found).weights, ordered.weights)


@pytest.mark.parametrize("k", [2, 3, 5])
def test_reference_is_the_alignment_to_the_densest_draw(k, random_draws):
    draws = random_draws((2, 15), k, seed=k)
    log_densities = np.random.default_rng(1).normal(size=(2, 15))
    mixtures = rows_of(draws)
    reference = mixtures[log_densities.argmax()]
    reference = reference.permuted(reference.means[:, 0].argsort())
    expected = [align(reference, theta) for theta in mixtures]
    found = relabel(draws, Relabel.REFERENCE, log_densities=log_densities)
    np.testing.assert_array_equal(found.permutations.reshape(-1, k), [one.permutation for one in expected])
    np.testing.assert_allclose(found.costs.reshape(-1), [one.cost for one in expected], atol=1e-12)
    np.testing.assert_allclose(found.gaps.reshape(-1), [one.gap for one in expected], atol=1e-12)


def rows_of(draws):
    row = draws.in_one_row()
    return [
        NormalMixture.univariate(*theta) for theta in zip(row.weights, row.means, row.variances, strict=True)
    ]


def test_without_log_densities_the_pivot_is_the_likeliest_draw(random_draws):
    draws = random_draws((2, 15), 3, seed=4)
    likelihoods = [mx.log_likelihood(theta, X) for theta in rows_of(draws)]
    by_x = relabel(draws, "reference", x=X)
    by_density = relabel(draws, "reference", log_densities=np.reshape(likelihoods, (2, 15)))
    np.testing.assert_array_equal(by_x.permutations, by_density.permutations)


def test_a_reference_mixture_of_ones_own(random_draws):
    draws = random_draws((2, 15), 3, seed=4)
    reference = NormalMixture.univariate([0.2, 0.3, 0.5], [4, 0, -1], [1, 2, 1])
    found = relabel(draws, "reference", reference=reference)
    expected = [align(reference, theta).permutation for theta in rows_of(draws)]
    np.testing.assert_array_equal(found.permutations.reshape(-1, 3), expected)


def test_none_leaves_the_draws(random_draws):
    draws = random_draws((2, 5), 3, seed=1)
    found = relabel(draws, Relabel.NONE)
    np.testing.assert_array_equal(draws.reordered(found.permutations).means, draws.means)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("k", [1, 2, 3])
def test_every_method_has_one_signature(method, k, random_draws):
    draws = random_draws((2, 20), k, seed=k)
    found = relabel(draws, method, x=X)
    assert found.permutations.shape == (2, 20, k)
    assert found.costs.shape == found.gaps.shape == (2, 20)
    assert (np.sort(found.permutations, axis=-1) == np.arange(k)).all()
    assert (found.gaps >= 0).all()
    assert np.isinf(found.gaps).all() == (k == 1)
    assert pickle.loads(pickle.dumps(found)).permutations.tolist() == found.permutations.tolist()


@pytest.mark.parametrize("method", METHODS)
def test_plain_arrays_and_one_row_give_the_same(method, random_draws):
    """The log densities fix the pivot; one chain is one row."""
    draws = random_draws((1, 20), 3, seed=7)
    plain = Draws(draws.weights, draws.means[..., None], draws.variances[..., None])
    densities = np.random.default_rng(1).normal(size=(1, 20))
    found = relabel(plain, method, x=X, log_densities=densities)
    row = relabel(draws.in_one_row(), method, x=X, log_densities=densities[0])
    np.testing.assert_array_equal(found.permutations[0], row.permutations)
    assert row.n_switched.tolist() == found.n_switched.tolist()


@pytest.mark.parametrize("method", ["ecr", "ecr_iterative_1", "ecr_iterative_2", "stephens", "data_based"])
def test_responsibilities_may_be_given(method, random_draws):
    draws = random_draws((2, 20), 3, seed=7)
    given = np.reshape([responsibilities(theta, X) for theta in rows_of(draws)], (2, 20, 12, 3))
    computed = relabel(draws, method, x=X)
    found = relabel(draws, method, x=X, responsibilities=given)
    np.testing.assert_array_equal(found.permutations, computed.permutations)
    if method != "stephens":
        found = relabel(draws, method, x=X, responsibilities=given, allocations=given.argmax(axis=-1))
        np.testing.assert_array_equal(found.permutations, computed.permutations)


@pytest.mark.parametrize(
    "method", ["stephens", "ecr_iterative_1", "ecr_iterative_2", "ecr", "pra", "reference"]
)
def test_multivariate_draws(method):
    """Two dimensions, in which no single one tells the components apart."""
    rng = np.random.default_rng(3)
    centres = np.array([[0.0, 0.0], [6.0, 0.0], [0.0, 6.0]])
    z = rng.integers(0, 3, 60)
    x = centres[z] + rng.normal(size=(60, 2))
    means = centres + rng.normal(0, 0.2, (2, 30, 3, 2))
    order = rng.permuted(np.broadcast_to(np.arange(3), (2, 30, 3)), axis=-1)
    squares = ((x[:, None] - means[:, :, None]) ** 2).sum(axis=-1)  # (c, s, n, k)
    soft = np.exp(-squares / 2)
    soft /= soft.sum(axis=-1, keepdims=True)
    parts = np.full((2, 30, 3), 1 / 3), means, np.ones((2, 30, 3, 2))
    draws = Draws(*(reorder(part, order) for part in parts))
    switched = np.take_along_axis(soft, order[:, :, None], axis=-1)
    iterative = method == "stephens" or method.startswith("ecr_")
    found = relabel(
        draws,
        method,
        responsibilities=switched,
        log_densities=rng.normal(size=(2, 30)),
        start="reference" if iterative else "none",
    )
    places = np.take_along_axis(order, found.permutations, axis=-1)
    assert (places == places[0, 0]).all()


class TestReport:
    BOTH = np.concatenate([X, X + 8])

    @pytest.fixture
    def draws(self, random_draws):
        near = random_draws((2, 40), 2, seed=3)
        apart = MixtureDraws(near.weights, near.means * 0.1 + [0, 8], 0.8 + 0.1 * near.sds)
        order = np.tile([0, 1], (2, 40, 1))
        order[0, 5:8] = order[1, :38] = [1, 0]
        return apart.reordered(order)

    def test_switches_are_counted_within_chains(self, draws):
        found = relabel(draws, "ordering")
        assert found.n_switched.tolist() == [3, 2]
        assert found.chain_orders.tolist() == [[0, 1], [1, 0]]

    def test_the_summary_names_what_happened(self, draws):
        found = relabel(draws, "stephens", x=self.BOTH)
        summary = {entry.name: entry.value for entry in found.summary()}
        assert (summary["draws"], summary["draws_switched"], summary["chains_reordered"]) == (80, 5, 1)
        assert summary["gap_least"] == found.gaps.min()
        assert summary["gap_least"] <= summary["gap_1%"] <= summary["gap_10%"] <= summary["gap_50%"]
        assert summary["iterations"] == found.n_iterations

    def test_doubt_grows_as_components_draw_near(self, draws):
        near = MixtureDraws(draws.weights, draws.means * 0.2, draws.sds)
        for method in ("stephens", "ecr", "reference", "ordering"):
            close = relabel(near, method, x=np.concatenate([X, X + 1.6])).gaps
            assert np.median(close) < np.median(relabel(draws, method, x=self.BOTH).gaps)

    def test_methods_agree_where_components_are_apart(self, draws, random_draws):
        found = agreements([relabel(draws, one, x=self.BOTH) for one in ("ordering", "ecr", "stephens")])
        np.testing.assert_array_equal(found, np.ones((3, 3)))
        blurred = random_draws((2, 40), 2, seed=3)
        found = agreements([relabel(blurred, method, x=X) for method in ("ordering", "ordering_weights")])
        assert 0.5 <= found[0, 1] < 1
        np.testing.assert_array_equal(found, found.T)


def test_relabellings_of_other_draws_are_not_compared(random_draws):
    one, other = (relabel(random_draws((2, n), 2, seed=3), "ordering") for n in (5, 6))
    with pytest.raises(
        ValueError, match=r"the same draws; got permutations of shapes \(2, 5, 2\) and \(2, 6"
    ):
        one.agreement(other)


def three(**changes):
    rng = np.random.default_rng(1)
    parts = {
        "weights": rng.dirichlet([3, 3, 3], size=(2, 4)),
        "means": rng.normal(size=(2, 4, 3, 1)),
        "variances": np.ones((2, 4, 3, 1)),
    }
    return Draws(**(parts | changes))


def with_nan():
    means = np.zeros((2, 4, 3, 1))
    means[1, 2, 0] = np.nan
    return means


SOFT = np.full((2, 4, 12, 3), 1 / 3)
WRONG = {
    "method": (three(), "sorting", {}, "method must be one of reference, ordering, .*; got 'sorting'"),
    "auto": (three(), "auto", {}, "method must be one of reference, .*; got 'auto'"),
    "nan": (three(means=with_nan()), "ordering", {}, "means must be finite; got nan at position 1, 2, 0, 0"),
    "shapes": (three(weights=np.ones((2, 5, 3))), "ordering", {}, r"must have shapes .* got \(2, 5, 3\), "),
    "negative weights": (three(weights=-np.ones((2, 4, 3))), "ordering", {}, "weights must not be negative"),
    "weights of no distribution": (
        three(weights=np.full((2, 4, 3), 0.5)),
        "ecr",
        {},
        "weights must sum to 1 within 1e-06 at each draw; got 1.5",
    ),
    "no weight": (three(weights=np.zeros((2, 4, 3))), "ordering", {}, "weights must sum to 1 .*; got 0"),
    "negative sds": (
        MixtureDraws(np.ones((2, 4, 1)), np.zeros((2, 4, 1)), -np.ones((2, 4, 1))),
        "ordering",
        {},
        "sds must be positive; got -1",
    ),
    "no spread": (three(variances=np.zeros((2, 4, 3, 1))), "ecr", {}, "variances must be positive; got 0"),
    "nothing to tell by": (
        three(),
        "stephens",
        {},
        "responsibilities, or x of univariate draws, must be given",
    ),
    "no pivot": (three(), "pra", {}, "log_densities, or x of univariate draws, must be given"),
    "no allocations": (three(), "ecr_iterative_1", {}, "allocations or responsibilities, or x of univariate"),
    "no x": (three(), "data_based", {"responsibilities": SOFT}, "x must be given for this method"),
    "too few observations": (
        three(),
        "stephens",
        {"x": [0.0, 1.0]},
        "at least as many observations as components, 3, to tell these apart; got 2",
    ),
    "too few allocations": (
        three(),
        "ecr",
        {"allocations": np.zeros((2, 4, 2), int)},
        "observations as comp",
    ),
    "columns": (three(), "stephens", {"x": np.zeros((9, 2))}, "as many columns as the means, 1; got 2"),
    "x with nan": (three(), "stephens", {"x": [0.0, np.nan]}, "x must be finite"),
    "responsibilities' shape": (
        three(),
        "stephens",
        {"responsibilities": SOFT[0]},
        r"responsibilities must have shape \(2, 4, n, 3\); got \(4, 12, 3\)",
    ),
    "responsibilities' sum": (three(), "stephens", {"responsibilities": SOFT / 2}, "sum to 1"),
    "allocations' shape": (
        three(),
        "ecr",
        {"allocations": np.zeros((2, 9), int)},
        r"\(2, 4, n\); got \(2, 9\)",
    ),
    "allocations from 1": (
        three(),
        "ecr",
        {"allocations": np.full((2, 4, 9), 3)},
        "allocations must lie between 0 and 2; got 3 to 3",
    ),
    "densities": (
        three(),
        "pra",
        {"log_densities": np.zeros(8)},
        r"must have shape \(2, 4\), as the draws; got",
    ),
    "a density that is no number": (
        three(),
        "pra",
        {"log_densities": [[0, 0, 0, 0], [0, np.nan, 0, 0]]},
        "log_densities must be numbers below infinity",
    ),
    "an infinite density": (
        three(),
        "ecr",
        {"log_densities": [[0, 0, 0, 0], [0, np.inf, 0, 0]], "responsibilities": SOFT},
        "log_densities must be numbers below infinity",
    ),
    "no density": (
        three(),
        "reference",
        {"log_densities": np.full((2, 4), -np.inf)},
        "log_densities must be finite for some draw; got -inf for all",
    ),
    "counts": (
        three(),
        "stephens",
        {"responsibilities": SOFT, "x": np.zeros(5)},
        "observations must be the same in all that is given; got 5 in x, 12 in responsibilities",
    ),
    "reference": (
        three(),
        "reference",
        {"reference": NormalMixture.univariate([1], [0], [1])},
        r"reference must have the components and dimensions of the draws, \(3, 1\); got \(1, 1\)",
    ),
    "a reference that nothing uses": (
        three(),
        "ecr",
        {"reference": NormalMixture.univariate([1], [0], [1])},
        "reference must be left out, unless the method is reference; got it for ecr",
    ),
    "a start that nothing uses": (
        three(),
        "pra",
        {"start": "ordering"},
        "start must be left out, as pra has",
    ),
    "an iterative start": (
        three(),
        "ecr_iterative_1",
        {"start": "stephens"},
        "start must be one of reference",
    ),
}


@pytest.mark.parametrize(("draws", "method", "given", "message"), WRONG.values(), ids=WRONG)
def test_what_makes_no_sense_is_refused(draws, method, given, message):
    with pytest.raises(ValueError, match=message):
        relabel(draws, method, **given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"allocations": np.zeros((2, 4, 9))}, "allocations must hold whole numbers; got float64"),
        ({"responsibilities": np.zeros((2, 4, 9, 3), bool)}, "responsibilities must hold real numbers"),
        ({"log_densities": np.full((2, 4), "a")}, "log_densities must hold real numbers; got <U1"),
    ],
)
def test_what_is_of_the_wrong_kind_is_refused(given, message):
    with pytest.raises(TypeError, match=message):
        relabel(three(), "ecr", **given)


@pytest.mark.parametrize("name", ["allocations", "responsibilities", "log_densities"])
@pytest.mark.parametrize(
    ("values", "rule"),
    [
        (np.ma.masked_equal(np.arange(8).reshape(2, 4), 0), "have no missing values; got a masked array"),
        ([[0, 1], [0]], "be a regular array; got rows of unequal length"),
    ],
)
def test_missing_values_and_ragged_rows_are_refused(name, values, rule):
    with pytest.raises(ValueError, match=f"^{name} must {rule}"):
        relabel(three(), "ecr", **{name: values})


def test_a_reference_that_is_no_mixture_is_refused():
    with pytest.raises(TypeError, match="reference must be a NormalMixture; got str"):
        relabel(three(), "reference", reference="a")


def test_a_reference_is_taken_without_its_correlations():
    """Draws have none; a mixture with correlations is as far from them as the one without."""
    centres, spread = np.array([[0.0, 0.0], [0.5, 0.0]]), np.array([[1.0, 0.9], [0.9, 1.0]])
    means = centres + np.random.default_rng(4).normal(0, 0.5, (1, 20, 2, 2))
    draws = Draws(np.full((1, 20, 2), 0.5), means, np.ones((1, 20, 2, 2)))
    round_, long = (NormalMixture([0.5, 0.5], centres, [np.eye(2), one]) for one in (np.eye(2), spread))
    by_round, by_long = (relabel(draws, "reference", reference=one) for one in (round_, long))
    np.testing.assert_array_equal(by_long.costs, by_round.costs)


def test_what_are_no_draws_is_refused():
    with pytest.raises(TypeError, match="draws must be Draws or MixtureDraws; got list"):
        relabel([1, 2], "ordering")


def test_an_empty_posterior_is_refused():
    draws = three(weights=np.ones((2, 0, 3)), means=np.ones((2, 0, 3, 1)), variances=np.ones((2, 0, 3, 1)))
    with pytest.raises(ValueError, match=r"draws must not be empty; got means of shape \(2, 0, 3, 1\)"):
        relabel(draws, "ordering")


@pytest.mark.parametrize("method", ["reference", "pra", "ecr"])
def test_a_draw_without_a_density_is_no_pivot(method, random_draws):
    """The sampler's may be -inf, inf or NaN where a weight underflows; a user's may be -inf."""
    draws = random_draws((2, 20), 3, seed=1)
    densities = np.random.default_rng(2).normal(size=(2, 20))
    densities[1, 3] = 9
    expected = relabel(draws, method, x=X, log_densities=densities).permutations
    for impossible in (-np.inf, np.inf, np.nan):
        densities[0, :3] = densities[1, 7] = impossible
        inside = relabelled(Evidence.of(draws, X, densities), Relabel(method))
        np.testing.assert_array_equal(inside.permutations, expected)
    densities[0, :3] = densities[1, 7] = -np.inf
    np.testing.assert_array_equal(relabel(draws, method, x=X, log_densities=densities).permutations, expected)


def test_draws_in_single_precision_are_taken(random_draws):
    draws = random_draws((2, 20), 3, seed=1)
    parts = draws.weights, draws.means[..., None], draws.variances[..., None]
    found = relabel(Draws(*(part.astype(np.float32) for part in parts)), "stephens", x=X)
    np.testing.assert_array_equal(found.permutations, relabel(draws, "stephens", x=X).permutations)


def test_a_samplers_own_draws_are_taken_as_they_are(random_draws):
    draws = random_draws((2, 20), 2, seed=1)
    densities = np.random.default_rng(2).normal(size=(2, 20))
    inside = relabelled(Evidence.of(draws, X, densities), Relabel.STEPHENS)
    outside = relabel(draws, "stephens", x=X, log_densities=densities)
    np.testing.assert_array_equal(inside.permutations, outside.permutations)


@pytest.mark.parametrize("method", METHODS)
def test_the_engine_takes_every_method(method, spec, x):
    """The components of this posterior are four sds apart: whatever looks at their place finds the same."""
    short = {"n_draws": 100, "target_ess": None}
    fit, raw = (mx.NUTS(**short, relabel=one).fit(spec, x, rng=5) for one in (method, "none"))
    assert fit.details.relabelling.method == method
    switched = {entry.name: entry.value for entry in fit.diagnostics}["draws_switched"]
    assert switched == fit.details.relabelling.n_switched.sum()
    np.testing.assert_array_equal(
        fit.draws.means[..., 0],
        np.take_along_axis(raw.draws.means[..., 0], fit.details.permutations, axis=-1),
    )
    if method not in {Relabel.ORDERING_WEIGHTS, Relabel.ORDERING_SDS}:
        np.testing.assert_array_equal(fit.draws.means, np.sort(fit.draws.means, axis=2))


def test_the_engine_says_when_relabelling_was_stopped(spec, x, monkeypatch):
    monkeypatch.setattr(switching, "_MOST_ITERATIONS", 1)
    fit = mx.NUTS(n_draws=100, target_ess=None, relabel="stephens").fit(spec, x, rng=5)
    assert fit.warnings == ("relabelling by stephens must come to rest; it was stopped after 1 passes",)


@pytest.mark.slow
def test_stephens_takes_seconds():
    """10,000 draws, n = 1,000, k = 3 in less than 5 s of one core; 2 on the machine this was written on."""
    rng = np.random.default_rng(1)
    centres = np.array([0, 1.5, 3])
    means = centres + rng.normal(0, 0.5, (4, 2500, 3))
    draws = Draws(np.full(means.shape, 1 / 3), means[..., None], np.ones((*means.shape, 1)))
    x = rng.choice(centres, 1000) + rng.normal(size=1000)
    relabel(
        Draws(draws.weights[:, :5], draws.means[:, :5], draws.variances[:, :5]), "stephens", x=x
    )  # compiles
    began = time.process_time()
    assert relabel(draws, "stephens", x=x).is_converged
    assert time.process_time() - began < 5


def test_it_needs_no_sampler():
    code = (
        "import sys, numpy as np, mixtures as mx\n"
        "draws = mx.Draws(np.full((1, 3, 2), .5), np.zeros((1, 3, 2, 1)), np.ones((1, 3, 2, 1)))\n"
        "mx.relabel(draws, 'stephens', x=[0., 1., 2.])\n"
        "print(*sys.modules)"
    )
    command = [sys.executable, "-c", code]
    loaded = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.split()
    assert "mixtures.bayes.relabel" in loaded
    assert {"pymc", "pytensor", "nutpie", "arviz", "xarray"} & set(loaded) == set()

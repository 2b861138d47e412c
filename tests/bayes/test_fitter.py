"""The engine as a whole: settings, results, failures, and one sampler for many data sets."""

import os
import pickle
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from mixtures.bayes import compile as compiling
from mixtures.bayes.diagnostics import LENIENT
from mixtures.bayes.fitter import NUTS
from mixtures.bayes.starts import random_start
from mixtures.bayes.unconstrained import constrained
from mixtures.model.data import simulate
from mixtures.model.density import log_likelihood, responsibilities
from mixtures.model.fit import Status
from mixtures.model.mixture import NormalMixture
from mixtures.model.prior import Dirichlet, HalfNormal, LogNormal, Normal, Prior
from mixtures.model.spec import MixtureSpec
from mixtures.study.limits import TimeLimit, TimeUpError, within


class TestSettings:
    def test_they_can_be_pickled_without_loading_pymc(self):
        script = (
            "import pickle, sys; from mixtures.bayes.fitter import NUTS;"
            "engine = pickle.loads(pickle.dumps(NUTS(n_draws=7))); assert engine.n_draws == 7;"
            "sys.exit(any(name in sys.modules for name in ('pymc', 'nutpie', 'arviz', 'scipy', 'pandas')))"
        )
        assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0

    def test_numbers_of_numpy_are_kept_as_floats(self):
        engine = NUTS(level=np.float32(0.5), target_accept=np.float64(0.9), target_ess=np.int64(400))
        assert (engine.level, engine.target_accept, engine.target_ess) == (0.5, 0.9, 400)
        assert type(engine.level) is type(engine.target_accept) is float

    @pytest.mark.parametrize(
        ("settings", "error", "message"),
        [
            ({"n_chains": 1}, ValueError, "n_chains must be at least 2; got 1"),
            ({"n_draws": 3}, ValueError, "n_draws must be at least 4; got 3"),
            ({"n_draws": 10.0}, TypeError, "n_draws must be a whole number; got 10.0"),
            ({"n_warmup": True}, TypeError, "n_warmup must be a whole number; got True"),
            ({"target_ess": 0}, ValueError, "target_ess must be a positive number or None; got 0"),
            ({"target_ess": "many"}, TypeError, "target_ess must be a number; got 'many'"),
            ({"max_draws": 500}, ValueError, "max_draws must be at least n_draws, 600; got 500"),
            ({"cores": 0}, ValueError, "cores must be at least 1; got 0"),
            ({"level": 95}, ValueError, "level must lie between 0 and 1; got 95"),
            ({"target_accept": "0.8"}, TypeError, "target_accept must be a number; got '0.8'"),
            ({"time_limit": 0}, ValueError, "time_limit must be a positive number of seconds or None; got 0"),
            ({"relabel": "sort"}, ValueError, "relabel must be one of auto, .*; got 'sort'"),
            ({"prior": "flat"}, TypeError, "prior must be a Prior or None; got str"),
            ({"gate": 1.01}, TypeError, "gate must be a Gate; got float"),
            ({"name": 7}, TypeError, "name must be text; got int"),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, settings, error, message):
        with pytest.raises(error, match=message):
            NUTS(**settings)


class TestResult:
    def test_it_converges_near_the_truth(self, fit, truth):
        assert fit.status == Status.CONVERGED, fit.message
        assert (fit.method, fit.message, fit.warnings) == ("NUTS", "", ())
        errors = np.abs(fit.estimate.means - truth.means) / fit.intervals.standard_errors.means
        assert (errors < 4).all()

    def test_the_estimate_is_the_mean_of_weights_means_and_variances(self, fit):
        draws = fit.draws
        np.testing.assert_allclose(fit.estimate.weights, draws.weights.mean(axis=(0, 1)))
        np.testing.assert_allclose(fit.estimate.means, draws.means.mean(axis=(0, 1)))
        np.testing.assert_allclose(fit.estimate.variances, draws.variances.mean(axis=(0, 1)))
        assert draws.weights.shape == (4, 1000, 2)
        assert draws.variances.shape == (4, 1000, 2, 1)

    def test_the_log_likelihood_is_that_of_the_estimate(self, fit, x):
        assert fit.log_likelihood == pytest.approx(log_likelihood(fit.estimate, x))

    def test_intervals_are_equal_tailed_and_hold_the_mean(self, fit):
        interval, draws = fit.intervals, fit.draws
        assert interval.level == 0.95
        for name in ("weights", "means", "variances"):
            lower, upper = getattr(interval.lower, name), getattr(interval.upper, name)
            values = getattr(draws, name)
            assert (lower < getattr(fit.estimate, name)).all()
            assert (getattr(fit.estimate, name) < upper).all()
            np.testing.assert_allclose((values < lower).mean(axis=(0, 1)), 0.025, atol=1e-3)
            np.testing.assert_allclose((values > upper).mean(axis=(0, 1)), 0.025, atol=1e-3)
            se = getattr(interval.standard_errors, name)
            np.testing.assert_allclose(se, values.std(axis=(0, 1), ddof=1))

    def test_responsibilities_are_averaged_over_the_posterior(self, fit, x):
        draws = fit.draws
        by_draw = [
            responsibilities(NormalMixture.univariate(w, m[:, 0], v[:, 0]), x)
            for chain in range(4)
            for w, m, v in zip(
                draws.weights[chain, ::50],
                draws.means[chain, ::50],
                draws.variances[chain, ::50],
                strict=True,
            )
        ]
        np.testing.assert_allclose(fit.responsibilities, np.mean(by_draw, axis=0), atol=0.05)
        np.testing.assert_allclose(fit.responsibilities.sum(axis=1), 1)
        lower, upper = np.moveaxis(fit.responsibility_intervals, -1, 0)
        unsure = np.abs(fit.responsibilities - 0.5) < 0.5 - 1e-6  # elsewhere too skew to hold their mean
        assert unsure.mean() > 0.2
        assert ((lower <= fit.responsibilities) & (fit.responsibilities <= upper))[unsure].mean() > 0.99
        assert (lower < upper).all()

    def test_labels_switch_between_chains_and_are_put_back(self, fit, posterior):
        switched = (posterior.permutations[..., 0] != 0).mean(axis=1)
        assert set(switched) <= {0.0, 1.0}  # far apart: whole chains
        means = fit.draws.means[..., 0].mean(axis=1)
        assert (means[:, 0] < 1).all()
        assert (means[:, 1] > 3).all()

    def test_it_survives_pickling_and_permuting(self, fit):
        again = pickle.loads(pickle.dumps(fit)).permuted([1, 0])
        np.testing.assert_array_equal(again.estimate.means, fit.estimate.means[::-1])
        np.testing.assert_array_equal(again.draws.weights, fit.draws.weights[..., ::-1])


class TestRandomness:
    def test_the_same_seed_gives_the_same_draws_whatever_the_cores(self, spec, x, fit):
        again = NUTS(n_draws=1000, target_ess=None, cores=2).fit(spec, x[:, None], np.random.default_rng(5))
        np.testing.assert_array_equal(again.draws.means, fit.draws.means)
        other = NUTS(n_draws=1000, target_ess=None).fit(spec, x, rng=6)
        assert not np.array_equal(other.draws.means, fit.draws.means)

    def test_chains_start_apart(self, posterior):
        first = posterior.means[:, 0, 0]
        assert len(set(first)) == 4


@pytest.fixture(scope="module")
def near():
    """Two components so near each other that one short round cannot do."""
    return simulate(NormalMixture.univariate([0.4, 0.6], [0, 2.5], [1, 1]), 300, rng=3).x[:, 0]


@pytest.fixture(scope="module")
def reached(spec, near):
    return NUTS(n_draws=200).fit(spec, near, rng=4)


class TestTarget:
    def test_every_reported_quantity_reaches_it(self, reached):
        assert (reached.status, reached.warnings) == (Status.CONVERGED, ())
        for diagnostics in (reached.details.invariants, reached.details.parameters):
            assert (np.minimum(diagnostics.ess_bulk, diagnostics.ess_tail) >= 1000).all()
            assert (diagnostics.rhat < 1.01).all()
        assert reached.draws.weights.shape[:2] == reached.details.stats.n_steps.shape
        assert reached.draws.weights.shape[1] > 200

    def test_the_same_seed_gives_the_same_rounds_whatever_the_cores(self, spec, near, reached):
        again = NUTS(n_draws=200, cores=2).fit(spec, near, rng=4)
        np.testing.assert_array_equal(again.draws.means, reached.draws.means)

    def test_rounds_are_different_draws(self, reached):
        assert len(np.unique(reached.details.stats.step_size[:, [0, -1]].round(12))) > 4

    def test_they_agree_with_one_long_round(self, spec, near, reached):
        """False alarms: six comparisons at four standard errors, under one in a thousand."""
        long = NUTS(n_draws=4000, n_warmup=1000, target_ess=None).fit(spec, near, rng=5)
        ours, theirs = reached.details, long.details
        error = np.hypot(ours.parameters.mcse, theirs.parameters.mcse)
        means = [
            np.concatenate([p.weights, p.means, p.sds], axis=-1).mean(axis=(0, 1)) for p in (ours, theirs)
        ]
        assert (np.abs(means[0] - means[1]) < 4 * error).all()
        assert not (np.abs(means[0] - means[1] + 0.2) < 4 * error).any()

    def test_the_cap_ends_it_and_says_so(self, spec, near):
        fit = NUTS(n_draws=100, max_draws=150).fit(spec, near, rng=4)
        assert fit.draws.weights.shape[1] == 150
        (warning,) = fit.warnings
        assert warning.startswith("sampling ended at 150 draws a chain, short of its target: ")
        assert fit.status == Status.NOT_MIXED

    def test_a_target_below_the_gate_is_raised_to_it(self, spec, x):
        fit = NUTS(n_draws=50, target_ess=10, gate=LENIENT).fit(spec, x, rng=4)
        assert fit.status == Status.CONVERGED, fit.message
        assert fit.details.parameters.ess_bulk.min() >= LENIENT.ess

    def test_parameters_without_an_identity_are_not_waited_for(self, spec, x):
        """Unlabelled draws of distant components: parameters differ between chains for good."""
        fit = NUTS(relabel="none").fit(spec, x, rng=5)
        assert fit.status == Status.CONVERGED, fit.message
        assert fit.warnings == ()
        assert fit.details.parameters.rhat.max() > 1.5

    def test_time_is_counted_over_all_rounds(self, spec, near):
        """What the complete rounds drew stands, with a warning."""
        fit = NUTS(target_ess=1e9, max_draws=10**9, time_limit=1.0).fit(spec, near, rng=4)
        n_draws = fit.draws.weights.shape[1]
        assert fit.estimate is not None
        assert 600 <= n_draws < 10**6
        assert fit.warnings[-1].startswith(
            f"sampling ended at {n_draws} draws a chain, short of its target: "
        )


LONG = NUTS(n_draws=1000, target_ess=None)


@pytest.fixture(scope="module")
def overlapping():
    """Components whose weights and means are correlated, and nearly normal."""
    return simulate(NormalMixture.univariate([0.4, 0.6], [0, 3], [1, 1]), 500, rng=103).x[:, 0]


@pytest.fixture(scope="module")
def with_it(spec, overlapping):
    return LONG.fit(spec, overlapping, rng=9).details


@pytest.fixture(scope="module")
def without(spec, overlapping):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiling, "coordinates", lambda *_: None)
        return LONG.fit(spec, overlapping, rng=9).details


class TestMetric:
    """Coordinates change how the sampler moves, not what it samples."""

    @staticmethod
    def z_scores(ours, theirs, shift=0.0):
        means = [
            np.concatenate([p.weights, p.means, p.sds], axis=-1).mean(axis=(0, 1)) for p in (ours, theirs)
        ]
        error = np.hypot(ours.parameters.mcse, theirs.parameters.mcse)
        return np.abs(means[0] - means[1] + shift) / error

    def test_draws_agree_with_those_without_it(self, with_it, without):
        """False alarms: six comparisons at four standard errors, under one in a thousand."""
        assert (self.z_scores(with_it, without) < 4).all()
        assert (self.z_scores(with_it, without, shift=0.1) > 4).all()

    def test_a_gradient_is_worth_twice_as_much(self, with_it, without):
        worth = [p.reported().ess_bulk.min() / p.stats.n_steps.sum() for p in (with_it, without)]
        assert worth[0] > 2 * worth[1]

    def test_a_model_that_nutpie_compiled_is_sampled_without_it(
        self, spec, overlapping, without, monkeypatch
    ):
        monkeypatch.setattr(compiling, "takes_coordinates", lambda _: False)
        monkeypatch.setattr(compiling, "coordinates", lambda *_: pytest.fail("there are none to find"))
        again = LONG.fit(spec, overlapping, rng=9).details
        np.testing.assert_array_equal(again.means, without.means)

    def test_starts_have_its_labels_and_are_as_far_apart_as_without(self, spec, overlapping):
        x = overlapping
        prior = Prior.weakly_informative(x, 2)
        z = (x - x.mean()) / x.std()
        sampler = compiling.Sampler.of(spec, prior, x, lambda rng: random_start(z, 2, rng), seed=1)
        data = {v.name: sampler.model.shared_data[key] for v, key in sampler.model.shared_var_keys.items()}
        places = compiling._places(sampler.model)
        drawn = [random_start(z, 2, np.random.default_rng(seed)).means[:, 0] for seed in range(100)]
        first = [
            constrained(data["centre"] + data["scale"] @ sampler.model.initial_point_func(seed), places)
            for seed in range(100)
        ]
        means = np.array([theta.means[:, 0] for theta in first])
        np.testing.assert_allclose(np.sort(means), np.sort(drawn))
        rises = means[:, 1] > means[:, 0]
        assert min(rises.mean(), 1 - rises.mean()) <= 0.05  # labels go by sds too
        assert means.std(axis=0).min() > 5 * data["scale"].std()


class TestManyDataSets:
    @pytest.mark.usefixtures("fit")
    def test_one_compilation_serves_data_of_any_length(self, spec, x, monkeypatch):
        keys = []
        compiled = compiling._compiled[2, LogNormal, False]
        monkeypatch.setattr(compiling, "_compiled", {})
        monkeypatch.setattr(compiling, "_compile", lambda *arguments: keys.append(arguments) or compiled)
        engine = NUTS(n_draws=50, n_warmup=50, target_ess=None)
        assert engine.fit(spec, x, 1).draws.means.shape == (4, 50, 2, 1)
        assert engine.fit(spec, x[:37], 1).responsibilities.shape == (37, 2)
        by_hand = Prior(Dirichlet([2, 3]), Normal([0, 4], 1), LogNormal(0, 0.5))
        assert (
            NUTS(prior=by_hand, n_draws=50, n_warmup=50, target_ess=None).fit(spec, x, 1).estimate is not None
        )
        assert len(keys) == 1

    @pytest.mark.parametrize(("shift", "scale"), [(1e6, 1), (-3, 1e-6), (0, 1e6)])
    def test_data_elsewhere_converge_too_and_give_the_same_answer(self, spec, x, fit, shift, scale):
        moved = NUTS(n_draws=1000, target_ess=None).fit(spec, shift + scale * x, rng=8)
        assert moved.status == Status.CONVERGED, moved.message
        ours, theirs = fit.details.parameters, moved.details.parameters
        difference = (moved.estimate.means[:, 0] - shift) / scale - fit.estimate.means[:, 0]
        error = np.hypot(ours.mcse[2:4], theirs.mcse[2:4] / scale)
        assert (np.abs(difference) < 5 * error).all()

    def test_a_prior_that_tells_components_apart_keeps_its_labels(self, spec, x):
        prior = Prior(Dirichlet(2), Normal([4, 0], 0.5), LogNormal(0, 0.5))  # the larger mean first
        engine = NUTS(prior=prior, n_draws=200, gate=LENIENT, target_ess=None)
        fit = engine.fit(spec, x, rng=3)
        assert (fit.details.permutations == [0, 1]).all()
        assert fit.estimate.means[0, 0] > fit.estimate.means[1, 0]


class TestFailures:
    def test_a_fit_that_fails_the_gate_keeps_its_estimate(self, spec, x):
        fit = NUTS(n_draws=50, n_warmup=50, target_ess=None).fit(spec, x, rng=1)
        assert fit.status == Status.NOT_MIXED
        assert "ESS" in fit.message
        assert fit.estimate is not None

    def test_divergences_have_their_own_status(self, spec, x):
        fit = NUTS(n_draws=200, n_warmup=5, target_ess=None).fit(
            spec, x, rng=1
        )  # step sizes are hardly adapted
        assert fit.status == Status.DIVERGENT
        assert "draws diverged" in fit.message
        assert fit.estimate is not None

    def test_a_time_limit_is_kept(self, spec, x):
        fit = NUTS(n_draws=1_000_000, target_ess=None, time_limit=0.3).fit(spec, x, rng=1)
        assert fit.status == Status.TIMEOUT
        assert fit.message == "sampling must end within 0.3 seconds; it was stopped"
        assert fit.estimate is None

    def test_a_time_limit_of_somebody_elses_is_kept(self, spec, x):
        """An exception that is sent to the thread comes while it waits for the sampler."""
        engine, began = NUTS(n_draws=1_000_000, target_ess=None), time.monotonic()
        with pytest.raises(TimeUpError):
            within(TimeLimit(0.3), lambda: engine.fit(spec, x, rng=1))
        assert time.monotonic() - began < 10

    def test_a_sampler_that_cannot_start_is_an_error_in_the_result(self, spec, x, monkeypatch):
        nowhere = NormalMixture.unchecked(*(np.full(shape, np.nan) for shape in ((2,), (2, 1), (2, 1, 1))))
        monkeypatch.setattr("mixtures.bayes.fitter.random_start", lambda *_: nowhere)
        fit = NUTS(n_draws=50, n_warmup=50, target_ess=None).fit(spec, x, rng=1)
        assert fit.status == Status.ERROR
        assert fit.message == "the sampler failed: All initialization points failed"
        assert fit.responsibilities is None

    def test_a_panic_of_the_sampler_is_an_error_in_the_result(self, spec, x, monkeypatch):
        class PanicException(BaseException):
            """As pyo3 raises it."""

        def panic(*_, **__):
            raise PanicException("index out of bounds")

        monkeypatch.setattr("nutpie.sample", panic)
        fit = NUTS().fit(spec, x, rng=1)
        assert (fit.status, fit.message) == (Status.ERROR, "the sampler failed: index out of bounds")

    def test_an_interrupt_is_not_swallowed(self, spec, x):
        timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            NUTS(n_draws=1_000_000, target_ess=None).fit(spec, x, rng=1)
        assert NUTS(n_draws=50, n_warmup=50, target_ess=None).fit(spec, x, rng=1).estimate is not None

    @pytest.mark.parametrize(
        ("spec", "x", "message"),
        [
            (MixtureSpec(2), np.random.default_rng(1).normal(size=(9, 2)), "x must be univariate"),
            (MixtureSpec(2, "tied"), np.arange(9.0), "covariance must be full, diagonal or spherical"),
            (MixtureSpec(3), np.arange(2.0), "as many as components"),
        ],
    )
    def test_bad_input_raises(self, spec, x, message):
        with pytest.raises(ValueError, match=message):
            NUTS().fit(spec, x, rng=1)

    def test_a_prior_of_other_components_raises(self, x):
        prior = Prior(Dirichlet(1), Normal([0, 1], 1), HalfNormal(1))
        with pytest.raises(ValueError, match="prior must be that of 3 components; got 2"):
            NUTS(prior=prior).fit(MixtureSpec(3), x, rng=1)

    def test_a_seed_of_another_kind_raises(self, spec, x):
        with pytest.raises(TypeError, match="rng must be a"):
            NUTS().fit(spec, x, rng="seed")


class TestTies:
    PRIOR = Prior(Dirichlet(5), Normal(0, 5), HalfNormal(2), ordered=True)
    ENGINE = NUTS(prior=PRIOR, n_draws=50, n_warmup=100, target_ess=None)

    @pytest.fixture
    def tied(self, x):
        return np.round(x, 1)

    @pytest.mark.slow  # the only fit here of this family of prior: it compiles
    def test_they_are_warned_of_where_the_prior_reaches_zero(self, spec, tied, x):
        (warning,) = self.ENGINE.fit(spec, tied, rng=1).warnings
        assert "tied values" in warning
        assert self.ENGINE.fit(spec, x, rng=1).warnings == ()

    def test_the_default_prior_avoids_zero(self, spec, tied):
        assert NUTS(n_draws=50, n_warmup=50, target_ess=None).fit(spec, tied, rng=1).warnings == ()

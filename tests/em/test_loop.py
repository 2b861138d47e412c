"""The loop: its trace, when it stops, and the runs that it drops."""

import math

import numpy as np
import pytest
from oracles import random_mixture

from mixtures.em import loop
from mixtures.em.loop import VARIANCE_FLOOR, find_collapse, still_to_gain
from mixtures.em.steps import e_step, m_step
from mixtures.model.data import simulate
from mixtures.model.density import log_likelihood
from mixtures.model.mixture import NormalMixture
from mixtures.model.spec import Covariance


def run(x, covariance, start, tolerance, max_iter, earlier=()):
    """Run the loop."""
    return loop.run(x, Covariance(covariance), start, tolerance=tolerance, max_iter=max_iter, earlier=earlier)


FULL = Covariance.FULL
START = NormalMixture.univariate([0.5, 0.5], [-1, 1], [1, 1])


@pytest.fixture
def x():
    """Two overlapping normals, standardised."""
    x = simulate(NormalMixture.univariate([0.4, 0.6], [0, 3], [1, 1]), 200, 9).x
    return (x - x.mean()) / x.std()


def test_the_loop_is_e_and_m_in_turn(x):
    theta, trace = START, [log_likelihood(START, x)]
    for _ in range(12):
        theta = m_step(FULL, x, e_step(theta, x).responsibilities)
        trace.append(log_likelihood(theta, x))
    one = run(x, FULL, START, 0.0, 12)
    assert one.trace == pytest.approx(np.array(trace), rel=1e-13)
    assert np.array_equal(one.mixture.means, theta.means)


def test_the_last_entry_of_the_trace_belongs_to_the_parameters(x):
    for n_steps in (0, 1, 5, 100):
        one = run(x, FULL, START, 0.0, n_steps)
        assert len(one.trace) == n_steps + 1
        assert one.log_likelihood == pytest.approx(log_likelihood(one.mixture, x), rel=1e-14)


def test_a_run_gone_on_with_is_one_run(x):
    whole = run(x, FULL, START, 0.0, 30)
    half = run(x, FULL, START, 0.0, 11)
    halves = run(x, FULL, half.mixture, 0.0, 30, earlier=half.trace[:-1])
    assert np.array_equal(halves.trace, whole.trace)
    assert np.array_equal(halves.mixture.covariances, whole.mixture.covariances)


def test_the_trace_is_read_only(x):
    with pytest.raises(ValueError, match="read-only"):
        run(x, FULL, START, 0.0, 3).trace[0] = 0


@pytest.mark.parametrize("tolerance", [1e-4, 1e-6, 1e-9])
def test_what_remains_when_a_run_stops_is_within_its_tolerance(x, tolerance):
    """Aitken's forecast is good to a factor of 2; a loose rule on single steps is not (the control)."""
    whole = run(x, FULL, START, 1e-12, 100_000)
    stopped = run(x, FULL, START, tolerance, 100_000)
    assert whole.log_likelihood - stopped.log_likelihood < 2 * tolerance
    assert stopped.log_likelihood + stopped.remaining == pytest.approx(
        whole.log_likelihood, abs=max(tolerance, 1e-10)
    )
    gains = np.diff(whole.trace)
    loose = int(np.argmax(gains < tolerance))
    assert gains[loose + 1 :].sum() > 2 * tolerance


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("n", [3, 4, 19, 60])
def test_geometric_gains_are_forecast_exactly(rate, n):
    trace = [-1.0 / (1 - rate) * rate**t for t in range(n)]  # gains rate^t, limit 0
    assert still_to_gain(trace) == pytest.approx(-trace[-1], rel=1e-6)


@pytest.mark.parametrize(
    ("trace", "expected"),
    [
        ([], math.inf),
        ([1.0], math.inf),
        ([1.0, 2.0], math.inf),
        ([1.0, 2.0, 4.0], math.inf),  # gains grow: a plateau is being left
        ([1.0, 2.0, 3.0], math.inf),
        ([1.0, 2.0, 2.0], 0.0),
        ([1.0, 2.0, 2.0 - 1e-13], 0.0),
        ([0.0, 4.0, 6.0], 2.0),
    ],
)
def test_forecasts_at_the_edges(trace, expected):
    assert still_to_gain(trace) == expected


def test_a_plateau_is_no_end():
    """From nearly equal components EM first hardly moves; its growing gains keep it going."""
    x = simulate(NormalMixture.univariate([0.5, 0.5], [-3, 3], [1, 1]), 300, 2).x
    near_saddle = NormalMixture.univariate([0.5, 0.5], x.mean() + np.array([-1e-3, 1e-3]), [x.var()] * 2)
    one = run(x, FULL, near_saddle, 1e-9, 10_000)
    assert np.abs(one.mixture.means).min() > 2
    assert np.diff(one.trace)[2] < 1e-3  # it was a plateau


def test_a_component_alone_on_tied_points_collapses():
    x = np.array([[-1.0]] * 5 + [[0.5], [0.9], [1.3], [0.2]])
    one = run(x, FULL, NormalMixture.univariate([0.5, 0.5], [-1, 0.8], [0.01, 0.1]), 1e-9, 1000)
    assert one.collapse is not None
    assert one.collapse.component == 0
    assert one.collapse.rows.tolist() == [0, 1, 2, 3, 4]
    assert one.mixture.variances.min() > VARIANCE_FLOOR


def test_in_two_dimensions_a_component_on_a_line_collapses():
    rng = np.random.default_rng(1)
    line = np.column_stack([np.linspace(0, 1, 4), np.linspace(0, 1, 4)]) + 10
    x = np.vstack([rng.normal(size=(30, 2)), line])
    mixture = NormalMixture([0.8, 0.2], [[0, 0], [10.5, 10.5]], [np.eye(2), np.eye(2)])
    one = run(x, FULL, mixture, 1e-9, 1000)
    assert one.collapse is not None
    assert (one.collapse.component, one.collapse.rows.tolist()) == (1, [30, 31, 32, 33])
    assert (
        run(
            x, Covariance.TIED, NormalMixture([0.8, 0.2], mixture.means, mixture.covariances), 1e-9, 999
        ).collapse
        is None
    )


def test_an_emptied_component_collapses_without_rows():
    responsibilities = np.array([[1.0, 0.0]] * 6)
    made = m_step(FULL, np.arange(6.0)[:, None], responsibilities)
    collapse = find_collapse(made, responsibilities)
    assert (collapse.component, len(collapse.rows)) == (1, 0)


def test_a_start_that_nobody_belongs_to_is_dropped(x):
    one = run(x, FULL, NormalMixture.univariate([0.5, 0.5], [0, 1e6], [1, 1]), 1e-9, 1000)
    assert one.collapse is not None
    assert one.collapse.component == 1
    assert one.remaining == math.inf


def test_sound_parameters_are_no_collapse(x):
    expectation = e_step(START, x)
    assert find_collapse(m_step(FULL, x, expectation.responsibilities), expectation.responsibilities) is None


@pytest.mark.parametrize("d", [1, 2])
def test_small_is_no_collapse_above_the_floor(d):
    mixture = random_mixture(np.random.default_rng(1), 2, d)
    tiny = NormalMixture(mixture.weights, mixture.means, mixture.covariances * 1e-10)
    floor = NormalMixture(mixture.weights, mixture.means, mixture.covariances * 1e-14)
    r = np.full((10, 2), 0.5)
    assert find_collapse(tiny, r) is None
    assert find_collapse(floor, r) is not None


def test_a_jump_off_a_plateau_does_not_count_as_fast_convergence():
    """A gain of 1, then gains that shrink by 1% a step: a stretch that holds the jump sees a rate near 0."""
    gains = [1e-4] * 400 + [1.0] + [1e-5 * 0.99**i for i in range(60)]
    trace = np.concatenate([[-500.0], -500.0 + np.cumsum(gains)]).tolist()
    left = gains[-1] * 0.99 / (1 - 0.99)
    assert still_to_gain(trace) == pytest.approx(left, rel=0.01)

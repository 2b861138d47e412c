"""The two steps: against plain loops, and for what EM must do."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import (
    STRUCTURES,
    loop_log_likelihood,
    loop_m_step,
    loop_responsibilities,
    random_covariances,
    random_mixture,
)

from mixtures.em import loop
from mixtures.em.steps import e_step, m_step
from mixtures.model.data import simulate
from mixtures.model.mixture import NormalMixture
from mixtures.model.spec import Covariance


def run(x, covariance, start, tolerance, max_iter, earlier=()):
    """Run the loop."""
    return loop.run(x, Covariance(covariance), start, tolerance=tolerance, max_iter=max_iter, earlier=earlier)


CASES = [(covariance, d, k) for covariance in STRUCTURES for d in (1, 2, 3) for k in (1, 3)]


@pytest.mark.parametrize(("covariance", "d", "k"), CASES)
def test_the_e_step_is_bayes_rule(covariance, d, k):
    mixture = random_mixture(np.random.default_rng(1), k, d, covariance)
    x = simulate(mixture, 25, 2).x
    expectation = e_step(mixture, x)
    assert expectation.log_likelihood == pytest.approx(loop_log_likelihood(mixture, x), rel=1e-12)
    assert expectation.responsibilities == pytest.approx(
        loop_responsibilities(mixture, x), rel=1e-9, abs=1e-14
    )


@pytest.mark.parametrize(("covariance", "d", "k"), CASES)
def test_the_m_step_is_weighted_sums(covariance, d, k):
    rng = np.random.default_rng(3)
    x, r = rng.normal(size=(25, d)) * 2 + 1, rng.dirichlet(np.ones(k), size=25)
    made = m_step(Covariance(covariance), x, r)
    weights, means, covariances = loop_m_step(covariance, x, r)
    assert made.weights == pytest.approx(weights, rel=1e-13)
    assert made.means == pytest.approx(means, rel=1e-12)
    assert made.covariances == pytest.approx(covariances, rel=1e-11, abs=1e-13)


@pytest.mark.parametrize(("covariance", "d"), [(c, d) for c in STRUCTURES for d in (1, 2)])
def test_the_m_step_maximises_the_expected_log_likelihood(covariance, d):
    """No nearby parameters of the structure do better, and some do clearly worse (the control)."""
    rng = np.random.default_rng(4)
    x, r = rng.normal(size=(30, d)), rng.dirichlet(np.ones(2), size=30)
    made = m_step(Covariance(covariance), x, r)

    def expected(mixture):
        terms = np.column_stack(
            [
                [loop_log_likelihood(NormalMixture([1.0], [m], [c]), [point]) for point in x]
                for m, c in zip(mixture.means, mixture.covariances, strict=True)
            ]
        )
        return (r * (terms + np.log(mixture.weights))).sum()

    best = expected(made)
    for _ in range(20):
        jitter = random_covariances(rng, 2, d, covariance)
        w = made.weights * np.exp(0.01 * rng.normal(size=2))
        near = NormalMixture(
            w / w.sum(), made.means + 0.01 * rng.normal(size=(2, d)), made.covariances * 0.99 + 0.01 * jitter
        )
        assert expected(near) < best
    assert expected(NormalMixture(made.weights, made.means + 0.5, made.covariances)) < best - 1


def test_variances_do_not_cancel_far_from_zero():
    """Mean of squares minus square of mean would be off by 1 at an offset of 1e8."""
    x = np.array([[1e8], [1e8 + 1], [1e8 + 2]])
    assert m_step(Covariance.FULL, x, np.ones((3, 1))).covariances[0, 0, 0] == pytest.approx(2 / 3, rel=1e-12)
    naive = float((x**2).mean() - x.mean() ** 2)  # the control
    assert abs(naive - 2 / 3) > 0.1


@given(
    covariance=st.sampled_from(STRUCTURES),
    d=st.integers(1, 3),
    k=st.integers(1, 4),
    seed=st.integers(0, 2**32),
)
def test_the_likelihood_never_falls(covariance, d, k, seed):
    rng = np.random.default_rng(seed)
    x = simulate(random_mixture(rng, 3, d), 60, rng).x
    start = NormalMixture(
        rng.dirichlet(np.ones(k)), rng.normal(size=(k, d)) * 3, random_covariances(rng, k, d, covariance)
    )
    trace = run(x, Covariance(covariance), start, 0.0, 40).trace
    slack = 1e-10 * (np.abs(trace[:-1]) + len(x))
    assert (np.diff(trace) >= -slack).all()


def test_a_broken_m_step_lets_the_likelihood_fall():
    """The control: with variances ten times too large, the same check fails."""
    x = simulate(random_mixture(np.random.default_rng(1), 2, 1), 60, 1).x
    theta, trace = random_mixture(np.random.default_rng(2), 2, 1), []
    for _ in range(10):
        expectation = e_step(theta, x)
        trace.append(expectation.log_likelihood)
        made = m_step(Covariance.FULL, x, expectation.responsibilities)
        theta = NormalMixture(made.weights, made.means, made.covariances * 10)
    assert (np.diff(trace) < -1).any()


@pytest.mark.parametrize("covariance", STRUCTURES)
@pytest.mark.parametrize("times", [2, 3])
def test_repeating_every_row_multiplies_the_log_likelihood_and_keeps_theta(covariance, times):
    mixture = random_mixture(np.random.default_rng(5), 2, 2, covariance)
    x = simulate(mixture, 50, 6).x
    once = run(x, Covariance(covariance), mixture, 0.0, 15)
    repeated = run(np.repeat(x, times, axis=0), Covariance(covariance), mixture, 0.0, 15)
    assert repeated.trace == pytest.approx(times * once.trace, rel=1e-12)
    assert repeated.mixture.weights == pytest.approx(once.mixture.weights, rel=1e-10)
    assert repeated.mixture.means == pytest.approx(once.mixture.means, rel=1e-10)
    assert repeated.mixture.covariances == pytest.approx(once.mixture.covariances, rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("covariance", STRUCTURES)
def test_whole_weights_are_repeated_rows(covariance):
    rng = np.random.default_rng(7)
    x, times = rng.normal(size=(20, 2)), rng.integers(1, 4, size=20)
    r = rng.dirichlet(np.ones(2), size=20)
    weighted = m_step(Covariance(covariance), x, r * times[:, None])
    repeated = m_step(Covariance(covariance), np.repeat(x, times, axis=0), np.repeat(r, times, axis=0))
    assert weighted.means == pytest.approx(repeated.means, rel=1e-12)
    assert weighted.covariances == pytest.approx(repeated.covariances, rel=1e-11, abs=1e-13)


def test_an_empty_component_gets_numbers_and_no_warning():
    made = m_step(Covariance.FULL, np.array([[0.0], [1.0]]), np.array([[1.0, 0.0], [1.0, 0.0]]))
    assert made.weights == pytest.approx([1, 0], abs=1e-299)
    assert np.isfinite(made.means).all()


# scikit-learn, from the same start and with the same steps ---------------------------------------

_NAMES = {"full": "full", "diagonal": "diag", "spherical": "spherical", "tied": "tied"}


def precisions(covariances, covariance):
    inverses = np.linalg.inv(covariances)
    return {
        "full": inverses,
        "diagonal": np.diagonal(inverses, axis1=1, axis2=2),
        "spherical": inverses[:, 0, 0],
        "tied": inverses[0],
    }[covariance]


def square(covariances, k, d):
    """scikit-learn's covariances, whatever their shape, as (k, d, d)."""
    if covariances.shape == (k, d, d):
        return covariances
    if covariances.shape == (k, d):
        return covariances[:, :, None] * np.eye(d)
    return (
        covariances[:, None, None] * np.eye(d)
        if covariances.ndim == 1
        else np.repeat(covariances[None], k, 0)
    )


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("n_steps", [1, 2, 7, 60])
@pytest.mark.parametrize(
    ("covariance", "d", "k"), [(c, d, k) for c in STRUCTURES for d, k in ((1, 2), (2, 3), (3, 4))]
)
def test_scikit_learn_takes_the_same_steps(covariance, d, k, n_steps):
    from sklearn.mixture import GaussianMixture

    rng = np.random.default_rng(100 + 10 * d + k)
    x = simulate(random_mixture(rng, k, d, covariance, spread=2), 150, rng).x
    start = random_mixture(rng, k, d, covariance)
    ours = run(x, Covariance(covariance), start, 0.0, n_steps)
    theirs = GaussianMixture(
        k,
        covariance_type=_NAMES[covariance],
        weights_init=start.weights,
        means_init=start.means,
        precisions_init=precisions(start.covariances, covariance),
        reg_covar=0,
        tol=0,
        max_iter=n_steps,
    ).fit(x)
    assert len(ours.trace) == n_steps + 1
    assert theirs.n_iter_ == n_steps
    expected = square(theirs.covariances_, k, d)
    assert ours.mixture.weights == pytest.approx(theirs.weights_, rel=1e-8)
    assert ours.mixture.means == pytest.approx(theirs.means_, rel=1e-8, abs=1e-8)
    assert ours.mixture.covariances == pytest.approx(expected, rel=1e-8, abs=1e-8)
    assert ours.log_likelihood == pytest.approx(theirs.score(x) * len(x), rel=1e-10)
    if n_steps == 2:  # the control: one step more or less is seen
        behind = run(x, Covariance(covariance), start, 0.0, n_steps - 1).mixture
        assert not math.isclose(behind.means[0, 0], theirs.means_[0, 0], rel_tol=1e-8)

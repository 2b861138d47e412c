"""What an engine gives back: derived values, and the order of components."""

import numpy as np
import pytest
from oracles import random_mixture

from mixtures.em.fitter import EM
from mixtures.model.fit import Draws, Fit, Intervals, Parameters, Status
from mixtures.model.spec import MixtureSpec

ORDER = [2, 0, 1]


@pytest.fixture
def fit(rng):
    """Return a fit with everything that an engine may give, in three components and two dimensions."""

    def parameters():
        return Parameters(rng.normal(size=3), rng.normal(size=(3, 2)), rng.normal(size=(3, 2)))

    return Fit(
        method="engine",
        spec=MixtureSpec(3),
        status=Status.CONVERGED,
        estimate=random_mixture(rng, 3, 2),
        log_responsibilities=np.log(rng.dirichlet(np.ones(3), size=10)),
        log_likelihood=-12.5,
        intervals=Intervals(0.95, parameters(), parameters(), parameters()),
        responsibility_intervals=rng.random((10, 3, 2)),
        draws=Draws(rng.random((4, 7, 3)), rng.random((4, 7, 3, 2)), rng.random((4, 7, 3, 2))),
    )


def everything(fit):
    """Return every array of a fit that has an axis of components, with that axis."""
    intervals = [getattr(fit.intervals, name) for name in ("standard_errors", "lower", "upper")]
    return [
        *[(getattr(fit.estimate, name), 0) for name in ("weights", "means", "covariances")],
        *[(getattr(one, name), 0) for one in intervals for name in ("weights", "means", "variances")],
        *[(getattr(fit.draws, name), 2) for name in ("weights", "means", "variances")],
        (fit.log_responsibilities, 1),
        (fit.responsibilities, 1),
        (fit.responsibility_intervals, 1),
    ]


def test_permuted_moves_everything_that_has_components(fit):
    for (before, axis), (after, _) in zip(everything(fit), everything(fit.permuted(ORDER)), strict=True):
        assert np.array_equal(after, np.take(before, ORDER, axis=axis))
    assert fit.permuted(ORDER).log_likelihood == fit.log_likelihood


def test_responsibilities_and_assignments_follow_from_the_logarithms(fit):
    assert fit.responsibilities == pytest.approx(np.exp(fit.log_responsibilities))
    assert fit.assignments.tolist() == [int(np.argmax(row)) for row in fit.responsibilities]


def test_a_fit_without_an_estimate_has_nothing_to_permute():
    failed = Fit("engine", MixtureSpec(2), Status.DEGENERATE, message="collapsed")
    assert failed.permuted([1, 0]) is failed
    assert failed.responsibilities is None
    assert failed.assignments is None
    assert np.isnan(failed.log_likelihood)


def test_a_fit_of_either_engine_has_a_name_and_one_method():
    assert EM(name="mine").name == "mine"
    assert callable(EM().fit)

"""The transform of the weights against PyMC's own."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pymc.logprob.transforms import SimplexTransform

from mixtures.bayes.simplex import Simplex

MODE = "FAST_COMPILE"  # interpreted: these functions are called a few times each


def maps(transform):
    """Compile value -> weights, log Jacobian, its gradient, value again."""
    value = pt.dvector("value")
    weights, log_jacobian = transform.backward(value), transform.log_jac_det(value)
    outputs = [weights, log_jacobian, pytensor.grad(log_jacobian, value), transform.forward(weights)]
    return pytensor.function([value], outputs, mode=MODE)


@pytest.fixture(scope="module")
def both():
    return maps(Simplex()), maps(SimplexTransform())


@pytest.mark.parametrize("k", [2, 3, 5])
@pytest.mark.parametrize("scale", [0.1, 3, 100])
def test_it_is_pymcs_map(both, k, scale):
    ours, theirs = both
    for value in scale * np.random.default_rng(k).standard_normal((10, k - 1)):
        for one, other in zip(ours(value), theirs(value), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


def test_the_log_jacobian_is_that_of_the_weights(both):
    value, h = np.array([0.3, -1.2, 0.7]), 1e-6
    slopes = [(both[0](value + h * e)[0] - both[0](value - h * e)[0])[:-1] / (2 * h) for e in np.eye(3)]
    assert both[0](value)[1] == pytest.approx(np.linalg.slogdet(slopes)[1], rel=1e-8)


def test_it_stays_finite_where_weights_vanish(both):
    weights, log_jacobian, gradient, _ = both[0](np.array([-800.0, 400.0]))
    np.testing.assert_allclose(weights.sum(), 1)
    assert np.isfinite([log_jacobian, *gradient]).all()

"""Points of the unconstrained variables and mixtures are the same thing, twice written."""

import numpy as np
import pytest

from mixtures.bayes.unconstrained import constrained, unconstrained
from mixtures.model.mixture import NormalMixture

MEANS = ("standard_means", "standard_means_ordered__")
SPREADS = ("standard_sds_log__", "standard_variances_log__")


@pytest.mark.parametrize("means", MEANS)
@pytest.mark.parametrize("spreads", SPREADS)
@pytest.mark.parametrize("k", [1, 2, 4])
def test_there_and_back(means, spreads, k):
    rng = np.random.default_rng(k)
    theta = NormalMixture.univariate(
        rng.dirichlet(np.ones(k)), np.sort(rng.normal(size=k)), rng.gamma(2, 1, k)
    )
    sizes = {"weights_simplex__": k - 1, means: k, spreads: k}
    ends = np.cumsum([0, *sizes.values()])
    places = {name: slice(*ends[i : i + 2]) for i, name in enumerate(sizes) if sizes[name]}
    point = unconstrained(theta, places)
    assert point.shape == (3 * k - 1,)
    again = constrained(point, places)
    np.testing.assert_allclose(again.weights, theta.weights)
    np.testing.assert_allclose(again.means, theta.means, atol=1e-12)
    np.testing.assert_allclose(again.covariances, theta.covariances)

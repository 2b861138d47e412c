"""The statistical model: what it refuses, and how many parameters it counts."""

import numpy as np
import pytest

from mixtures.model.spec import Covariance, MixtureSpec


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0,), ValueError, "n_components must be at least 1; got 0"),
        ((-2,), ValueError, "n_components must be at least 1; got -2"),
        ((2.0,), TypeError, "n_components must be a whole number; got 2.0"),
        ((True,), TypeError, "n_components must be a whole number; got True"),
        (("2",), TypeError, "n_components must be a whole number; got '2'"),
        ((2, "round"), ValueError, "covariance must be one of full, diagonal, spherical, tied; got 'round'"),
        ((2, None), ValueError, "covariance must be one of"),
    ],
)
def test_bad_specs_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        MixtureSpec(*arguments)


def test_a_spec_is_a_value():
    spec = MixtureSpec(np.int64(2), "tied")
    assert spec == MixtureSpec(2, Covariance.TIED)
    assert hash(spec) == hash(MixtureSpec(2, Covariance.TIED))
    assert type(spec.n_components) is int
    assert MixtureSpec(3).covariance is Covariance.FULL


@pytest.mark.parametrize("d", [1, 2, 5])
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("covariance", list(Covariance))
def test_parameters_are_counted_one_by_one(k, d, covariance):
    free = {(row, column) for row in range(d) for column in range(row + 1)}
    entries = {
        Covariance.FULL: {(j, *entry) for j in range(k) for entry in free},
        Covariance.DIAGONAL: {(j, a) for j in range(k) for a in range(d)},
        Covariance.SPHERICAL: set(range(k)),
        Covariance.TIED: free,
    }[covariance]
    assert MixtureSpec(k, covariance).n_parameters(d) == (k - 1) + k * d + len(entries)

"""The value type: what it refuses, what it keeps, what it computes, how it travels."""

import copy
import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import random_mixture

from mixtures.model.mixture import NormalMixture

GOOD = {"weights": [0.3, 0.7], "means": [[0.0], [4.0]], "covariances": [[[1.0]], [[2.0]]]}
TWO_DIMS = {"weights": [1.0], "means": [[0.0, 0.0]]}

BAD_VALUES = [
    ({"weights": [-0.1, 1.1]}, ValueError, r"weights must not be negative; got \[-0.1, 1.1\]"),
    ({"weights": [0.3, 0.72]}, ValueError, r"weights must sum to 1 within 1e-08; got 1.02"),
    ({"weights": [0.3, 0.7 + 2e-8]}, ValueError, r"weights must sum to 1"),
    (
        {"weights": [1.0]},
        ValueError,
        r"shapes \(k,\), \(k, d\) and \(k, d, d\); got \(1,\), \(2, 1\) and \(2, 1, 1\)",
    ),
    ({"weights": [[0.3, 0.7]]}, ValueError, r"weights must have 1 axes; got shape \(1, 2\)"),
    ({"weights": [math.nan, 1.0]}, ValueError, r"weights must be finite; got nan at position 0"),
    ({"weights": ["a", "b"]}, TypeError, r"weights must hold real numbers; got text"),
    ({"weights": [True, False]}, TypeError, r"weights must hold real numbers; got booleans"),
    ({"weights": None}, TypeError, r"weights must hold real numbers; got NoneType"),
    ({"weights": [0.3 + 0j, 0.7]}, TypeError, r"weights must hold real numbers; got complex"),
    ({"weights": [[0.3], [0.3, 0.4]]}, ValueError, r"weights must be a regular array"),
    ({"weights": np.array([0.3, 0.7], dtype=object)}, TypeError, r"got an array of Python objects"),
    ({"means": [0.0, 4.0]}, ValueError, r"means must have 2 axes; got shape \(2,\)"),
    ({"means": [[0.0], [math.inf]]}, ValueError, r"means must be finite; got inf at position 1, 0"),
    ({"means": [[0.0], ["x"]]}, TypeError, r"means must hold real numbers"),
    ({"means": [[0.0, 1.0], [4.0, 1.0]]}, ValueError, r"must have shapes"),
    ({"means": np.empty((0, 1))}, ValueError, r"at least one component and one dimension; got k=0, d=1"),
    ({"covariances": [1.0, 2.0]}, ValueError, r"covariances must have 3 axes"),
    ({"covariances": [[[1.0]], [[0.0]]]}, ValueError, r"positive definite; got \[\[0.0\]\] in component 1"),
    ({"covariances": [[[1.0]], [[-2.0]]]}, ValueError, r"covariances must be positive definite"),
    ({"covariances": [[[1.0]], [[math.nan]]]}, ValueError, r"covariances must be finite"),
    (TWO_DIMS | {"covariances": [[[1.0, 0.5], [0.4, 1.0]]]}, ValueError, r"symmetric; got .* in component 0"),
    (TWO_DIMS | {"covariances": [[[1.0, 2.0], [2.0, 1.0]]]}, ValueError, r"must be positive definite"),
]


@pytest.mark.parametrize(("change", "error", "message"), BAD_VALUES)
def test_bad_values_are_refused_with_the_rule_and_what_came(change, error, message):
    NormalMixture(**GOOD)  # the control: without the change it is accepted
    with pytest.raises(error, match=message):
        NormalMixture(**(GOOD | change))


@pytest.mark.parametrize(
    ("variances", "error", "message"),
    [
        ([1.0, 0.0], ValueError, "variances must be positive"),
        ([1.0, -1.0], ValueError, "variances must be positive"),
        ([[1.0], [1.0]], ValueError, "variances must have 1 axes"),
        (["a", "b"], TypeError, "variances must hold real numbers"),
        ([1.0], ValueError, "must have shapes"),
    ],
)
def test_bad_variances_are_refused(variances, error, message):
    with pytest.raises(error, match=message):
        NormalMixture.univariate([0.5, 0.5], [0, 1], variances)


def test_typing_errors_in_the_last_decimals_are_forgiven_and_normalised():
    mixture = NormalMixture.univariate([0.33333333, 0.33333333, 0.33333334 + 5e-9], [0, 1, 2], [1, 1, 1])
    assert mixture.weights.sum() == pytest.approx(1, abs=1e-15)
    noisy = [[1.0, 0.3], [0.3 + 1e-13, 1.0]]
    covariance = NormalMixture([1.0], [[0, 0]], [noisy]).covariances[0]
    assert covariance[0, 1] == covariance[1, 0]


def arrays_of(mixture):
    return {name: getattr(mixture, name) for name in ("weights", "means", "covariances", "variances")}


@pytest.mark.parametrize(
    "travel", [lambda m: m, copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))]
)
def test_arrays_are_read_only_wherever_the_mixture_has_been(travel, rng):
    original = random_mixture(rng, 3, 2)
    mixture = travel(original)
    for name, array in arrays_of(mixture).items():
        assert np.array_equal(array, getattr(original, name))
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0.5
    with pytest.raises(AttributeError):
        mixture.weights = np.ones(3) / 3


def test_inputs_are_copied():
    weights, means, covariances = np.array([0.5, 0.5]), np.array([[0.0], [1.0]]), np.ones((2, 1, 1))
    mixture = NormalMixture(weights, means, covariances)
    weights[0], means[0], covariances[0] = 9, 9, 9
    assert mixture.weights[0] == 0.5
    assert mixture.means[0] == 0
    assert mixture.covariances[0] == 1


def test_equality_is_identity(rng):
    mixture = random_mixture(rng, 2, 1)
    assert mixture == mixture  # noqa: PLR0124  array fields would make a generated equality raise
    assert mixture != copy.copy(mixture)
    assert isinstance(hash(mixture), int)


def test_univariate_is_the_general_mixture_with_one_dimension():
    mixture = NormalMixture.univariate([0.3, 0.7], [0, 4], [1, 2])
    general = NormalMixture(**GOOD)
    for name, array in arrays_of(mixture).items():
        assert np.array_equal(array, getattr(general, name))
    assert (mixture.n_components, mixture.n_dims) == (2, 1)
    assert mixture.variances.shape == (2, 1)
    assert mixture.sds[1, 0] == math.sqrt(2)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_moments_follow_the_formulas(d, rng):
    mixture = random_mixture(rng, 3, d)
    mean = np.zeros(d)
    second = np.zeros((d, d))
    for w, m, covariance in zip(mixture.weights, mixture.means, mixture.covariances, strict=True):
        mean += w * m
        second += w * (covariance + np.outer(m, m))
    assert mixture.mean() == pytest.approx(mean, rel=1e-12)
    assert mixture.covariance() == pytest.approx(second - np.outer(mean, mean), rel=1e-10)
    for j in range(3):
        for a in range(d):
            assert mixture.variances[j, a] == mixture.covariances[j, a, a]


def test_the_covariance_keeps_its_digits_far_from_zero():
    far = NormalMixture.univariate([0.5, 0.5], [1e8, 1e8 + 2], [1, 1])
    assert far.covariance()[0, 0] == pytest.approx(2, rel=1e-12)


def test_permuted_moves_components_together(rng):
    mixture = random_mixture(rng, 3, 2)
    moved = mixture.permuted([2, 0, 1])
    for name, array in arrays_of(mixture).items():
        assert np.array_equal(getattr(moved, name), array[[2, 0, 1]])
    back = moved.permuted(np.argsort([2, 0, 1]))
    assert np.array_equal(back.covariances, mixture.covariances)


@pytest.mark.parametrize("permutation", [[0, 0, 1], [0, 1], [0, 1, 3], [1, 2, 3]])
def test_permuted_wants_each_component_once(permutation, rng):
    with pytest.raises(ValueError, match=r"permutation must hold each of 0\.\.2 once"):
        random_mixture(rng, 3, 1).permuted(permutation)


FLOATS = st.floats(-1e300, 1e300)


@st.composite
def mixtures(draw):
    """Mixtures with extreme but valid numbers, weights exactly as floating point divides them."""
    k, d = draw(st.integers(1, 5)), draw(st.integers(1, 3))
    raw = np.array(draw(st.lists(st.floats(0, 1e6), min_size=k, max_size=k).filter(lambda w: sum(w) > 0)))
    means = draw(st.lists(st.lists(FLOATS, min_size=d, max_size=d), min_size=k, max_size=k))
    sds = np.array(draw(st.lists(st.floats(1e-100, 1e100), min_size=k, max_size=k)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shapes = np.array([a @ a.T + np.eye(d) for a in rng.normal(size=(k, d, d))])
    return NormalMixture(raw / raw.sum(), means, shapes * sds[:, None, None] ** 2)


@given(mixtures())
def test_json_and_toml_give_back_the_same_bits(mixture):
    for back in (NormalMixture.from_json(mixture.to_json()), NormalMixture.from_toml(mixture.to_toml())):
        for name, array in arrays_of(mixture).items():
            assert np.array_equal(getattr(back, name), array)


@given(mixtures())
def test_building_a_mixture_from_its_own_arrays_changes_no_bit(mixture):
    again = NormalMixture(mixture.weights, mixture.means, mixture.covariances)
    for name, array in arrays_of(mixture).items():
        assert np.array_equal(getattr(again, name), array)


@pytest.mark.parametrize("read", [NormalMixture.from_json, NormalMixture.from_toml])
def test_text_that_is_no_mixture_is_refused(read):
    with pytest.raises(ValueError, match=r"a mixture must be valid (JSON|TOML)"):
        read("weights = [0.5, {")


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("[1, 2]", ValueError, "a mixture must be a JSON object; got list"),
        ("{}", ValueError, "must have the keys weights, means, .* got none"),
        ('{"weights": [1], "means": [0], "sds": [1]}', ValueError, "got means, sds, weights"),
        (
            '{"weights": [1], "means": [0], "variances": [1], "covariances": [[[1]]]}',
            ValueError,
            "must have the keys",
        ),
        ('{"weights": [0.5], "means": [0], "variances": [1]}', ValueError, "weights must sum to 1"),
        ('{"weights": [1], "means": [NaN], "variances": [1]}', ValueError, "means must be finite"),
        (
            '{"weights": ["1"], "means": [0], "variances": [1]}',
            TypeError,
            "weights must hold real numbers; got text",
        ),
        ('{"weights": [true], "means": [0], "variances": [1]}', TypeError, "weights must hold real numbers"),
        ('{"weights": 1, "means": [0], "variances": [1]}', ValueError, "weights must have 1 axes"),
        (
            '{"weights": [[1], [1, 2]], "means": [0], "variances": [1]}',
            ValueError,
            "weights must be a regular array",
        ),
    ],
)
def test_json_with_wrong_entries_is_refused(text, error, message):
    with pytest.raises(error, match=message):
        NormalMixture.from_json(text)

"""The compiled pass against the definition: extreme offsets, scales, weights and separations included."""

from pathlib import Path

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import STRUCTURES, random_mixture

from mixtures.model import boxing, kernel
from mixtures.model.compiled import SOURCE_HASH, hash_sources
from mixtures.model.density import joint_log_densities, log_density, responsibilities
from mixtures.model.kernel import (
    Theta,
    as_data,
    scatter_about,
    univariate_moments,
    weighted_moments,
)
from mixtures.model.mixture import NormalMixture
from mixtures.model.spec import Covariance

EXACT = 1e-12  # relative to the sum of the magnitudes
EPS = np.finfo(float).eps


def check_moments(mixture, x, covariance="full", weights=None, **options):
    """Hold the kernel to `density.py`; return the largest error found, as a share of what is allowed.

    Rounding the exponents q costs a responsibility r a share eps |q| (1 - r) of itself, in the kernel
    and in the definition; one below 1e-304 is 1e-304 in the kernel.
    """
    counts = np.ones(len(x)) if weights is None else weights
    extra = {} if weights is None else {"weights": weights}
    found = weighted_moments(mixture, x, Covariance(covariance), **extra, **options)
    soft = responsibilities(mixture, x)
    r = soft * counts[:, None]
    densities = log_density(mixture, x)
    centred = x[:, None] - mixture.means
    products = centred[..., :, None] * centred[..., None, :]
    if covariance in ("diagonal", "spherical"):
        products = products * np.eye(x.shape[1])
    exponents = joint_log_densities(mixture, x)
    largest = np.abs(np.where(np.isfinite(exponents), exponents, 0)).max(axis=1, keepdims=True)
    slack = r * (EXACT + 8 * EPS * largest * (1 - soft)) + 2e-304 * counts[:, None]
    errors = [
        abs(found.log_likelihood - counts @ densities) / (EXACT * (counts @ np.abs(densities))),
        np.abs(found.counts - r.sum(axis=0)) / slack.sum(axis=0),
        np.abs(found.firsts - np.einsum("nk,nkd->kd", r, centred))
        / np.einsum("nk,nkd->kd", slack, np.abs(centred)).max(axis=1, keepdims=True),
        np.abs(found.seconds - np.einsum("nk,nkde->kde", r, products))
        / np.einsum("nk,nkde->kde", slack, np.abs(products)).max(axis=(1, 2), keepdims=True),
    ]
    return max(float(np.max(error)) for error in errors)


@pytest.mark.parametrize("covariance", STRUCTURES)
@pytest.mark.parametrize("d", [1, 2, 5])
@pytest.mark.parametrize("k", [1, 2, 3, 20])
@pytest.mark.parametrize("n", [1, 15, 1000, 40_000])
def test_moments_are_those_of_the_definition(covariance, d, k, n):
    rng = np.random.default_rng([n, k, d])
    mixture = random_mixture(rng, k, d, covariance)
    x = 3 * rng.normal(size=(n, d))
    assert check_moments(mixture, x, covariance) < 1
    assert check_moments(mixture, x, covariance, weights=rng.uniform(0, 3, size=n)) < 1


@given(
    offset=st.sampled_from([0.0, 1e3, -1e8]),
    scale=st.sampled_from([1.0, 1e-100, 1e-8, 1e6, 1e100]),
    separation=st.sampled_from([0.0, 1e-6, 1.0, 30.0, 1e4]),
    smallest=st.sampled_from([0.0, 1e-300, 1e-12, 0.1]),
    ratio=st.sampled_from([1e-6, 0.1, 1.0, 100.0]),
    k=st.integers(1, 4),
    is_weighted=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_extremes_change_nothing(offset, scale, separation, smallest, ratio, k, is_weighted, seed):
    rng = np.random.default_rng(seed)
    weights = np.full(k, smallest)
    weights[0] = 1 - smallest * (k - 1)
    means = separation * np.arange(k) * scale + offset * scale
    sds = scale * ratio ** (np.arange(k) / max(k - 1, 1))
    x = means[rng.integers(k, size=200)] + scale * rng.normal(size=200)
    mixture = NormalMixture.univariate(weights, means, sds**2)
    counts = rng.integers(0, 5, size=200).astype(float) if is_weighted else None
    assert check_moments(mixture, x[:, None], weights=counts) < 1


def test_the_check_can_fail(monkeypatch):
    rng = np.random.default_rng(5)
    mixture, x = random_mixture(rng, 2, 1), rng.normal(size=(500, 1))
    assert check_moments(mixture, x) < 1
    moved = NormalMixture(mixture.weights, mixture.means + 1e-10, mixture.covariances)
    wrong = weighted_moments(moved, x)
    monkeypatch.setitem(globals(), "weighted_moments", lambda *_, **__: wrong)
    assert check_moments(mixture, x) > 1


@pytest.mark.parametrize(("k", "d"), [(2, 1), (3, 1), (2, 3)])
def test_whole_weights_are_repeated_observations(k, d):
    rng = np.random.default_rng(8)
    mixture, x = random_mixture(rng, k, d), 2 * rng.normal(size=(300, d))
    counts = rng.integers(0, 4, size=300)
    once = weighted_moments(mixture, x, weights=counts.astype(float))
    repeated = weighted_moments(mixture, np.repeat(x, counts, axis=0))
    assert once.log_likelihood == pytest.approx(repeated.log_likelihood, rel=1e-13)
    assert once.counts == pytest.approx(repeated.counts, rel=1e-12)
    assert once.seconds == pytest.approx(repeated.seconds, rel=1e-11, abs=1e-12)


@pytest.mark.parametrize(("k", "d"), [(2, 1), (3, 1), (2, 3)])
def test_threads_change_no_bit(k, d):
    rng = np.random.default_rng(9)
    mixture, x = random_mixture(rng, k, d), 2 * rng.normal(size=(100_001, d))
    serial = weighted_moments(mixture, x)
    most = numba.get_num_threads()
    try:
        for n_threads in sorted({1, most}):  # on a machine with one processor, one
            numba.set_num_threads(n_threads)
            threaded = weighted_moments(mixture, x, in_threads=True)
            assert threaded.log_likelihood == serial.log_likelihood
            for name in ("counts", "firsts", "seconds"):
                assert np.array_equal(getattr(threaded, name), getattr(serial, name))
    finally:
        numba.set_num_threads(most)


def test_the_univariate_entry_gives_the_same_sums():
    rng = np.random.default_rng(10)
    mixture, x = random_mixture(rng, 3, 1), rng.normal(size=1000)
    sums = np.empty((3, 3))
    sds = mixture.sds[:, 0]
    total = univariate_moments(
        as_data(x[:, None]).x[:, 0], np.log(mixture.weights), mixture.means[:, 0].copy(), sds, sums
    )
    expected = weighted_moments(mixture, x[:, None])
    assert total == expected.log_likelihood
    assert sums[0] == pytest.approx(expected.counts, rel=1e-14)
    assert sums[1] * sds == pytest.approx(expected.firsts[:, 0], rel=1e-13)
    assert sums[2] * sds**2 == pytest.approx(expected.seconds[:, 0, 0], rel=1e-13)


@pytest.mark.parametrize("is_weighted", [False, True])
def test_the_second_pass_keeps_its_digits_where_one_pass_cancels(is_weighted):
    """A mean a million standard deviations off: B - N shift shift' has lost every digit."""
    rng = np.random.default_rng(11)
    x = rng.normal(size=(400, 2))
    counts = rng.integers(1, 4, size=400).astype(float) if is_weighted else np.ones(400)
    far = Theta(np.zeros(1), np.full((1, 2), 1e9), np.array([[[1.0, 0.0], [0.5, 1.0]]]), True)
    z = np.linalg.solve(far.factors[0], (x - far.means[0]).T).T
    shift = (counts @ z / counts.sum())[None]
    scatters = np.empty((1, 2, 2))
    scatter_about(as_data(x, counts if is_weighted else kernel.UNWEIGHTED), far, shift, scatters)
    expected = ((z - shift) * counts[:, None]).T @ (z - shift)
    assert np.tril(scatters[0]) == pytest.approx(np.tril(expected), rel=1e-12)
    cancelled = (z * counts[:, None]).T @ z - counts.sum() * np.outer(shift, shift)
    assert abs(cancelled[0, 0] / expected[0, 0] - 1) > 0.01


def test_the_second_pass_is_the_first_where_nothing_moved():
    rng = np.random.default_rng(12)
    mixture, x = random_mixture(rng, 3, 2), 2 * rng.normal(size=(300, 2))
    factors = np.linalg.cholesky(mixture.covariances)
    scatters = np.empty((3, 2, 2))
    theta = Theta(np.log(mixture.weights), mixture.means.copy(), factors, True)
    scatter_about(as_data(x), theta, np.zeros((3, 2)), scatters)
    full = scatters + np.tril(scatters, -1).swapaxes(1, 2)
    found = factors @ full @ factors.swapaxes(1, 2)
    assert found == pytest.approx(weighted_moments(mixture, x).seconds, rel=1e-11)


def test_machine_code_on_disk_is_renewed_with_any_compiled_source(tmp_path):
    assert kernel.moments._cache._cache_file._source_stamp == SOURCE_HASH
    (tmp_path / "a.py").write_text("from mixtures.model.compiled import compiled\n")
    (tmp_path / "b.py").write_text("print()\n")
    before = hash_sources(tmp_path)
    (tmp_path / "b.py").write_text("print(1)\n")
    assert hash_sources(tmp_path) == before
    (tmp_path / "a.py").write_text("from mixtures.model.compiled import compiled  # changed\n")
    assert hash_sources(tmp_path) != before


def test_machine_code_on_disk_is_renewed_with_the_compiler(tmp_path):
    compiler = tmp_path / "boxing.py"
    compiler.write_bytes(Path(boxing.__file__).read_bytes())
    before = hash_sources(tmp_path)
    compiler.write_bytes(compiler.read_bytes() + b"# changed")
    assert hash_sources(tmp_path) != before

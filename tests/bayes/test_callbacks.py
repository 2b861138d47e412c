"""Compilation with machine code on disk: the same sampler as nutpie's own, never a stale one, always one."""

import ctypes
import secrets
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

from mixtures.bayes import callbacks
from mixtures.bayes.callbacks import compile_model, is_inside_known, log_density_of, takes_coordinates
from mixtures.bayes.compile import _lists
from mixtures.bayes.model import build_model, model_data, resolve_prior
from mixtures.model.spec import MixtureSpec

ROOT = Path(__file__).parents[2]
NAMES = ("weights", "means", "sds")
OTHER_PROCESS = """
import sys
sys.path[:0] = sys.argv[1:]
from bayes.conftest import observations
from bayes.test_callbacks import NAMES, POINT, MixtureSpec, build_model, callbacks, log_density_and_gradient
compiled = callbacks._compile(build_model(MixtureSpec(2), None, observations()), NAMES)
print(compiled.compiled_logp_func.cache_hits, log_density_and_gradient(compiled, POINT)[1].hex())
"""
POINT = np.array([0.2, -0.8, 0.9, -0.5, -0.4])


def log_density_and_gradient(compiled, point):
    """Call the C function as nutpie does; also its return code."""
    pointers = [ctypes.c_void_p] * 4
    function = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_uint64, *pointers)(
        compiled.compiled_logp_func.address
    )
    value, gradient = np.empty(1), np.empty(len(point))
    arrays = (point, gradient, value, compiled.user_data)
    code = function(len(point), *(array.ctypes.data for array in arrays))
    return code, value[0], gradient


def draws(compiled):
    import nutpie

    started = replace(compiled, initial_point_func=lambda seed: POINT + np.random.default_rng(seed).random(5))
    settings = {"draws": 50, "tune": 100, "chains": 2, "seed": 3, "progress_bar": False}
    batches, _ = nutpie.sample(started, **settings, return_raw_trace=True).get_arrow_trace()
    return {name: _lists(batches, name) for name in NAMES}


def test_nutpies_inside_is_the_one_known():
    assert is_inside_known(), "nutpie has changed: hold callbacks.py against it, then renew KNOWN_INSIDE"


@pytest.fixture(scope="module")
def model(x):
    return build_model(MixtureSpec(2), None, x)


@pytest.fixture(scope="module")
def compiled(model):
    return callbacks._compile(model, NAMES)


@pytest.mark.slow
def test_it_is_the_sampler_that_nutpie_compiles(model, compiled, x):
    import nutpie

    theirs = nutpie.compile_pymc_model(model, var_names=NAMES)
    assert takes_coordinates(compiled)
    assert not takes_coordinates(theirs)
    assert {field: getattr(compiled, field) for field in ("n_dim", "n_expanded", "shape_info", "shapes")} == {
        field: getattr(theirs, field) for field in ("n_dim", "n_expanded", "shape_info", "shapes")
    }
    few = model_data(2, resolve_prior(MixtureSpec(2), None, x[:37]), x[:37])
    for one, other in ((compiled, theirs), (compiled.with_data(**few), theirs.with_data(**few))):
        ours, expected = draws(one), draws(other)
        assert ours["means"].shape == (2, 150, 2)
        for name in NAMES:
            np.testing.assert_array_equal(ours[name], expected[name])


@pytest.mark.parametrize(("point", "code"), [(POINT, 0), (POINT * np.nan, 3), (np.full(5, -800.0), 3)])
def test_where_the_density_is_not_finite_the_sampler_is_told(compiled, point, code):
    assert log_density_and_gradient(compiled, point)[0] == code


class TestCoordinates:
    """x = centre + scale u: the same density, seen from elsewhere."""

    CENTRE = np.array([0.1, -0.9, 0.8, -0.6, -0.5])
    SCALE = 0.1 * np.random.default_rng(2).normal(size=(5, 5))

    @pytest.fixture
    def seen(self, compiled):
        return compiled.with_data(centre=self.CENTRE, scale=self.SCALE)

    def test_the_log_density_is_that_of_the_point(self, compiled, seen):
        u = np.array([0.5, -1.0, 2.0, 0.3, -0.7])
        value, gradient = log_density_of(seen)(u)
        expected, slope = log_density_of(compiled)(self.CENTRE + self.SCALE @ u)
        assert value == pytest.approx(expected, rel=1e-12)
        np.testing.assert_allclose(gradient, self.SCALE.T @ slope, rtol=1e-10)
        assert np.abs(gradient - slope).max() > 1  # not the same by chance

    def test_its_gradient_is_its_slope(self, seen):
        log_density, u, h = log_density_of(seen), np.array([0.5, -1.0, 2.0, 0.3, -0.7]), 1e-5
        slopes = [(log_density(u + h * e)[0] - log_density(u - h * e)[0]) / (2 * h) for e in np.eye(5)]
        np.testing.assert_allclose(log_density(u)[1], slopes, rtol=1e-6)

    def test_draws_are_of_the_point(self, compiled, seen):
        u, values = np.array([0.5, -1.0, 2.0, 0.3, -0.7]), np.empty((2, compiled.n_expanded))
        pointers = [ctypes.c_void_p] * 3
        expand = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_uint64, ctypes.c_uint64, *pointers)
        for model, at, row in ((seen, u, 0), (compiled, self.CENTRE + self.SCALE @ u, 1)):
            arrays = (np.ascontiguousarray(at), values[row], model.user_data)
            function = expand(model.compiled_expand_func.address)
            assert function(5, compiled.n_expanded, *(array.ctypes.data for array in arrays)) == 0
        np.testing.assert_allclose(values[0], values[1], rtol=1e-12)

    def test_other_data_keep_them(self, compiled, seen, x):
        few = model_data(2, resolve_prior(MixtureSpec(2), None, x[:37]), x[:37])
        value, _ = log_density_of(seen.with_data(**few))(np.ones(5))
        expected, _ = log_density_of(compiled.with_data(**few))(self.CENTRE + self.SCALE @ np.ones(5))
        assert value == pytest.approx(expected, rel=1e-12)

    def test_where_the_density_is_not_finite_it_is_minus_infinity(self, compiled):
        value, gradient = log_density_of(compiled)(POINT * np.nan)
        assert (value, gradient.tolist()) == (-np.inf, [0] * 5)


def test_points_of_another_length_are_refused(compiled):
    assert log_density_and_gradient(compiled, np.zeros(4))[0] == -1


class TestKey:
    """Of machine code on disk: it must change with everything that the code comes from."""

    @staticmethod
    def graph(expression):
        x = pt.dvector("x")
        return pytensor.function([x], expression(x), mode="NUMBA").vm.jit_fn

    def test_it_is_the_same_for_the_same_graph_and_source(self):
        keys = {callbacks._cache_key(self.graph(lambda x: 2 * x + 1), "source") for _ in range(2)}
        assert len(keys) == 1

    def test_it_changes_with_graph_source_and_versions(self, monkeypatch):
        keys = [
            callbacks._cache_key(self.graph(lambda x: 2 * x + 1), "source"),
            callbacks._cache_key(self.graph(lambda x: 2 * x - 1), "source"),
            callbacks._cache_key(self.graph(lambda x: 2 * x + 1), "another source"),
        ]
        for package in callbacks._PACKAGES:
            monkeypatch.setattr(callbacks, "version", lambda name, newer=package: f"9.{name == newer}")
            keys.append(callbacks._cache_key(self.graph(lambda x: 2 * x + 1), "source"))
        assert len(set(keys)) == len(keys)

    @pytest.mark.slow
    def test_another_process_uses_machine_code_until_its_source_changes(self, compiled, tmp_path):
        expected = log_density_and_gradient(compiled, POINT)[1]
        shutil.copytree(ROOT / "mixtures", tmp_path / "mixtures")
        hits, value = self.in_another_process(tmp_path)
        assert hits == 1
        assert value == expected
        source = tmp_path / "mixtures/bayes/likelihood.py"
        text = source.read_text("utf-8")
        offset = 1024 + secrets.randbelow(
            2**20
        )  # the folder on disk outlives a run: a change never seen before
        changed = text.replace("np.asarray(total)", f"np.asarray(total + {offset}.0)")
        assert changed != text
        source.write_text(changed, "utf-8")
        hits, value = self.in_another_process(tmp_path)
        assert hits == 0
        assert value == pytest.approx(expected + offset)

    @staticmethod
    def in_another_process(folder):
        """Compile the fixture's model there; return how much was on disk, and the log density."""
        command = [sys.executable, "-c", OTHER_PROCESS, str(folder), str(ROOT / "tests")]
        run = subprocess.run(command, capture_output=True, text=True, check=True)
        hits, value = run.stdout.split()
        return int(hits), float.fromhex(value)


class TestFallback:
    @pytest.fixture
    def theirs(self, monkeypatch):
        monkeypatch.setattr("nutpie.compile_pymc_model", lambda model, var_names: (model, var_names))

    @pytest.mark.usefixtures("theirs")
    def test_where_nutpie_has_changed_it_compiles_for_itself(self, monkeypatch):
        monkeypatch.setattr("nutpie.compile_pymc._make_c_logp_func", lambda *_: None)
        assert not is_inside_known()
        assert compile_model("model", NAMES) == ("model", NAMES)
        monkeypatch.delattr("nutpie.compile_pymc._make_c_logp_func")
        assert compile_model("model", NAMES) == ("model", NAMES)

    @pytest.mark.usefixtures("theirs")
    def test_where_the_quick_way_fails_too(self, model, monkeypatch):
        monkeypatch.setattr(callbacks, "_LOG_DENSITY", "not a function")
        assert compile_model(model, NAMES) == (model, NAMES)

    @pytest.mark.slow
    def test_without_a_folder_to_write_to_it_works(self, tmp_path, monkeypatch):
        import pymc as pm

        (tmp_path / "file").touch()
        monkeypatch.setattr("pytensor.link.numba.cache.NUMBA_CACHE_PATH", tmp_path / "file" / "folder")
        with pm.Model() as small:
            pm.Normal("z", pm.Data("location", np.array(1.0)))
        code, value, gradient = log_density_and_gradient(compile_model(small, ["z"]), np.array([3.0]))
        assert (code, gradient) == (0, -2)
        assert value == pytest.approx(-2 - np.log(2 * np.pi) / 2)

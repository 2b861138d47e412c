"""nutpie's compilation of a model with its machine code kept on disk, for the next process.

nutpie calls two C functions: the log density with its gradient, and the expansion of a point into the
variables of a draw. It makes both from closures, which numba compiles anew in every process, for some 7
seconds. Here they are made from source text that holds nothing but numbers, so that PyTensor's cache
can keep them, and everything else is left to nutpie. And here they take a point by coordinates u, as
x = centre + scale u, where nutpie has no metric to be given: the log density is still that of x.

This file knows nutpie's inside: it hashes the functions that it replaces or relies on, and where one of
them has changed nutpie compiles for itself.
"""

from __future__ import annotations

import ctypes
import inspect
import math
import os
from collections.abc import Callable, Sequence
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np

from mixtures.model.arrays import Array

#: Hash of the functions below in nutpie 0.16.11.
KNOWN_INSIDE = "1ae8de5851e327b73030cdb35274d131ff7e5a9657cfb762b48ec4fb150f1c13"

_INSIDE = (
    "_compile_pymc_model_numba",
    "_make_c_expand_func",
    "_make_c_logp_func",
    "make_extraction_fn",
    "make_user_data",
    "update_user_data",
)

#: What machine code depends on beside the graph. PyTensor hashes the graph, our likelihood's source with it.
_PACKAGES = ("llvmlite", "numba", "numpy", "nutpie", "pymc", "pytensor")

#: Shared data beside those of the graph: the coordinates, in their numbers of axes and type.
_COORDINATES = {"centre": np.empty(0), "scale": np.empty((0, 0))}

_POINT = """
        words = carray(user_data_, ({n_words},), int64)
        centre, scale, u, x = {centre}, {scale}, carray(u_, ({n_dim},)), empty({n_dim})
        for i in range({n_dim}):
            x[i] = centre[i]
            for j in range({n_dim}):
                x[i] += scale[i, j] * u[j]
"""

# The return codes are nutpie's.
_LOG_DENSITY = f"""
def callback(dim, u_, out_, logp_, user_data_):
    if dim != {{n_dim}}:
        return -1
    try:{_POINT}
        value, gradient = graph(x{{shared}})
        logp = value.item()
        carray(logp_, (1,))[0] = logp
        out = carray(out_, ({{n_dim}},))
        is_finite = True
        for i in range({{n_dim}}):
            out[i] = 0.0
            for j in range({{n_dim}}):
                out[i] += scale[j, i] * gradient[j]
            is_finite = is_finite and isfinite(out[i])
        if not is_finite:
            return 3
        if not isfinite(logp):
            return 4
    except Exception:
        return 1
    return 0
"""

_EXPAND = f"""
def callback(dim, expanded, u_, out_, user_data_):
    if dim != {{n_dim}} or expanded != {{n_expanded}}:
        return -1
    try:{_POINT}
        (values,) = graph(x{{shared}})
        out = carray(out_, ({{n_expanded}},))
        for i in range({{n_expanded}}):
            out[i] = values[i]
    except Exception:
        return -2
    return 0
"""


def compile_model(model: Any, names: Sequence[str]) -> Any:
    """Return what ``nutpie.compile_pymc_model(model, var_names=names)`` does; give it starts of your own.

    Parameters
    ----------
    model : pymc.Model
    names : sequence of str
        Variables to keep of every draw.
    """
    import nutpie
    from pytensor.configdefaults import config
    from pytensor.link.numba.cache import NUMBA_CACHE_PATH

    if is_inside_known():
        try:
            return _compile(model, names)
        except Exception:  # noqa: BLE001  a damaged or full disk, for one: the slow way says what is wrong
            pass
    with config.change_flags(numba__cache=config.numba__cache and os.access(NUMBA_CACHE_PATH, os.W_OK)):
        return nutpie.compile_pymc_model(model, var_names=names)


def takes_coordinates(compiled: Any) -> bool:
    """Whether a compiled model has `centre` and `scale` among its data; nutpie's own has not."""
    return set(_COORDINATES) <= {variable.name for variable in compiled.shared_var_keys}


def log_density_of(compiled: Any) -> Callable[[Array], tuple[float, Array]]:
    """Return the function that nutpie calls: log density, up to a constant, and gradient at a point (p,).

    Where either is not finite it returns -inf and a gradient of zeros.
    """
    n_dim = compiled.n_dim
    point, gradient, value = np.empty(n_dim), np.empty(n_dim), np.empty(1)
    addresses = [array.ctypes.data for array in (point, gradient, value, compiled.user_data)]
    signature = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_uint64, *[ctypes.c_void_p] * 4)
    function = signature(compiled.compiled_logp_func.address)

    def log_density(x: Array) -> tuple[float, Array]:
        point[:] = x
        if function(compiled.n_dim, *addresses):  # `compiled` owns the code and data: keep it
            return -math.inf, np.zeros(n_dim)
        return float(value[0]), gradient.copy()

    return log_density


def is_inside_known() -> bool:
    """Whether the functions that this file replaces or relies on are those that it was written for."""
    return hash_inside() == KNOWN_INSIDE


def hash_inside() -> str:
    """Hash the sources of nutpie that this file depends on; empty where one is missing."""
    from nutpie import compile_pymc

    try:
        sources = [inspect.getsource(getattr(compile_pymc, name)) for name in _INSIDE]
    except (AttributeError, OSError, TypeError):
        return ""
    return _hash(sources)


def _hash(parts: Sequence[str]) -> str:
    return sha256("\0".join(parts).encode()).hexdigest()


def _compile(model: Any, names: Sequence[str]) -> Any:
    from nutpie import compile_pymc as inside

    replaced = {
        "make_user_data": _make_user_data,
        "_make_c_logp_func": _maker(_LOG_DENSITY, inside._make_c_logp_func),
        "_make_c_expand_func": _maker(_EXPAND, inside._make_c_expand_func),
    }
    # The same code with two of its globals replaced: nutpie's module itself is left as it is.
    compile_here = FunctionType(inside._compile_pymc_model_numba.__code__, vars(inside) | replaced)
    compiled = compile_here(model, pymc_initial_point_fn=_no_start, var_names=names, cache=True)
    return compiled.with_data(centre=np.zeros(compiled.n_dim), scale=np.eye(compiled.n_dim))


def _make_user_data(keys: dict[Any, str], shared_data: dict[str, Array]) -> Any:
    """Make nutpie's table of shared data with room for the coordinates, which `with_data` then exchanges."""
    from nutpie.compile_pymc import make_user_data
    from pytensor.tensor import TensorType

    for name, example in _COORDINATES.items():
        keys[TensorType("float64", (None,) * example.ndim)(name)] = name
        shared_data[name] = example
    return make_user_data(keys, shared_data)


def _no_start(_: int | None = None) -> dict[str, Array]:
    raise NotImplementedError("a compiled model must be given starts")


def _maker(template: str, theirs: Callable[..., Any]) -> Callable[..., tuple[Any, Any]]:
    """Return a function that makes what one of nutpie's makes: a function for `numba.cfunc`, and its type."""

    def make(*arguments: Any) -> tuple[Any, Any]:
        *sizes, graph, user_data, keys, examples = arguments
        _, signature = theirs(*arguments)
        shared = {key: examples[key] for key in keys}
        return _from_source(_fill(template, sizes, user_data.dtype, shared), graph, shared), signature

    return make


def _fill(template: str, sizes: Sequence[int], table: Any, shared: dict[str, Array]) -> str:
    """Fill in the numbers: of variables, and of the words in nutpie's table of addresses and shapes."""
    numbers = dict(zip(("n_dim", "n_expanded"), sizes, strict=False))
    arguments = "".join(f", {_argument(table, key, example)}" for key, example in shared.items())
    own = {name: _argument(table, name, example) for name, example in _COORDINATES.items()}
    return template.format(**numbers, **own, n_words=table.itemsize // 8, shared=arguments)


def _argument(table: Any, key: str, example: Array) -> str:
    """Source text of one array of shared data; only its number of axes and type are those of the example."""
    parts, start = table.fields["shared"]

    def word(part: str) -> int:
        entries, offset = parts.fields[part]
        return (start + offset + entries.fields[key][1]) // 8

    shape = "".join(f"words[{word('shape') + axis}], " for axis in range(example.ndim))
    return f"carray(pointer(words[{word('data')}]), ({shape}), {example.dtype})"


def _from_source(source: str, graph: Any, shared: dict[str, Array]) -> Any:
    from numba.np.numpy_support import carray
    from nutpie.compile_pymc import address_as_void_pointer
    from pytensor.link.numba.cache import compile_numba_function_src

    names = {
        "__name__": __name__,  # by which numba finds its way back from disk
        "carray": carray,
        "empty": np.empty,
        "graph": graph,
        "int64": np.int64,
        "isfinite": np.isfinite,
        "pointer": address_as_void_pointer,
    }
    types = {str(example.dtype): example.dtype.type for example in (shared | _COORDINATES).values()}
    return compile_numba_function_src(source, "callback", names | types, cache_key=_cache_key(graph, source))


def _cache_key(graph: Any, source: str) -> str:
    """Hash all that machine code comes from; KeyError if PyTensor has no hash of the graph."""
    from pytensor.link.numba.cache import CACHED_SRC_FUNCTIONS

    versions = [f"{package} {version(package)}" for package in _PACKAGES]
    return _hash([CACHED_SRC_FUNCTIONS[graph.py_func], source, Path(__file__).read_text("utf-8"), *versions])

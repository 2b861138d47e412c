"""nutpie's compilation of a model with its machine code kept on disk, for the next process.

nutpie calls two C functions: the log density with its gradient, and the expansion of a point into the
variables of a draw. It makes both from closures, which numba compiles anew in every process, for some 7
seconds. Here they are made from source text that holds nothing but numbers, so that PyTensor's cache
can keep them, and everything else is left to nutpie.

This file knows nutpie's inside: it hashes the functions that it replaces or relies on, and where one of
them has changed nutpie compiles for itself.
"""

from __future__ import annotations

import inspect
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

# The return codes are nutpie's.
_LOG_DENSITY = """
def callback(dim, x_, out_, logp_, user_data_):
    if dim != {n_dim}:
        return -1
    try:
        words = carray(user_data_, ({n_words},), int64)
        value, gradient = graph(carray(x_, ({n_dim},)){shared})
        logp = value.item()
        carray(logp_, (1,))[0] = logp
        out = carray(out_, ({n_dim},))
        is_finite = True
        for i in range({n_dim}):
            out[i] = gradient[i]
            is_finite = is_finite and isfinite(out[i])
        if not is_finite:
            return 3
        if not isfinite(logp):
            return 4
    except Exception:
        return 1
    return 0
"""

_EXPAND = """
def callback(dim, expanded, x_, out_, user_data_):
    if dim != {n_dim} or expanded != {n_expanded}:
        return -1
    try:
        words = carray(user_data_, ({n_words},), int64)
        (values,) = graph(carray(x_, ({n_dim},)){shared})
        out = carray(out_, ({n_expanded},))
        for i in range({n_expanded}):
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
        "_make_c_logp_func": _maker(_LOG_DENSITY, inside._make_c_logp_func),
        "_make_c_expand_func": _maker(_EXPAND, inside._make_c_expand_func),
    }
    # The same code with two of its globals replaced: nutpie's module itself is left as it is.
    compile_here = FunctionType(inside._compile_pymc_model_numba.__code__, vars(inside) | replaced)
    return compile_here(model, pymc_initial_point_fn=_no_start, var_names=names, cache=True)


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
    return template.format(**numbers, n_words=table.itemsize // 8, shared=arguments)


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
        "graph": graph,
        "int64": np.int64,
        "isfinite": np.isfinite,
        "pointer": address_as_void_pointer,
    }
    types = {str(example.dtype): example.dtype.type for example in shared.values()}
    return compile_numba_function_src(source, "callback", names | types, cache_key=_cache_key(graph, source))


def _cache_key(graph: Any, source: str) -> str:
    """Hash all that machine code comes from; KeyError if PyTensor has no hash of the graph."""
    from pytensor.link.numba.cache import CACHED_SRC_FUNCTIONS

    versions = [f"{package} {version(package)}" for package in _PACKAGES]
    return _hash([CACHED_SRC_FUNCTIONS[graph.py_func], source, Path(__file__).read_text("utf-8"), *versions])

"""Functions compiled by numba, kept on disk so that a second process pays nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core.compiler import Compiler

_COMPILER: type[Compiler]
try:
    from mixtures.model.boxing import SafelyBoxing
except ImportError:  # numba's inside has moved: an interruption may end the process
    _COMPILER = Compiler
else:
    _COMPILER = SafelyBoxing

# contract fuses multiplications with additions, nsz forgets the sign of zero; neither changes an order.
_IN_ORDER = frozenset({"contract", "nsz"})
_ANY_ORDER = _IN_ORDER | {"reassoc"}


def hash_sources(folder: Path) -> str:
    """Return a hash of the source files under a folder that hold compiled functions, or a compiler."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        source = path.read_bytes()
        if b"mixtures.model.compiled" in source or b"numba.core.compiler" in source:
            digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + source)
    return digest.hexdigest()


#: numba renews a function on disk when its own file changes, and would go on with old machine code of
#: the functions that it calls in other files. So every function carries the hash of all of them.
SOURCE_HASH = hash_sources(Path(__file__).parents[1])


def compiled[**P, R](function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function whose floating-point operations keep their order."""
    return _compile(function, _IN_ORDER)


def compiled_sums[**P, R](function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function whose sums may be reordered, so that they are vectorised.

    The order is the machine code's own. It becomes part of whatever calls it, as a function of its own
    would be there twice, in two orders: whether the caller's copy or the one compiled alone is run
    depends on what a process has loaded before.
    """
    return _compile(function, _ANY_ORDER, forceinline=True)


def compiled_threads[**P, R](function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function whose `numba.prange` loops run in threads."""
    return _compile(function, _IN_ORDER, parallel=True)


def _compile[**P, R](
    function: Callable[P, R], fastmath: frozenset[str], *, parallel: bool = False, forceinline: bool = False
) -> Callable[P, R]:
    options: dict[str, Any] = {
        "fastmath": set(fastmath),
        "parallel": parallel,
        "forceinline": forceinline,
        "error_model": "numpy",
        "nogil": True,
        "pipeline_class": _COMPILER,
    }
    try:
        dispatcher = numba.njit(cache=True, **options)(function)
        dispatcher._cache._cache_file._source_stamp = SOURCE_HASH
    except (RuntimeError, AttributeError):  # nowhere to write, or numba's inside has moved: never stale
        dispatcher = numba.njit(**options)(function)
    return dispatcher

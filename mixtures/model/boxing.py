"""Results of compiled functions, made into Python objects without a step of Python in between.

numba's machine code calls Python for the type of an array or a named tuple that it returns, and to make the
tuple, and goes on with nothing where that raises. Ctrl-C, or the end of a fit's time, that comes in compiled
code is raised at just such a call: the process ends in a segmentation fault, or a SystemError takes the
exception's place. Here the types are constants that a function carries, and a named tuple is made as a tuple.
"""

from __future__ import annotations

from typing import Any

from numba.core.compiler import Compiler
from numba.core.cpu import CPUContext
from numba.core.pythonapi import EnvironmentManager, PythonAPI


class _Boxing(PythonAPI):
    """Writes the machine code that talks to Python."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._constants: EnvironmentManager | None = None
        self._serialized: dict[int, Any] = {}  # by the id of what points to it
        self._tuple_types: list[Any] = []  # as values of the machine code

    def get_env_manager(self, *arguments: Any) -> EnvironmentManager:
        self._constants = super().get_env_manager(*arguments)
        return self._constants

    def serialize_object(self, obj: Any) -> Any:
        pointer = super().serialize_object(obj)
        self._serialized[id(pointer)] = obj
        return pointer

    def unserialize(self, structptr: Any) -> Any:
        if self._constants is None or id(structptr) not in self._serialized:
            return super().unserialize(structptr)
        thing = self._serialized[id(structptr)]
        value = self._constant(thing)
        self.incref(value)
        if isinstance(thing, type) and issubclass(thing, tuple):
            self._tuple_types.append(value)
        return value

    def call(self, callee: Any, args: Any = None, kws: Any = None) -> Any:
        if not any(callee is made for made in self._tuple_types):
            return super().call(callee, args, kws)
        return self.call_function_objargs(self._constant(tuple.__new__), (callee, args))

    def _constant(self, thing: Any) -> Any:
        """Write what reads a constant of the function; the reference is borrowed."""
        assert self._constants is not None
        return self._constants.read_const(self._constants.add_const(thing))


class _Context(CPUContext):
    def get_python_api(self, builder: Any) -> PythonAPI:
        return _Boxing(self, builder)


class SafelyBoxing(Compiler):
    """numba's compiler, for functions in which an exception from elsewhere may come."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.state.targetctx.__class__ = _Context

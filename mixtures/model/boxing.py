"""Results of compiled functions, made into Python objects without a step of Python in between.

An array that numba returns is made by machine code, which calls Python for the type of the array, and goes on
with nothing where that raises. Ctrl-C, or the end of a fit's time, that comes in compiled code is raised at
just that call: the process ends in a segmentation fault, or a SystemError takes the exception's place. Here
the type is one of the constants that a function carries, which are at hand; a call takes .4 us, not 1.3.
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
        self._serialized: dict[int, Any] = {}

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
        constant = self._constants.add_const(self._serialized[id(structptr)])
        thing = self._constants.read_const(constant)  # borrowed
        self.incref(thing)
        return thing


class _Context(CPUContext):
    def get_python_api(self, builder: Any) -> PythonAPI:
        return _Boxing(self, builder)


class SafelyBoxing(Compiler):
    """numba's compiler, for functions in which an exception from elsewhere may come."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.state.targetctx.__class__ = _Context

"""The names a study file may use, and the engines they mean: the one place here that knows em and bayes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from mixtures.bayes.diagnostics import Gate
from mixtures.bayes.fitter import NUTS
from mixtures.em.fitter import EM
from mixtures.model.fit import Fitter
from mixtures.model.mixture import NormalMixture
from mixtures.model.prior import Prior
from mixtures.study.design import Method

ENGINES: dict[str, Callable[..., Fitter]] = {"em": EM, "nuts": NUTS}

_BATCHES = {"em": 20, "nuts": 2}  # replicates of a task: some seconds of work


def batch_size(engine: str) -> int:
    """Number of replicates that one task should hold."""
    return _BATCHES.get(engine, 5)


def build(method: Method) -> Fitter:
    """Build the engine that a method names, with the method's settings.

    Raises
    ------
    ValueError
        Naming the method and the key, if the engine or a setting is unknown or wrong.
    """
    where = f"method {method.name!r}"
    if method.engine not in ENGINES:
        raise ValueError(f"{where}: engine must be one of {', '.join(ENGINES)}; got {method.engine!r}")
    engine = ENGINES[method.engine]
    known = [field.name for field in dataclasses.fields(engine) if field.name != "name"]  # type: ignore[arg-type]
    for key in method.settings:
        if key not in known:
            raise ValueError(f"{where}: {key} must be one of the engine's settings {', '.join(known)}")
    try:
        return engine(name=method.name, **{key: _value(key, entry) for key, entry in method.settings.items()})
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: {error}") from None


def _value(key: str, entry: Any) -> Any:
    """Turn a table of the file into the value that the engine takes."""
    if key == "prior" and isinstance(entry, dict):
        return Prior.from_dict(entry)
    if key == "gate" and isinstance(entry, dict):
        return Gate(**entry)
    if key == "start" and isinstance(entry, dict):
        return NormalMixture.from_dict(entry)
    return entry

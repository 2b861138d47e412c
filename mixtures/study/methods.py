"""The names a study file may use, and the engines they mean: the one place here that knows em and bayes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mixtures.bayes.diagnostics import Gate
from mixtures.bayes.fitter import NUTS
from mixtures.em.fitter import EM
from mixtures.model.fit import Fitter
from mixtures.model.mixture import NormalMixture
from mixtures.model.prior import Prior
from mixtures.study.claim import INTERVAL_MEASURES, UNIFORMITY, Claim
from mixtures.study.conditions import Condition
from mixtures.study.design import Method
from mixtures.study.until import Until

ENGINES: dict[str, Callable[..., Fitter]] = {"em": EM, "nuts": NUTS}

#: Seconds that a fit takes for each observation and component, about, as the engines come.
_SECONDS = {"em": 1.5e-6, "nuts": 3e-4}
_LEAST_SECONDS = {"nuts": 0.1}  # and for chains and their diagnostics, however few observations
_OTHER_SECONDS = 2.5e-3  # an engine that nothing is known of
_TEXTBOOK = 200  # times as long EM takes without acceleration
# Fits as long as a profile for each parameter, a resample of the bootstrap, and Wald intervals.
_PROFILE, _RESAMPLE, _WALD = 20.0, 0.1, 1.0
_SECONDS_OF_COMPARISON = 6e-4  # a data set is drawn and a fit compared in this, however few observations


def expected_seconds(method: Method, condition: Condition) -> float:
    """Seconds that a fit and its comparison take, about: by them replicates are gathered into tasks."""
    per_cell = _SECONDS.get(method.engine, _OTHER_SECONDS) * _effort(method.settings)
    least = _SECONDS_OF_COMPARISON + _LEAST_SECONDS.get(method.engine, 0.0)
    return least + per_cell * condition.n * condition.spec.n_components


def _effort(settings: Mapping[str, Any]) -> float:
    """How many times as long a fit takes as with the engine's own settings, about."""
    of_em = settings.get("n_starts", 10) / 10 * (_TEXTBOOK if settings.get("acceleration") == "none" else 1)
    of_intervals = {
        None: 0.0,
        "profile": _PROFILE,
        "bootstrap": _RESAMPLE * settings.get("n_resamples", 1000),
    }.get(settings.get("intervals"), _WALD)
    return float((of_em + of_intervals) * (settings.get("target_ess") or 1000) / 1000)


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
            raise ValueError(
                f"{where}: a setting must be one of the engine's {', '.join(known)}; got {key!r}"
            )
    try:
        return engine(name=method.name, **{key: _value(key, entry) for key, entry in method.settings.items()})
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: {error}") from None


def gives_draws(method: Method) -> bool:
    """Whether a method gives posterior draws: its engine has a prior."""
    return "prior" in _defaults(method)


def gives_intervals(method: Method) -> bool:
    """Whether a method, as set, gives intervals, which it may refuse here and there.

    An engine with a setting `intervals` does where that is given; one without it, from its draws, always.
    """
    return method.settings.get("intervals", _defaults(method).get("intervals", True)) is not None


def _defaults(method: Method) -> dict[str, Any]:
    """Settings that a method's engine knows, with their defaults; none where the engine is unknown."""
    engine: Any = ENGINES.get(method.engine)
    return {} if engine is None else {field.name: field.default for field in dataclasses.fields(engine)}


def level_of(method: Method) -> float | None:
    """Nominal level of a method's intervals: its setting, or its engine's own; None if that has none."""
    level = method.settings.get("level", _defaults(method).get("level"))
    return float(level) if isinstance(level, int | float) else None


def check_claim(claim: Claim, methods: Sequence[Method]) -> None:
    """Raise a ValueError if a claim is about what one of its methods, as set, does not give."""
    for method in methods:
        if claim.measure == UNIFORMITY and method.name == claim.method and not gives_draws(method):
            raise ValueError(
                f"claim {claim.id!r}: measure {UNIFORMITY} needs a method with posterior draws; "
                f"got {method.name!r}, whose engine {method.engine!r} gives none"
            )
    if claim.measure not in INTERVAL_MEASURES:
        return
    for method in methods:
        if method.name in {claim.method, claim.versus} and not gives_intervals(method):
            raise ValueError(
                f"claim {claim.id!r}: measure {claim.measure} needs a method with intervals; "
                f"got {method.name!r}, whose engine {method.engine!r} gives none "
                "without the setting 'intervals'"
            )


def check_until(until: Until, methods: Sequence[Method]) -> None:
    """Raise a ValueError if the rule `until` is about intervals, and no method, as set, gives any."""
    if until.measure in INTERVAL_MEASURES and not any(map(gives_intervals, methods)):
        raise ValueError(
            f"until: measure {until.measure} needs a method with intervals; got none "
            "(EM gives them with the setting 'intervals')"
        )


def _value(key: str, entry: Any) -> Any:
    """Turn a table of the file into the value that the engine takes."""
    if key == "start" and not isinstance(entry, dict):
        return entry
    build_table = {"prior": Prior.from_dict, "gate": _gate, "start": NormalMixture.from_dict}.get(key)
    if build_table is None:
        return entry
    if not isinstance(entry, dict):
        raise ValueError(f"{key} must be a table; got {entry!r}")
    try:
        return build_table(entry)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{key}: {error}") from None


def _gate(entry: dict[str, Any]) -> Gate:
    known = [field.name for field in dataclasses.fields(Gate)]
    for key in entry:
        if key not in known:
            raise ValueError(f"a limit must be one of {', '.join(known)}; got {key!r}")
    return Gate(**entry)

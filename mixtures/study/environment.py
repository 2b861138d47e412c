"""What results depend on beside their input: time, platform and versions."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

_PACKAGES = ("normal-mixtures", "numpy", "scipy", "pymc", "nutpie", "arviz", "pandas", "pyarrow")


def environment() -> dict[str, Any]:
    """What results depend on beside their input: when and on what they were computed, and the versions."""
    return {
        "created": now(),
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "packages": {name: _version(name) for name in _PACKAGES},
    }


def list_other(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Say which versions, and what of the platform, were others then than now."""
    before, after = _flat(then), _flat(now)
    return [
        f"{name} {before[name]} then, {after[name]} now"
        for name in after
        if before.get(name, after[name]) != after[name]
    ]


def _flat(noted: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: noted[name] for name in ("platform", "processors", "python") if name in noted}
    return kept | dict(noted.get("packages", {}))


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")

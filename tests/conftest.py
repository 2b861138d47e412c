"""What every test shares: hypothesis without a clock and without chance, and plain random mixtures."""

import os

# One thread: these arrays are small, and threads that wait for each other are the slowest part.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402  after the number of threads is set
import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

settings.register_profile("suite", deadline=None, derandomize=True, max_examples=60, database=None)
settings.load_profile("suite")


@pytest.fixture
def rng():
    """Return a generator with a written seed, the same for every test."""
    return np.random.default_rng(20240607)

"""Timings side by side with other libraries: ``make bench``, or one by ``python -m benchmarks.NAME``."""

import os

# One core for each contestant; libraries read this when they are loaded.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

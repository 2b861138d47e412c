"""Timings side by side with other libraries: ``make bench``, or one by ``python -m benchmarks.NAME``."""

"""Run every benchmark, each in a process of its own, and once more without AVX-512 what it speeds up.

numpy's exp and the compiled pass both use AVX-512 where the processor has it, which most lack. Then it is
switched off on both sides, before either is loaded.
"""

from __future__ import annotations

import os
import subprocess
import sys

from benchmarks.timing import uses_avx512

_NAMES = ("passes", "threads", "memory", "modes", "fits", "growth", "posterior", "studies", "command")
_WITHOUT_AVX512 = {
    "NPY_DISABLE_CPU_FEATURES": "AVX512_SPR AVX512_ICL X86_V4",
    "NUMBA_CPU_NAME": "haswell",
    "NUMBA_CPU_FEATURES": "+avx2,+fma,+bmi,+bmi2",
}


def _run(name: str, *further: str, environment: dict[str, str] | None = None) -> int:
    command = [sys.executable, "-m", f"benchmarks.{name}", *sys.argv[1:], *further]
    return subprocess.run(command, env=os.environ | (environment or {}), check=False).returncode


def main() -> int:
    """Run all; 1 where one failed."""
    codes = [_run(name) for name in _NAMES]
    if uses_avx512():
        codes.append(_run("passes", "--suffix=-avx2", environment=_WITHOUT_AVX512))
    return int(any(codes))


if __name__ == "__main__":
    sys.exit(main())

"""One seed tree, keyed by content: study, condition, replicate, stream.

No seed depends on the order or number of anything, so that adding conditions, replicates or methods
changes no data set and no fit.
"""

from __future__ import annotations

import hashlib

import numpy as np


def stream(seed: int, condition: str, replicate: int, name: str) -> np.random.Generator:
    """Return the generator of one stream of randomness.

    Parameters
    ----------
    seed : int
        The study's root seed.
    condition : str
        Key of the condition.
    replicate : int
        Counted from 0.
    name : str
        "truth", "data", the key of a method, or "ranks/" and that key.
    """
    digest = hashlib.sha256(f"{condition}/{replicate}/{name}".encode()).digest()
    words = tuple(np.frombuffer(digest, dtype="<u4").tolist())
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=words)))

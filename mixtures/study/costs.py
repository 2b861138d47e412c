"""What fits cost in seconds: as guessed at first, and then as measured."""

from __future__ import annotations

from collections import Counter

import numpy as np

from mixtures.model.arrays import Array
from mixtures.study.design import Study
from mixtures.study.ledger import Flags
from mixtures.study.methods import expected_seconds
from mixtures.study.parts import Part

_MEMORY = 0.7  # of what was measured before, at every part: the first fits of a process compile


class Costs:
    """Seconds that a fit takes, with its share of whatever else its task does, by condition and method.

    Where a method was not measured under a condition, see `extrapolate`.
    """

    def __init__(self, study: Study) -> None:
        conditions, methods = study.conditions, study.method
        self._rows = {condition.key: i for i, condition in enumerate(conditions)}
        self._columns = {method.key: j for j, method in enumerate(methods)}
        self._guesses = guess(study)
        self._n_fits = np.zeros_like(self._guesses)
        self._measured = np.zeros_like(self._guesses)
        self._seconds = self._guesses

    @property
    def seconds(self) -> Array:
        """Seconds of a fit, (conditions, methods)."""
        return self._seconds

    def is_measured(self) -> Flags:
        """Whether a method was measured under a condition, (conditions, methods)."""
        return self._n_fits > 0

    def of(self, condition: str, method: str) -> float:
        """Seconds of a fit, by the keys of condition and method."""
        return float(self._seconds[self._rows[condition], self._columns[method]])

    def learn(self, part: Part, seconds: float) -> None:
        """Learn from a part and the seconds that the whole task took."""
        n_fits: Counter[tuple[str, str]] = Counter()
        for (condition, method, _), n in part.statuses.items():
            n_fits[condition, method] += n
        n_all = n_fits.total()
        if not n_all:
            return
        besides = max(seconds - sum(part.seconds.values()), 0.0) / n_all
        for (condition, method), n in n_fits.items():
            at = self._rows[condition], self._columns[method]
            self._n_fits[at] = _MEMORY * self._n_fits[at] + n
            spent = part.seconds.get((condition, method), 0.0) + n * besides
            self._measured[at] = _MEMORY * self._measured[at] + spent
        self._seconds = extrapolate(self._guesses, self._n_fits, self._measured)


def guess(study: Study) -> Array:
    """Seconds that a fit should take, (conditions, methods)."""
    return np.array([[expected_seconds(one, at) for one in study.method] for at in study.conditions])


def extrapolate(guesses: Array, n_fits: Array, seconds: Array) -> Array:
    """Seconds of a fit: as measured and, where it was not, as guessed and corrected.

    Parameters
    ----------
    guesses : array (conditions, methods)
    n_fits, seconds : array (conditions, methods)
        Fits that were measured, and what they took together.

    Returns
    -------
    array (conditions, methods)
        A guess is corrected by how far off those of its method were where they can be told, or those of
        all methods.
    """
    guessed = n_fits * guesses
    of_all = seconds.sum() / guessed.sum() if guessed.any() else 1.0
    of_each = guessed.sum(axis=0)
    corrections = np.divide(
        seconds.sum(axis=0), of_each, out=np.full_like(of_each, of_all), where=of_each > 0
    )
    return np.divide(seconds, n_fits, out=guesses * corrections, where=n_fits > 0)

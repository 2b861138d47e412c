"""Which of the modes that the runs found means something."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mixtures.em.loop import Run
from mixtures.model.arrays import Array
from mixtures.model.mixture import NormalMixture
from mixtures.model.scale import Scale

#: A component with fewer effective observations than this, per dimension, may be a sliver.
SLIVER_COUNT = 10
#: ... and is one where its smallest whitened sd is below this share of the largest component's.
SLIVER_RATIO = 1 / 20
#: Runs within this of the best log-likelihood have reached the same mode.
SAME_MODE = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Modes:
    """Runs of EM, sorted out.

    Attributes
    ----------
    runs : tuple of Run
        Every run, in the order of the starts.
    slivers : tuple of int or None
        For each run, the component that makes its mode spurious, or None.
    best : int or None
        The run with the highest log-likelihood among those that neither collapsed nor are spurious.
    best_spurious : int or None
        The spurious run with the highest log-likelihood.
    """

    runs: tuple[Run, ...]
    slivers: tuple[int | None, ...]
    best: int | None
    best_spurious: int | None

    @property
    def n_collapsed(self) -> int:
        """Number of runs that were dropped because a component collapsed."""
        return sum(run.collapse is not None for run in self.runs)

    @property
    def n_spurious(self) -> int:
        """Number of runs that ended in a spurious maximum."""
        return sum(sliver is not None for sliver in self.slivers)

    def n_reached(self, index: int) -> int:
        """Number of runs that reached the same log-likelihood as the given one."""
        target = self.runs[index].log_likelihood
        return sum(r.collapse is None and abs(r.log_likelihood - target) < SAME_MODE for r in self.runs)


def sort_out(runs: Sequence[Run], x: Array, scale: Scale) -> Modes:
    """Tell spurious modes from others, and find the best of each.

    Parameters
    ----------
    runs : sequence of Run
        In standardised units.
    x : (n, d) array
        Observations in the data's units.
    scale : Scale
        From one to the other.
    """
    unit = rounding_unit(x)
    slivers = tuple(None if run.collapse else find_sliver(run.mixture, len(x), scale, unit) for run in runs)
    sound = [i for i, run in enumerate(runs) if run.collapse is None and slivers[i] is None]
    spurious = [i for i, sliver in enumerate(slivers) if sliver is not None]
    return Modes(tuple(runs), slivers, _highest(runs, sound), _highest(runs, spurious))


def find_sliver(mixture: NormalMixture, n_observations: int, scale: Scale, unit: Array) -> int | None:
    """Return the component that makes a mode spurious, or None.

    A sliver has an effective count below 10 d and, in whitened coordinates, a smallest sd under 1/20
    of the largest component's; or an sd below the data's own rounding unit. One normal alone has a
    bounded likelihood and no spurious mode.
    """
    if mixture.n_components == 1:
        return None
    smallest = np.sqrt(np.linalg.eigvalsh(mixture.covariances)[:, 0])
    is_small = mixture.weights * n_observations < SLIVER_COUNT * mixture.n_dims
    is_thin = smallest < SLIVER_RATIO * smallest.max()
    is_within_rounding = (scale.restore_mixture(mixture).sds < unit).any(axis=1)
    slivers = np.flatnonzero((is_small & is_thin) | is_within_rounding)
    return int(slivers[0]) if len(slivers) else None


def rounding_unit(x: Array) -> Array:
    """Return the unit that each column of observations is rounded to, (d,).

    It is the smallest difference between two values of a column that has ties, and 0 for a column
    without ties, which shows no sign of rounding.
    """
    return np.array([_unit_of(np.unique(column), len(column)) for column in x.T])


def _unit_of(values: Array, n: int) -> float:
    return float(np.diff(values).min()) if len(values) < n else 0.0


def _highest(runs: Sequence[Run], indices: list[int]) -> int | None:
    return max(indices, key=lambda i: runs[i].log_likelihood) if indices else None

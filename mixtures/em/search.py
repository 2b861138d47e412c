"""From many starts to the modes worth reporting."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial

import numpy as np
from numpy.typing import NDArray

from mixtures.em.acceleration import ANDERSON, SQUAREM
from mixtures.em.climb import COLLAPSED, GAIN, PATIENCE, Climbs, Rules, Starts, climb_all, climb_in_threads
from mixtures.em.coordinates import Shape, shape_of, to_mixture, to_vector, unpack_all
from mixtures.em.curvature import cost_of
from mixtures.em.information import DECREMENT_BOUND, certify
from mixtures.em.loop import Collapse, Run, run
from mixtures.em.mapping import short_runs
from mixtures.em.modes import SliverRule
from mixtures.em.starts import condense, random_vectors
from mixtures.em.steps import e_step
from mixtures.model.arrays import Array, freeze
from mixtures.model.kernel import as_data
from mixtures.model.mixture import NormalMixture
from mixtures.model.spec import MixtureSpec


class Acceleration(StrEnum):
    """How EM is made faster."""

    SQUAREM = "squarem"
    ANDERSON = "anderson"
    NONE = "none"


_METHODS = {Acceleration.SQUAREM: SQUAREM, Acceleration.ANDERSON: ANDERSON}
#: Patience of runs from the modes of condensed data, or of resamples from that of the data.
AT_A_MODE = 2
# Short runs from random parameters, and the best of them that go on to their modes: multiplied by
# (k - 1)^3, up to the most of each, divided by d and k d^2, since runs take longer there. Steps of a short
# run, taken twice by the likelier half, and stand-ins for the data in it for each component:
# docs/decisions/0003-short-runs.md.
_N_SHORT, _N_LONGER, _MOST_SHORT, _MOST_LONGER = 60, 10, 1000, 2000
_SHORT_STEPS, _N_CONDENSED = 3, 100
_LONGER_PATIENCE, _LONGER_TOLERANCE, _MOST_LONGER_STEPS = 4, 1e-3, 300
_DISTINCT = 1e-2  # log-likelihood, of all observations, by which two modes of stand-ins differ at least
_SAME_WEIGHTS = 0.02  # and the sum of squared weights
_TIE = 1e-9  # log-likelihood by which runs differ that ended in one mode
_REACHED = 0.01  # runs that end this close to the best have reached it
_LARGE = 200_000  # observations and starts, multiplied, from which on threads are worth waking


@dataclass(frozen=True, slots=True, eq=False)
class Modes:
    """What a search found, in standardised units.

    Attributes
    ----------
    log_likelihoods : (s,) array
        Log-likelihood that each run ended with; NaN where a component collapsed.
    best : Run or None
        The run with the highest log-likelihood that is not spurious.
    spurious : Run or None
        The spurious run with the highest log-likelihood.
    collapse : Collapse or None
        How the first run that was dropped ended.
    n_spurious : int
        Number of runs that ended in a spurious maximum.
    n_reached_best : int
        Number of sound runs whose log-likelihood came within 0.01 of `best`'s.
    n_short, n_short_collapsed : int
        Number of short runs that starts were chosen from, and of those of them that were dropped.
    """

    log_likelihoods: Array
    best: Run | None
    spurious: Run | None
    collapse: Collapse | None
    n_spurious: int
    n_reached_best: int
    n_short: int = 0
    n_short_collapsed: int = 0

    @property
    def n_collapsed(self) -> int:
        """Number of runs that were dropped because a component collapsed."""
        return int(np.isnan(self.log_likelihoods).sum())

    def followed_by(self, later: Modes) -> Modes:
        """Return what a search that found nothing sound and a later one found together."""
        return replace(
            later,
            log_likelihoods=np.concatenate([self.log_likelihoods, later.log_likelihoods]),
            spurious=_higher(self.spurious, later.spurious),
            collapse=self.collapse or later.collapse,
            n_spurious=self.n_spurious + later.n_spurious,
            n_short=self.n_short + later.n_short,
            n_short_collapsed=self.n_short_collapsed + later.n_short_collapsed,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Shortlist:
    """Starts chosen from short runs, (s, size), and how many those were and how many collapsed."""

    vectors: Array
    n_short: int = 0
    n_collapsed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Ends:
    """Where runs ended.

    Attributes
    ----------
    vectors : (s, size) array
        The last parameters.
    log_likelihoods : (s,) array
        Their log-likelihoods; NaN where a component collapsed.
    run : callable
        Returns one of the runs.
    """

    vectors: Array
    log_likelihoods: Array
    run: Callable[[int], Run]


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """A search for the modes of one data set's likelihood.

    Attributes
    ----------
    x : (n, d) array
        Standardised observations.
    spec : MixtureSpec
    rule : SliverRule
    tolerance : float
        Log-likelihood still to gain at which a run stops.
    max_iter : int
        Largest number of EM steps of one run.
    acceleration : Acceleration
        With `NONE`, runs are those of the textbook, `loop.run`.
    """

    x: Array
    spec: MixtureSpec
    rule: SliverRule
    tolerance: float
    max_iter: int
    acceleration: Acceleration = Acceleration.SQUAREM

    @property
    def shape(self) -> Shape:
        """Components, dimensions and structure."""
        return shape_of(self.spec, self.x.shape[1])

    def shortlist(self, n_kept: int, rng: np.random.Generator, *, thorough: bool = False) -> Shortlist:
        """Choose starts by short runs of EM from random parameters, on condensed data.

        After some steps the likelier half of many short runs takes as many more; the likeliest of these go
        on to their modes, of which the likeliest sound ones are kept, each mode once. Short runs before
        long ones after Biernacki, Celeux & Govaert (2003). The last of several places goes to the likeliest
        spurious mode, if there is one, so that a higher maximum without meaning is seen and reported.

        In a thorough search all short runs go on: after few steps those that will end in a single
        observation may all be likelier than those that lead to something.
        """
        k, d, _ = self.shape
        effort = max(k - 1, 1) ** 3
        n_longer = max(min(_N_LONGER * effort, _MOST_LONGER // (k * d**2)), n_kept)
        n_short = max(min(_N_SHORT * effort, _MOST_SHORT // d), n_longer)
        n_longer = n_short if thorough else n_longer
        data = as_data(condense(self.x, _N_CONDENSED * k, rng))
        share = len(data.x) / len(self.x)
        vectors = random_vectors(self.x, self.shape, n_short, rng)
        n_collapsed = 0
        for n_left in (max(n_short // 2, n_longer), n_longer):
            heights = short_runs(data, self.shape, vectors, _SHORT_STEPS)
            is_left = ~np.isnan(heights)
            heights, vectors = heights[is_left], vectors[is_left]
            likeliest = np.lexsort((-heights, self._are_spurious(vectors)))
            vectors = vectors[likeliest[:n_left]]
            n_collapsed += len(is_left) - len(heights)
        starts = self.starts(vectors, _LONGER_PATIENCE)
        rules = Rules(tolerance=_LONGER_TOLERANCE * share, max_iter=_MOST_LONGER_STEPS, gain=GAIN * share)
        longer = climb_all(data, self.shape, starts, rules)
        chosen = self._choose(longer, n_kept, _DISTINCT * share)
        return Shortlist(chosen, n_short, n_collapsed)

    def from_starts(self, starts: Sequence[Array], shortlist: Shortlist | None = None) -> Modes:
        """Find the modes that starts, vectors, lead to, those of a shortlist before the others."""
        own = self.starts(starts, PATIENCE)
        if shortlist is None:
            return self._sort_out(self.climb(own))
        listed = self.starts(shortlist.vectors, AT_A_MODE)
        modes = self._sort_out(self.climb(_joined(listed, own)))
        return replace(modes, n_short=shortlist.n_short, n_short_collapsed=shortlist.n_collapsed)

    def _choose(self, longer: Climbs, n_kept: int, distinct: float) -> Array:
        """Vectors of the likeliest modes that longer runs ended in, each once; sound ones first.

        Two ends are the same mode where neither heights nor weights tell them apart.
        """
        is_left = longer.outcomes != COLLAPSED
        vectors, heights = longer.vectors[is_left], longer.log_likelihoods[is_left]
        weights, covariances = unpack_all(vectors, self.shape)
        is_spurious = self.rule.are_slivers(weights, covariances).any(axis=1)
        order = np.lexsort((-heights, is_spurious))
        signs = np.column_stack([heights / distinct, np.square(weights).sum(axis=1) / _SAME_WEIGHTS])[order]
        is_new = np.ones(len(order), dtype=bool)
        is_new[1:] = (np.abs(signs[1:] - signs[:-1]) > 1).any(axis=1)
        kept = order[is_new][:n_kept]
        if is_spurious.any() and n_kept > 1:
            likeliest = np.where(is_spurious, heights, -np.inf).argmax()
            kept = np.append(kept[kept != likeliest][: n_kept - 1], likeliest)
        return vectors[kept]

    def starts(self, vectors: Array | Sequence[Array], patience: int) -> Starts:
        """Return starts with a patience, a longer one where Hessians are dear."""
        patience = max(patience, int(2 * cost_of(self.shape)) if self.shape.d > 1 else 0)
        return Starts(np.asarray(vectors), np.full(len(vectors), patience))

    def climb(self, starts: Starts) -> Ends:
        """Run from every start to its mode."""
        if self.acceleration == Acceleration.NONE:
            mixtures = (to_mixture(vector, self.shape) for vector in starts.vectors)
            runs = [self._settle(self._run(mixture, self.tolerance)) for mixture in mixtures]
            heights = [np.nan if run.collapse else run.log_likelihood for run in runs]
            vectors = np.array([to_vector(run.mixture, self.shape) for run in runs])
            return Ends(vectors.reshape(starts.vectors.shape), np.array(heights), runs.__getitem__)
        tolerance = min(float(self.tolerance), DECREMENT_BOUND)  # a run to be certified goes as far
        rules = Rules(_METHODS[self.acceleration], tolerance, int(self.max_iter))
        is_large = len(starts.vectors) > 1 and len(starts.vectors) * len(self.x) > _LARGE
        climb = climb_in_threads if is_large else climb_all
        return self.ends_of(climb(as_data(self.x), self.shape, starts, rules))

    def ends_of(self, climbs: Climbs) -> Ends:
        """Return where compiled runs ended."""
        heights = np.where(climbs.outcomes == COLLAPSED, np.nan, climbs.log_likelihoods)
        return Ends(climbs.vectors, heights, partial(self._run_of, climbs))

    def _run_of(self, climbs: Climbs, i: int) -> Run:
        mixture, collapse = to_mixture(climbs.vectors[i], self.shape), None
        if climbs.outcomes[i] == COLLAPSED:
            component = int(climbs.collapsed[i])
            owned = e_step(mixture, self.x).responsibilities[:, component] > 0.5
            collapse = Collapse(component, np.flatnonzero(owned))
        return Run(mixture, freeze(climbs.trace(i).copy()), float(climbs.decrements[i]), collapse)

    def _sort_out(self, ends: Ends) -> Modes:
        heights = ends.log_likelihoods
        is_spurious = ~np.isnan(heights) & self._are_spurious(ends.vectors)
        is_sound = ~np.isnan(heights) & ~is_spurious
        best, spurious = _highest(heights, is_sound), _highest(heights, is_spurious)
        dropped = np.flatnonzero(np.isnan(heights))
        n_reached = 0 if best is None else int((heights[is_sound] > heights[best] - _REACHED).sum())
        return Modes(
            log_likelihoods=heights,
            best=None if best is None else ends.run(best),
            spurious=None if spurious is None else ends.run(spurious),
            collapse=ends.run(int(dropped[0])).collapse if len(dropped) else None,
            n_spurious=int(is_spurious.sum()),
            n_reached_best=n_reached,
        )

    def _are_spurious(self, vectors: Array) -> NDArray[np.bool_]:
        return self.rule.are_slivers(*unpack_all(vectors, self.shape)).any(axis=1)

    def _settle(self, run: Run) -> Run:
        """Go on with a textbook run until it is certified as a maximum, or its steps are used up.

        A mode that converges fast can hide a slow one from the extrapolation of the trace.
        """
        tolerance, least = self.tolerance, math.ulp(run.log_likelihood)
        while run.collapse is None and len(run.trace) <= self.max_iter:
            if certify(run.mixture, self.x, self.spec.covariance).is_maximum:
                break
            is_last, tolerance = tolerance <= least, max(tolerance / 100, least)
            further = self._run(run.mixture, tolerance, run.trace[:-1].tolist())
            if is_last and len(further.trace) <= len(run.trace) + 2:  # nothing left that floating point shows
                return further
            run = further
        return run

    def _run(self, start: NormalMixture, tolerance: float, earlier: Sequence[float] = ()) -> Run:
        covariance = self.spec.covariance
        return run(self.x, covariance, start, tolerance=tolerance, max_iter=self.max_iter, earlier=earlier)


def _joined(first: Starts, second: Starts) -> Starts:
    if not len(second.vectors):
        return first
    vectors = np.concatenate([first.vectors, second.vectors])
    return Starts(vectors, np.concatenate([first.patience, second.patience]))


def _higher(one: Run | None, other: Run | None) -> Run | None:
    if one is None or other is None:
        return one or other
    return other if other.log_likelihood > one.log_likelihood + _TIE else one


def _highest(heights: Array, is_candidate: NDArray[np.bool_]) -> int | None:
    """The first of the highest: rounding alone is not to choose among runs to one mode."""
    if not is_candidate.any():
        return None
    candidates = np.where(is_candidate, heights, -np.inf)
    return int((candidates >= candidates.max() - _TIE).argmax())

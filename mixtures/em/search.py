"""From many starts to the modes worth reporting: short runs, coarse runs, and the best ones finished."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mixtures.em.information import certify
from mixtures.em.loop import Run, run
from mixtures.em.modes import SliverRule
from mixtures.em.starts import Start, draw_start
from mixtures.model.arrays import Array
from mixtures.model.labels import align
from mixtures.model.mixture import NormalMixture
from mixtures.model.spec import MixtureSpec

# Short runs and their steps, in two stages: how they were chosen is in docs/decisions/0003-short-runs.md.
_N_FIRST, _FIRST_STEPS = 200, 5
_N_SECOND, _SECOND_STEPS = 40, 25
_COARSE = (
    1e-3  # forecast to be left to gain by a coarse run; at 1e-2 runs stop on plateaus below the best mode
)
_SLACK = 5 * _COARSE  # coarse runs this close to the best are finished before they are ranked
#: Two mixtures are the same mode where n times the Bhattacharyya cost of aligning them is below this:
#: coarse runs to one mode differ by about sqrt(2 * 0.001) standard errors, distinct modes by several.
_SAME_MODE = 0.5
_SAME_LIKELIHOOD = 1e-6
_REACHED = 10 * _COARSE  # runs forecast to end this close to the best count as having reached it


@dataclass(frozen=True, slots=True, eq=False)
class Modes:
    """What a search found, in standardised units.

    Attributes
    ----------
    runs : tuple of Run
        Every run, in the order of the starts; those that cannot be the best are left coarse.
    best : Run or None
        The finished run with the highest log-likelihood that is not spurious.
    spurious : Run or None
        The finished spurious run with the highest log-likelihood.
    n_spurious : int
        Number of runs that ended in a spurious maximum.
    n_reached_best : int
        Number of sound runs whose log-likelihood came, or was forecast to come, within 0.01 of `best`'s.
    n_short, n_short_collapsed : int
        Number of short runs that `runs` were chosen from, and of those of them that were dropped.
    """

    runs: tuple[Run, ...]
    best: Run | None
    spurious: Run | None
    n_spurious: int
    n_reached_best: int
    n_short: int = 0
    n_short_collapsed: int = 0

    @property
    def n_collapsed(self) -> int:
        """Number of runs that were dropped because a component collapsed."""
        return sum(run.collapse is not None for run in self.runs)


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
        Log-likelihood still to gain at which a finished run stops.
    max_iter : int
        Largest number of steps of one run.
    """

    x: Array
    spec: MixtureSpec
    rule: SliverRule
    tolerance: float
    max_iter: int

    def short_runs(self, rng: np.random.Generator) -> list[Run]:
        """Run EM for a few steps from many random parameters, and go on with the likeliest.

        Returns
        -------
        list of Run
            All of them, the likeliest sound ones first, beginning with one for each mode that they
            are headed for. Short runs before long ones after Biernacki, Celeux & Govaert (2003).
        """
        k, covariance = self.spec.n_components, self.spec.covariance
        starts = [draw_start(Start.RANDOM_PARAMETERS, self.x, k, covariance, rng) for _ in range(_N_FIRST)]
        first = sorted(
            (self._run(start, _COARSE, _FIRST_STEPS) for start in starts), key=self._rank, reverse=True
        )
        second = [self._go_on(one, _COARSE, _SECOND_STEPS) for one in first[:_N_SECOND]]
        distinct: list[Run] = []
        others: list[Run] = []
        for one in sorted(second, key=self._rank, reverse=True):
            is_known = any(self._is_same_mode(one, other) for other in distinct)
            (others if is_known else distinct).append(one)
        return [*distinct, *others, *first[_N_SECOND:]]

    def from_start(self, start: NormalMixture) -> Modes:
        """Find the mode that one start leads to."""
        return self._sort_out([self._settle(self._run(start, self.tolerance))])

    def from_starts(
        self, starts: Sequence[NormalMixture], short: Sequence[Run] = (), n_kept: int = 0
    ) -> Modes:
        """Find the modes that starts, and the best of short runs, lead to; finish those that may be the best.

        The last of the `n_kept` places goes to the likeliest short run that is spurious, if one is, so
        that a higher maximum without meaning is seen and reported.
        """
        runs = [self._go_on(one, _COARSE) for one in self._keep(short, n_kept)]
        runs += [self._run(start, _COARSE) for start in starts]
        self._finish(runs, [i for i, one in enumerate(runs) if self._is_sound(one)])
        self._finish(runs, [i for i, one in enumerate(runs) if self._is_spurious(one)])
        n_collapsed = sum(one.collapse is not None for one in short)
        return replace(self._sort_out(runs), n_short=len(short), n_short_collapsed=n_collapsed)

    def _keep(self, short: Sequence[Run], n_kept: int) -> list[Run]:
        kept = list(short[:n_kept])
        spurious = max((one for one in short if self._is_spurious(one)), key=_height, default=None)
        return kept if spurious is None or spurious in kept else [*kept[:-1], spurious]

    def _settle(self, run: Run) -> Run:
        """Go on with a finished run until it is certified as a maximum, or its steps are used up.

        A mode that converges fast can hide a slow one from the extrapolation of the trace.
        """
        while run.collapse is None and len(run.trace) <= self.max_iter:
            if certify(run.mixture, self.x, self.spec.covariance).is_maximum:
                break
            further = self._run(run.mixture, self.tolerance, earlier=run.trace[:-1].tolist())
            if len(further.trace) <= len(run.trace) + 2:  # nothing left that floating point can show
                return further
            run = further
        return run

    def _finish(self, runs: list[Run], places: list[int]) -> None:
        """Finish, in place, the runs that may be the best of `places`, one for each mode.

        `places` are those of sound runs, or those of spurious ones; a run that ends as the other kind
        stands for no other.
        """
        finished: list[Run] = []
        for i in sorted(places, key=lambda i: runs[i].forecast, reverse=True):
            highest = max((one.log_likelihood for one in finished), default=-math.inf)
            if runs[i].forecast < highest - _SLACK:
                break
            if not any(self._is_same_mode(runs[i], one) for one in finished):
                was_sound = self._is_sound(runs[i])
                runs[i] = self._settle(self._go_on(runs[i], self.tolerance))
                if runs[i].collapse is None and self._is_sound(runs[i]) == was_sound:
                    finished.append(runs[i])

    def _sort_out(self, runs: list[Run]) -> Modes:
        spurious = [one for one in runs if self._is_spurious(one)]
        sound = [one for one in runs if self._is_sound(one)]
        best = max(sound, key=_height, default=None)
        reached = 0 if best is None else sum(abs(one.forecast - best.forecast) < _REACHED for one in sound)
        return Modes(tuple(runs), best, max(spurious, key=_height, default=None), len(spurious), reached)

    def _run(
        self,
        start: NormalMixture,
        tolerance: float,
        max_iter: int | None = None,
        earlier: Sequence[float] = (),
    ) -> Run:
        return run(
            self.x,
            self.spec.covariance,
            start,
            tolerance=max(tolerance, self.tolerance),
            max_iter=min(max_iter or self.max_iter, self.max_iter),
            earlier=earlier,
        )

    def _go_on(self, run: Run, tolerance: float, max_iter: int | None = None) -> Run:
        """Go on with a run to a tighter tolerance; its trace goes on too."""
        if run.collapse is not None:
            return run
        return self._run(run.mixture, tolerance, max_iter, run.trace[:-1].tolist())

    def _rank(self, run: Run) -> tuple[bool, float]:
        return self._is_sound(run), run.log_likelihood

    def _is_sound(self, run: Run) -> bool:
        return run.collapse is None and self.rule.find(run.mixture) is None

    def _is_spurious(self, run: Run) -> bool:
        return run.collapse is None and self.rule.find(run.mixture) is not None

    def _is_same_mode(self, one: Run, other: Run) -> bool:
        if abs(one.log_likelihood - other.log_likelihood) < _SAME_LIKELIHOOD:
            return True
        is_near = abs(one.forecast - other.forecast) < _SLACK
        return is_near and len(self.x) * align(one.mixture, other.mixture).cost < _SAME_MODE


def _height(run: Run) -> float:
    return run.log_likelihood

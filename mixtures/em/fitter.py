"""EM: frozen settings with one method, fit."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mixtures.em.bootstrap import Resampling
from mixtures.em.coordinates import to_vector
from mixtures.em.details import details_of, judge, say_collapse, warnings_of
from mixtures.em.information import certify
from mixtures.em.loop import Run
from mixtures.em.modes import SliverRule
from mixtures.em.search import Acceleration, Modes, Search
from mixtures.em.starts import Start, draw_start
from mixtures.em.uncertainty import N_RESAMPLES, IntervalMethod, IntervalRule
from mixtures.model.arrays import Array, as_count, as_fraction, as_number
from mixtures.model.data import as_generator, check_fittable
from mixtures.model.density import soft_assignments
from mixtures.model.fit import Fit, Status
from mixtures.model.mixture import NormalMixture
from mixtures.model.scale import Scale
from mixtures.model.spec import Covariance, MixtureSpec

_N_STARTS = 10


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class EM:
    """Maximum likelihood by the EM algorithm from several starts.

    Parameters
    ----------
    start : str, NormalMixture, sequence of str, or None
        Where theta begins: "random_parameters", "random_responsibilities", "kmeans++" or "quantiles"
        (univariate), several of them in turn, or a mixture in the data's units. By default the kinds
        are mixed: quantiles (univariate), k-means++, random responsibilities, and the likeliest modes
        that many short runs from random parameters lead to; where nothing sound is found, the likeliest
        that any of as many runs lead to.
    n_starts : int, optional
        Largest number of starts; by default 10, and 1 for a given mixture. Short runs that lead to the
        same mode make one start; those made once more, where nothing sound is found, add their own.
    tolerance : float
        A run has settled when the total log-likelihood still to gain is below this: by the Newton
        decrement, or, without acceleration, by Aitken's extrapolation. A run goes on in any case until
        1e-8 is left, which the status `converged` asks for.
    max_iter : int
        Largest number of EM steps of one run; Newton steps have a limit of their own.
    acceleration : str
        "squarem" (Varadhan & Roland 2008) or "anderson" (Anderson 1965), followed by Newton steps on the
        observed information; or "none": from each start EM as in the textbook, one step after another to
        the end. How starts are found is the same.
    allow_spurious : bool
        Report the highest maximum even where it is spurious.
    intervals : str, optional
        How standard errors and intervals are made: "information" (the observed information), "outer"
        (products of scores) or "sandwich" (both), all by the delta method; "bootstrap"; "profile"
        (univariate). By default there are none. Those of a fit that has not `converged` are refused,
        with a warning in the result.
    level : float
        Nominal coverage of the intervals.
    n_resamples : int
        Resamples of the bootstrap.
    resampling : str
        "nonparametric" draws observations, "parametric" draws from the fitted mixture, "weighted" gives
        the observations random weights.
    name : str
        Name of the method in tables.

    Raises
    ------
    TypeError, ValueError
        If a setting is of the wrong kind or outside its range.
    """

    start: str | NormalMixture | Sequence[str] | None = None
    n_starts: int | None = None
    tolerance: float = 1e-9
    max_iter: int = 10_000
    acceleration: str = Acceleration.SQUAREM
    allow_spurious: bool = False
    intervals: str | None = None
    level: float = 0.95
    n_resamples: int = N_RESAMPLES
    resampling: str = Resampling.NONPARAMETRIC
    name: str = "EM"

    def __post_init__(self) -> None:
        if self.start is not None and not isinstance(self.start, NormalMixture):
            object.__setattr__(self, "start", _as_starts(self.start))
        as_count("n_starts", 1 if self.n_starts is None else self.n_starts)
        as_count("max_iter", self.max_iter)
        if isinstance(self.start, NormalMixture) and self.n_starts not in (None, 1):
            raise ValueError(f"n_starts must be 1 where start is a mixture; got {self.n_starts}")
        if self.acceleration not in list(Acceleration):
            raise ValueError(
                f"acceleration must be one of {', '.join(Acceleration)}; got {self.acceleration!r}"
            )
        if not isinstance(self.allow_spurious, bool):
            raise TypeError(f"allow_spurious must be true or false; got {self.allow_spurious!r}")
        if not isinstance(self.name, str):
            raise TypeError(f"name must be text; got {self.name!r}")
        n_kinds = len(self.start) if isinstance(self.start, tuple) else 1
        if self.n_starts is not None and self.n_starts < n_kinds:
            raise ValueError(f"n_starts must be at least the {n_kinds} kinds of start; got {self.n_starts}")
        if not 0 < as_number("tolerance", self.tolerance) < np.inf:
            raise ValueError(f"tolerance must be positive and finite; got {self.tolerance}")
        object.__setattr__(self, "level", as_fraction("level", self.level))
        self._interval_rule()

    def check(self, spec: MixtureSpec, n_dims: int) -> None:
        """Raise a ValueError if the start or the intervals do not suit the spec or the data's dimensions."""
        if isinstance(self.start, NormalMixture):
            _check_start(self.start, spec, n_dims)
        elif self.start is not None and Start.QUANTILES in self.start and n_dims > 1:
            raise ValueError("start must not be 'quantiles' for data in several dimensions")
        self._interval_rule().check(n_dims)

    def prepare(self, spec: MixtureSpec) -> None:  # noqa: ARG002  one compilation serves all
        """Load the compiled functions, or compile them on a machine's first use."""
        two_groups = np.append(np.arange(12.0), np.arange(40.0, 52.0))
        # The bootstrap calls what every fit calls.
        intervals = None if self.intervals == IntervalMethod.BOOTSTRAP else self.intervals
        EM(n_starts=4, intervals=intervals).fit(MixtureSpec(2), two_groups, 1)

    def fit(self, spec: MixtureSpec, x: ArrayLike, rng: np.random.Generator | int) -> Fit:
        """Fit a mixture of normals by maximum likelihood.

        Parameters
        ----------
        spec : MixtureSpec
        x : (n,) or (n, d) array_like
            Observations.
        rng : numpy.random.Generator or int
            Source of randomness for the starts and the bootstrap, or the seed of one.

        Returns
        -------
        Fit
            Status `converged` where the estimate is certified as a maximum, `not_converged` where it
            is not, `spurious` where only spurious maxima were found, `degenerate` without an
            estimate where every start collapsed. `details` is an `EMDetails`.

        Raises
        ------
        TypeError, ValueError
            If the data cannot be fitted (see `check_fittable`), or the start does not suit the spec.
        """
        observations = check_fittable(spec, x)
        self.check(spec, observations.shape[1])
        scale = Scale.of(observations, spec.covariance)
        z = scale.standardise(observations)
        rule = SliverRule.of(observations, scale)
        search = Search(z, spec, rule, self.tolerance, self.max_iter, Acceleration(self.acceleration))
        generator = as_generator(rng)
        modes = self._search(search, scale, generator)
        return self._report(search, observations, modes, generator)

    def _interval_rule(self) -> IntervalRule:
        return IntervalRule(self.intervals, self.level, self.n_resamples, self.resampling)

    def _search(self, search: Search, scale: Scale, rng: np.random.Generator) -> Modes:
        z = search.x
        if isinstance(self.start, NormalMixture):
            return search.from_starts([to_vector(scale.standardise_mixture(self.start), search.shape)])
        n_starts = self.n_starts or _N_STARTS
        kinds = (
            _default_kinds(z.shape[1], n_starts)
            if self.start is None
            else _cycle(_as_starts(self.start), n_starts)
        )
        starts = [draw_start(kind, z, search.shape, rng) for kind in kinds]
        n_kept = n_starts - len(kinds)
        if not n_kept:
            return search.from_starts(starts)
        modes = search.from_starts(starts, search.shortlist(n_kept, rng))
        if modes.best is not None:
            return modes
        return modes.followed_by(search.from_starts([], search.shortlist(n_kept, rng, thorough=True)))

    def _report(self, search: Search, x: Array, modes: Modes, rng: np.random.Generator) -> Fit:
        reported, rule = _preferred(modes, self.allow_spurious), self._interval_rule()
        if reported is None:
            details = details_of(search, modes)
            return Fit(
                self.name,
                search.spec,
                Status.DEGENERATE,
                message=say_collapse(modes, x),
                warnings=rule.refuse("there is no estimate").warnings,
                diagnostics=details.diagnostics(),
                details=details,
            )
        certificate = certify(reported.mixture, search.x, search.spec.covariance)
        scale = search.rule.scale
        status, message = judge(search, reported, certificate)
        is_sound = status == Status.CONVERGED
        uncertainty = rule.assess(search, reported.mixture, rng) if is_sound else rule.refuse(message)
        assigned = soft_assignments(reported.mixture, search.x)
        details = details_of(search, modes, reported, certificate, uncertainty.bootstrap)
        return Fit(
            method=self.name,
            spec=search.spec,
            status=status,
            estimate=scale.restore_mixture(reported.mixture),
            log_responsibilities=assigned.log_responsibilities,
            log_likelihood=float(assigned.log_densities.sum()) + scale.log_jacobian(len(x)),
            message=message,
            warnings=warnings_of(search, modes, reported) + uncertainty.warnings,
            intervals=uncertainty.intervals,
            responsibility_intervals=uncertainty.responsibility_intervals,
            diagnostics=details.diagnostics() + uncertainty.diagnostics,
            details=details,
        )


def _preferred(modes: Modes, allow_spurious: bool) -> Run | None:
    """The run to report: the best sound one; a spurious one where asked for, or where there is no other."""
    if modes.best is None or modes.spurious is None:
        return modes.spurious if modes.best is None else modes.best
    is_higher = modes.spurious.log_likelihood > modes.best.log_likelihood
    return modes.spurious if allow_spurious and is_higher else modes.best


def _default_kinds(n_dims: int, n_starts: int) -> list[Start]:
    """The default mix; short runs make up the rest. In several dimensions k-means++ is worth more of them."""
    first = [Start.QUANTILES, Start.KMEANS] if n_dims == 1 else [Start.KMEANS] * 4
    return [*first, Start.RANDOM_RESPONSIBILITIES][:n_starts]


def _cycle(kinds: Sequence[Start], n_starts: int) -> list[Start]:
    return list(itertools.islice(itertools.cycle(kinds), n_starts))


def _as_starts(start: str | Sequence[str]) -> tuple[Start, ...]:
    names = (start,) if isinstance(start, str) else start
    if not isinstance(names, Sequence) or not names or not all(isinstance(name, str) for name in names):
        raise TypeError(f"start must be a kind of start, several of them, or a NormalMixture; got {start!r}")
    unknown = [name for name in names if name not in list(Start)]
    if unknown:
        raise ValueError(f"start must be one of {', '.join(Start)}; got {unknown[0]!r}")
    return tuple(Start(name) for name in names)


def _check_start(start: NormalMixture, spec: MixtureSpec, d: int) -> None:
    if start.means.shape != (spec.n_components, d):
        raise ValueError(
            f"start must have the spec's {spec.n_components} components and the data's {d} dimensions; "
            f"got {start.n_components} and {start.n_dims}"
        )
    target = {
        Covariance.FULL: start.covariances,
        Covariance.DIAGONAL: start.covariances * np.eye(d),
        Covariance.SPHERICAL: start.covariances[:, :1, :1] * np.eye(d),
        Covariance.TIED: start.covariances[:1],
    }[spec.covariance]
    if not np.allclose(
        start.covariances, target, rtol=1e-8, atol=1e-8 * float(np.abs(start.covariances).max())
    ):
        raise ValueError(
            f"start must have {spec.covariance} covariances, as the spec; got {start.covariances.tolist()}"
        )

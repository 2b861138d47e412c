"""EM: frozen settings with one method, fit."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mixtures.em.information import Certificate, certify
from mixtures.em.loop import VARIANCE_FLOOR, Run, run
from mixtures.em.modes import Modes, sort_out
from mixtures.em.starts import Start, draw_start
from mixtures.model.arrays import Array
from mixtures.model.data import as_generator, check_fittable
from mixtures.model.density import log_likelihood, responsibilities
from mixtures.model.fit import Fit, Status
from mixtures.model.mixture import NormalMixture
from mixtures.model.scale import Scale
from mixtures.model.spec import Covariance, MixtureSpec

_MIXED = (Start.KMEANS, Start.RANDOM_PARAMETERS, Start.RANDOM_RESPONSIBILITIES)
_N_STARTS = 10


@dataclass(frozen=True, slots=True, eq=False)
class EMDetails:
    """EM's own account of a fit, in the data's units.

    Attributes
    ----------
    trace : (t,) array
        Total log-likelihood at the start of the reported run and after each of its steps.
    certificate : Certificate or None
        Evidence that the estimate is a critical point and a maximum; None without an estimate.
    n_starts, n_collapsed, n_spurious : int
        Runs in all; those dropped because a component collapsed; those that ended in a spurious maximum.
    n_reached_best : int
        Runs that reached the reported log-likelihood.
    spurious : NormalMixture or None
        The spurious maximum with the highest likelihood, if any run met one.
    spurious_log_likelihood : float
        Its log-likelihood; NaN without one.
    log_likelihoods : (n_starts,) array
        Log-likelihood that each run ended with; NaN for those dropped.
    """

    trace: Array
    certificate: Certificate | None
    n_starts: int
    n_collapsed: int
    n_spurious: int
    n_reached_best: int
    spurious: NormalMixture | None
    spurious_log_likelihood: float
    log_likelihoods: Array


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class EM:
    """Maximum likelihood by the EM algorithm from several starts.

    Parameters
    ----------
    start : str, NormalMixture, sequence of str, or None
        Where theta begins: "random_parameters", "random_responsibilities", "kmeans++" or "quantiles"
        (univariate), several of them in turn, or a mixture in the data's units. By default the kinds
        are mixed.
    n_starts : int, optional
        Number of starts; by default 10, and 1 for a given mixture.
    tolerance : float
        A run has settled when the total log-likelihood still to gain, by Aitken's extrapolation, is
        below this.
    max_iter : int
        Largest number of EM steps of one run.
    allow_spurious : bool
        Report the highest maximum even where it is spurious.
    name : str
        Name of the method in tables.

    Raises
    ------
    TypeError, ValueError
        If a setting is of the wrong kind or outside its range.
    """

    start: Start | str | NormalMixture | Sequence[Start | str] | None = None
    n_starts: int | None = None
    tolerance: float = 1e-9
    max_iter: int = 10_000
    allow_spurious: bool = False
    name: str = "EM"

    def __post_init__(self) -> None:
        if self.start is not None and not isinstance(self.start, NormalMixture):
            object.__setattr__(self, "start", _as_starts(self.start))
        _check_whole("n_starts", self.n_starts if self.n_starts is not None else 1)
        _check_whole("max_iter", self.max_iter)
        if isinstance(self.start, NormalMixture) and self.n_starts not in (None, 1):
            raise ValueError(f"n_starts must be 1 where start is a mixture; got {self.n_starts}")
        if not isinstance(self.tolerance, int | float):
            raise TypeError(f"tolerance must be a number; got {self.tolerance!r}")
        if not 0 < self.tolerance < np.inf:
            raise ValueError(f"tolerance must be positive and finite; got {self.tolerance}")

    def fit(self, spec: MixtureSpec, x: ArrayLike, rng: np.random.Generator | int) -> Fit:
        """Fit a mixture of normals by maximum likelihood.

        Parameters
        ----------
        spec : MixtureSpec
        x : (n,) or (n, d) array_like
            Observations.
        rng : numpy.random.Generator or int
            Source of randomness for the starts, or the seed of one.

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
        scale = Scale.of(observations, spec.covariance)
        z = scale.standardise(observations)
        starts = self._starts(spec, z, scale, as_generator(rng))
        runs = [run(z, spec.covariance, start, self.tolerance, self.max_iter) for start in starts]
        modes = sort_out(runs, observations, scale)
        return self._report(spec, observations, z, scale, modes)

    def _starts(self, spec: MixtureSpec, z: Array, scale: Scale, rng: np.random.Generator) -> list[NormalMixture]:
        if isinstance(self.start, NormalMixture):
            _check_start(self.start, spec, z.shape[1])
            return [scale.standardise_mixture(self.start)]
        kinds = _kinds(self.start, self.n_starts or _N_STARTS, is_univariate=z.shape[1] == 1)
        return [draw_start(kind, z, spec.n_components, spec.covariance, rng) for kind in kinds]

    def _report(self, spec: MixtureSpec, x: Array, z: Array, scale: Scale, modes: Modes) -> Fit:
        index = _preferred(modes, self.allow_spurious)
        if index is None:
            details = _details(modes, None, None, scale, len(x))
            return Fit(self.name, spec, Status.DEGENERATE, message=_say_collapse(modes, x), details=details)
        reported = modes.runs[index]
        certificate = certify(reported.mixture, z, spec.covariance)
        details = _details(modes, index, certificate, scale, len(x))
        estimate = scale.restore_mixture(reported.mixture)
        status, message = _judge(modes, index, certificate)
        return Fit(
            self.name,
            spec,
            status,
            estimate,
            responsibilities(estimate, x),
            log_likelihood(estimate, x),
            message,
            _warn(modes, index, details),
            details=details,
        )


def _preferred(modes: Modes, allow_spurious: bool) -> int | None:
    """The mode to report: the best sound one, a spurious one only where asked for or where there is no other."""
    if modes.best is None or modes.best_spurious is None:
        return modes.best_spurious if modes.best is None else modes.best
    is_higher = modes.runs[modes.best_spurious].log_likelihood > modes.runs[modes.best].log_likelihood
    return modes.best_spurious if allow_spurious and is_higher else modes.best


def _judge(modes: Modes, index: int, certificate: Certificate) -> tuple[Status, str]:
    reported: Run = modes.runs[index]
    if modes.slivers[index] is not None:
        return Status.SPURIOUS, f"component {modes.slivers[index]} is a sliver on a few close observations"
    if not certificate.is_negative_definite:
        return Status.NOT_CONVERGED, "the Hessian at the estimate is not negative definite: no strict maximum"
    if not certificate.is_maximum:
        gain = f"{certificate.newton_decrement:.2g} of log-likelihood is still to gain"
        return Status.NOT_CONVERGED, f"{gain} after {len(reported.trace) - 1} steps"
    return Status.CONVERGED, ""


def _say_collapse(modes: Modes, x: Array) -> str:
    run = modes.runs[0]
    assert run.collapse is not None  # noqa: S101  for the type checker: no run is left without one
    rows = run.collapse.rows
    if not len(rows):
        place = "lost all its observations"
    else:
        values = ", ".join(str(value.tolist() if len(value) > 1 else value[0]) for value in x[rows[:3]])
        shown = ", ".join(map(str, rows[:3])) + (", ..." if len(rows) > 3 else "")
        place = f"collapsed on {len(rows)} observation(s), rows {shown} (x = {values})"
    return (
        f"all {len(modes.runs)} starts were dropped: in the first, component {run.collapse.component} {place}, "
        f"its variance below {VARIANCE_FLOOR:g} of the data's own"
    )


def _warn(modes: Modes, index: int, details: EMDetails) -> tuple[str, ...]:
    other = modes.best_spurious
    if other in (None, index) or modes.runs[other].log_likelihood <= modes.runs[index].log_likelihood:
        return ()
    return (
        f"a spurious maximum with log-likelihood {details.spurious_log_likelihood:.6f} was set aside: "
        f"its component {modes.slivers[other]} is a sliver on a few close observations",
    )


def _details(modes: Modes, index: int | None, certificate: Certificate | None, scale: Scale, n: int) -> EMDetails:
    jacobian = scale.log_jacobian(n)
    spurious = None if modes.best_spurious is None else modes.runs[modes.best_spurious]
    return EMDetails(
        trace=np.empty(0) if index is None else modes.runs[index].trace + jacobian,
        certificate=certificate,
        n_starts=len(modes.runs),
        n_collapsed=modes.n_collapsed,
        n_spurious=modes.n_spurious,
        n_reached_best=0 if index is None else modes.n_reached(index),
        spurious=None if spurious is None else scale.restore_mixture(spurious.mixture),
        spurious_log_likelihood=np.nan if spurious is None else spurious.log_likelihood + jacobian,
        log_likelihoods=np.array([np.nan if r.collapse else r.log_likelihood + jacobian for r in modes.runs]),
    )


def _kinds(start: Sequence[Start] | None, n_starts: int, is_univariate: bool) -> list[Start]:
    """The kinds of start to draw, in turn; quantiles, in which nothing is random, once at most."""
    if start is not None:
        if Start.QUANTILES in start and not is_univariate:
            raise ValueError("start must not be 'quantiles' for data in several dimensions")
        return list(itertools.islice(itertools.cycle(start), n_starts))
    first = [Start.QUANTILES] if is_univariate else []
    return list(itertools.islice(itertools.chain(first, itertools.cycle(_MIXED)), n_starts))


def _as_starts(start: Start | str | Sequence[Start | str]) -> tuple[Start, ...]:
    names = (start,) if isinstance(start, str) else start
    if not isinstance(names, Sequence) or not names or not all(isinstance(name, str) for name in names):
        raise TypeError(f"start must be a kind of start, several of them, or a NormalMixture; got {start!r}")
    unknown = [name for name in names if name not in list(Start)]
    if unknown:
        raise ValueError(f"start must be one of {', '.join(Start)}; got {unknown[0]!r}")
    return tuple(Start(name) for name in names)


def _check_whole(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be a whole number; got {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1; got {value}")


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
    if not np.allclose(start.covariances, target, rtol=1e-8, atol=1e-8 * float(np.abs(start.covariances).max())):
        raise ValueError(f"start must have {spec.covariance} covariances, as the spec; got {start.covariances.tolist()}")

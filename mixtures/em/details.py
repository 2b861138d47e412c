"""EM's own account of a fit: the trace, the certificate, what became of the starts, and all that in words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixtures.em.bootstrap import Bootstrap
from mixtures.em.information import Certificate
from mixtures.em.loop import Run
from mixtures.em.mapping import VARIANCE_FLOOR
from mixtures.em.search import Modes, Search
from mixtures.model.arrays import Array
from mixtures.model.fit import Diagnostic, Status
from mixtures.model.mixture import NormalMixture


@dataclass(frozen=True, slots=True, eq=False)
class EMDetails:
    """EM's own account of a fit, in the data's units.

    Attributes
    ----------
    trace : (t,) array
        Total log-likelihood at the start of the reported run, after each step of EM that was kept, and
        at the end of Newton steps.
    certificate : Certificate or None
        Evidence that the estimate is a critical point and a maximum; None without an estimate.
    n_short, n_short_collapsed : int
        Short runs from random parameters, and those of them that were dropped because a component
        collapsed; the likeliest of the others are among the starts.
    n_starts, n_collapsed, n_spurious : int
        Runs to a mode; those dropped because a component collapsed; those that ended in a spurious
        maximum.
    n_reached_best : int
        Runs that came within 0.01 of the log-likelihood of the best mode that is not spurious.
    spurious : NormalMixture or None
        The spurious maximum with the highest likelihood, if any run met one.
    spurious_log_likelihood : float
        Its log-likelihood; NaN without one.
    log_likelihoods : (n_starts,) array
        Log-likelihood that each run ended with; NaN for those dropped.
    bootstrap : Bootstrap or None
        Estimates of the resamples, where intervals were to be made of them.
    """

    trace: Array
    certificate: Certificate | None
    n_short: int
    n_short_collapsed: int
    n_starts: int
    n_collapsed: int
    n_spurious: int
    n_reached_best: int
    spurious: NormalMixture | None
    spurious_log_likelihood: float
    log_likelihoods: Array
    bootstrap: Bootstrap | None = None

    @property
    def has_higher_spurious(self) -> bool:
        """Whether a spurious maximum with a higher likelihood than the reported one was met."""
        return len(self.trace) > 0 and self.spurious_log_likelihood > self.trace[-1]

    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """Return the numbers that a study keeps of each fit."""
        decrement = np.nan if self.certificate is None else self.certificate.newton_decrement
        values = {
            "newton_decrement": decrement,
            "steps": max(len(self.trace) - 1, 0),
            "short_runs": self.n_short,
            "short_runs_collapsed": self.n_short_collapsed,
            "starts": self.n_starts,
            "starts_at_best": self.n_reached_best,
            "starts_collapsed": self.n_collapsed,
            "starts_spurious": self.n_spurious,
            "spurious_set_aside": self.has_higher_spurious,
        }
        if self.bootstrap is not None:
            values |= {
                "resamples": self.bootstrap.n_resamples,
                "resamples_flipped": self.bootstrap.n_flipped,
                "resamples_collapsed": self.bootstrap.n_collapsed,
                "resamples_not_converged": self.bootstrap.n_not_converged,
            }
        return tuple(Diagnostic(name, float(value)) for name, value in values.items())


def judge(search: Search, reported: Run, certificate: Certificate) -> tuple[Status, str]:
    """Say how a reported run ended: its status, and why where it is not `converged`."""
    if search.rule.find(reported.mixture) is not None:
        return Status.SPURIOUS, search.rule.describe(reported.mixture)
    if not certificate.is_negative_definite:
        return Status.NOT_CONVERGED, "the Hessian at the estimate is not negative definite: no strict maximum"
    if not certificate.is_maximum:
        gain, n = (
            f"{certificate.newton_decrement:.2g} of log-likelihood is still to gain",
            len(reported.trace) - 1,
        )
        return Status.NOT_CONVERGED, f"{gain} after {n} step{'' if n == 1 else 's'}"
    return Status.CONVERGED, ""


def say_collapse(modes: Modes, x: Array) -> str:
    """Say, where every run was dropped, which component collapsed on which observations."""
    collapse = modes.collapse
    if collapse is None:
        raise ValueError("no run was dropped")
    rows = collapse.rows
    n_runs = len(modes.log_likelihoods)
    dropped = f"every start ({n_runs}) was dropped: in the first, component {collapse.component + 1}"
    if not len(rows):
        return f"{dropped} lost all its observations"
    values = ", ".join(str(value[0] if len(value) == 1 else value.tolist()) for value in x[rows[:3]])
    named = ", ".join(map(str, rows[:3])) + (", ..." if len(rows) > 3 else "")
    return (
        f"{dropped} collapsed on {len(rows)} observation(s), rows {named} counted from 0 (x = {values}), "
        f"its variance falling below {VARIANCE_FLOOR:g} of the data's own"
    )


def warnings_of(search: Search, modes: Modes, reported: Run) -> tuple[str, ...]:
    """Say that a higher, spurious maximum was set aside, if one was."""
    other = modes.spurious
    if other is None or other is reported or other.log_likelihood <= reported.log_likelihood:
        return ()
    height = other.log_likelihood + search.rule.scale.log_jacobian(len(search.x))
    what = search.rule.describe(other.mixture)
    return (f"a spurious maximum with log-likelihood {height:.6f} was set aside: its {what}",)


def details_of(
    search: Search,
    modes: Modes,
    reported: Run | None = None,
    certificate: Certificate | None = None,
    bootstrap: Bootstrap | None = None,
) -> EMDetails:
    """Gather the account of a fit in the data's units."""
    scale = search.rule.scale
    jacobian = scale.log_jacobian(len(search.x))
    spurious = modes.spurious
    return EMDetails(
        trace=np.empty(0) if reported is None else reported.trace + jacobian,
        certificate=certificate,
        n_short=modes.n_short,
        n_short_collapsed=modes.n_short_collapsed,
        n_starts=len(modes.log_likelihoods),
        n_collapsed=modes.n_collapsed,
        n_spurious=modes.n_spurious,
        n_reached_best=modes.n_reached_best,
        spurious=None if spurious is None else scale.restore_mixture(spurious.mixture),
        spurious_log_likelihood=np.nan if spurious is None else spurious.log_likelihood + jacobian,
        log_likelihoods=modes.log_likelihoods + jacobian,
        bootstrap=bootstrap,
    )

"""Intervals of the maximum-likelihood estimate by whichever method is asked for, or why there are none."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from mixtures.em.bootstrap import Bootstrap, Resampling, bootstrap, fewest_resamples
from mixtures.em.information import Form, information_at
from mixtures.em.intervals import (
    normal_quantile,
    responsibility_intervals,
    standard_errors,
    wald_intervals,
)
from mixtures.em.profile import Stop, profile
from mixtures.em.search import Search
from mixtures.model.arrays import Array, as_count, as_fraction
from mixtures.model.fit import Diagnostic, Intervals, Parameters
from mixtures.model.mixture import NormalMixture

N_RESAMPLES = 1000


class IntervalMethod(StrEnum):
    """How intervals are made.

    `INFORMATION`, `OUTER`, `SANDWICH`: Wald intervals, the covariance of the estimate as in
    `information.Form`; `BOOTSTRAP`: percentiles over resamples; `PROFILE`: where the likelihood,
    maximised over the other parameters, has fallen by half a quantile of chi-squared (univariate).
    """

    INFORMATION = "information"
    OUTER = "outer"
    SANDWICH = "sandwich"
    BOOTSTRAP = "bootstrap"
    PROFILE = "profile"


@dataclass(frozen=True, slots=True, eq=False)
class Uncertainty:
    """Intervals of an estimate, in the data's units, or a warning that says why there are none.

    Attributes
    ----------
    intervals : Intervals or None
    responsibility_intervals : (n, k, 2) array or None
    warnings : tuple of str
    bootstrap : Bootstrap or None
        The resamples' estimates, where intervals were to be made of them.
    diagnostics : tuple of Diagnostic
        Monte Carlo errors of what is made of resamples.
    """

    intervals: Intervals | None = None
    responsibility_intervals: Array | None = None
    warnings: tuple[str, ...] = ()
    bootstrap: Bootstrap | None = None
    diagnostics: tuple[Diagnostic, ...] = ()


@dataclass(frozen=True, slots=True)
class IntervalRule:
    """What intervals are asked for: settings of `EM`, checked.

    Raises
    ------
    TypeError, ValueError
        If a setting is of the wrong kind or outside its range, or one of the bootstrap's differs from
        its default where there is no bootstrap.
    """

    method: str | None
    level: float
    n_resamples: int
    resampling: str

    def __post_init__(self) -> None:
        if self.method is not None and self.method not in list(IntervalMethod):
            names = ", ".join(IntervalMethod)
            raise ValueError(f"intervals must be one of {names}, or None; got {self.method!r}")
        as_fraction("level", self.level)
        as_count("n_resamples", self.n_resamples)
        if self.resampling not in list(Resampling):
            names = ", ".join(Resampling)
            raise ValueError(f"resampling must be one of {names}; got {self.resampling!r}")
        if self.method == IntervalMethod.BOOTSTRAP:
            self._check_number()
        elif (self.n_resamples, self.resampling) != (N_RESAMPLES, Resampling.NONPARAMETRIC):
            raise ValueError(
                "intervals must be 'bootstrap' where n_resamples or resampling is given; "
                f"got {None if self.method is None else str(self.method)!r}"
            )

    def _check_number(self) -> None:
        least = fewest_resamples(self.level)
        if self.n_resamples < least:
            raise ValueError(
                f"n_resamples must be at least {least}, one beyond each end of an interval of level "
                f"{self.level:g}; got {self.n_resamples}"
            )

    def check(self, n_dims: int) -> None:
        """Raise a ValueError if the method does not suit data of so many dimensions."""
        if self.method == IntervalMethod.PROFILE and n_dims > 1:
            raise ValueError(f"intervals must not be 'profile' for data in several dimensions; got {n_dims}")

    def assess(self, search: Search, estimate: NormalMixture, rng: np.random.Generator) -> Uncertainty:
        """Make the intervals of a certified maximum, in standardised units, of a search's data."""
        match self.method:
            case None:
                return Uncertainty()
            case IntervalMethod.BOOTSTRAP:
                return self._by_bootstrap(search, estimate, rng)
            case IntervalMethod.PROFILE:
                return self._by_profile(search, estimate)
            case _:
                return self._by_information(search, estimate, Form(self.method))

    def refuse(self, reason: str) -> Uncertainty:
        """Say that there are no intervals, if there were to be some."""
        return Uncertainty() if self.method is None else _refused(reason)

    def _by_information(self, search: Search, estimate: NormalMixture, form: Form) -> Uncertainty:
        covariance = search.spec.covariance
        of_local = information_at(estimate, search.x, covariance).covariance(form)
        if of_local is None:
            return _refused(_SINGULAR[form])
        restored = search.rule.scale.restore_mixture(estimate)
        errors = standard_errors(restored, covariance, of_local)
        return Uncertainty(
            wald_intervals(restored, errors, self.level),
            responsibility_intervals(estimate, search.x, covariance, of_local, self.level),
        )

    def _by_profile(self, search: Search, estimate: NormalMixture) -> Uncertainty:
        """Standard errors, and intervals of responsibilities, are those of the observed information."""
        wald = self._by_information(search, estimate, Form.INFORMATION)
        if wald.intervals is None:
            return wald
        scale = search.rule.scale
        errors = wald.intervals.standard_errors
        unit = float(scale.unit[0])
        standardised = Parameters(errors.weights, errors.means / unit, errors.variances / unit**2)
        ends = profile(search, estimate, standardised, normal_quantile(self.level))
        lower, upper = (
            Parameters(end.weights, scale.location + unit * end.means, unit**2 * end.variances)
            for end in (ends.lower, ends.upper)
        )
        return replace(
            wald,
            intervals=Intervals(self.level, errors, lower, upper),
            warnings=_say_open(ends.open_ends),
        )

    def _by_bootstrap(self, search: Search, estimate: NormalMixture, rng: np.random.Generator) -> Uncertainty:
        resampled = bootstrap(search, estimate, Resampling(self.resampling), self.n_resamples, rng)
        restored = resampled.restored(search.rule.scale)
        what = f"{resampled.n_collapsed} of {resampled.n_resamples} resamples of the bootstrap collapsed"
        if resampled.has_lost_tail(self.level):
            reason = f"{what} on few observations, no fewer than lie beyond each end at level {self.level:g}"
            return replace(_refused(reason), bootstrap=restored)
        return Uncertainty(
            restored.intervals(self.level),
            resampled.responsibility_intervals(search.x, self.level),
            (f"{what} on few observations and are left out",) if resampled.n_collapsed else (),
            restored,
            _monte_carlo_errors(restored, self.level),
        )


_SINGULAR = {
    Form.INFORMATION: "the observed information is not positive definite",
    Form.SANDWICH: "the observed information is not positive definite",
    Form.OUTER: "the sum of the outer products of scores is not positive definite",
}


def _monte_carlo_errors(resampled: Bootstrap, level: float) -> tuple[Diagnostic, ...]:
    errors = resampled.monte_carlo_errors(level)
    if errors is None:
        return ()
    names = ("resamples_mcse_of_errors", "resamples_mcse_of_ends")
    return tuple(Diagnostic(*each) for each in zip(names, errors, strict=True))


def _say_open(ends: dict[str, Stop]) -> tuple[str, ...]:
    """Say which ends are open, those with one reason together."""
    groups = [
        ", ".join(end for end in ends if ends[end] == why) + f" ({why})"
        for why in dict.fromkeys(ends.values())
    ]
    return (f"profile intervals are open: {'; '.join(groups)}",) if groups else ()


def _refused(reason: str) -> Uncertainty:
    return Uncertainty(warnings=(f"no intervals: {reason}",))

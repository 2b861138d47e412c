"""NUTS: the posterior engine as frozen settings with one method, fit."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from types import UnionType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from mixtures.bayes.diagnostics import STRICT, Gate
from mixtures.bayes.model import as_univariate, check_supported, resolve_prior
from mixtures.bayes.relabel import Relabel
from mixtures.bayes.starts import random_start
from mixtures.model.arrays import Array, as_count, as_fraction, as_number
from mixtures.model.data import as_generator, rounding_unit
from mixtures.model.density import log_likelihood
from mixtures.model.fit import Fit, Status
from mixtures.model.mixture import NormalMixture
from mixtures.model.prior import Prior
from mixtures.model.scale import Scale
from mixtures.model.spec import MixtureSpec

if TYPE_CHECKING:
    from mixtures.bayes.compile import SamplerSettings
    from mixtures.bayes.posterior import Posterior

_TIES = (
    "x has tied values and the prior of the sds has a positive density at 0: the posterior is improper, "
    "and its draws mean nothing near a component that sits on tied points; a log-normal prior of the sds, "
    "or an inverse-gamma one of the variances, avoids this"
)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class NUTS:
    """Posterior of a univariate mixture of normals by the No-U-Turn sampler.

    The estimate is the posterior mean of weights, means and variances over relabelled draws;
    responsibilities are averaged over the posterior. The first fit in a process with another number
    of components or family of prior compiles its sampler, which takes a second, or half a minute
    the first time on a machine; later ones reuse it.

    Parameters
    ----------
    prior : Prior, optional
        By default `Prior.weakly_informative`, set from each data set's own scale.
    n_chains, n_draws, n_warmup : int
        Chains, at least 2, since R-hat compares them; draws that each keeps in the first round, at
        least 4; and draws before those, on which it adapts.
    target_ess : float or None
        Bulk and tail effective sample size that every reported quantity must reach, with the gate's
        limit of R-hat, before sampling ends: the quantities of the gate, and the parameters of the
        relabelled components. Never less than the gate's own limit. None: one round is all.
    max_draws : int
        Draws of each chain, all rounds together, after which sampling ends short of the target. The
        gate judges what there is; a warning says what is missing.
    relabel : Relabel or str
        "reference" assigns each draw's components to those of the draw of highest posterior
        density, "ordering" sorts them by mean, "none" leaves them, and the other methods of `Relabel`
        are the published ones ("stephens" takes 16 n k bytes for each draw); "auto" is "reference" where
        the prior is exchangeable. Elsewhere the prior itself says which component is which, and "auto"
        is "none": exchanging components would turn the draws into those of another posterior.
    gate : Gate
        Limits on R-hat, effective sample size and divergences for the status `converged`.
    level : float
        Nominal coverage of the intervals.
    target_accept : float
        Mean acceptance probability that the step size aims at.
    time_limit : float, optional
        Seconds after which sampling, without compilation, ends with the rounds that are complete; the
        fit is a `timeout` where not even the first is.
    cores : int
        Chains that run at once, in threads; the draws do not depend on it.
    name : str
        Name of the method, as tables show it.

    Raises
    ------
    TypeError
        If an argument is of the wrong kind.
    ValueError
        If an argument is outside its range.

    Notes
    -----
    A round whose draws are not worth the target is followed by another, of new chains and as many
    draws as the effective sample size so far suggests (see `mixtures.bayes.rounds`). The plan depends
    on the draws alone: the same seed gives the same draws. On data sets of 500 observations, weights 0.4
    and 0.6, at separations of two, three and four standard deviations, 76 of 80, 80 of 80 and 40 of 40
    fits met the target and passed the `STRICT` gate, after 3,200, 600 and 600 draws a chain (medians).
    """

    prior: Prior | None = None
    n_chains: int = 4
    n_draws: int = 600
    n_warmup: int = 200
    target_ess: float | None = 1000
    max_draws: int = 10_000
    relabel: Relabel = Relabel.AUTO
    gate: Gate = STRICT
    level: float = 0.95
    target_accept: float = 0.85
    time_limit: float | None = None
    cores: int = 1
    name: str = "NUTS"

    def __post_init__(self) -> None:
        for name, least in {"n_chains": 2, "n_draws": 4, "n_warmup": 1, "max_draws": 4, "cores": 1}.items():
            as_count(name, getattr(self, name), least)
        if self.target_ess is not None and not 0 < as_number("target_ess", self.target_ess) < math.inf:
            raise ValueError(f"target_ess must be a positive number or None; got {self.target_ess}")
        if self.target_ess is not None and self.max_draws < self.n_draws:
            raise ValueError(f"max_draws must be at least n_draws, {self.n_draws}; got {self.max_draws}")
        for name in ("level", "target_accept"):
            object.__setattr__(self, name, as_fraction(name, getattr(self, name)))
        _check_kind("prior", self.prior, Prior | None, "a Prior or None")
        _check_kind("gate", self.gate, Gate, "a Gate")
        _check_kind("name", self.name, str, "text")
        _check_time_limit(self.time_limit)
        try:
            object.__setattr__(self, "relabel", Relabel(self.relabel))
        except ValueError:
            raise ValueError(f"relabel must be one of {', '.join(Relabel)}; got {self.relabel!r}") from None

    def check(self, spec: MixtureSpec, n_dims: int) -> None:
        """Raise a ValueError if the spec or the prior is not supported, or the data have several columns."""
        check_supported(spec, self.prior, n_dims)

    def prepare(self, spec: MixtureSpec) -> None:
        """Compile the sampler for a spec, once per process, so that no fit's time includes it."""
        from mixtures.bayes.compile import compiled_for

        values = as_univariate(spec, self.prior, np.arange(2.0 * spec.n_components))
        compiled_for(spec, resolve_prior(spec, self.prior, values), values)

    def fit(self, spec: MixtureSpec, x: ArrayLike, rng: np.random.Generator | int) -> Fit:
        """Draw from the posterior and summarise it.

        Parameters
        ----------
        spec : MixtureSpec
            Any structure of covariances but tied.
        x : (n,) or (n, 1) array_like
            Observations.
        rng : numpy.random.Generator or int
            Source of randomness, or the seed of one; the same seed gives the same draws.

        Returns
        -------
        Fit
            With status `converged`, `divergent`, `not_mixed`, `error` or `timeout`; the last two
            have no estimate. `details` is a `Posterior`.

        Raises
        ------
        TypeError
            If `spec` is not a MixtureSpec, `x` does not hold numbers, or `rng` is neither a
            Generator nor an int.
        ValueError
            If `spec` or `x` is not supported, or the prior has another number of components.
        """
        from mixtures.bayes.compile import SamplingError, SamplingTimeoutError

        values = as_univariate(spec, self.prior, x)
        prior = resolve_prior(spec, self.prior, values)
        try:
            posterior = self._draw(spec, prior, values, as_generator(rng))
        except SamplingTimeoutError:
            message = f"sampling must end within {self.time_limit:g} seconds; it was stopped"
            return Fit(self.name, spec, Status.TIMEOUT, message=message)
        except SamplingError as error:
            return Fit(self.name, spec, Status.ERROR, message=str(error))
        warnings = _warnings(prior, values) + self._shortfall(posterior) + _unrest(posterior)
        return self._report(spec, posterior, warnings)

    def _draw(self, spec: MixtureSpec, prior: Prior, x: Array, rng: np.random.Generator) -> Posterior:
        from mixtures.bayes.compile import Sample, Sampler
        from mixtures.bayes.posterior import Posterior
        from mixtures.bayes.rounds import sample_in_rounds

        z = Scale.of(x[:, None]).standardise(x[:, None])[:, 0]

        def start(chain_rng: np.random.Generator) -> NormalMixture:
            drawn = random_start(z, spec.n_components, chain_rng)
            return drawn.permuted(drawn.means[:, 0].argsort()) if prior.ordered else drawn

        def seed() -> int:
            return int(rng.integers(2**63))

        sampler = Sampler.of(spec, prior, x, start, seed=seed())
        began = time.monotonic()

        def draw(n_draws: int) -> Sample:
            return sampler.sample(self._settings(n_draws, time.monotonic() - began), seed=seed())

        return sample_in_rounds(
            draw,
            lambda pool: Posterior.of(pool, prior, x, method=self.relabel),
            n_draws=self.n_draws,
            max_draws=self.max_draws,
            target=self._target,
        )

    @property
    def _target(self) -> Gate | None:
        """Limits that end the sampling."""
        return (
            None if self.target_ess is None else replace(self.gate, ess=max(self.target_ess, self.gate.ess))
        )

    def _settings(self, n_draws: int, seconds: float) -> SamplerSettings:
        """Return the sampler's settings for a round that begins after so many seconds."""
        from mixtures.bayes.compile import SamplerSettings

        return SamplerSettings(
            n_chains=self.n_chains,
            n_draws=n_draws,
            n_warmup=self.n_warmup,
            target_accept=self.target_accept,
            cores=self.cores,
            time_limit=None if self.time_limit is None else max(self.time_limit - seconds, 0),
        )

    def _shortfall(self, posterior: Posterior) -> tuple[str, ...]:
        """Say what was short of the target when `max_draws` or `time_limit` ended the sampling."""
        failures = self._target.failures(posterior.reported()) if self._target else []
        if not failures:
            return ()
        n_draws = posterior.stats.diverging.shape[1]
        return (f"sampling ended at {n_draws} draws a chain, short of its target: {'; '.join(failures)}",)

    def _report(self, spec: MixtureSpec, posterior: Posterior, warnings: tuple[str, ...]) -> Fit:
        outcome = self.gate.judge(posterior.invariants, posterior.stats.diverging)
        estimate = posterior.mean()
        assignments = posterior.soft_assignments(self.level)
        return Fit(
            method=self.name,
            spec=spec,
            status=outcome.status,
            estimate=estimate,
            log_responsibilities=assignments.log_responsibilities,
            log_likelihood=log_likelihood(estimate, posterior.x),
            message=outcome.message,
            warnings=warnings,
            intervals=posterior.intervals(self.level),
            responsibility_intervals=assignments.intervals,
            draws=posterior.draws,
            diagnostics=posterior.summary_of_diagnostics(),
            details=posterior,
        )


def _warnings(prior: Prior, x: Array) -> tuple[str, ...]:
    has_ties = rounding_unit(x[:, None])[0] > 0
    return (_TIES,) if has_ties and not prior.sds.is_zero_avoiding else ()


def _unrest(posterior: Posterior) -> tuple[str, ...]:
    """Say when an iterative method of relabelling was stopped."""
    found = posterior.relabelling
    message = (
        f"relabelling by {found.method} must come to rest; it was stopped after {found.n_iterations} passes"
    )
    return () if found.is_converged else (message,)


def _check_time_limit(value: object) -> None:
    if value is not None and not 0 < as_number("time_limit", value) < math.inf:
        raise ValueError(f"time_limit must be a positive number of seconds or None; got {value}")


def _check_kind(name: str, value: object, kind: type | UnionType, expected: str) -> None:
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be {expected}; got {type(value).__name__}")

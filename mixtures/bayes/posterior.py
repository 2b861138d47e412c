"""The posterior as draws: relabelled, diagnosed, summarised, and handed to ArviZ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from mixtures.bayes.compile import Sample, SampleStats
from mixtures.bayes.densities import (
    SoftAssignments,
    log_densities,
    log_likelihoods_from,
    log_prior_densities,
    quantiles_of_sorted,
    soft_assignments,
)
from mixtures.bayes.diagnostics import Diagnostics, invariant_quantities
from mixtures.bayes.draws import MixtureDraws
from mixtures.bayes.evidence import Evidence
from mixtures.bayes.relabel import Relabel, Relabelling, relabelled
from mixtures.model.arrays import Array, Integers, freeze
from mixtures.model.fit import Diagnostic, Draws, Intervals, Parameters
from mixtures.model.mixture import NormalMixture
from mixtures.model.prior import Prior

if TYPE_CHECKING:
    import xarray as xr

#: Draws, evenly spaced over all chains, over which responsibilities are averaged: as many as the
#: chains are usually worth, give or take. Were they independent, the ends of a 95% interval would be
#: quantiles of probability 2.5% and 97.5%, each with a standard error of 0.7%.
N_THINNED = 500


@dataclass(frozen=True, slots=True, eq=False)
class Posterior:
    """Posterior draws of a univariate mixture, in the units of the data. Arrays are read-only.

    Attributes
    ----------
    x : (n,) array
        Observations.
    components : MixtureDraws
        Relabelled draws, (c, s, k); also as `weights`, `means` and `sds`.
    log_likelihoods : (c, s) array
        Total log-likelihood of each draw.
    log_densities : (c, s) array
        Log-likelihood plus log prior density of weights, means and sds.
    relabelling : Relabelling
        What relabelling did, and how much of it was in doubt.
    stats : SampleStats
        The sampler's own account of each draw.
    invariants, parameters : Diagnostics
        Of quantities that labels cannot touch, which decide whether a fit passes; and of the
        relabelled parameters, which do not, since overlapping components fold the posterior of each.
    is_identified : bool
        Whether component j is the same component in every draw: false for draws as sampled under a
        prior that treats components alike, whose parameters mean nothing one by one.
    """

    x: Array
    components: MixtureDraws
    log_likelihoods: Array
    log_densities: Array
    relabelling: Relabelling
    stats: SampleStats
    invariants: Diagnostics
    parameters: Diagnostics
    is_identified: bool

    def __post_init__(self) -> None:
        for array in (self.x, self.log_likelihoods, self.log_densities):
            freeze(array)

    def __setstate__(self, state: list[Any]) -> None:
        for name, value in zip(self.__slots__, state, strict=True):
            object.__setattr__(self, name, value)
        self.__post_init__()

    @classmethod
    def of(cls, sample: Sample, prior: Prior, x: Array, *, method: Relabel) -> Self:
        """Relabel and diagnose the sampler's draws.

        Parameters
        ----------
        sample : Sample
        prior : Prior
            The prior that they were drawn under.
        x : (n,) array
            Observations.
        method : Relabel
        """
        drawn = sample.draws
        method = _resolve(method, prior)
        priors = log_prior_densities(prior, drawn)
        likelihoods = log_likelihoods_from(sample.stats.log_density, priors, prior, drawn, x)
        densities = likelihoods + priors
        relabelling = relabelled(Evidence.of(drawn, x, densities), method)
        components = drawn.reordered(relabelling.permutations)
        invariants = invariant_quantities(drawn, x, log_likelihoods=likelihoods)
        diagnostics = Diagnostics.of(invariants | _by_component(components))  # all at once
        return cls(
            x=x,
            components=components,
            log_likelihoods=likelihoods,
            log_densities=densities,
            relabelling=relabelling,
            stats=sample.stats,
            invariants=diagnostics.at(slice(len(invariants))),
            parameters=diagnostics.at(slice(len(invariants), None)),
            is_identified=method != Relabel.NONE or not prior.is_exchangeable,
        )

    @property
    def permutations(self) -> Integers:
        """What relabelling did, (c, s, k): component ``permutations[c, s, j]`` of a draw took place j."""
        return self.relabelling.permutations

    @property
    def weights(self) -> Array:
        """Weights of the relabelled draws, (c, s, k)."""
        return self.components.weights

    @property
    def means(self) -> Array:
        """Component means of the relabelled draws, (c, s, k)."""
        return self.components.means

    @property
    def sds(self) -> Array:
        """Component standard deviations of the relabelled draws, (c, s, k)."""
        return self.components.sds

    @property
    def draws(self) -> Draws:
        """The relabelled draws in the plain arrays of a `Fit`."""
        return Draws(self.weights, self.means[..., None], self.components.variances[..., None])

    def mean(self) -> NormalMixture:
        """Posterior means of weights, means and variances (of the variance itself)."""
        means = self._summarise(lambda values: values.mean(axis=(0, 1)))
        return NormalMixture.univariate(means.weights, means.means[:, 0], means.variances[:, 0])

    def medians(self) -> Parameters:
        """Posterior medians of weights, means and variances; such weights need not sum to 1."""
        return self._summarise(lambda values: np.median(values, axis=(0, 1)))

    def intervals(self, level: float) -> Intervals:
        """Posterior standard deviations, and equal-tailed intervals, of weights, means and variances."""
        tails = np.array([(1 - level) / 2, (1 + level) / 2])
        weights, means, variances = (  # each (k, 2)
            quantiles_of_sorted(np.sort(values.reshape(-1, values.shape[-1]).T), tails)
            for values in (self.weights, self.means, self.components.variances)
        )
        lower, upper = (Parameters(weights[:, i], means[:, [i]], variances[:, [i]]) for i in (0, 1))
        sds = self._summarise(lambda values: values.std(axis=(0, 1), ddof=1))
        return Intervals(level, sds, lower, upper)

    def soft_assignments(self, level: float) -> SoftAssignments:
        """Average responsibilities over the posterior, with equal-tailed intervals.

        Where there are more than `N_THINNED` draws, that many are used, evenly spaced over all chains.
        """
        row = self.components.in_one_row()
        n_draws = len(row.weights)
        kept = np.linspace(0, n_draws - 1, min(n_draws, N_THINNED)).round().astype(np.int64)
        return soft_assignments(row.at(kept), self.x, level=level)

    def reported(self) -> Diagnostics:
        """Diagnostics of every quantity that is free and means something: those that sampling waits for."""
        if not self.is_identified:
            return self.invariants
        is_free = slice(0 if self.weights.shape[-1] > 1 else 1, None)  # a single weight is 1
        return Diagnostics.joined([self.invariants, self.parameters.at(is_free)])

    def summary_of_diagnostics(self) -> tuple[Diagnostic, ...]:
        """Return the worst of each diagnostic, over the gate's quantities and over the parameters."""
        gate, parameters = self.invariants, self.parameters
        values = {
            "rhat": gate.rhat.max(),
            "ess_bulk": gate.ess_bulk.min(),
            "ess_tail": gate.ess_tail.min(),
            "rhat_parameters": parameters.rhat.max(),
            "ess_bulk_parameters": parameters.ess_bulk.min(),
            "ess_tail_parameters": parameters.ess_tail.min(),
            "draws": self.stats.diverging.size,
            "draws_switched": int(self.relabelling.n_switched.sum()),
            "divergences": self.stats.diverging.sum(),
            "draws_at_largest_depth": self.stats.max_depth_reached.sum(),
        }
        return tuple(Diagnostic(name, float(value)) for name, value in values.items())

    def pointwise_log_likelihoods(self) -> Array:
        """Log density of the mixture at each draw and observation, (c, s, n)."""
        return log_densities(self.components.in_one_row(), self.x).reshape(*self.components.shape, -1)

    def to_datatree(self, *, with_log_likelihood: bool = True) -> xr.DataTree:
        """Return the posterior as an ArviZ DataTree.

        Groups: posterior (`weights`, `means`, `sds` by chain, draw and component), sample_stats,
        observed_data (`obs`) and log_likelihood (`obs`, pointwise), on which `az.summary`,
        `az.loo` and the plots of ArviZ work.

        Parameters
        ----------
        with_log_likelihood : bool
            Whether to add the pointwise log-likelihood, c s n numbers.
        """
        from arviz_base import from_dict

        groups: dict[str, dict[str, Array]] = {
            "posterior": {"weights": self.weights, "means": self.means, "sds": self.sds},
            "sample_stats": self.stats.by_arviz_name(),
            "observed_data": {"obs": self.x},
        }
        if with_log_likelihood:
            groups["log_likelihood"] = {"obs": self.pointwise_log_likelihoods()}
        component = ["component"]
        dims = {"weights": component, "means": component, "sds": component, "obs": ["observation"]}
        coords = {"component": np.arange(self.weights.shape[-1]), "observation": np.arange(len(self.x))}
        return from_dict(groups, dims=dims, coords=coords)

    def _summarise(self, over_draws: Callable[[Array], Array]) -> Parameters:
        return Parameters(
            over_draws(self.weights),
            over_draws(self.means)[:, None],
            over_draws(self.components.variances)[:, None],
        )


def _resolve(method: Relabel, prior: Prior) -> Relabel:
    if method != Relabel.AUTO:
        return method
    return Relabel.REFERENCE if prior.is_exchangeable else Relabel.NONE


def _by_component(draws: MixtureDraws) -> dict[str, Array]:
    named = {"weights": draws.weights, "means": draws.means, "sds": draws.sds}
    return {f"{name}[{j}]": values[..., j] for name, values in named.items() for j in range(values.shape[-1])}

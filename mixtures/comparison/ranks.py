"""Ranks of a true mixture among the posterior draws of a fit, by one label rule for both.

The quantities that are ranked are functions of parameter and data. Each is computed by the same function
for the truth and for every draw, with components in the order of their means, or of a reference that is
computed from the data alone. So the order in which an engine returned them plays no part, nor does any
relabelling that looked at the draws, and nothing is aligned to the truth: the truth would then be ranked
by a rule that draws of the posterior do not follow.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mixtures.comparison.calibration import ranks_among, thinned_places
from mixtures.comparison.label_rules import LabelRule, component_order, reference_by
from mixtures.model.arrays import Array, Integers, freeze_arrays, restore_frozen
from mixtures.model.density import log_density, log_likelihood
from mixtures.model.fit import Draws, Fit
from mixtures.model.mixture import NormalMixture
from mixtures.model.prior import Prior

#: Draws that every truth is ranked among: 100 ranks, which fall into 20 or 10 equal bins.
N_DRAWS = 99
LOG_LIKELIHOOD = "log-likelihood"


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """Ranks of a truth among L thinned draws, one for each quantity.

    Attributes
    ----------
    names : tuple of str
        Quantities.
    ranks : (q,) array of int
        Between 0 and L.
    truth : (q,) array
    mean, sd : (q,) array
        Of the thinned draws.
    n_draws : int
        L.
    """

    names: tuple[str, ...]
    ranks: Integers
    truth: Array
    mean: Array
    sd: Array
    n_draws: int

    def __post_init__(self) -> None:
        freeze_arrays(self)

    __setstate__ = restore_frozen


def quantities(
    mixture: NormalMixture, x: Array, points: Array, reference: NormalMixture | None = None
) -> dict[str, float]:
    """Quantities of a univariate mixture that are ranked, by name.

    Weights, means and log variances of the components in the order of the reference's, or without one in
    that of their means (of k weights the first k - 1, which determine the last); then what no order can
    change: the log-likelihood, mean and log variance of the whole mixture, and its log density at some
    points. Logarithms change no rank, but leave means and standard deviations of the draws a meaning where
    variances have heavy tails.

    Parameters
    ----------
    mixture : NormalMixture
        With d = 1.
    x : (n, 1) array
        Observations.
    points : (m,) array
    reference : NormalMixture, optional
        A function of the data alone, such as `reference_of` them.
    """
    order = component_order(mixture, reference)
    own = {
        "weight": mixture.weights[order[:-1]],
        "mean": mixture.means[order, 0],
        "log variance": np.log(mixture.variances[order, 0]),
    }
    return {
        **{f"{name} {j + 1}": float(value) for name, values in own.items() for j, value in enumerate(values)},
        LOG_LIKELIHOOD: log_likelihood(mixture, x),
        "mixture mean": float(mixture.mean()[0]),
        "log mixture variance": math.log(mixture.covariance()[0, 0]),
        **{
            f"log density at {point:.10g}": float(value)
            for point, value in zip(points, log_density(mixture, points), strict=True)
        },
    }


def points_of(prior: Prior) -> Array:
    """Points at which densities are ranked: the prior's mean of the means, and an sd to either side; (3,)."""
    location, scale = prior.means.location.mean(), prior.means.scale.mean()
    points: Array = location + scale * np.array([-1.0, 0.0, 1.0])
    return points


def rank_fit(
    truth: NormalMixture,
    x: Array,
    fit: Fit,
    *,
    points: Array,
    rng: np.random.Generator,
    n_draws: int = N_DRAWS,
    label_rule: LabelRule | str = LabelRule.ORDERING,
) -> Ranking:
    """Rank a truth among the draws of a fit, equally thinned.

    Parameters
    ----------
    truth : NormalMixture
        Univariate, drawn from the prior.
    x : (n, 1) array
        Observations drawn from the truth.
    fit : Fit
        With draws. Its diagnostics of effective sample sizes, whose names begin with "ess_", say what
        they are worth; without any they are taken to be independent.
    points : (m,) array
        Where the mixture's density is ranked: fixed, or a function of the data alone.
    rng : numpy.random.Generator
        Decides between ties.
    n_draws : int
        Draws to thin to, L: the same for all data sets whose ranks are put together.
    label_rule : LabelRule or str
        By which the components of the truth and of every draw are put in order.

    Raises
    ------
    ValueError
        If the fit has no draws, they are worth fewer than `n_draws` independent ones, one is NaN, the
        mixtures are not univariate with as many components, there is no such rule, or no reference.
    """
    if fit.draws is None:
        raise ValueError(f"a fit must have posterior draws to be ranked; got none from {fit.method}")
    if truth.n_dims != 1 or fit.draws.means.shape[2:] != truth.means.shape:
        raise ValueError(
            "truth and draws must be univariate with the same components; "
            f"got (k, d) = {truth.means.shape} and {fit.draws.means.shape[2:]}"
        )
    worth = _worth(fit)
    if not worth >= n_draws:
        raise ValueError(
            f"draws must be worth at least {n_draws} independent ones to be ranked; got {worth:.0f}"
        )
    places = thinned_places(fit.draws.weights[..., 0].size, n_draws)
    reference = reference_by(label_rule, x, truth.n_components)
    of_truth = quantities(truth, x, points, reference)
    mixtures = _mixtures(fit.draws, places)
    drawn = np.array([[*quantities(one, x, points, reference).values()] for one in mixtures])
    true = np.array([*of_truth.values()])
    ranks = ranks_among(true, drawn, rng)
    with np.errstate(invalid="ignore"):  # a log density may be minus infinity
        mean, sd = drawn.mean(axis=0), drawn.std(axis=0, ddof=1)
    return Ranking(tuple(of_truth), ranks, true, mean, sd, n_draws)


def _worth(fit: Fit) -> float:
    """Effective draws: the least that a diagnostic of the fit says, at most their number; NaN if any is."""
    draws = fit.draws
    total = 0 if draws is None else draws.weights[..., 0].size
    said = [one.value for one in fit.diagnostics if one.name.startswith("ess_")]
    return float(np.min([total, *said]))


def _mixtures(draws: Draws, places: Integers) -> Iterator[NormalMixture]:
    """Draws at some places, all chains one after another."""
    k, d = draws.means.shape[2:]
    weights, means = draws.weights.reshape(-1, k)[places], draws.means.reshape(-1, k, d)[places]
    covariances = draws.variances.reshape(-1, k, d)[places][..., None]  # (L, k, d, 1), with d = 1
    for parts in zip(weights, means, covariances, strict=True):
        yield NormalMixture.unchecked(*parts)

"""The bootstrap of the maximum-likelihood estimate: every resample fitted from the estimate alone.

A resample of the observations, or a random reweighting of them, is a vector of observation weights, so
that nothing is copied. Only the parametric bootstrap draws new observations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from mixtures.em.climb import COLLAPSED, CONVERGED, Rules, climb_all
from mixtures.em.coordinates import to_vector, unpack_all
from mixtures.em.information import DECREMENT_BOUND
from mixtures.em.search import AT_A_MODE, Search
from mixtures.model.arrays import Array, Integers, freeze_arrays, restore_frozen
from mixtures.model.data import simulate
from mixtures.model.density import component_log_densities
from mixtures.model.fit import Intervals, Parameters
from mixtures.model.kernel import Data, as_data
from mixtures.model.labels import align
from mixtures.model.mixture import NormalMixture
from mixtures.model.scale import Scale

_ROUNDING = 1e-6  # of a level in single precision, as a share of its tails
_NUMBERS_AT_ONCE = 1 << 22  # of responsibilities, while they are gone through


class Resampling(StrEnum):
    """Where the bootstrap's data sets come from.

    `NONPARAMETRIC`: the observations, drawn with replacement (Efron 1979); `PARAMETRIC`: the fitted
    mixture; `WEIGHTED`: the observations with exponential weights over their mean, Dirichlet(1, ..., 1)
    times n (Rubin 1981; Newton & Raftery 1994).
    """

    NONPARAMETRIC = "nonparametric"
    PARAMETRIC = "parametric"
    WEIGHTED = "weighted"


@dataclass(frozen=True, slots=True, eq=False)
class Bootstrap:
    """Estimates of the resamples in which no component collapsed, each in the order of the estimate.

    Attributes
    ----------
    n_resamples : int
        Resamples drawn.
    n_flipped : int
        Those whose components had to be put in the estimate's order.
    n_collapsed : int
        Those without an estimate: a component fell below the variance floor, lost its observations, or
        is a sliver on a few of them.
    n_not_converged : int
        Those whose estimate, kept, is not a strict maximum to 1e-8 of log-likelihood.
    weights : (b, k) array
    means : (b, k, d) array
    covariances : (b, k, d, d) array
    """

    n_resamples: int
    n_flipped: int
    n_collapsed: int
    n_not_converged: int
    weights: Array
    means: Array
    covariances: Array

    def __post_init__(self) -> None:
        freeze_arrays(self)

    __setstate__ = restore_frozen

    def has_lost_tail(self, level: float) -> bool:
        """Whether as many resamples collapsed as lie beyond each end of an interval.

        A collapse takes a variance and a weight to 0 and a mean anywhere, so that what was dropped are
        extremes: the end would be an order statistic of these.
        """
        n_beyond = math.floor((1 + _ROUNDING) * self.n_resamples * (1 - level) / 2)
        return self.n_collapsed >= n_beyond

    def restored(self, scale: Scale) -> Bootstrap:
        """Return the bootstrap of a standardised variable in the data's units."""
        factor = scale.factor
        covariances = factor @ self.covariances @ factor.T
        return replace(self, means=scale.location + self.means @ factor.T, covariances=covariances)

    def intervals(self, level: float) -> Intervals:
        """Standard deviations over the resamples, and percentile intervals."""
        parts = self._parts()
        ends = [np.quantile(part, _tails(level), axis=0) for part in parts]
        return Intervals(
            level,
            Parameters(*(part.std(axis=0, ddof=1) for part in parts)),
            Parameters(*(end[0] for end in ends)),
            Parameters(*(end[1] for end in ends)),
        )

    def monte_carlo_errors(self, level: float) -> tuple[float, float] | None:
        """Largest Monte Carlo error of a standard error, as a share of it, and of an end, in standard errors.

        A standard deviation s of b values with kurtosis K has the error s sqrt((K - 1) / 4b); a quantile
        at p has half the distance between those at p -+ sqrt(p (1 - p) / b). None where nothing varies.
        """
        values = np.concatenate([part.reshape(len(part), -1) for part in self._parts()], axis=1)
        values = values[:, np.ptp(values, axis=0) > 0]  # the weight of a single component is 1
        if not values.size:
            return None
        b, tails = len(values), _tails(level)
        scaled = (values - values.mean(axis=0)) / values.std(axis=0)
        of_errors = np.sqrt(((scaled**4).mean(axis=0) - 1) / (4 * b))
        apart = np.sqrt(tails * (1 - tails) / b)
        low, high = (np.quantile(scaled, (tails + side * apart).clip(0, 1), axis=0) for side in (-1, 1))
        return float(of_errors.max()), float((high - low).max() / 2)

    def _parts(self) -> tuple[Array, Array, Array]:
        """Weights (b, k), means and variances (b, k, d)."""
        return self.weights, self.means, np.diagonal(self.covariances, axis1=-2, axis2=-1)

    def responsibility_intervals(self, x: Array, level: float) -> Array:
        """Percentile intervals (n, k, 2) of the responsibilities of observations (n, d)."""
        b, k = self.weights.shape
        ends = np.empty((len(x), k, 2))
        n_at_once = max(_NUMBERS_AT_ONCE // (b * k), 1)
        for first in range(0, len(x), n_at_once):
            rows = slice(first, first + n_at_once)
            ends[rows] = np.moveaxis(
                np.quantile(self.responsibilities(x[rows]), _tails(level), axis=0), 0, -1
            )
        return ends

    def responsibilities(self, x: Array) -> Array:
        """Responsibilities (b, n, k) of observations (n, d) at each estimate."""
        result = np.empty((len(self.weights), len(x), self.weights.shape[1]))
        for row, (weights, means, covariances) in enumerate(
            zip(self.weights, self.means, self.covariances, strict=True)
        ):
            result[row] = component_log_densities(NormalMixture.unchecked(weights, means, covariances), x)
        with np.errstate(divide="ignore"):
            result += np.log(self.weights)[:, None]
        result -= result.max(axis=2, keepdims=True)
        np.exp(result, out=result)
        result /= result.sum(axis=2, keepdims=True)
        return result


def fewest_resamples(level: float) -> int:
    """Fewest resamples of which one lies beyond each end of an interval."""
    return math.ceil((1 - _ROUNDING) * 2 / (1 - level))


def _tails(level: float) -> Array:
    return np.array([(1 - level) / 2, (1 + level) / 2])


def bootstrap(
    search: Search,
    estimate: NormalMixture,
    resampling: Resampling,
    n_resamples: int,
    rng: np.random.Generator,
) -> Bootstrap:
    """Fit resamples of a search's data from an estimate, in standardised units.

    Parameters
    ----------
    search : Search
        Its observations are resampled, and its rule says what counts as a sliver.
    estimate : NormalMixture
        Where each fit starts, and whose components' order each takes.
    resampling : Resampling
    n_resamples : int
    rng : numpy.random.Generator
    """
    shape, vector = search.shape, to_vector(estimate, search.shape)
    starts, rules = search.starts([vector], AT_A_MODE), Rules(tolerance=DECREMENT_BOUND)
    vectors, outcomes = np.empty((n_resamples, len(vector))), np.empty(n_resamples, dtype=np.int64)
    for row in range(n_resamples):
        climbs = climb_all(_resample(search.x, estimate, resampling, rng), shape, starts, rules)
        vectors[row], outcomes[row] = climbs.vectors[0], climbs.outcomes[0]
    weights, covariances = unpack_all(vectors, shape)
    is_kept = outcomes != COLLAPSED
    is_kept[is_kept] = ~search.rule.are_slivers(weights[is_kept], covariances[is_kept]).any(axis=1)
    means = vectors[:, shape.k : shape.k * (1 + shape.d)].reshape(n_resamples, shape.k, shape.d)
    weights, means, covariances = weights[is_kept], means[is_kept], covariances[is_kept]
    orders = _orders(estimate, weights, means, covariances)
    rows = np.arange(len(orders))[:, None]
    return Bootstrap(
        n_resamples,
        n_flipped=int((orders != np.arange(shape.k)).any(axis=1).sum()),
        n_collapsed=int((~is_kept).sum()),
        n_not_converged=int((outcomes[is_kept] != CONVERGED).sum()),
        weights=weights[rows, orders],
        means=means[rows, orders],
        covariances=covariances[rows, orders],
    )


def _resample(x: Array, estimate: NormalMixture, resampling: Resampling, rng: np.random.Generator) -> Data:
    n = len(x)
    match resampling:
        case Resampling.NONPARAMETRIC:
            return as_data(x, np.bincount(rng.integers(n, size=n), minlength=n).astype(np.float64))
        case Resampling.WEIGHTED:
            weights = rng.standard_exponential(n)
            return as_data(x, weights / weights.mean())
        case Resampling.PARAMETRIC:
            return as_data(simulate(estimate, n, rng).x)


def _orders(reference: NormalMixture, weights: Array, means: Array, covariances: Array) -> Integers:
    """Order of the components of each estimate that matches them to the reference's, (b, k)."""
    orders = np.empty(weights.shape, dtype=np.int64)
    for row in range(len(orders)):
        estimate = NormalMixture.unchecked(weights[row], means[row], covariances[row])
        orders[row] = align(reference, estimate).permutation
    return orders

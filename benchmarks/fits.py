"""A whole fit by maximum likelihood, ten starts, against scikit-learn with ten and against plain numpy.

scikit-learn stops where a step gains less than `tol` per observation; it runs to 1e-10, at which most of
its fits are within 1e-8 (relative) of the log-likelihood that they would converge to.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from benchmarks.timing import Measured, main, measured, timed
from mixtures.em.fitter import EM
from mixtures.em.modes import SliverRule
from mixtures.model.arrays import Array
from mixtures.model.data import simulate
from mixtures.model.density import log_likelihood
from mixtures.model.mixture import NormalMixture
from mixtures.model.scale import Scale
from mixtures.model.spec import MixtureSpec

_SPEC, _N, _TOL = MixtureSpec(2), 500, 1e-10
_REPEATS = 5  # of the fast fit: the median counts
_CLOSE, _SAME = 1e-8, 1e-6  # relative, of log-likelihoods


def measure(quick: bool) -> list[Measured]:
    """Seconds of a fit and log-likelihoods, of this library, of scikit-learn and of plain numpy."""
    EM().fit(_SPEC, _sample(2.0, 0), 0)
    return [result for separation in (2.0, 3.0) for result in _compare(separation, 3 if quick else 100)]


def _sample(separation: float, seed: int) -> Array:
    truth = NormalMixture.univariate([0.4, 0.6], [0, separation], [1, 1])
    return simulate(truth, _N, np.random.default_rng([int(separation), seed])).x


@dataclass(frozen=True, slots=True, eq=False)
class _Pair:
    """One data set fitted by both."""

    own: float  # seconds
    scikit_learn: float
    gain: float  # relative log-likelihood by which this library's is higher; NaN beside a spurious one
    shortfall: float  # of scikit-learn's, relative, from where it would converge to


def _compare(separation: float, n_sets: int) -> list[Measured]:
    pairs = [_pair(_sample(separation, seed), seed) for seed in range(n_sets)]
    own, other = (np.array([getattr(pair, name) for pair in pairs]) for name in ("own", "scikit_learn"))
    gains, shortfalls = (np.array([getattr(pair, name) for pair in pairs]) for name in ("gain", "shortfall"))
    # A tenth of the data sets also by plain numpy, which takes long.
    plain = np.array(
        [_seconds(EM(acceleration="none"), _sample(separation, seed), seed) for seed in range(0, n_sets, 10)]
    )
    at = {"separation": separation, "n": _N, "data sets": n_sets}
    return [
        measured("fit, scikit-learn / this library", other / own, "x", at=at, at_least=100),
        measured("fit, plain numpy / this library", plain / own[::10], "x", at=at),
        measured("fit by this library", 1e3 * own, "ms", at=at),
        measured("fit by scikit-learn", 1e3 * other, "ms", at=at),
        measured("lower than scikit-learn", float((gains < -_SAME).sum()), "data sets", at=at, at_most=0),
        measured("higher than scikit-learn", float((gains > _SAME).sum()), "data sets", at=at),
        measured("scikit-learn's is spurious", float(np.isnan(gains).sum()), "data sets", at=at),
        measured(
            "scikit-learn's within 1e-8 of its limit", 100 * float((shortfalls < _CLOSE).mean()), "%", at=at
        ),
    ]


def _pair(x: Array, seed: int) -> _Pair:
    from sklearn.mixture import GaussianMixture

    scale = Scale.of(x, _SPEC.covariance)
    z, rule = scale.standardise(x), SliverRule.of(x, scale)
    model = GaussianMixture(2, tol=_TOL, reg_covar=0, max_iter=100_000, n_init=10, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scikit_learn = timed(lambda: model.fit(z))()
    own = float(np.median([_seconds(EM(), x, seed) for _ in range(_REPEATS)]))
    fit = EM().fit(_SPEC, x, seed)
    found = NormalMixture.unchecked(model.weights_, model.means_, model.covariances_)
    height = log_likelihood(found, z)
    limit = EM(start=found, allow_spurious=True).fit(_SPEC, z, 0).log_likelihood
    gain = np.nan
    if rule.find(found) is None and fit.log_likelihood is not None:
        gain = (fit.log_likelihood - scale.log_jacobian(len(x)) - height) / abs(height)
    return _Pair(own, scikit_learn, gain, (limit - height) / abs(height))


def _seconds(engine: EM, x: Array, seed: int) -> float:
    return timed(lambda: engine.fit(_SPEC, x, seed))()


if __name__ == "__main__":
    main("fits", measure)

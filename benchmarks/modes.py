"""What it costs to reach a mode: the default climb, accelerated EM with Newton steps, against plain EM.

Plain EM's cost is the passes until it is within 1e-8 (relative) of the log-likelihood that it converges to;
the default's is all it does until it ends, 1e-9 (absolute) from its own, a Hessian being worth as many
passes as it takes time.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from benchmarks.timing import Measured, alternate, main, measured, timed
from mixtures.em.acceleration import PLAIN
from mixtures.em.climb import COLLAPSED, PATIENCE, Climbs, Rules, Starts, climb_all
from mixtures.em.coordinates import empty_theta, shape_of, unpack
from mixtures.em.curvature import Derivatives, Scores, differentiate, empty_derivatives, empty_scores
from mixtures.em.fitter import EM
from mixtures.em.mapping import short_runs
from mixtures.em.modes import SliverRule
from mixtures.em.search import Ends, Modes, Search
from mixtures.em.starts import random_vectors
from mixtures.model.arrays import Array
from mixtures.model.compiled import compiled
from mixtures.model.data import simulate
from mixtures.model.kernel import Data, Theta, as_data
from mixtures.model.mixture import NormalMixture
from mixtures.model.scale import Scale
from mixtures.model.spec import MixtureSpec

_SPEC, _SHAPE, _N = MixtureSpec(2), shape_of(MixtureSpec(2), 1), 500
_DEFAULT = Rules()
# To where a step gains next to nothing; Newton steps then tell where it converges to.
_PLAIN = Rules(PLAIN, 1e-9, 20_000, 1e-10)
_SAME, _DIFFERENT = 1e-8, 1e-6  # relative, of log-likelihoods


def measure(quick: bool) -> list[Measured]:
    """Passes to a mode from random starts, and modes reached, of the default and of plain EM."""
    hessian = _hessian_in_passes(9)
    results = [measured("Hessian / EM pass", hessian, "x", at={"n": _N, "k": 2, "d": 1})]
    for separation, target in ((2.0, 10.0), (3.0, 4.0)):
        samples = [_sample(separation, seed) for seed in range(60 if quick else 500)]
        results += _single_starts(samples, float(np.median(hessian)), target, separation)
        results += _default_starts(samples, separation)
    return results


def _sample(separation: float, seed: int) -> Array:
    truth = NormalMixture.univariate([0.4, 0.6], [0, separation], [1, 1])
    return simulate(truth, _N, np.random.default_rng([int(separation), seed])).x


@compiled
def _differentiate(data: Data, theta: Theta, into: Derivatives, room: Scores, n: int) -> None:
    for _ in range(n):
        differentiate(data, _SHAPE, theta, into, room)


def _hessian_in_passes(n_rounds: int) -> Array:
    """Time of a Hessian by that of an EM pass, both in compiled loops."""
    x = Scale.of(_sample(3.0, 0), _SPEC.covariance).standardise(_sample(3.0, 0))
    data, vector = as_data(x), random_vectors(x, _SHAPE, 1, np.random.default_rng(1))
    theta, into, room = empty_theta(_SHAPE), empty_derivatives(_SHAPE), empty_scores(_SHAPE)
    unpack(vector[0], _SHAPE, theta)
    hessian = timed(lambda: _differentiate(data, theta, into, room, 1000), 1000)
    step = timed(lambda: short_runs(data, _SHAPE, vector.copy(), 1000), 1000)
    seconds = alternate({"hessian": hessian, "pass": step}, n_rounds)
    return seconds["hessian"] / seconds["pass"]


@dataclass(frozen=True, slots=True, eq=False)
class _Pair:
    """Plain EM and the default from one random start."""

    plain: Climbs
    default: Climbs
    seconds: float  # of the default

    @classmethod
    def of(cls, x: Array, seed: int) -> _Pair:
        z = Scale.of(x, _SPEC.covariance).standardise(x)
        data, start = as_data(z), random_vectors(z, _SHAPE, 1, np.random.default_rng(seed))
        starts = Starts(start, np.array([PATIENCE]))
        plain = climb_all(data, _SHAPE, starts, _PLAIN)
        begin = time.process_time()
        default = climb_all(data, _SHAPE, starts, _DEFAULT)
        return cls(plain, default, time.process_time() - begin)

    @property
    def gain(self) -> float:
        """Relative log-likelihood by which the default ends higher; infinite where a run collapsed."""
        ends = [
            -np.inf if climb.outcomes[0] == COLLAPSED else climb.log_likelihoods[0]
            for climb in (self.plain, self.default)
        ]
        return 0.0 if ends[0] == ends[1] else float((ends[1] - ends[0]) / abs(max(ends)))

    @property
    def n_plain(self) -> int:
        """Passes of plain EM until it is within 1e-8 of where it converges to."""
        limit = self.plain.log_likelihoods[0]
        trace = self.plain.trace(0)
        return int(np.argmax(trace >= limit - _SAME * abs(limit))) + 1


def _single_starts(samples: list[Array], hessian: float, target: float, separation: float) -> list[Measured]:
    pairs = [_Pair.of(x, seed) for seed, x in enumerate(samples)]
    same = [pair for pair in pairs if abs(pair.gain) <= _SAME and pair.default.outcomes[0] != COLLAPSED]
    plain = np.array([pair.n_plain for pair in same], dtype=float)
    default = np.array([pair.default.n_passes[0] + hessian * pair.default.n_curvatures[0] for pair in same])
    gains = np.array([pair.gain for pair in pairs])
    seconds = _seconds_of_pass(samples[0]) * plain.sum() / sum(pair.seconds for pair in same)
    at = {"separation": separation, "n": _N, "data sets": len(pairs)}
    passes, lower, higher = plain / default, (gains < -_DIFFERENT).mean(), (gains > _DIFFERENT).mean()
    total = plain.sum() / default.sum()
    return [
        measured("passes to a mode, plain / default, total", total, "x", at=at, at_least=target),
        measured("passes to a mode, plain / default, by data set", passes, "x", at=at, at_least=target),
        measured("time to a mode, plain / default, total", seconds, "x", at=at),
        measured("passes to a mode, plain", plain, "passes", at=at),
        measured("passes to a mode, default", default, "passes", at=at),
        measured("one start: default ends lower", 100 * float(lower), "%", at=at, at_most=3),
        measured("one start: default ends higher", 100 * float(higher), "%", at=at),
        measured("one start: the same mode", 100 * len(same) / len(pairs), "%", at=at),
    ]


def _seconds_of_pass(x: Array) -> float:
    z = Scale.of(x, _SPEC.covariance).standardise(x)
    start = random_vectors(z, _SHAPE, 1, np.random.default_rng(1))
    step = timed(lambda: short_runs(as_data(z), _SHAPE, start.copy(), 1000), 1000)
    return float(np.median(alternate({"pass": step}, 9)["pass"]))


class _PlainSearch(Search):
    """The search of the engine, with plain EM from its starts."""

    def climb(self, starts: Starts) -> Ends:
        return self.ends_of(climb_all(as_data(self.x), self.shape, starts, _PLAIN))


def _default_starts(samples: list[Array], separation: float) -> list[Measured]:
    """On how many data sets one of the two ends higher than the other from the engine's ten starts."""
    gains = []
    for seed, x in enumerate(samples):
        plain, default = (_best(kind, x, seed) for kind in (_PlainSearch, Search))
        gains.append((default - plain) / abs(plain))
    at = {"separation": separation, "n": _N, "data sets": len(samples)}
    lower, higher = np.array(gains) < -_DIFFERENT, np.array(gains) > _DIFFERENT
    return [
        measured("ten starts: default ends lower", float(lower.sum()), "data sets", at=at, at_most=0),
        measured("ten starts: default ends higher", float(higher.sum()), "data sets", at=at),
    ]


def _best(kind: type[Search], x: Array, seed: int) -> float:
    """Log-likelihood of the highest mode that is not spurious, in standardised units."""
    scale = Scale.of(x, _SPEC.covariance)
    search = kind(scale.standardise(x), _SPEC, SliverRule.of(x, scale), 1e-9, 10_000)
    modes: Modes = EM()._search(search, scale, np.random.default_rng(seed))
    return -np.inf if modes.best is None else modes.best.log_likelihood


if __name__ == "__main__":
    main("modes", measure)

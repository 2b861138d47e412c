"""Posteriors of 500 observations: a default fit against a loop over pm.sample, and against PyMC's own graph.

A default fit goes on until every parameter has bulk and tail effective sample sizes of 1,000 and an R-hat
below 1.01. PyMC's loop builds and samples the same model, its means in order so that the same parameters
can be judged; the means of the default are free. PyMC's own graph is compiled once, like the default.
All run their chains one after another on one core, and seconds are the processor's.
"""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks.timing import Contestant, Measured, alternate, main, measured, processor_seconds, timed
from mixtures.bayes import compile as compiling
from mixtures.bayes.callbacks import compile_model
from mixtures.bayes.fitter import NUTS
from mixtures.bayes.model import build_model
from mixtures.bayes.starts import random_start
from mixtures.model.arrays import Array
from mixtures.model.data import simulate
from mixtures.model.fit import Status
from mixtures.model.mixture import NormalMixture
from mixtures.model.prior import LogNormal, Prior
from mixtures.model.scale import Scale
from mixtures.model.spec import MixtureSpec

_SPEC, _NAMES = MixtureSpec(2), ["weights", "means", "sds"]
_KEY = (2, LogNormal, False)  # of the default prior among the compiled samplers
_SETTINGS = compiling.SamplerSettings(
    n_chains=4, n_draws=1000, n_warmup=400, target_accept=0.85, cores=1, time_limit=None
)
_TARGET_ESS, _TARGET_RHAT = 1000, 1.01
_PYMC_DRAWS = 2000  # of each of 4 chains: what the target takes here, found by trying


def measure(quick: bool) -> list[Measured]:
    """Seconds of a posterior by the default, by a loop over pm.sample, and by PyMC's own graph."""
    NUTS().fit(_SPEC, _sample(500, 0), 0)
    results = [] if quick else _against_loop(5)
    for n, target, n_rounds in ((500, 4.0, 5 if quick else 11), (10_000, 8.0, 5)):
        if not (quick and n > 500):
            results += _against_graph(n, target, n_rounds)
    return results


def _sample(n: int, seed: int) -> Array:
    truth = NormalMixture.univariate([0.4, 0.6], [0, 3], [1, 1])
    return simulate(truth, n, np.random.default_rng([n, seed])).x[:, 0]


@dataclass(frozen=True, slots=True)
class _Outcome:
    seconds: float
    is_met: bool


def _against_loop(n_sets: int) -> list[Measured]:
    pairs = [(_default(seed), _loop(seed)) for seed in range(n_sets)]
    own, other = (np.array([pair[i].seconds for pair in pairs]) for i in (0, 1))
    met = [100 * float(np.mean([pair[i].is_met for pair in pairs])) for i in (0, 1)]
    at = {"n": 500, "separation": 3.0, "data sets": n_sets}
    return [
        measured("posterior, pm.sample loop / this library", other / own, "x", at=at, at_least=40),
        measured("posterior by this library", own, "s", at=at),
        measured("posterior by pm.sample", other, "s", at=at),
        measured("target met by this library", met[0], "%", at=at),
        measured("target met by pm.sample", met[1], "%", at=at),
    ]


def _default(seed: int) -> _Outcome:
    """Three fits of one data set; the median of their times."""
    x, seconds = _sample(500, seed), []
    for _ in range(3):
        begin = processor_seconds()
        fit = NUTS().fit(_SPEC, x, seed)
        seconds.append(processor_seconds() - begin)
    return _Outcome(float(np.median(seconds)), fit.status == Status.CONVERGED and not fit.warnings)


def _loop(seed: int) -> _Outcome:
    import arviz as az
    import pymc as pm

    logging.getLogger("pymc").setLevel(logging.ERROR)
    x = _sample(500, seed)
    z = Scale.of(x[:, None]).standardise(x[:, None])[:, 0]
    prior = replace(Prior.weakly_informative(x, 2), ordered=True)
    start = np.sort(random_start(z, 2, np.random.default_rng(seed)).means[:, 0])
    begin = processor_seconds()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with build_model(_SPEC, prior, x, likelihood="pymc"):
            trace = pm.sample(
                _PYMC_DRAWS, chains=4, cores=1, random_seed=seed, progressbar=False,
                compute_convergence_checks=False, initvals={"standard_means": start},
            )  # fmt: skip
    seconds = processor_seconds() - begin
    table = az.summary(trace, var_names=_NAMES, ci_prob=0.95, round_to="none")
    least = table[["ess_bulk", "ess_tail"]].to_numpy(float).min()
    return _Outcome(
        seconds, bool(least >= _TARGET_ESS and table["r_hat"].to_numpy(float).max() < _TARGET_RHAT)
    )


def _against_graph(n: int, target: float, n_rounds: int) -> list[Measured]:
    x = _sample(n, 0)
    stock = _stock(x)
    prior = Prior.weakly_informative(x, 2)
    own = compiling.compiled_for(_SPEC, prior, x)
    seconds = alternate({"own": _sampling(own, prior, x), "stock": _sampling(stock, prior, x)}, n_rounds)
    at = {"n": n, "separation": 3.0}
    ratio = seconds["stock"] / seconds["own"]
    return [
        measured("sampling, PyMC's graph / this library", ratio, "x", at=at, at_least=target),
        measured("sampling 4 x (400 + 1000) by this library", 1e3 * seconds["own"], "ms", at=at),
    ]


def _stock(x: Array) -> Any:
    """PyMC's own graph of the default model, sampled in the same coordinates."""
    model = build_model(_SPEC, None, x, likelihood="pymc")
    model.check_bounds = False
    return compile_model(model, _NAMES)


def _sampling(compiled: Any, prior: Prior, x: Array) -> Contestant:
    """Sampling at the same settings by one compiled sampler or another."""
    z = Scale.of(x[:, None]).standardise(x[:, None])[:, 0]
    seeds = iter(range(1000))

    def run() -> None:
        def start(rng: np.random.Generator) -> NormalMixture:
            return random_start(z, 2, rng)

        seed = next(seeds)
        with patch.dict(compiling._compiled, {_KEY: compiled}):
            compiling.Sampler.of(_SPEC, prior, x, start, seed=seed).sample(_SETTINGS, seed=seed)

    return timed(run)


if __name__ == "__main__":
    main("posterior", measure)

"""Engines made to order: quick, failing, broken and deadly ones; importable, so that workers have them."""

import os
import signal
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mixtures.em.fitter import EM
from mixtures.model.data import as_observations
from mixtures.model.density import log_likelihood, log_responsibilities
from mixtures.model.fit import Diagnostic, Draws, Fit, Intervals, Parameters, Status
from mixtures.model.mixture import NormalMixture
from mixtures.model.prior import Prior
from mixtures.study import methods, runner

#: Fits that each engine began in this process, by the name of the method.
calls: Counter[str] = Counter()


@dataclass(frozen=True, eq=False, kw_only=True)
class Halves:
    """Cut the sorted data into k equal parts: a poor estimate, but a quick one, with some noise from rng."""

    noise: float = 0.01
    shift: float = 0.0
    intervals: float | None = None
    name: str = "halves"

    def check(self, spec, n_dims):
        pass

    def prepare(self, spec):
        """Need no preparation."""

    def fit(self, spec, x, rng):
        calls[self.name] += 1
        x = as_observations(x)
        parts = np.array_split(np.sort(x[:, 0]), spec.n_components)
        means = np.array([part.mean() for part in parts]) + self.shift
        means += self.noise * rng.standard_normal(len(parts))
        variances = np.array([part.var() + 1e-3 for part in parts])
        weights = np.array([len(part) for part in parts]) / len(x)
        estimate = NormalMixture.univariate(weights, means, variances)
        return Fit(
            self.name,
            spec,
            Status.CONVERGED,
            estimate,
            log_responsibilities(estimate, x),
            log_likelihood(estimate, x),
            intervals=None if self.intervals is None else self._intervals(estimate),
        )

    def _intervals(self, estimate):
        centre = Parameters(estimate.weights, estimate.means, estimate.variances)
        ends = [
            Parameters(centre.weights + d, centre.means + d, centre.variances + d)
            for d in (-self.intervals, self.intervals)
        ]
        widths = [np.full_like(v, self.intervals) for v in (centre.weights, centre.means, centre.variances)]
        return Intervals(0.95, Parameters(*widths), *ends)


@dataclass(frozen=True, eq=False, kw_only=True)
class Raising(Halves):
    """Raise on data whose mean exceeds `above`, which is half of the data sets or so."""

    above: float = -np.inf

    def fit(self, spec, x, rng):
        if np.mean(x) > self.above:
            raise RuntimeError("no luck today")
        return super().fit(spec, x, rng)


@dataclass(frozen=True, eq=False, kw_only=True)
class Degenerate(Halves):
    """Give no estimate."""

    def fit(self, spec, x, rng):  # noqa: ARG002
        return Fit(self.name, spec, Status.DEGENERATE, message="every start collapsed")


@dataclass(frozen=True, eq=False, kw_only=True)
class Unsettled(Halves):
    """Give an estimate that has not converged where the data's mean exceeds `above`."""

    above: float = -np.inf

    def fit(self, spec, x, rng):
        fit = super().fit(spec, x, rng)
        return replace(fit, status=Status.NOT_CONVERGED) if np.mean(x) > self.above else fit


@dataclass(frozen=True, eq=False, kw_only=True)
class Misshapen(Halves):
    """Give an estimate with a component too many, which no comparison can take."""

    def fit(self, spec, x, rng):
        return replace(super().fit(replace(spec, n_components=spec.n_components + 1), x, rng), spec=spec)


@dataclass(frozen=True, eq=False, kw_only=True)
class Interrupted(Halves):
    """Press Ctrl-C in one of the fits, once."""

    at: int = 3

    def fit(self, spec, x, rng):
        if calls[self.name] == self.at - 1:
            calls[self.name] += 1
            raise KeyboardInterrupt
        return super().fit(spec, x, rng)


@dataclass(frozen=True, eq=False, kw_only=True)
class Deadly(Halves):
    """Kill the process on data whose mean exceeds `above`; with `once`, a file, only the first time."""

    above: float = -np.inf
    once: str = ""

    def fit(self, spec, x, rng):
        if np.mean(x) > self.above and not (self.once and Path(self.once).exists()):
            if self.once:
                Path(self.once).touch()
            os._exit(13)
        return super().fit(spec, x, rng)


@dataclass(frozen=True, eq=False, kw_only=True)
class DeadlyAtFirst(Halves):
    """Kill the process in the first `times` fits of all; `folder` remembers them."""

    times: int = 1
    folder: str = ""

    def fit(self, spec, x, rng):
        n_deaths = len(list(Path(self.folder).iterdir()))
        if n_deaths < self.times:
            (Path(self.folder) / str(n_deaths)).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().fit(spec, x, rng)


@dataclass(frozen=True, eq=False, kw_only=True)
class Unready(Halves):
    """Fail to compile."""

    def prepare(self, spec):  # noqa: ARG002
        raise LookupError("no compiler")


PanicException = type("PanicException", (BaseException,), {"__module__": "pyo3_runtime"})


@dataclass(frozen=True, eq=False, kw_only=True)
class Panicking(Halves):
    """Panic as compiled samplers do, by what is no Exception."""

    def fit(self, spec, x, rng):  # noqa: ARG002
        raise PanicException("called `Option::unwrap()` on a `None` value")


@dataclass(frozen=True, eq=False, kw_only=True)
class Greedy(Halves):
    """Ask for more memory than there is."""

    def fit(self, spec, x, rng):  # noqa: ARG002
        raise MemoryError


@dataclass(frozen=True, eq=False, kw_only=True)
class Endless(Halves):
    """Never end on data whose mean exceeds `above`: in Python, or, if `deaf`, where no exception gets in."""

    above: float = -np.inf
    deaf: bool = False

    def fit(self, spec, x, rng):
        while np.mean(x) > self.above:
            time.sleep(60 if self.deaf else 0.001)
        return super().fit(spec, x, rng)


@dataclass(frozen=True, eq=False, kw_only=True)
class Leisurely(Halves):
    """Take a twentieth of a second, once the number of the process is on record in `folder`."""

    folder: str = ""

    def fit(self, spec, x, rng):
        (Path(self.folder) / str(os.getpid())).touch()
        time.sleep(0.05)
        return super().fit(spec, x, rng)


@dataclass(frozen=True, eq=False, kw_only=True)
class Hoarding(Halves):
    """Take `megabytes` of memory for a while on data whose mean exceeds `above`."""

    above: float = -np.inf
    megabytes: int = 1000

    def fit(self, spec, x, rng):
        if np.mean(x) > self.above:
            hoard = np.ones(self.megabytes * 125_000)
            time.sleep(10)
            del hoard
        return super().fit(spec, x, rng)


@dataclass(frozen=True, eq=False, kw_only=True)
class Garbled(Halves):
    """Warn in what is no text on data whose mean exceeds `above`, which no file can hold."""

    above: float = -np.inf

    def fit(self, spec, x, rng):
        fit = super().fit(spec, x, rng)
        return replace(fit, warnings=("\ud800",)) if np.mean(x) > self.above else fit


@dataclass(frozen=True, eq=False, kw_only=True)
class QuickEM:
    """EM from the quantiles alone."""

    name: str = "quick EM"

    def check(self, spec, n_dims):
        pass

    def prepare(self, spec):
        """Need no preparation."""

    def fit(self, spec, x, rng):
        calls[self.name] += 1
        return replace(EM(start="quantiles", n_starts=1).fit(spec, x, rng), method=self.name)


@dataclass(frozen=True, eq=False, kw_only=True)
class SwappedWeights(QuickEM):
    """EM with one mistake: the weights of the two components are exchanged, and nothing else."""

    def fit(self, spec, x, rng):
        fit = super().fit(spec, x, rng)
        good = fit.estimate
        bad = NormalMixture(good.weights[::-1], good.means, good.covariances)
        soft = log_responsibilities(bad, as_observations(x))
        return replace(fit, estimate=bad, log_responsibilities=soft)


@dataclass(frozen=True, eq=False, kw_only=True)
class Conjugate:
    """Independent draws of the exact posterior of one normal, whose mean and log sd have normal priors.

    Given the sd the mean is conjugate; the log sd is drawn through its distribution function on a fine grid.
    `spread` multiplies both prior sds. On data whose mean exceeds `above` the draws say that they are worth
    no more than `worth`.
    """

    prior: Prior
    spread: float = 1.0
    worth: float = np.inf
    above: float = np.inf
    name: str = "conjugate"

    def check(self, spec, n_dims):
        pass

    def prepare(self, spec):
        """Need no preparation."""

    def fit(self, spec, x, rng):
        x = as_observations(x)
        n, centre, squares = len(x), x.mean(), ((x - x.mean()) ** 2).sum()
        location, scale = self.prior.means.location, self.spread * self.prior.means.scale
        log_sd, width = self.prior.sds.location, self.spread * self.prior.sds.scale
        grid = log_sd + width * np.linspace(-6, 6, 4001)
        variances = np.exp(2 * grid)
        of_centre = scale**2 + variances / n
        logs = -(((grid - log_sd) / width) ** 2) / 2 - (n - 1) * grid - squares / variances / 2
        logs -= np.log(of_centre) / 2 + (centre - location) ** 2 / of_centre / 2
        below = np.cumsum(np.exp(logs - logs.max()))
        variances = np.exp(2 * np.interp(rng.uniform(size=(4, 50)), below / below[-1], grid))
        share = scale**2 / (scale**2 + variances / n)
        means = location + share * (centre - location)
        means += np.sqrt(share * variances / n) * rng.standard_normal((4, 50))
        estimate = NormalMixture.univariate([1.0], [means.mean()], [variances.mean()])
        is_poor = centre > self.above
        return Fit(
            self.name,
            spec,
            Status.NOT_MIXED if is_poor else Status.CONVERGED,
            estimate,
            log_responsibilities(estimate, x),
            log_likelihood(estimate, x),
            draws=Draws(np.ones((4, 50, 1)), means[..., None, None], variances[..., None, None]),
            diagnostics=(Diagnostic("ess_bulk", min(200.0, self.worth if is_poor else np.inf)),),
        )


FAKES = {
    "halves": Halves,
    "raising": Raising,
    "degenerate": Degenerate,
    "unsettled": Unsettled,
    "misshapen": Misshapen,
    "interrupted": Interrupted,
    "deadly": Deadly,
    "deadly_at_first": DeadlyAtFirst,
    "unready": Unready,
    "panicking": Panicking,
    "greedy": Greedy,
    "garbled": Garbled,
    "endless": Endless,
    "hoarding": Hoarding,
    "leisurely": Leisurely,
    "quick_em": QuickEM,
    "conjugate": Conjugate,
    "swapped": SwappedWeights,
}

_work = runner.work


def work(task):
    """Do a task in a worker process that knows the engines of this file."""
    methods.ENGINES.update(FAKES)
    return _work(task)


def try_out(task):
    """Do a task of a pilot in a worker process that knows the engines of this file."""
    return os.getpid(), 0.0, work(task)


def register(monkeypatch):
    """Let study files name these engines, as long as the monkeypatch lasts."""
    for name, engine in FAKES.items():
        monkeypatch.setitem(methods.ENGINES, name, engine)
    calls.clear()

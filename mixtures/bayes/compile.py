"""One compiled sampler for many data sets: the only place that runs nutpie.

A sampler is compiled once per process for each number of components, family of prior and order
restriction, and kept for the life of the process (a few hundred MB each). Compiled samplers cannot
be pickled, which is why they live in this module and not in an engine.

nutpie asks a Python function for each chain's first point and hands it nothing but the chain's own
seed, from any thread and in any order. So a start is a function of that seed, and the draws do not
depend on how many chains run at once.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from mixtures.bayes.callbacks import compile_model, log_density_of, takes_coordinates
from mixtures.bayes.draws import MixtureDraws
from mixtures.bayes.metric import Coordinates, coordinates
from mixtures.bayes.model import build_model, model_data
from mixtures.bayes.unconstrained import Places, constrained, unconstrained
from mixtures.model.arrays import Array
from mixtures.model.labels import align
from mixtures.model.mixture import NormalMixture
from mixtures.model.prior import Prior
from mixtures.model.spec import MixtureSpec

type Start = Callable[[np.random.Generator], NormalMixture]

_N_SEARCHES = 5  # for modes, times k - 1: other modes, where chains would stay, are found more often
_SECONDS_OF_A_TURN = 0.25  # of waiting for the sampler
_PARAMETERS = ("weights", "means", "sds")
_compiled: dict[tuple[int, type, bool], Any] = {}
_compiling = threading.Lock()


class SamplingError(RuntimeError):
    """The sampler failed."""


class SamplingTimeoutError(SamplingError):
    """The sampler was stopped at its time limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplerSettings:
    """How to run the sampler.

    Attributes
    ----------
    n_chains, n_draws, n_warmup : int
        Chains; draws that each keeps, and draws before those on which it adapts.
    target_accept : float
        Mean acceptance probability that the step size aims at.
    cores : int
        Chains that run at once.
    time_limit : float or None
        Seconds after which sampling, without compilation, is given up.
    """

    n_chains: int
    n_draws: int
    n_warmup: int
    target_accept: float
    cores: int
    time_limit: float | None


@dataclass(frozen=True, slots=True, eq=False)
class SampleStats:
    """The sampler's own account of each draw, each (c, s).

    Attributes
    ----------
    diverging, max_depth_reached : array of bool
    depth, n_steps : array of int
        Depth of the trajectory's tree, and its leapfrog steps.
    energy, step_size, acceptance : array
    log_density : array
        Log posterior density, not normalised, of the unconstrained free variables.
    """

    diverging: Array
    max_depth_reached: Array
    depth: Array
    n_steps: Array
    energy: Array
    step_size: Array
    acceptance: Array
    log_density: Array

    def by_arviz_name(self) -> dict[str, Array]:
        """Return the statistics under the names that ArviZ knows them by."""
        return {
            "diverging": self.diverging,
            "reached_max_treedepth": self.max_depth_reached,
            "tree_depth": self.depth,
            "n_steps": self.n_steps,
            "energy": self.energy,
            "step_size": self.step_size,
            "acceptance_rate": self.acceptance,
            "lp": self.log_density,
        }


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Draws (c, s, k) as the sampler gave them, and its account of them."""

    draws: MixtureDraws
    stats: SampleStats


@dataclass(frozen=True, slots=True, eq=False)
class Sampler:
    """A compiled model with the data, coordinates and starts of one data set.

    Attributes
    ----------
    model : nutpie's compiled model
    is_labelled : bool
        Whether all chains start in one labelling of components that the posterior treats alike. Each
        chain's draws are then given a labelling at random, which turns them into draws as likely.
    """

    model: Any
    is_labelled: bool = False

    @classmethod
    def of(cls, spec: MixtureSpec, prior: Prior, x: Array, start: Start, *, seed: int) -> Self:
        """Prepare to sample from the posterior of a univariate mixture.

        Parameters
        ----------
        spec : MixtureSpec
        prior : Prior
        x : (n,) array
            Observations.
        start : callable
            Draws a chain's start, in standardised units; in order of the means where the prior is ordered.
        seed : int
            For the search of the coordinates.
        """
        compiled = compiled_for(spec, prior, x)
        places = _places(compiled)
        found = _coordinates(compiled, start, places, spec.n_components, np.random.default_rng(seed))
        if found is None:
            return cls(replace(compiled, initial_point_func=_first_point(start, places)))
        compiled = compiled.with_data(centre=found.centre, scale=found.scale)
        if prior.is_exchangeable:
            start = _labelled_as(constrained(found.centre, places), start)
        model = replace(compiled, initial_point_func=_first_point(start, places, found))
        return cls(model, is_labelled=prior.is_exchangeable)

    def sample(self, settings: SamplerSettings, *, seed: int) -> Sample:
        """Draw from the posterior by NUTS.

        Parameters
        ----------
        settings : SamplerSettings
        seed : int
            The same seed gives the same draws, whatever `settings.cores`.

        Raises
        ------
        SamplingError
            If the sampler fails, panics included, or returns values that are not finite.
        SamplingTimeoutError
            If it does not end within its time limit.
        """
        import nutpie

        options = {
            "draws": settings.n_draws,
            "tune": settings.n_warmup,
            "chains": settings.n_chains,
            "cores": settings.cores,
            "target_accept": settings.target_accept,
            "seed": seed,
            "progress_bar": False,
            "return_raw_trace": True,
            "blocking": False,
        }
        trace = _guarded(lambda: nutpie.sample(self.model, **options), settings.time_limit)
        found = _extract(trace, settings)
        if not self.is_labelled:
            return found
        return replace(found, draws=_labelled_at_random(found.draws, np.random.default_rng(seed)))


def compiled_for(spec: MixtureSpec, prior: Prior, x: Array) -> Any:
    """Return nutpie's compiled model for these data, compiling it where this process has not yet."""
    key = (spec.n_components, type(prior.sds), prior.ordered)
    with _compiling:
        if key not in _compiled:
            _compiled[key] = _compile(spec, prior, x)
    return _compiled[key].with_data(**model_data(spec.n_components, prior, x))


def _compile(spec: MixtureSpec, prior: Prior, x: Array) -> Any:
    model = build_model(spec, prior, x)
    model.check_bounds = False  # scales are positive by construction; a tenth faster
    return compile_model(model, _PARAMETERS)


def _places(compiled: Any) -> dict[str, slice]:
    """Places of the transformed free variables in a point."""
    names, places, _ = compiled.shape_info
    return {name: place for name, place in zip(names, places, strict=True) if place.start < compiled.n_dim}


def _coordinates(
    compiled: Any, start: Start, places: Places, k: int, rng: np.random.Generator
) -> Coordinates | None:
    if not takes_coordinates(compiled):
        return None
    starts = [unconstrained(start(rng), places) for _ in range(_N_SEARCHES * max(k - 1, 1))]
    return coordinates(log_density_of(compiled), starts, rng)


def _labelled_as(reference: NormalMixture, start: Start) -> Start:
    """Return starts in the labelling that the coordinates were made for: mirror images of the same start."""

    def labelled(rng: np.random.Generator) -> NormalMixture:
        drawn = start(rng)
        return drawn.permuted(align(reference, drawn).permutation)

    return labelled


def _labelled_at_random(draws: MixtureDraws, rng: np.random.Generator) -> MixtureDraws:
    """Return draws (c, s, k) with the components of each chain in a random order."""
    orders = rng.permuted(np.tile(np.arange(draws.n_components), (len(draws.means), 1)), axis=1)
    return draws.reordered(np.broadcast_to(orders[:, None], draws.means.shape))


def _first_point(start: Start, places: Places, found: Coordinates | None = None) -> Callable[[int], Array]:
    def first_point(seed: int) -> Array:
        point = unconstrained(start(np.random.default_rng(seed)), places)
        return point if found is None else found.of(point)

    return first_point


def _guarded(launch: Callable[[], Any], time_limit: float | None) -> Any:
    """Run the sampler to its end; an interrupt or a time limit stops its threads and keeps no draws."""
    sampler: Any = None
    try:
        sampler = launch()
        return _wait(sampler, time_limit)
    except TimeoutError:
        sampler.cancel()
        message = f"sampling must end within {time_limit:g} seconds; it was stopped"
        raise SamplingTimeoutError(message) from None
    except BaseException as error:
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":  # pyo3's, no Exception
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise SamplingError(f"the sampler failed: {reason}") from error
        if sampler is not None:
            sampler.cancel()
        raise


def _wait(sampler: Any, time_limit: float | None) -> Any:
    """Wait for the sampler in turns, between which an exception that another thread sent can come."""
    ends = math.inf if time_limit is None else time.monotonic() + time_limit
    while True:
        left = ends - time.monotonic()
        try:
            return sampler.wait(timeout=max(min(left, _SECONDS_OF_A_TURN), 0.0))
        except TimeoutError:
            if left <= _SECONDS_OF_A_TURN:
                raise


def _extract(trace: Any, settings: SamplerSettings) -> Sample:
    draws, stats = trace.get_arrow_trace()
    n_rows = settings.n_warmup + settings.n_draws
    if any(batch.num_rows != n_rows for batch in draws):
        raise SamplingError(f"the sampler must return {n_rows} draws a chain; it returned fewer")
    kept = slice(settings.n_warmup, None)
    arrays = [_lists(draws, name)[:, kept] for name in _PARAMETERS]
    if not all(np.isfinite(values).all() for values in arrays):
        raise SamplingError("the sampler must return finite draws; it returned others")
    return Sample(MixtureDraws(*arrays), _stats(stats, kept))


def _stats(batches: list[Any], kept: slice) -> SampleStats:
    def column(name: str) -> Array:
        return np.stack([np.asarray(batch.column(name).to_numpy()) for batch in batches])[:, kept]

    return SampleStats(
        diverging=column("diverging").astype(bool),
        max_depth_reached=column("maxdepth_reached").astype(bool),
        depth=column("depth").astype(np.int64),
        n_steps=column("n_steps").astype(np.int64),
        energy=column("energy"),
        step_size=column("step_size"),
        acceptance=column("mean_tree_accept"),
        log_density=column("logp"),
    )


def _lists(batches: list[Any], name: str) -> Array:
    from arro3.core import list_flatten

    rows = [list_flatten(batch.column(name)).to_numpy().reshape(batch.num_rows, -1) for batch in batches]
    return np.stack(rows)

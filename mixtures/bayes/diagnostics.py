"""Whether chains can be trusted: R-hat, effective sample sizes, and the gate on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from mixtures.bayes.densities import log_densities
from mixtures.bayes.draws import MixtureDraws
from mixtures.model.arrays import Array, as_number, freeze
from mixtures.model.fit import Status

_GRID = (0.1, 0.5, 0.9)  # quantiles of the data at which the density is watched


@dataclass(frozen=True, slots=True, eq=False)
class Diagnostics:
    """Convergence diagnostics, one entry for each quantity (Vehtari et al. 2021).

    Attributes
    ----------
    names : tuple of str
        Quantities.
    rhat : array
        Rank-normalised split R-hat, the larger of bulk and folded; NaN for what never varies.
    ess_bulk, ess_tail : array
        Effective sample sizes of the bulk, and of the 5% and 95% quantiles.
    mcse : array
        Monte Carlo standard error of the posterior mean.
    """

    names: tuple[str, ...]
    rhat: Array
    ess_bulk: Array
    ess_tail: Array
    mcse: Array

    @classmethod
    def of(cls, quantities: Mapping[str, Array]) -> Self:
        """Diagnose draws (c, s) of each quantity."""
        from mixtures.bayes.convergence import convergence  # loads numba and scipy; settings need neither

        found = convergence(np.stack(list(quantities.values())))
        return cls(
            names=tuple(quantities),
            rhat=freeze(found.rhat),
            ess_bulk=freeze(found.ess_bulk),
            ess_tail=freeze(found.ess_tail),
            mcse=freeze(found.mcse),
        )

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Return the diagnostics of the quantities of all parts."""
        names = tuple(name for part in parts for name in part.names)
        arrays = zip(*(part._arrays() for part in parts), strict=True)
        return cls(names, *map(np.concatenate, arrays))

    def at(self, places: slice) -> Self:
        """Return the diagnostics of some of the quantities."""
        return type(self)(self.names[places], *(values[places] for values in self._arrays()))

    def _arrays(self) -> tuple[Array, Array, Array, Array]:
        return self.rhat, self.ess_bulk, self.ess_tail, self.mcse


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the gate says of a fit, with the reason in words."""

    status: Status
    message: str = ""


@dataclass(frozen=True, slots=True)
class Gate:
    """Limits that chains must keep on quantities that labels cannot touch.

    Every quantity needs an R-hat below `rhat`, and a bulk and a tail effective sample size of at
    least `ess`; of the draws at most a share `divergences` may be divergent.

    False alarms, measured on four perfect chains of 1,000 draws and six independent quantities, each
    an autoregression whose effective sample size is just the limit (2,000 simulations): R-hat rejects
    4.4% of fits under the limits 1.01 and 1,000 (`STRICT`), and 22% under 1.02 and 400 (`LENIENT`).
    At one and a half times that size the whole gate, with the sizes estimated too, rejects 0.4% and
    3.2%; at twice it, 0 and 1 of 1,000. An R-hat of 1.01 asked for at a size of 400 would reject 94%.
    Quantities of one posterior hang together, which lowers these figures. They are for one look at the
    chains. `NUTS` with a target looks after each round and ends with the first that passes: perfect
    chains then fail less often, and chains that have not mixed have the chances of the best look.

    Parameters
    ----------
    rhat : float
        Above 1.
    ess : float
        Not negative.
    divergences : float
        Between 0 and 1.

    Raises
    ------
    TypeError
        If a limit is not a number.
    ValueError
        If a limit is outside its range.
    """

    rhat: float = 1.01
    ess: float = 1000
    divergences: float = 0.001

    def __post_init__(self) -> None:
        for name in self.__slots__:
            as_number(name, getattr(self, name))
        if not self.rhat > 1:
            raise ValueError(f"rhat must be above 1; got {self.rhat}")
        if not self.ess >= 0:
            raise ValueError(f"ess must not be negative; got {self.ess}")
        if not 0 <= self.divergences <= 1:
            raise ValueError(f"divergences must lie between 0 and 1; got {self.divergences}")

    def judge(self, diagnostics: Diagnostics, diverging: Array) -> Outcome:
        """Return `divergent`, `not_mixed` or `converged`; a NaN among the diagnostics fails.

        Parameters
        ----------
        diagnostics : Diagnostics
            Of label-invariant quantities.
        diverging : array of bool
            For each draw.
        """
        if diverging.mean() > self.divergences:
            most = int(self.divergences * diverging.size)
            message = f"{diverging.sum()} of {diverging.size} draws diverged; at most {most} may"
            return Outcome(Status.DIVERGENT, message)
        failures = self.failures(diagnostics)
        return Outcome(Status.NOT_MIXED, "; ".join(failures)) if failures else Outcome(Status.CONVERGED)

    def failures(self, diagnostics: Diagnostics) -> list[str]:
        """Describe, for each limit of R-hat and ESS that is not kept, the worst quantity: NaN first."""
        rhat, bulk, tail = diagnostics.rhat, diagnostics.ess_bulk, diagnostics.ess_tail
        criteria = (
            ("R-hat", rhat, rhat < self.rhat, rhat.argmax(), f"must be below {self.rhat:g}", ".3f"),
            ("bulk ESS", bulk, bulk >= self.ess, bulk.argmin(), f"must be at least {self.ess:g}", ".0f"),
            ("tail ESS", tail, tail >= self.ess, tail.argmin(), f"must be at least {self.ess:g}", ".0f"),
        )
        return [
            f"{label} of {diagnostics.names[worst]} {rule}; got {values[worst]:{form}}"
            for label, values, passes, worst, rule, form in criteria
            if not passes.all()
        ]


#: For results that must stand on their own.
STRICT = Gate(rhat=1.01, ess=1000)
#: For studies, where a fit is one of many.
LENIENT = Gate(rhat=1.02, ess=400)


def invariant_quantities(draws: MixtureDraws, x: Array, *, log_likelihoods: Array) -> dict[str, Array]:
    """Return draws (c, s) of quantities that no permutation of components changes.

    The log-likelihood, the log density at the data's quantiles .1, .5 and .9, and the mean and
    variance of the whole mixture.

    Parameters
    ----------
    draws : MixtureDraws
        (c, s, k), relabelled or not.
    x : (n,) array
        Observations.
    log_likelihoods : (c, s) array
    """
    densities = log_densities(draws.in_one_row(), np.quantile(x, _GRID)).reshape(*draws.shape, -1)
    mean = (draws.weights * draws.means).sum(axis=-1)
    spread = draws.variances + (draws.means - mean[..., None]) ** 2
    at_grid = {f"log_density[{q:g}]": densities[..., i] for i, q in enumerate(_GRID)}
    whole = {"mean": mean, "variance": (draws.weights * spread).sum(axis=-1)}
    return {"log_likelihood": log_likelihoods} | at_grid | whole

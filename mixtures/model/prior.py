"""The Bayesian model's prior in plain numpy: what it is, its log density, and draws from it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from mixtures.model.arrays import Array, as_count
from mixtures.model.data import as_generator, as_observations
from mixtures.model.families import Dirichlet, HalfNormal, InverseGamma, LogNormal, Normal
from mixtures.model.mixture import NormalMixture

__all__ = ["Dirichlet", "HalfNormal", "InverseGamma", "LogNormal", "Normal", "Prior"]

_MAX_TRIES = 100_000  # rejection of unordered draws: enough where one draw in a thousand is in order


type SpreadPrior = LogNormal | HalfNormal | InverseGamma

_FAMILIES: dict[str, dict[str, type]] = {
    "weights": {"dirichlet": Dirichlet},
    "means": {"normal": Normal},
    "sds": {"log_normal": LogNormal, "half_normal": HalfNormal, "variance_inverse_gamma": InverseGamma},
}


@dataclass(frozen=True, slots=True, eq=False)
class Prior:
    """Prior of a univariate mixture of normals, in the units of the data.

    Weights, means and standard deviations are independent of each other, and so are the components,
    save that `ordered` restricts the means to increase. A hyperparameter is one number for all
    components or k numbers, one each.

    Parameters
    ----------
    weights : Dirichlet
    means : Normal
    sds : LogNormal, HalfNormal or InverseGamma
        Prior of the standard deviations; `InverseGamma` is stated for the variances.
    ordered : bool
        Whether the means are restricted to increasing order. The density is then left unnormalised:
        where all components share one prior of the means it misses a factor k!.
    """

    weights: Dirichlet
    means: Normal
    sds: SpreadPrior
    ordered: bool = False

    def __post_init__(self) -> None:
        for name, families in _FAMILIES.items():
            if not isinstance(getattr(self, name), tuple(families.values())):
                expected = " or ".join(family.__name__ for family in families.values())
                raise TypeError(f"{name} must be {expected}; got {type(getattr(self, name)).__name__}")
        self.n_components  # noqa: B018  raises where the hyperparameters disagree on k

    @classmethod
    def weakly_informative(cls, x: ArrayLike, n_components: int) -> Self:
        """Return the default prior, set from the data's own mean m and standard deviation s.

        Weights are Dirichlet(2, ..., 2), which keeps components from emptying. Means are
        Normal(m, 2 s): in a mixture, a component of weight w can be no further than
        s sqrt((1 - w) / w) from m, so that even w = 0.05 lies within 2.2 prior sds. Standard
        deviations are log-normal with median s / k and log-sd 0.75: 95% within a factor 4.3 either
        way, and vanishing at 0, so that ties in the data leave the posterior proper.

        Parameters
        ----------
        x : (n,) or (n, 1) array_like
            Univariate observations, not constant.
        n_components : int
            Number of components k.
        """
        values, k = as_observations(x, n_dims=1), as_count("n_components", n_components)
        centre, spread = float(values.mean()), float(values.std())
        if spread == 0:
            raise ValueError(f"x must vary to set a prior from its scale; got the constant {centre}")
        return cls(
            weights=Dirichlet(np.array(2.0)),
            means=Normal(np.array(centre), np.array(2 * spread)),
            sds=LogNormal(np.array(math.log(spread / k)), np.array(0.75)),
        )

    @property
    def n_components(self) -> int | None:
        """Number of components that the hyperparameters fix, or None if they suit any number."""
        counts = {len(value) for value in self._hyperparameters() if value.ndim}
        if len(counts) > 1:
            raise ValueError(f"hyperparameters must agree on the number of components; got {sorted(counts)}")
        return counts.pop() if counts else None

    @property
    def is_exchangeable(self) -> bool:
        """Whether every permutation of components has the same density."""
        return not self.ordered and all(np.ptp(value) == 0 for value in self._hyperparameters())

    def log_density(self, mixture: NormalMixture) -> float:
        """Log density of a univariate mixture, with respect to its first k - 1 weights, means and sds.

        Raises
        ------
        ValueError
            If the mixture is not univariate or has another number of components than the prior.
        """
        self._check(mixture.n_components)
        if mixture.n_dims != 1:
            raise ValueError(f"the prior is that of a univariate mixture; got {mixture.n_dims} dimensions")
        means, sds = mixture.means[:, 0], mixture.sds[:, 0]
        if self.ordered and (np.diff(means) <= 0).any():
            return -math.inf
        return float(
            self.weights.log_density(mixture.weights)
            + self.means.log_density(means).sum()
            + self.sds.log_density(sds).sum()
        )

    def sample(self, n_components: int, rng: np.random.Generator | int) -> NormalMixture:
        """Draw a mixture from the prior.

        Raises
        ------
        ValueError
            If `n_components` is not the prior's, or an ordered prior whose components differ puts
            its means in order so rarely that rejection fails.
        """
        self._check(n_components)
        rng = as_generator(rng)
        weights = self.weights.sample(n_components, rng)
        means = self._sample_means(n_components, rng)
        return NormalMixture.univariate(weights, means, self.sds.sample(n_components, rng) ** 2)

    @classmethod
    def from_dict(cls, table: Mapping[str, Any]) -> Self:
        """Build a prior from a table such as a study file holds.

        The table has the keys `weights`, `means` and `sds`, each a table of one family with its
        numbers: ``{"dirichlet": 5}``, ``{"normal": [0, 2]}``, and ``{"log_normal": [0, 0.5]}``,
        ``{"half_normal": 2}`` or ``{"variance_inverse_gamma": [2, 1]}``; and optionally `ordered`.
        A number may be a list of k numbers.

        Raises
        ------
        ValueError, TypeError
            If a key, a family or a number is not as above.
        """
        unknown = set(table) - {*_FAMILIES, "ordered"}
        missing = set(_FAMILIES) - set(table)
        if unknown or missing:
            raise ValueError(
                f"a prior must have the keys weights, means and sds, and may have ordered; "
                f"got {', '.join(sorted(table)) or 'none'}"
            )
        if not isinstance(table.get("ordered", False), bool):
            raise TypeError(f"ordered must be true or false; got {table['ordered']!r}")
        parts = {name: _family(name, table[name]) for name in _FAMILIES}
        return cls(**parts, ordered=table.get("ordered", False))

    def _sample_means(self, k: int, rng: np.random.Generator) -> Array:
        if not self.ordered:
            return self.means.sample(k, rng)
        if np.ptp(self.means.location) == 0 == np.ptp(self.means.scale):
            return np.sort(self.means.sample(k, rng))  # exchangeable: sorting is the restriction
        for _ in range(_MAX_TRIES):
            means = self.means.sample(k, rng)
            if (np.diff(means) > 0).all():
                return means
        raise ValueError(
            f"the prior must put its means in order now and then; got none in {_MAX_TRIES} draws"
        )

    def _hyperparameters(self) -> list[Array]:
        parts = (self.weights, self.means, self.sds)
        return [getattr(part, field.name) for part in parts for field in fields(part)]

    def _check(self, n_components: int) -> None:
        if self.n_components not in (None, n_components):
            raise ValueError(f"the prior is that of {self.n_components} components; got {n_components}")


def _family(name: str, entry: Any) -> Any:
    families = _FAMILIES[name]
    if not isinstance(entry, Mapping) or len(entry) != 1 or next(iter(entry)) not in families:
        raise ValueError(f"{name} must be a table with one of {', '.join(families)}; got {entry!r}")
    family, numbers = next(iter(entry.items()))
    kind = families[family]
    names = [field.name for field in fields(kind)]
    arguments = [numbers] if len(names) == 1 else numbers
    if not isinstance(arguments, list) or len(arguments) != len(names):
        raise ValueError(f"{name}.{family} must be {' and '.join(names)}; got {numbers!r}")
    try:
        return kind(*arguments)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}.{family}: {error}") from None

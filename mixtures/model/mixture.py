"""The one value for truth, start and estimate: a finite mixture of normals."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from mixtures.model.arrays import Array, as_floats, freeze, restore_frozen

_SUM_TOLERANCE = 1e-8  # what weights typed with eight decimals can miss by
_SYMMETRY_TOLERANCE = 1e-10  # relative to the largest entry: rounding, not a typing error


@dataclass(frozen=True, slots=True, eq=False)
class NormalMixture:
    """Mixture of k normals in d dimensions, P(X = x) = sum_j w_j N(x; mu_j, Sigma_j).

    The order of the components carries no meaning. Arrays are copied and read-only.

    Parameters
    ----------
    weights : (k,) array_like
        Mixing proportions P(C_j): not negative, summing to 1 within 1e-8.
    means : (k, d) array_like
        Component means, in the units of the data.
    covariances : (k, d, d) array_like
        Component covariances, symmetric positive definite, in squared units of the data.

    Raises
    ------
    TypeError
        If an argument does not hold numbers.
    ValueError
        If shapes disagree, a value is not finite, the weights are not a distribution, or a
        covariance is not symmetric positive definite.
    """

    weights: Array
    means: Array
    covariances: Array

    def __post_init__(self) -> None:
        weights = as_floats("weights", self.weights, ndim=1)
        means = as_floats("means", self.means, ndim=2)
        covariances = as_floats("covariances", self.covariances, ndim=3)
        _check_shapes(weights, means, covariances)
        _check_weights(weights)
        _check_covariances(covariances)
        self._set(_normalised(weights), means, (covariances + covariances.mT) / 2)

    def _set(self, weights: Array, means: Array, covariances: Array) -> None:
        object.__setattr__(self, "weights", freeze(weights))
        object.__setattr__(self, "means", freeze(means))
        object.__setattr__(self, "covariances", freeze(covariances))

    __setstate__ = restore_frozen

    @classmethod
    def unchecked(cls, weights: Array, means: Array, covariances: Array) -> Self:
        """Build a mixture from arrays already known to be valid, without copying or checking them."""
        self = object.__new__(cls)
        self._set(weights, means, covariances)
        return self

    @classmethod
    def univariate(cls, weights: ArrayLike, means: ArrayLike, variances: ArrayLike) -> Self:
        """Build a univariate mixture from three vectors.

        Parameters
        ----------
        weights, means, variances : (k,) array_like
            Mixing proportions, means, and variances (not standard deviations).

        Returns
        -------
        NormalMixture
            With d = 1.

        Raises
        ------
        TypeError, ValueError
            As for `NormalMixture`; variances must be positive.
        """
        means = as_floats("means", means, ndim=1)
        variances = as_floats("variances", variances, ndim=1)
        if (variances <= 0).any():
            raise ValueError(f"variances must be positive; got {variances.tolist()}")
        return cls(as_floats("weights", weights, ndim=1), means[:, None], variances[:, None, None])

    @property
    def n_components(self) -> int:
        """Number of components, k."""
        return len(self.weights)

    @property
    def n_dims(self) -> int:
        """Number of dimensions, d."""
        return self.means.shape[1]

    @property
    def variances(self) -> Array:
        """Diagonals of the covariances, (k, d)."""
        return np.diagonal(self.covariances, axis1=1, axis2=2)

    @property
    def sds(self) -> Array:
        """Standard deviations of each component in each dimension, (k, d), in the units of the data."""
        return np.sqrt(self.variances)

    def mean(self) -> Array:
        """Mean of the whole mixture, (d,)."""
        return self.weights @ self.means

    def covariance(self) -> Array:
        """Covariance of the whole mixture, (d, d): the mean within components plus that between them."""
        centred = self.means - self.mean()
        between = np.einsum("j,jd,je->de", self.weights, centred, centred)
        return np.einsum("j,jde->de", self.weights, self.covariances) + between

    def permuted(self, permutation: ArrayLike) -> Self:
        """Return the same mixture with component ``permutation[j]`` in place j.

        Parameters
        ----------
        permutation : (k,) array_like of int
            Each component once.

        Returns
        -------
        NormalMixture

        Raises
        ------
        ValueError
            If `permutation` does not name each component once.
        """
        order = np.asarray(permutation)
        if sorted(order.tolist()) != list(range(self.n_components)):
            raise ValueError(
                f"permutation must hold each of 0..{self.n_components - 1} once; got {order.tolist()}"
            )
        return type(self).unchecked(self.weights[order], self.means[order], self.covariances[order])

    def to_dict(self) -> dict[str, list[Any]]:
        """Return plain lists: `weights`, `means`, and `variances` (d = 1) or `covariances`."""
        if self.n_dims == 1:
            return {
                "weights": self.weights.tolist(),
                "means": self.means[:, 0].tolist(),
                "variances": self.covariances[:, 0, 0].tolist(),
            }
        return {
            "weights": self.weights.tolist(),
            "means": self.means.tolist(),
            "covariances": self.covariances.tolist(),
        }

    @classmethod
    def from_dict(cls, entries: Mapping[str, Any]) -> Self:
        """Build a mixture from what `to_dict` gives.

        Raises
        ------
        ValueError
            If the keys are not exactly `weights`, `means` and one of `variances`, `covariances`, or
            the values do not make a mixture.
        TypeError
            If a value does not hold numbers.
        """
        keys = set(entries)
        if keys == {"weights", "means", "variances"}:
            return cls.univariate(entries["weights"], entries["means"], entries["variances"])
        if keys == {"weights", "means", "covariances"}:
            return cls(entries["weights"], entries["means"], entries["covariances"])
        raise ValueError(
            "a mixture must have the keys weights, means, and variances (univariate) or covariances; "
            f"got {', '.join(sorted(keys)) or 'none'}"
        )

    def to_json(self) -> str:
        """Return the mixture as JSON text; `from_json` gives back the same bits."""
        return json.dumps(self.to_dict())

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Build a mixture from JSON text; ValueError where the text is not a JSON mixture."""
        try:
            entries = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"a mixture must be valid JSON; {error}") from None
        if not isinstance(entries, dict):
            raise ValueError(f"a mixture must be a JSON object; got {type(entries).__name__}")
        return cls.from_dict(entries)

    def to_toml(self) -> str:
        """Return the mixture as TOML text; `from_toml` gives back the same bits."""
        import tomli_w

        return tomli_w.dumps(self.to_dict())

    @classmethod
    def from_toml(cls, text: str) -> Self:
        """Build a mixture from TOML text; ValueError where the text is not a TOML mixture."""
        try:
            return cls.from_dict(tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"a mixture must be valid TOML; {error}") from None


def _normalised(weights: Array) -> Array:
    """Weights that sum to 1 up to rounding; those that do so already keep their bits."""
    total = weights.sum()
    return weights if abs(total - 1) <= len(weights) * np.finfo(float).eps else weights / total


def _check_shapes(weights: Array, means: Array, covariances: Array) -> None:
    k, d = means.shape
    if k < 1 or d < 1:
        raise ValueError(f"a mixture must have at least one component and one dimension; got k={k}, d={d}")
    if weights.shape != (k,) or covariances.shape != (k, d, d):
        raise ValueError(
            f"weights, means and covariances must have shapes (k,), (k, d) and (k, d, d); "
            f"got {weights.shape}, {means.shape} and {covariances.shape}"
        )


def _check_weights(weights: Array) -> None:
    if (weights < 0).any():
        raise ValueError(f"weights must not be negative; got {weights.tolist()}")
    if abs(weights.sum() - 1) > _SUM_TOLERANCE:
        raise ValueError(f"weights must sum to 1 within {_SUM_TOLERANCE:g}; got {weights.sum():.10g}")


def _check_covariances(covariances: Array) -> None:
    for j, covariance in enumerate(covariances):
        if np.abs(covariance - covariance.T).max() > _SYMMETRY_TOLERANCE * np.abs(covariance).max():
            raise ValueError(f"covariances must be symmetric; got {covariance.tolist()} in component {j}")
        try:
            np.linalg.cholesky(covariance)
        except np.linalg.LinAlgError:
            raise ValueError(
                f"covariances must be positive definite; got {covariance.tolist()} in component {j}"
            ) from None

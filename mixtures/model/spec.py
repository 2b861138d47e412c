"""The statistical model that both engines fit: how many components, what covariances."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mixtures.model.arrays import as_count


class Covariance(StrEnum):
    """Structure of the component covariances.

    `FULL`: each component its own; `DIAGONAL`: its own variances, no correlation; `SPHERICAL`: one
    variance per component; `TIED`: one full covariance for all. With d = 1 the first three are the
    same model, and `TIED` is the one with equal variances.
    """

    FULL = "full"
    DIAGONAL = "diagonal"
    SPHERICAL = "spherical"
    TIED = "tied"


@dataclass(frozen=True, slots=True)
class MixtureSpec:
    """Statistical model: a mixture of `n_components` normals with structured covariances.

    Parameters
    ----------
    n_components : int
        Number of components k, at least 1.
    covariance : Covariance or str
        One of "full", "diagonal", "spherical", "tied".

    Raises
    ------
    TypeError
        If `n_components` is not a whole number.
    ValueError
        If `n_components` is below 1 or `covariance` names no structure.
    """

    n_components: int
    covariance: Covariance = Covariance.FULL

    def __post_init__(self) -> None:
        object.__setattr__(self, "n_components", as_count("n_components", self.n_components))
        try:
            object.__setattr__(self, "covariance", Covariance(self.covariance))
        except ValueError:
            names = ", ".join(Covariance)
            raise ValueError(f"covariance must be one of {names}; got {self.covariance!r}") from None

    def n_parameters(self, n_dims: int) -> int:
        """Number of free parameters in `n_dims` dimensions, as counted by AIC and BIC."""
        k, d = self.n_components, n_dims
        n_covariance = {
            Covariance.FULL: k * d * (d + 1) // 2,
            Covariance.DIAGONAL: k * d,
            Covariance.SPHERICAL: k,
            Covariance.TIED: d * (d + 1) // 2,
        }[self.covariance]
        return (k - 1) + k * d + n_covariance

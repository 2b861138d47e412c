"""How hard a design is: overlap of its components, and the standard errors that its information allows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np

from mixtures.comparison.distances import bayes_error, separation
from mixtures.model.arrays import Array, as_count, freeze_arrays, restore_frozen
from mixtures.model.density import component_log_densities, joint_log_densities, log_density
from mixtures.model.fit import Parameters
from mixtures.model.mixture import NormalMixture
from mixtures.model.spec import Covariance

_QUASI_POINTS = 2**15  # overlaps are then good to 0.001 in four dimensions and 0.002 in ten
_REACH = 12  # sds from each mean, beyond which less than 1e-32 is left
_POINTS_PER_PANEL = 12
_SMALLEST_SHARE = 1e-12  # an eigenvalue of the scaled information below this is rounding


@dataclass(frozen=True, slots=True, eq=False)
class Overlap:
    """Pairwise overlap of the components of a mixture (Maitra & Melnykov 2010).

    Attributes
    ----------
    misassigned : (k, k) array
        In row i and column j omega_{j|i}, the probability that an observation of component i has the
        larger weighted density under component j; 0 on the diagonal.
    """

    misassigned: Array

    def __post_init__(self) -> None:
        freeze_arrays(self)

    __setstate__ = restore_frozen

    @property
    def pairwise(self) -> Array:
        """Omega_ij = omega_{j|i} + omega_{i|j} of each pair, (k (k - 1) / 2,)."""
        sums = self.misassigned + self.misassigned.T
        return sums[np.triu_indices(len(sums), 1)]

    @property
    def mean(self) -> float:
        """Mean over pairs; NaN for a single component."""
        return float(self.pairwise.mean()) if len(self.misassigned) > 1 else math.nan

    @property
    def largest(self) -> float:
        """Largest over pairs; NaN for a single component."""
        return float(self.pairwise.max()) if len(self.misassigned) > 1 else math.nan


@dataclass(frozen=True, slots=True, eq=False)
class Difficulty:
    """How hard it is to recover a mixture from n observations, by theory.

    Attributes
    ----------
    separation : float
        Smallest distance between two means, in pooled standard deviations.
    overlap : Overlap
    bayes_error : float
        Error rate of the best possible hard assignment.
    smallest_count : float
        Expected number of observations of the rarest component, n min(w).
    standard_errors : Parameters or None
        From the expected information; None in several dimensions.
    """

    separation: float
    overlap: Overlap
    bayes_error: float
    smallest_count: float
    standard_errors: Parameters | None

    @classmethod
    def of(cls, mixture: NormalMixture, n: int, covariance: Covariance = Covariance.FULL) -> Self:
        """Say how hard a mixture is to recover from n observations under a covariance structure."""
        is_in_model = covariance != Covariance.TIED or np.ptp(mixture.variances) == 0
        return cls(
            separation(mixture),
            overlap(mixture),
            bayes_error(mixture),
            n * float(mixture.weights.min()),
            expected_standard_errors(mixture, n, covariance) if mixture.n_dims == 1 and is_in_model else None,
        )


def overlap(mixture: NormalMixture) -> Overlap:
    """Pairwise overlap of the components of a mixture.

    In closed form for d = 1, by quasi-Monte Carlo otherwise (error about 0.001, 0.002 in ten dimensions).
    """
    return Overlap(_overlap_in_closed_form(mixture) if mixture.n_dims == 1 else _overlap_by_points(mixture))


def _overlap_in_closed_form(mixture: NormalMixture) -> Array:
    k = mixture.n_components
    w, means, sds = mixture.weights, mixture.means[:, 0], mixture.sds[:, 0]
    found = np.zeros((k, k))
    for i in range(k):
        for j in range(k):
            if i != j and w[j] > 0:
                if w[i] == 0:
                    found[i, j] = 1
                    continue
                # 2 log(w_j phi_j / w_i phi_i) at x = mu_i + sd_i z, a quadratic in z.
                ratio, shift = sds[i] / sds[j], (means[i] - means[j]) / sds[j]
                a, b = (1 - ratio) * (1 + ratio), -2 * ratio * shift
                found[i, j] = _probability_positive(a, b, 2 * math.log(w[j] / w[i] * ratio) - shift**2)
    return found


def _probability_positive(a: float, b: float, c: float) -> float:
    """P(a Z^2 + b Z + c > 0) for a standard normal Z, through the roots."""
    from scipy.special import ndtr

    if a == 0:
        return float(ndtr(c / abs(b))) if b != 0 else float(c > 0)
    discriminant = b**2 - 4 * a * c
    if discriminant <= 0:
        return float(a > 0)
    q = -(b + math.copysign(math.sqrt(discriminant), b)) / 2  # no cancellation
    low, high = sorted((q / a, c / q))
    return float(ndtr(low) + ndtr(-high)) if a > 0 else float(ndtr(high) - ndtr(low))


def _overlap_by_points(mixture: NormalMixture) -> Array:
    from scipy.stats import norm
    from scipy.stats.qmc import Sobol

    uniform = Sobol(mixture.n_dims, scramble=False).random(_QUASI_POINTS) + 0.5 / _QUASI_POINTS
    z = norm.ppf(uniform)
    found = np.zeros((mixture.n_components, mixture.n_components))
    for i, factor in enumerate(np.linalg.cholesky(mixture.covariances)):
        joint = joint_log_densities(mixture, mixture.means[i] + z @ factor.T)
        found[i] = (joint > joint[:, [i]]).mean(axis=0)
    return found


def expected_standard_errors(
    mixture: NormalMixture, n: int, covariance: Covariance = Covariance.FULL
) -> Parameters:
    """Standard errors of the maximum likelihood estimate by the expected information of n observations.

    The information of one observation is the mean outer product of its score, which is that of the
    complete data averaged over the unknown component (Fisher's identity); by Gauss-Legendre quadrature.
    Large samples reach these; one that is as large as its parameter says that n is too small for any
    method to do well.

    Parameters
    ----------
    mixture : NormalMixture
        Univariate.
    n : int
        Number of observations.
    covariance : Covariance
        Structure under which it is fitted; tied asks for equal variances.

    Returns
    -------
    errors : Parameters
        Infinite where the information is singular, as with two equal components.

    Raises
    ------
    ValueError
        If the mixture has several dimensions, or variances that differ although they are tied.
    """
    n = as_count("n", n)
    if mixture.n_dims != 1:
        raise ValueError(f"mixture must be univariate; got {mixture.n_dims} dimensions")
    is_tied = covariance == Covariance.TIED
    if is_tied and np.ptp(mixture.variances) > 0:
        raise ValueError(f"tied variances must be equal; got {mixture.variances[:, 0]}")
    free = _free_parameters(mixture.n_components, is_tied)
    information = n * free.T @ _information(mixture) @ free
    scale = np.sqrt(np.diag(information))
    if scale.min() == 0 or np.linalg.eigvalsh(information / np.outer(scale, scale))[0] < _SMALLEST_SHARE:
        errors = np.full(len(free), math.inf)
    else:
        errors = np.sqrt(np.diag(free @ np.linalg.inv(information) @ free.T))
    weights, means, variances = np.split(errors, 3)
    return Parameters(weights, means[:, None], variances[:, None])


def _free_parameters(k: int, is_tied: bool) -> Array:
    """Derivatives of (w, mu, v), 3 k, by the free ones: weights but the last, means, variances or the one."""
    from scipy.linalg import block_diag

    weights = np.vstack([np.eye(k - 1), -np.ones((1, k - 1))])
    return np.asarray(block_diag(weights, np.eye(k), np.ones((k, 1)) if is_tied else np.eye(k)))


def _information(mixture: NormalMixture) -> Array:
    """Mean outer product of an observation's score in (w, mu, v), weights free to sum to anything."""
    x, lengths = _nodes(mixture)
    z = (x - mixture.means[:, 0]) / mixture.sds[:, 0]
    log_f = log_density(mixture, x)[:, None]
    ratios = np.exp(component_log_densities(mixture, x) - log_f)
    r = ratios * mixture.weights
    scores = np.hstack([ratios, r * z / mixture.sds[:, 0], r * (z**2 - 1) / (2 * mixture.variances[:, 0])])
    return (scores * np.exp(log_f) * lengths).T @ scores


def _nodes(mixture: NormalMixture) -> tuple[Array, Array]:
    """Nodes (m, 1) and weights (m, 1) of Gauss-Legendre rules on panels one sd long about each mean."""
    ends = np.unique(mixture.means + mixture.sds * np.arange(-_REACH, _REACH + 1))
    points, weights = np.polynomial.legendre.leggauss(_POINTS_PER_PANEL)
    half = np.diff(ends)[:, None] / 2
    middle = (ends[:-1] + ends[1:])[:, None] / 2
    return (middle + half * points).reshape(-1, 1), (half * weights).reshape(-1, 1)

"""Score and Hessian of the log-likelihood, the certificate of a maximum, and the covariance of the estimate.

Coordinates are local and free of units. Around a mixture with Sigma_j = L_j L_j', a nearby one has

    weights proportional to w_j exp(a_j) with a_k = 0,  mu_j + L_j m_j,  L_j (I + S_j) L_j',

where S_j is a symmetric matrix of the covariance structure; tied components share L and S. In these
coordinates the derivatives of a component's log density at z = L_j^-1 (x - mu_j) are short:

    d / dm = z,  d / dS_a = (z' B_a z - tr B_a) / 2,
    d2 / dm dm' = -I,  d2 / dm dS_a = -B_a z,  d2 / dS_a dS_b = (tr B_a B_b - z' (B_a B_b + B_b B_a) z) / 2

for S = sum_a S_a B_a. The mixture's Hessian follows by Louis (1982): the expected Hessian of the
complete-data log density plus the variance of its score, both over the unknown component.

To first order, which is all that a covariance sees at a maximum, these are an unconstrained scale: a holds
the logits log(w_j / w_k), S the relative changes of variances, twice those of the log standard deviations,
and L (I + S) L' moves the Cholesky factor.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from mixtures.em.coordinates import shape_of, to_theta
from mixtures.em.curvature import differentiate, empty_derivatives, empty_scores
from mixtures.em.newton import decrement_at
from mixtures.em.steps import e_step
from mixtures.model.arrays import Array
from mixtures.model.kernel import as_data
from mixtures.model.mixture import NormalMixture
from mixtures.model.spec import Covariance, MixtureSpec

#: A solution is certified where the log-likelihood still to gain is below this.
DECREMENT_BOUND = 1e-8
# Share of the largest eigenvalue below which one may be 0 but for rounding, with a unit diagonal.
_SINGULAR = 1e-12


class Form(StrEnum):
    """How the covariance of the estimate is made of the observed information A and the products of scores B.

    `INFORMATION`: A^-1; `OUTER`: B^-1; `SANDWICH`: A^-1 B A^-1, which holds where the model does not
    (Huber 1967; White 1982).
    """

    INFORMATION = "information"
    OUTER = "outer"
    SANDWICH = "sandwich"


@dataclass(frozen=True, slots=True, eq=False)
class Curvature:
    """First and second derivatives of the total log-likelihood in local coordinates.

    Attributes
    ----------
    scores : (n, p) array
        Score of each observation; their sum is the gradient.
    hessian : (p, p) array
        Minus the observed information.
    """

    scores: Array
    hessian: Array


@dataclass(frozen=True, slots=True, eq=False)
class Information:
    """What the observations say of the parameters at one mixture, in local coordinates.

    Attributes
    ----------
    observed : (p, p) array
        Observed information, minus the Hessian of the log-likelihood.
    outer : (p, p) array
        Sum of the outer products of the observations' scores.
    """

    observed: Array
    outer: Array

    def covariance(self, form: Form) -> Array | None:
        """Covariance (p, p) of the estimate; None where what is to be inverted is not positive definite."""
        inverse = _inverse(self.outer if form == Form.OUTER else self.observed)
        if inverse is None or form != Form.SANDWICH:
            return inverse
        return inverse @ self.outer @ inverse


@dataclass(frozen=True, slots=True)
class Certificate:
    """Whether a solution is a critical point, and a maximum.

    Attributes
    ----------
    newton_decrement : float
        g' (-H)^-1 g / 2, the log-likelihood still to gain by the local quadratic; free of units.
        Infinite where the Hessian is not negative definite.
    is_negative_definite : bool
        Whether the Hessian is negative definite.
    """

    newton_decrement: float
    is_negative_definite: bool

    @property
    def is_maximum(self) -> bool:
        """Whether less than 1e-8 of log-likelihood is left to gain at a strict maximum."""
        return self.is_negative_definite and self.newton_decrement < DECREMENT_BOUND


def certify(mixture: NormalMixture, x: Array, covariance: Covariance) -> Certificate:
    """Certify a solution for observations (n, d)."""
    shape = shape_of(MixtureSpec(mixture.n_components, covariance), mixture.n_dims)
    decrement = decrement_at(as_data(x), shape, to_theta(mixture, shape))
    return Certificate(decrement, decrement < np.inf)


def information_at(mixture: NormalMixture, x: Array, covariance: Covariance) -> Information:
    """Observed information and products of scores of observations (n, d): sums of `curve`, in one pass."""
    shape = shape_of(MixtureSpec(mixture.n_components, covariance), mixture.n_dims)
    sums = empty_derivatives(shape)
    differentiate(as_data(x), shape, to_theta(mixture, shape), sums, empty_scores(shape))
    return Information(-sums.hessian, sums.outer)


def _inverse(matrix: Array) -> Array | None:
    """Inverse of a symmetric matrix; None where that is not positive definite, or only by rounding."""
    diagonal = matrix.diagonal()
    if not (diagonal > 0).all():
        return None
    unit = np.sqrt(diagonal)
    values, vectors = np.linalg.eigh(matrix / np.outer(unit, unit))
    if len(values) and not values[0] > _SINGULAR * values[-1]:
        return None
    inverse: Array = (vectors / values) @ vectors.T / np.outer(unit, unit)
    return inverse


def curve(mixture: NormalMixture, x: Array, covariance: Covariance) -> Curvature:
    """Scores and Hessian of the log-likelihood of observations (n, d) at a mixture.

    Returns
    -------
    Curvature
        Coordinates in the order a (k - 1), m (k d), S (q for each component; tied: q).
    """
    k, d = mixture.means.shape
    r = e_step(mixture, x).responsibilities
    basis = basis_of(covariance, d)
    layout = layout_of(k, d, covariance)
    size = layout[-1].max() + 1
    scores = np.zeros((len(x), size))
    hessian = np.zeros((size, size))
    weights = mixture.weights[:-1]
    hessian[: k - 1, : k - 1] = -len(x) * (np.diag(weights) - np.outer(weights, weights))
    for j in range(k):
        complete, own_hessian = _component(mixture, x, r[:, j], basis, j)
        places = layout[j]
        own = np.zeros((len(x), size))
        own[:, : k - 1] = np.eye(k)[j, :-1] - weights
        own[:, places] = complete
        scores += r[:, j, None] * own
        hessian += (r[:, j, None] * own).T @ own
        hessian[np.ix_(places, places)] += own_hessian
    return Curvature(scores, hessian - scores.T @ scores)


def complete_scores(mixture: NormalMixture, x: Array, covariance: Covariance) -> Array:
    """Scores of observations (n, d) as if each component in turn were known to be theirs, (n, k, p)."""
    k, d = mixture.means.shape
    basis, layout = basis_of(covariance, d), layout_of(k, d, covariance)
    scores = np.zeros((len(x), k, layout[-1].max() + 1))
    scores[:, :, : k - 1] = np.eye(k)[:, :-1] - mixture.weights[:-1]
    for j in range(k):
        z = _standardised(mixture, x, j)
        scores[:, j, layout[j]] = _own_scores(z, np.einsum("ade,ne->nad", basis, z), basis)
    return scores


def _component(mixture: NormalMixture, x: Array, r: Array, basis: Array, j: int) -> tuple[Array, Array]:
    """Complete-data scores (n, d + q) of component j, and its Hessian weighted by responsibilities r (n,)."""
    d, q = x.shape[1], len(basis)
    z = _standardised(mixture, x, j)
    bz = np.einsum("ade,ne->nad", basis, z)
    hessian = np.empty((d + q, d + q))
    hessian[:d, :d] = -r.sum() * np.eye(d)
    hessian[d:, :d] = -np.einsum("n,nad->ad", r, bz)
    hessian[:d, d:] = hessian[d:, :d].T
    products = np.einsum("ade,bed->ab", basis, basis)
    hessian[d:, d:] = r.sum() * products / 2 - np.einsum("n,nad,nbd->ab", r, bz, bz, optimize=True)
    return _own_scores(z, bz, basis), hessian


def _standardised(mixture: NormalMixture, x: Array, j: int) -> Array:
    """Observations (n, d) as component j sees them, z = L_j^-1 (x - mu_j)."""
    return np.linalg.solve(np.linalg.cholesky(mixture.covariances[j]), (x - mixture.means[j]).T).T


def _own_scores(z: Array, bz: Array, basis: Array) -> Array:
    """Scores of a component's own coordinates, (n, d + q): z, and (z' B z - tr B) / 2 for each B."""
    traces = np.einsum("add->a", basis)
    return np.hstack([z, (np.einsum("nad,nd->na", bz, z) - traces) / 2])


def layout_of(k: int, d: int, covariance: Covariance) -> np.ndarray:
    """Places of each component's (m_j, S_j) among all coordinates, (k, d + q)."""
    q = len(basis_of(covariance, d))
    means = (k - 1) + np.arange(k * d).reshape(k, d)
    shared = covariance == Covariance.TIED
    spreads = (k - 1) + k * d + (np.tile(np.arange(q), (k, 1)) if shared else np.arange(k * q).reshape(k, q))
    return np.hstack([means, spreads])


def basis_of(covariance: Covariance, d: int) -> Array:
    """Symmetric matrices B_a that span the covariance structure, (q, d, d)."""
    if covariance == Covariance.SPHERICAL:
        return np.eye(d)[None]
    units = np.eye(d)
    if covariance == Covariance.DIAGONAL:
        return np.einsum("ad,ae->ade", units, units)
    rows, columns = np.tril_indices(d)
    outer = np.einsum("ad,ae->ade", units[rows], units[columns])
    return (outer + outer.mT) / 2

"""Label switching: one order of the components for all posterior draws.

Under a prior that treats components alike, the posterior is the same for every order of them, and
a sampler may change from one order to another within a chain. Averages over draws mean something
only after each draw's components are put in one order. Under a prior that tells components apart,
or orders their means, the labels are part of the model, and a new order would change the posterior.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike

from mixtures.bayes.data_based import data_based
from mixtures.bayes.draws import MixtureDraws
from mixtures.bayes.evidence import Evidence
from mixtures.bayes.permutations import agreement, identities, modal, reorder
from mixtures.bayes.switching import (
    Solution,
    assign_to,
    ecr,
    ecr_iterative_1,
    ecr_iterative_2,
    order,
    pra,
    stephens,
)
from mixtures.model.arrays import Array, Integers, freeze_arrays, restore_frozen
from mixtures.model.fit import Diagnostic, Draws
from mixtures.model.mixture import NormalMixture


class Relabel(StrEnum):
    """How draws are relabelled.

    Those that compare parameters: `REFERENCE` assigns each draw's components to those of a reference
    mixture, by default the draw of highest posterior density, by the rule of `mixtures.align`; `PRA`
    takes the largest inner product with that draw (Marin, Mengersen and Robert 2005); `ORDERING`,
    `ORDERING_WEIGHTS` and `ORDERING_SDS` sort by means, weights or standard deviations.

    Those that compare what draws say of the observations: `ECR` agrees in most allocations with the
    draw of highest posterior density (Papastamoulis and Iliopoulos 2010), `ECR_ITERATIVE_1` and
    `ECR_ITERATIVE_2` with the allocations that are most frequent, or most probable on average
    (Papastamoulis 2014); `STEPHENS` takes the least Kullback-Leibler divergence from the average
    responsibilities (Stephens 2000); `DATA_BASED` the least distance of the observations from the
    centres of their groups (Rodriguez and Walker 2014).

    `NONE` leaves the draws; `AUTO`, of an engine that knows the prior, is by reference where components
    are exchangeable, else none.
    """

    AUTO = "auto"
    REFERENCE = "reference"
    ORDERING = "ordering"
    ORDERING_WEIGHTS = "ordering_weights"
    ORDERING_SDS = "ordering_sds"
    ECR = "ecr"
    ECR_ITERATIVE_1 = "ecr_iterative_1"
    ECR_ITERATIVE_2 = "ecr_iterative_2"
    STEPHENS = "stephens"
    PRA = "pra"
    DATA_BASED = "data_based"
    NONE = "none"


@dataclass(frozen=True, slots=True, eq=False)
class Relabelling:
    """The order that a method gives to the components of each draw. Arrays are read-only.

    Attributes
    ----------
    method : Relabel
    permutations : (c, s, k) array of int
        Component ``permutations[c, s, j]`` of a draw takes place j. Of draws in one row, (s, k).
    costs : (c, s) array
        What the permutation costs by the method's own measure: a divergence (Stephens), observations
        that are allocated otherwise (ECR), a sum of Bhattacharyya distances (reference), of squared
        standardised distances (data-based), or an inner product with its sign turned (PRA, ordering).
    gaps : (c, s) array
        By how much the next best permutation costs more, in the same measure: small where the order of
        a draw is in doubt, infinite for one component.
    n_iterations : int
        Passes over the draws.
    is_converged : bool
        Whether an iterative method came to rest.
    """

    method: Relabel
    permutations: Integers
    costs: Array
    gaps: Array
    n_iterations: int
    is_converged: bool

    def __post_init__(self) -> None:
        freeze_arrays(self)

    __setstate__ = restore_frozen

    @property
    def chain_orders(self) -> Integers:
        """Most frequent permutation of each chain, (c, k)."""
        return np.stack([modal(chain) for chain in self._by_chain()])

    @property
    def n_switched(self) -> Integers:
        """Draws of each chain whose permutation is not the chain's most frequent one, (c,)."""
        by_chain = self._by_chain()
        in_order = by_chain == self.chain_orders[:, None]
        return np.array([len(chain) - np.all(chain.T, axis=0).sum() for chain in in_order])

    def agreement(self, other: Relabelling) -> float:
        """Share of draws to which another method gives the same order, up to one permutation for all."""
        k = self.permutations.shape[-1]
        if self.permutations.shape != other.permutations.shape:
            raise ValueError(
                "relabellings must be of the same draws; got permutations of shapes "
                f"{self.permutations.shape} and {other.permutations.shape}"
            )
        return agreement(self.permutations.reshape(-1, k), other.permutations.reshape(-1, k))

    def reordered(self, draws: Draws) -> Draws:
        """Return draws with the components of each in its own order."""
        parts = (draws.weights, draws.means, draws.variances)
        return Draws(*(reorder(values, self.permutations) for values in parts))

    def summary(self) -> tuple[Diagnostic, ...]:
        """Return the report in numbers: draws that switched, quantiles of the gaps, iterations.

        `chains_reordered` counts chains whose most frequent order is not the first's.
        """
        orders = self.chain_orders
        values = {
            "draws": self.gaps.size,
            "draws_switched": self.n_switched.sum(),
            "chains_reordered": (orders != orders[0]).any(axis=-1).sum(),
            "cost": self.costs.sum(),
            "gap_least": self.gaps.min(),
            "gap_1%": np.quantile(self.gaps, 0.01, method="lower"),
            "gap_10%": np.quantile(self.gaps, 0.1, method="lower"),
            "gap_50%": np.quantile(self.gaps, 0.5, method="lower"),
            "iterations": self.n_iterations,
            "is_converged": self.is_converged,
        }
        return tuple(Diagnostic(name, float(value)) for name, value in values.items())

    def _by_chain(self) -> Integers:
        return self.permutations if self.permutations.ndim == 3 else self.permutations[None]


def agreements(relabellings: Sequence[Relabelling]) -> Array:
    """Share of draws on which every two methods agree, up to one permutation for all draws, (m, m)."""
    return np.array([[one.agreement(other) for other in relabellings] for one in relabellings])


def relabel(
    draws: Draws | MixtureDraws,
    method: Relabel | str = Relabel.STEPHENS,
    *,
    x: ArrayLike | None = None,
    responsibilities: ArrayLike | None = None,
    allocations: ArrayLike | None = None,
    log_densities: ArrayLike | None = None,
    reference: NormalMixture | None = None,
    start: Relabel | str = Relabel.NONE,
) -> Relabelling:
    """Find the permutation of components that puts each posterior draw in one common order.

    Places are numbered by increasing mean (of the first dimension), save after ordering by something
    else and after assignment to a reference.

    Parameters
    ----------
    draws : Draws
        Of c chains, such as `Fit.draws`; or `MixtureDraws`, such as `Posterior.components`.
    method : Relabel or str
        Any but "auto", which needs the prior.
    x : (n,) or (n, d) array_like, optional
        Observations. Of univariate draws they give the responsibilities, the allocations (to the most
        probable component) and the pivot (the draw of highest likelihood), where these are not given.
    responsibilities : (c, s, n, k) array_like, optional
        For Stephens and the second iterative ECR.
    allocations : (c, s, n) array_like of int, optional
        Components from 0 to k - 1, for ECR and the data-based method.
    log_densities : (c, s) array_like, optional
        Log posterior density of each draw, up to a constant, -inf where a draw is impossible: the highest
        is the pivot of ECR, PRA and assignment to a reference, which need it on multivariate draws.
    reference : NormalMixture, optional
        Mixture to assign components to, by "reference" alone; covariances off the diagonal are ignored.
    start : Relabel or str
        Where the iterative methods, which may end in a local optimum, and the data-based one begin:
        "none" as sampled, save that each chain is put as a whole in the order that suits the first
        best; else in the order that this other method finds.

    Returns
    -------
    Relabelling

    Raises
    ------
    TypeError
        If an argument does not hold numbers of the right kind, or is of the wrong one.
    ValueError
        If shapes differ, draws are no mixtures of normals, log densities are NaN or infinite, there are
        fewer observations than components, or what the method needs is missing.
    """
    method, start = _known("method", method, tuple(_SOLVERS)), _known("start", start, _STARTS)
    if method not in _WITH_START and start != Relabel.NONE:
        raise ValueError(f"start must be left out, as {method} has none; got {start}")
    evidence = (
        Evidence.checked(draws)
        .with_x(x)
        .with_responsibilities(responsibilities)
        .with_allocations(allocations)
        .with_log_densities(log_densities)
    )
    evidence.check_counts()
    if start != Relabel.NONE:
        evidence = replace(evidence, start=_SOLVERS[start](evidence).permutations)
    if reference is None:
        return relabelled(evidence, method)
    if method != Relabel.REFERENCE:
        raise ValueError(f"reference must be left out, unless the method is reference; got it for {method}")
    return _relabelling(evidence, method, _to_mixture(evidence, reference))


def _known(name: str, method: Relabel | str, allowed: Sequence[Relabel]) -> Relabel:
    if method not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}; got {str(method)!r}")
    return Relabel(method)


def relabelled(evidence: Evidence, method: Relabel) -> Relabelling:
    """Find the permutations by any method but "auto", from evidence that is known to be sound.

    Raises
    ------
    ValueError
        If the method lacks what it needs.
    """
    return _relabelling(evidence, method, _SOLVERS[method](evidence))


def _relabelling(evidence: Evidence, method: Relabel, solution: Solution) -> Relabelling:
    permutations = solution.permutations
    if method in _OF_ANY_ORDER:
        means = reorder(evidence.dimensions[0].means, permutations).mean(axis=0)
        permutations = permutations[:, means.argsort(kind="stable")]
    return Relabelling(
        method,
        permutations.reshape(*evidence.shape, -1),
        solution.costs.reshape(evidence.shape),
        solution.gaps.reshape(evidence.shape),
        solution.n_iterations,
        solution.is_converged,
    )


def _by_reference(evidence: Evidence) -> Solution:
    pivot = [draws.at(np.array([evidence.pivot()])) for draws in evidence.dimensions]
    by_means = pivot[0].means.argsort(axis=-1)
    return _assign(evidence, [draws.reordered(by_means) for draws in pivot])


def _to_mixture(evidence: Evidence, mixture: NormalMixture) -> Solution:
    if not isinstance(mixture, NormalMixture):
        raise TypeError(f"reference must be a NormalMixture; got {type(mixture).__name__}")
    expected = evidence.n_components, len(evidence.dimensions)
    if mixture.means.shape != expected:
        raise ValueError(
            f"reference must have the components and dimensions of the draws, {expected}; "
            f"got {mixture.means.shape}"
        )
    parts = zip(mixture.means.T, mixture.sds.T, strict=True)
    return _assign(
        evidence, [MixtureDraws(mixture.weights[None], mean[None], sd[None]) for mean, sd in parts]
    )


def _assign(evidence: Evidence, reference: Sequence[MixtureDraws]) -> Solution:
    pairs = zip(reference, evidence.dimensions, strict=True)
    return assign_to(np.sum([distances(one, draws) for one, draws in pairs], axis=0))


def distances(reference: MixtureDraws, draws: MixtureDraws) -> Array:
    """Bhattacharyya distances, (s, k, k), of the reference's components, in rows, to those of each draw.

    The univariate case of `mixtures.model.labels.bhattacharyya_distances`; of independent dimensions the
    distances add up.
    """
    one = (values.T for values in (reference.means, reference.variances, reference.sds))  # (k, 1)
    many = (values.T for values in (draws.means, draws.variances, draws.sds))  # (k, s)
    (mean, variance, sd), (means, variances, sds) = ((values[:, None] for values in one), many)
    pooled = (variance + variances) / 2  # (k, k, s): the draws in one piece of memory
    costs: Array = (mean - means) ** 2 / (8 * pooled) + (np.log(pooled) - (np.log(sd) + np.log(sds))) / 2
    return np.moveaxis(costs, -1, 0)


def _ecr(evidence: Evidence) -> Solution:
    hard = evidence.allocations()
    return ecr(hard, hard.allocations[:, evidence.pivot()].astype(np.int64))


def _ecr_iterative_1(evidence: Evidence) -> Solution:
    hard = evidence.allocations()
    return ecr_iterative_1(hard, evidence.start_of(hard))


def _ecr_iterative_2(evidence: Evidence) -> Solution:
    soft = evidence.responsibilities()
    hard = replace(evidence, soft=soft).allocations()
    return ecr_iterative_2(hard, soft, evidence.start_of(soft))


def _stephens(evidence: Evidence) -> Solution:
    soft = evidence.responsibilities()
    return stephens(soft, evidence.start_of(soft))


def _pra(evidence: Evidence) -> Solution:
    parameters = evidence.parameters
    return pra(parameters, parameters[evidence.pivot()])


def _data_based(evidence: Evidence) -> Solution:
    x, hard = evidence.observations(), evidence.allocations()
    return data_based(hard, x, evidence.start_of(hard))


def _none(evidence: Evidence) -> Solution:
    n_draws = len(evidence.dimensions[0].means)
    nothing = np.full(n_draws, np.nan)
    return Solution(identities(n_draws, evidence.n_components), nothing, nothing)


_SOLVERS: dict[Relabel, Callable[[Evidence], Solution]] = {
    Relabel.REFERENCE: _by_reference,
    Relabel.ORDERING: lambda evidence: order(evidence.dimensions[0].means),
    Relabel.ORDERING_WEIGHTS: lambda evidence: order(evidence.dimensions[0].weights),
    Relabel.ORDERING_SDS: lambda evidence: order(evidence.dimensions[0].sds),
    Relabel.ECR: _ecr,
    Relabel.ECR_ITERATIVE_1: _ecr_iterative_1,
    Relabel.ECR_ITERATIVE_2: _ecr_iterative_2,
    Relabel.STEPHENS: _stephens,
    Relabel.PRA: _pra,
    Relabel.DATA_BASED: _data_based,
    Relabel.NONE: _none,
}
_WITH_START = (Relabel.ECR_ITERATIVE_1, Relabel.ECR_ITERATIVE_2, Relabel.STEPHENS, Relabel.DATA_BASED)
_STARTS = tuple(method for method in _SOLVERS if method not in _WITH_START)
_OF_ANY_ORDER = (*_WITH_START, Relabel.ECR, Relabel.PRA)  # the objective leaves the places' own order open

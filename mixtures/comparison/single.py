"""One data set, fitted by several engines: one order of the components, agreement, and known groups."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mixtures.comparison.assignments import (
    AssignmentScores,
    adjusted_rand_index,
    error_after_best_mapping,
    score_assignments,
)
from mixtures.model.arrays import Array, Integers
from mixtures.model.data import UNLABELLED
from mixtures.model.fit import Fit, Parameters
from mixtures.model.labels import align
from mixtures.model.mixture import NormalMixture


@dataclass(frozen=True, slots=True, eq=False)
class KnownGroups:
    """Known groups of the observations and, where that is known too, the components they make up.

    Attributes
    ----------
    names : tuple of str
        Groups.
    labels : (n,) array of int
        Group of each observation, from 0; -1 where it is not known.
    component_names : tuple of str
        Groups of each component, joined by +; empty where groups are not the components.
    components : (n,) array of int or None
        Component that each observation's group makes up, from 0; -1 where it is not known.
    is_assumed : bool
        Whether groups are taken to be the components because there are as many, unsaid by the user.
    """

    names: tuple[str, ...]
    labels: Integers
    component_names: tuple[str, ...] = ()
    components: Integers | None = None
    is_assumed: bool = False

    @classmethod
    def of(
        cls,
        labels: Integers,
        names: tuple[str, ...],
        n_components: int,
        groups: Sequence[Sequence[str]] | None = None,
    ) -> KnownGroups:
        """Say which groups make up which component.

        Without `groups`, as many groups as components are taken to be the components, and any other
        number not to be: only a partition can then be compared.

        Parameters
        ----------
        labels : (n,) array of int
            Group of each observation, an index into `names`; -1 where it is not known.
        names : tuple of str
        n_components : int
        groups : sequence of sequences of str, optional
            Names of the groups that make up each component; a group in none of them is not scored.

        Raises
        ------
        ValueError
            If `groups` has another number of components, or names a group that is unknown or named
            before.
        """
        if groups is None and len(names) != n_components:
            return cls(names, labels)
        parts = [(name,) for name in names] if groups is None else [tuple(part) for part in groups]
        _check_groups(parts, names, n_components)
        component_of = np.full(len(names) + 1, UNLABELLED)  # the last entry is that of the label -1
        for j, part in enumerate(parts):
            component_of[[names.index(name) for name in part]] = j
        component_names = tuple("+".join(part) for part in parts)
        return cls(names, labels, component_names, component_of[labels], is_assumed=groups is None)


@dataclass(frozen=True, slots=True, eq=False)
class GroupScores:
    """Soft and hard assignments of one fit against known groups.

    Attributes
    ----------
    method : str
    n : int
        Number of observations whose group is known and scored.
    adjusted_rand_index : float
        Of groups and hard assignments.
    error_after_best_mapping : float or None
        Error rate where groups are not the components: the mapping is chosen on the labels, and
        flatters. None where they are.
    scores : AssignmentScores or None
        Where the groups make up the components.
    counts : (g, k) array of int
        Observations of each group by hard assignment.
    """

    method: str
    n: int
    adjusted_rand_index: float
    error_after_best_mapping: float | None
    scores: AssignmentScores | None
    counts: Integers


@dataclass(frozen=True, slots=True)
class Criteria:
    """Information criteria of a maximum: smaller is better."""

    aic: float
    bic: float


@dataclass(frozen=True, slots=True, eq=False)
class Spread:
    """Standard deviations (k, d) of the components, with standard errors and interval ends, or none."""

    estimate: Array
    standard_error: Array | None
    lower: Array | None
    upper: Array | None


def common_order(fits: Sequence[Fit], x: Array, known: KnownGroups | None = None) -> tuple[Integers, ...]:
    """Return, for each fit, the permutation that puts its components in an order common to all.

    The first fit with an estimate is ordered by its first means or, where known groups make up the
    components, aligned to the mixture that the labelled data themselves are, or, where a group has
    too few data for that, by the labels' own soft assignments. Every other fit is aligned to the
    first directly. A fit without an estimate keeps its order.

    Parameters
    ----------
    fits : sequence of Fit
    x : (n, d) array
        Observations.
    known : KnownGroups, optional
    """
    identity = [np.arange(fit.spec.n_components) for fit in fits]
    first = next((fit for fit in fits if fit.estimate is not None), None)
    if first is None or first.estimate is None:
        return tuple(identity)
    reference = first.estimate.permuted(_order_of(first, first.estimate, x, known))
    return tuple(
        own if fit.estimate is None else align(reference, fit.estimate).permutation
        for fit, own in zip(fits, identity, strict=True)
    )


def _order_of(fit: Fit, estimate: NormalMixture, x: Array, known: KnownGroups | None) -> Integers:
    if known is None or known.components is None:
        return np.argsort(estimate.means[:, 0], kind="stable")
    labelled = labelled_mixture(x, known.components, estimate.n_components)
    if labelled is not None:
        return align(labelled, estimate).permutation
    return _order_by_assignments(fit, known.components)


def _order_by_assignments(fit: Fit, components: Integers) -> Integers:
    """The order that gives labelled observations the most soft assignment to their own component."""
    from scipy.optimize import linear_sum_assignment

    if fit.responsibilities is None:
        return np.arange(fit.spec.n_components)
    soft = fit.responsibilities
    sums = np.array([soft[components == j].sum(axis=0) for j in range(soft.shape[1])])
    order: Integers = linear_sum_assignment(sums, maximize=True)[1]
    return order


def labelled_mixture(x: Array, components: Integers, k: int) -> NormalMixture | None:
    """Return the mixture of k labelled parts of data (n, d); None where one has too few data to vary."""
    d = x.shape[1]
    parts = [x[components == j] for j in range(k)]
    if any(len(part) <= d or np.linalg.matrix_rank(part - part.mean(axis=0)) < d for part in parts):
        return None
    counts = np.array([len(part) for part in parts])
    means = np.array([part.mean(axis=0) for part in parts])
    covariances = [np.cov(part, rowvar=False, bias=True).reshape(d, d) for part in parts]
    return NormalMixture(counts / counts.sum(), means, np.array(covariances))


def score_groups(fit: Fit, known: KnownGroups) -> GroupScores | None:
    """Score a fit, its components in the common order, against known groups; None without an estimate."""
    if fit.log_responsibilities is None:
        return None
    components = known.components
    is_known = known.labels >= 0 if components is None else components >= 0
    groups = known.labels if components is None else components
    hard = fit.log_responsibilities.argmax(axis=1)
    counts = np.zeros((len(known.names), fit.spec.n_components), dtype=np.int64)
    has_group = known.labels >= 0
    np.add.at(counts, (known.labels[has_group], hard[has_group]), 1)
    return GroupScores(
        method=fit.method,
        n=int(is_known.sum()),
        adjusted_rand_index=adjusted_rand_index(groups[is_known], hard[is_known]),
        error_after_best_mapping=(
            error_after_best_mapping(groups[is_known], hard[is_known]) if components is None else None
        ),
        scores=None if components is None else score_assignments(fit.log_responsibilities, components),
        counts=counts,
    )


def information_criteria(fit: Fit, x: Array) -> Criteria:
    """Akaike's and Schwarz's criteria at the estimate of a fit, -2 l + 2 p and -2 l + p log n."""
    n, d = x.shape
    p = fit.spec.n_parameters(d)
    return Criteria(-2 * fit.log_likelihood + 2 * p, -2 * fit.log_likelihood + p * math.log(n))


def spread(fit: Fit) -> Spread | None:
    """Return the components' standard deviations with their uncertainty; None without an estimate.

    The estimate and the interval are square roots of those of the variance. The standard error is
    that over the draws, or by the delta method where there are none.
    """
    if fit.estimate is None:
        return None
    sds = fit.estimate.sds
    if fit.intervals is None:
        return Spread(sds, None, None, None)
    error = fit.intervals.standard_errors.variances / (2 * sds)
    if fit.draws is not None:
        error = np.sqrt(fit.draws.variances).std(axis=(0, 1), ddof=1)
    lower, upper = _root(fit.intervals.lower), _root(fit.intervals.upper)
    return Spread(sds, error, lower, upper)


def _root(ends: Parameters) -> Array:
    root: Array = np.sqrt(np.maximum(ends.variances, 0))
    return root


def _check_groups(parts: Sequence[tuple[str, ...]], names: tuple[str, ...], k: int) -> None:
    if len(parts) != k:
        raise ValueError(f"groups must make up {k} components; got {len(parts)}")
    named = [name for part in parts for name in part]
    for name in named:
        if name not in names:
            raise ValueError(f"groups must be among {', '.join(names)}; got {name!r}")
        if named.count(name) > 1:
            raise ValueError(f"each group must be named once; got {name!r} {named.count(name)} times")

"""In which order components are put, from one mixture and the data alone: for a truth as for a draw."""

from __future__ import annotations

from enum import StrEnum

import numpy as np

from mixtures.model.arrays import Array, Integers, as_count
from mixtures.model.labels import align
from mixtures.model.mixture import NormalMixture


class LabelRule(StrEnum):
    """How the components of a mixture are put in order, given the data and nothing else.

    `ORDERING` sorts by means; `REFERENCE` assigns components to those of `reference_of` the data, by the
    rule of `mixtures.align`.
    """

    ORDERING = "ordering"
    REFERENCE = "reference"


def component_order(mixture: NormalMixture, reference: NormalMixture | None = None) -> Integers:
    """Order of a mixture's components, (k,): a reference's, or without one that of their first means."""
    if reference is None:
        return mixture.means[:, 0].argsort(kind="stable")
    return align(reference, mixture).permutation


def reference_by(label_rule: LabelRule | str, x: Array, n_components: int) -> NormalMixture | None:
    """Return the reference that a rule assigns components to, if it has one.

    Raises
    ------
    ValueError
        If there is no such rule, or no reference of these data.
    """
    if label_rule not in set(LabelRule):
        raise ValueError(f"label_rule must be one of {', '.join(LabelRule)}; got {label_rule!r}")
    return reference_of(x, n_components) if label_rule == LabelRule.REFERENCE else None


def reference_of(x: Array, n_components: int) -> NormalMixture:
    """Mixture that univariate data alone determine, in the order of its means: their k-means.

    Sorted data are cut into the k groups of least sum of squares, exactly. Components have the means and
    shares of the groups, and one variance for all, that within them.

    Parameters
    ----------
    x : (n, 1) array
        Observations, in any order.
    n_components : int

    Raises
    ------
    ValueError
        If there are not more distinct observations than components.
    """
    k, values = as_count("n_components", n_components), np.sort(x[:, 0])
    n_distinct = len(np.unique(values))
    if n_distinct <= k:
        raise ValueError(
            f"x must have more than {k} distinct values for a reference of {k} components; got {n_distinct}"
        )
    groups = np.split(values, _cuts(values, k))
    within = sum(((group - group.mean()) ** 2).sum() for group in groups) / len(values)
    shares, means = [len(group) / len(values) for group in groups], [group.mean() for group in groups]
    return NormalMixture.univariate(shares, means, np.full(k, within))


def _cuts(values: Array, k: int) -> list[int]:
    """Places at which sorted values (n,) are cut into k groups of least sum of squares (Fisher 1958)."""
    n = len(values)
    starts = np.zeros((k, n + 1), dtype=np.int64)  # of the last of j + 1 groups that hold the first m values
    costs = np.full((k, n + 1), np.inf)
    for m in range(1, n + 1):
        from_last = values[m - 1 :: -1] - values[m - 1]  # so that values far away cost a group no digits
        within = np.square(from_last).cumsum() - from_last.cumsum() ** 2 / np.arange(1, m + 1)
        costs[0, m], within = within[-1], within[::-1]
        for j in range(1, min(k, m)):
            totals = costs[j - 1, j:m] + within[j:]
            starts[j, m], costs[j, m] = j + totals.argmin(), totals.min()
    cuts = [n]
    for j in range(k - 1, 0, -1):
        cuts.append(int(starts[j, cuts[-1]]))
    return cuts[:0:-1]

"""Fits of one data file as one value: what the command line prints, and what the files hold."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from mixtures.comparison.doubt import Doubt
from mixtures.comparison.recovery import Agreement, agree
from mixtures.comparison.single import GroupScores, KnownGroups, common_order, score_groups
from mixtures.em.approximation import normal_draws
from mixtures.em.details import EMDetails
from mixtures.model.arrays import Array, Integers
from mixtures.model.files import DataFile
from mixtures.model.fit import Draws, Fit
from mixtures.model.spec import MixtureSpec

if TYPE_CHECKING:
    from mixtures.bayes.diagnostics import Diagnostics
    from mixtures.bayes.posterior import Posterior

_N_DRAWS = 1000  # of a normal approximation
_MOST_RESPONSIBILITIES = 20_000_000  # that the doubt of one fit is made of: about a second's work
_FEWEST_DRAWS = 100  # of a chain, however many observations
_NAME = re.compile(r"(\w+?)s\[(\d+)\]")  # weights[0] and the like


@dataclass(frozen=True, slots=True)
class DiagnosticRow:
    """Convergence diagnostics of one quantity."""

    name: str
    rhat: float
    ess_bulk: float
    ess_tail: float
    mcse: float


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class DataFit:
    """Fits of one data file, their components in one order.

    Attributes
    ----------
    source : str
        Name of the data file.
    data : DataFile
    label_column : str or None
        Column of the known groups.
    spec : MixtureSpec
    fits : tuple of Fit
        One for each engine.
    orders : tuple of (k,) array of int
        The permutation that put each fit's components in the common order; `details` of a fit are
        in the engine's own.
    agreement : Agreement or None
        Of the first two fits, where both have an estimate.
    known : KnownGroups or None
    scores : tuple of GroupScores
        One for each fit with an estimate, where groups are known.
    doubts : tuple of (Doubt or None)
        One for each fit: of univariate data, over posterior draws, or over the resamples of a bootstrap,
        or, for a maximum of the likelihood without either, over draws from the normal approximation.
    seed : int
    command : str
        What computes all this again.
    """

    source: str
    data: DataFile
    label_column: str | None
    spec: MixtureSpec
    fits: tuple[Fit, ...]
    orders: tuple[Integers, ...]
    agreement: Agreement | None
    known: KnownGroups | None
    scores: tuple[GroupScores, ...]
    doubts: tuple[Doubt | None, ...]
    seed: int
    command: str

    @classmethod
    def of(
        cls,
        source: str,
        data: DataFile,
        fits: Sequence[Fit],
        *,
        seed: int,
        command: str,
        label_column: str | None = None,
        groups: Sequence[Sequence[str]] | None = None,
    ) -> Self:
        """Put the components of all fits in one order, and score the fits where groups are known.

        Parameters
        ----------
        source : str
            Name of the data file.
        data : DataFile
            As read, with its groups where there is a label column.
        fits : sequence of Fit
            One for each engine, at least one; all of one spec.
        seed : int
        command : str
            What computes all this again.
        label_column : str, optional
            Column that the groups come from.
        groups : sequence of sequences of str, optional
            Names of the groups that make up each component (see `KnownGroups.of`).

        Raises
        ------
        ValueError
            If `groups` do not suit the data or the spec.
        """
        spec, known = fits[0].spec, None
        if data.groups and data.dataset.labels is not None:
            known = KnownGroups.of(data.dataset.labels, data.groups, spec.n_components, groups)
        orders = common_order(fits, data.dataset.x, known)
        ordered = tuple(fit.permuted(order) for fit, order in zip(fits, orders, strict=True))
        estimated = [fit for fit in ordered if fit.estimate is not None]
        scores = () if known is None else tuple(score_groups(fit, known) for fit in estimated)
        return cls(
            source=source,
            data=data,
            label_column=label_column,
            spec=spec,
            fits=ordered,
            orders=orders,
            agreement=agree(*estimated[:2]) if len(estimated) > 1 else None,
            known=known,
            scores=tuple(score for score in scores if score is not None),
            doubts=tuple(_doubt(*pair, data.dataset.x, seed) for pair in zip(ordered, orders, strict=True)),
            seed=seed,
            command=command,
        )


def _doubt(fit: Fit, order: Integers, x: Array, seed: int) -> Doubt | None:
    """Split the doubt about univariate observations, where the fit says how uncertain its parameters are."""
    if x.shape[1] > 1 or fit.spec.n_components == 1:
        return None
    draws = _draws_of(fit, order, x, seed)
    if draws is None:
        return None
    most = _MOST_RESPONSIBILITIES // (len(x) * draws.weights.shape[0] * fit.spec.n_components)
    return Doubt.at(_thinned(draws, max(most, _FEWEST_DRAWS)), x)


def _draws_of(fit: Fit, order: Integers, x: Array, seed: int) -> Draws | None:
    """Draws of the parameters, in the common order of the components."""
    details = em_details(fit)
    if fit.draws is not None or details is None or fit.estimate is None:
        return fit.draws
    if details.bootstrap is not None and fit.intervals is not None:
        found = details.bootstrap
        return Draws(found.weights[None], found.means[None], found.covariances[None, ..., 0]).permuted(order)
    try:
        rng = np.random.default_rng(seed)
        return normal_draws(fit.estimate, x, fit.spec.covariance, n_draws=_N_DRAWS, rng=rng)
    except ValueError:  # no certified maximum
        return None


def _thinned(draws: Draws, most: int) -> Draws:
    """At most so many draws of each chain, evenly spaced."""
    n_draws = draws.weights.shape[1]
    kept = np.linspace(0, n_draws - 1, min(n_draws, most)).round().astype(np.int64)
    return Draws(draws.weights[:, kept], draws.means[:, kept], draws.variances[:, kept])


def em_details(fit: Fit) -> EMDetails | None:
    """EM's own account of a fit, if EM made it."""
    return fit.details if isinstance(fit.details, EMDetails) else None


def posterior_of(fit: Fit) -> Posterior | None:
    """The posterior behind a fit, if there is one; draws of the engine's own order of components."""
    if fit.draws is None:
        return None
    from mixtures.bayes.posterior import Posterior

    return fit.details if isinstance(fit.details, Posterior) else None


def invariant_rows(posterior: Posterior) -> list[DiagnosticRow]:
    """Diagnostics of the quantities that decide whether a posterior passes."""
    return _rows(posterior.invariants, list(posterior.invariants.names))


def parameter_rows(posterior: Posterior, order: Integers) -> list[DiagnosticRow]:
    """Diagnostics of the relabelled parameters, their components in the common order, from 1."""
    place = {int(component): j + 1 for j, component in enumerate(order)}
    names = [
        _NAME.sub(lambda match: f"{match[1]} {place[int(match[2])]}", name)
        for name in posterior.parameters.names
    ]
    kinds = list(dict.fromkeys(name.split()[0] for name in names))
    return sorted(
        _rows(posterior.parameters, names), key=lambda row: (kinds.index(row.name.split()[0]), row.name)
    )


def _rows(diagnostics: Diagnostics, names: list[str]) -> list[DiagnosticRow]:
    columns = (diagnostics.rhat, diagnostics.ess_bulk, diagnostics.ess_tail, diagnostics.mcse)
    return [DiagnosticRow(name, *map(float, values)) for name, *values in zip(names, *columns, strict=True)]

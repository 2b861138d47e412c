"""Mixtures of normals, fitted by maximum likelihood and as a posterior, and held against the truth."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mixtures.bayes.datatree import relabel_datatree as relabel_datatree
    from mixtures.bayes.fitter import NUTS as NUTS
    from mixtures.bayes.relabel import relabel as relabel
    from mixtures.comparison.coclustering import co_clustering as co_clustering
    from mixtures.comparison.coclustering import co_clustering_of as co_clustering_of
    from mixtures.comparison.doubt import Doubt as Doubt
    from mixtures.comparison.recovery import compare as compare
    from mixtures.comparison.table import measure_performance as measure_performance
    from mixtures.em.fitter import EM as EM
    from mixtures.model.data import Dataset as Dataset
    from mixtures.model.data import simulate as simulate
    from mixtures.model.density import log_likelihood as log_likelihood
    from mixtures.model.density import responsibilities as responsibilities
    from mixtures.model.fit import Draws as Draws
    from mixtures.model.fit import Fit as Fit
    from mixtures.model.labels import align as align
    from mixtures.model.mixture import NormalMixture as NormalMixture
    from mixtures.model.prior import Prior as Prior
    from mixtures.model.spec import MixtureSpec as MixtureSpec
    from mixtures.study.design import Study as Study
    from mixtures.study.runner import run as run

__version__ = "0.1.0"

_HOMES = {
    "NormalMixture": "model.mixture",
    "MixtureSpec": "model.spec",
    "Prior": "model.prior",
    "Dataset": "model.data",
    "simulate": "model.data",
    "log_likelihood": "model.density",
    "responsibilities": "model.density",
    "align": "model.labels",
    "Draws": "model.fit",
    "Fit": "model.fit",
    "EM": "em.fitter",
    "NUTS": "bayes.fitter",
    "relabel": "bayes.relabel",
    "relabel_datatree": "bayes.datatree",
    "compare": "comparison.recovery",
    "Doubt": "comparison.doubt",
    "co_clustering": "comparison.coclustering",
    "co_clustering_of": "comparison.coclustering",
    "measure_performance": "comparison.table",
    "Study": "study.design",
    "run": "study.runner",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> object:
    """Load a public name when it is first asked for, so that importing the package stays light."""
    if name not in _HOMES:
        raise AttributeError(f"module 'mixtures' has no attribute {name!r}")
    value = getattr(import_module(f"mixtures.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})

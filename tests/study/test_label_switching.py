"""A study file can hold priors, ordered and exchangeable, and methods of relabelling against each other."""

import pytest

from mixtures.bayes.relabel import Relabel
from mixtures.study.methods import build
from mixtures.study.runner import run
from study.designs import PRIOR, design, grid, truth

SHORT = {"engine": "nuts", "n_draws": 150, "max_draws": 150}
METHODS = [
    {"name": "exchangeable", **SHORT, "prior": PRIOR["prior"], "relabel": "stephens"},
    {"name": "ordered", **SHORT, "prior": PRIOR["prior"] | {"ordered": True}},
]


@pytest.mark.parametrize("method", Relabel)
def test_every_method_of_relabelling_has_a_name_for_study_files(method):
    study = design(method=[METHODS[0] | {"relabel": method.value}])
    assert build(study.method[0]).relabel == method


@pytest.mark.slow
def test_an_ordered_prior_beside_an_exchangeable_one(tmp_path):
    """On the same data, in the same rows; with components five sds apart the posteriors are one."""
    study = design(grid=grid(truth(), n=[100]), method=METHODS, replicates=1)
    engines = {method.name: build(method) for method in study.method}
    assert engines["exchangeable"].prior.is_exchangeable
    assert engines["ordered"].prior.ordered
    store = run(study, tmp_path, n_workers=1)
    names = {method.key: method.name for method in study.method}
    rows = store.read("parameters").assign(method=lambda frame: frame["method"].map(names))
    keys = ["parameter", "component"]
    one, other = (rows[rows["method"] == name].set_index(keys).sort_index() for name in names.values())
    assert len(one) == len(other) == 6
    # 600 draws each: half a posterior sd is several Monte Carlo errors.
    differences = (one["estimate"] - other["estimate"]).abs() / one["standard_error"]
    assert (differences < 0.5).all()
    assert len(store.read("pairs")) == 1

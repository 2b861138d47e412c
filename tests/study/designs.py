"""Study files for the tests, as plain tables that each test may change."""

import copy

import tomli_w

from mixtures.study.design import Study

_BASE = {
    "name": "trial",
    "title": "A trial",
    "aims": "To try.",
    "seed": 11,
    "replicates": 4,
    "components": 2,
    "grid": {
        "n": [40],
        "truth": [{"name": "apart", "weights": [0.7, 0.3], "means": [0.0, 5.0], "variances": [1.0, 1.0]}],
    },
    "method": [{"name": "A", "engine": "halves"}],
}
CLOSE = {"name": "close", "weights": [0.5, 0.5], "means": [0.0, 3.0], "variances": [1.0, 2.0]}
PRIOR = {
    "name": "drawn",
    "prior": {"weights": {"dirichlet": 5}, "means": {"normal": [0, 3]}, "sds": {"log_normal": [0, 0.3]}},
}
CLAIM = {
    "id": "means",
    "text": "The means are recovered.",
    "measure": "bias",
    "parameter": "means",
    "method": "A",
    "between": [-0.5, 0.5],
}


def entries(**changes):
    """Return the tables of a valid study file, some of them changed, None meaning absent."""
    tables = copy.deepcopy(_BASE) | changes
    return {key: value for key, value in tables.items() if value is not None}


def text(**changes):
    """Return a study file as text."""
    return tomli_w.dumps(entries(**changes))


def design(**changes):
    """Return a study."""
    return Study.from_toml(text(**changes), "trial.toml")


def grid(*truths, n=(40,)):
    """Return a grid of the truths given, by default the one that is far apart."""
    return {"n": list(n), "truth": [*truths] or copy.deepcopy(_BASE["grid"]["truth"])}


def truth(**changes):
    """Return a true mixture, some of it changed, None meaning absent."""
    tables = copy.deepcopy(_BASE["grid"]["truth"][0]) | changes
    return {key: value for key, value in tables.items() if value is not None}


def claim(**changes):
    """Return a claim, some of it changed, None meaning absent."""
    return {key: value for key, value in (CLAIM | changes).items() if value is not None}

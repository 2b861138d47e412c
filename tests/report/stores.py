"""Results folders made by hand: fits are the truth and noise, so that no engine has to run."""

from itertools import combinations

import numpy as np

from mixtures.model.density import log_likelihood, log_responsibilities
from mixtures.model.fit import Diagnostic, Fit, Intervals, Parameters, Status
from mixtures.model.mixture import NormalMixture
from mixtures.study.design import Study
from mixtures.study.parts import Part
from mixtures.study.replicate import Attempt, generate, record, record_oracle, record_pair
from mixtures.study.rows import Rows
from mixtures.study.store import Store

TWO = """
name = "two"
title = "Two normals & <b>one</b> report"
aims = "To see what a report says."
seed = 5
replicates = 8
until = { measure = "bias", parameter = "means", mcse = 0.001, least = 3, batch = 3 }
components = 2

[grid]
n = [60]

[[grid.truth]]
name = "apart"
weights = [0.6, 0.4]
means = [0.0, 4.0]
variances = [1.0, 1.0]

[[grid.truth]]
name = "close <i>"
weights = [0.5, 0.5]
means = [0.0, 2.0]
variances = [1.0, 1.5]

[[method]]
name = "EM"
engine = "em"

[[method]]
name = "NUTS"
engine = "nuts"
replicates = 4

[[claim]]
id = "means"
text = "The means are recovered within 5 & more."
measure = "bias"
parameter = "means"
method = "EM"
truth = ["apart"]
below = 5.0

[[claim]]
id = "agree"
text = "The engines differ by more than a half."
measure = "soft_assignment_distance"
method = "NUTS"
versus = "EM"
above = 0.5

[[claim]]
id = "unsure"
text = "Coverage is at least 0.9."
measure = "coverage"
parameter = "weights"
method = "NUTS"
above = 0.9
"""

PRIOR = """
name = "drawn"
title = "Five normals from a prior"
aims = "Truths differ."
seed = 3
replicates = 3
components = 5

[grid]
n = [80]

[[grid.truth]]
name = "prior"
[grid.truth.prior]
weights = { dirichlet = 5 }
means = { normal = [0, 5] }
sds = { log_normal = [0, 0.3] }

[[method]]
name = "only"
engine = "em"
"""

PLANE = """
name = "plane"
title = "Two dimensions"
aims = "Axes."
seed = 3
replicates = 3
components = 2

[grid]
n = [50]

[[grid.truth]]
name = "plane"
weights = [0.5, 0.5]
means = [[0.0, 0.0], [3.0, 3.0]]
covariances = [[[1.0, 0.3], [0.3, 1.0]], [[1.0, 0.0], [0.0, 2.0]]]

[[method]]
name = "EM"
engine = "em"

[[method]]
name = "EM 2"
engine = "em"
n_starts = 2
"""


def make_store(folder, text, fit=None):
    """Fill a results folder with fits that `fit(replicate, method, rng)` makes; by default noisy truths."""
    store, study, fit = Store.prepare(folder, text), Study.from_toml(text), fit or noisy_fit
    rows = Rows.empty()
    for condition in study.conditions:
        for index in range(study.replicates):
            replicate = generate(study.seed, condition, index)
            fits = {}
            for i, method in enumerate(study.method):
                if index < study.replicates_of(method):
                    fits[method] = fit(
                        replicate, method, np.random.default_rng([int(condition.key, 16), index, i])
                    )
                    record(rows, method.key, replicate, Attempt(fits[method], 0.5 + i + index / 10))
            for first, second in combinations(fits, 2):
                record_pair(rows, (first.key, second.key), replicate, (fits[first], fits[second]))
            record_oracle(rows, replicate)
    store.write(Part.of(rows))
    return store


def noisy_fit(replicate, method, rng):
    """A fit near the truth, with intervals where the method is NUTS."""
    truth, x = replicate.truth, replicate.dataset.x
    weights = truth.weights * rng.uniform(0.9, 1.1, truth.n_components)
    means = truth.means + rng.normal(0, 0.1, truth.means.shape)
    estimate = NormalMixture(
        weights / weights.sum(), means, truth.covariances * rng.uniform(0.9, 1.1, (truth.n_components, 1, 1))
    )
    return Fit(
        method.name,
        replicate.condition.spec,
        Status.NOT_CONVERGED if replicate.index == 3 else Status.CONVERGED,
        estimate=estimate,
        log_responsibilities=log_responsibilities(estimate, x),
        log_likelihood=log_likelihood(estimate, x),
        message="stopped <early>" if replicate.index == 3 else "",
        intervals=intervals_about(estimate, 0.3) if method.engine == "nuts" else None,
        diagnostics=(Diagnostic("rhat", 1 + replicate.index / 1000),) if method.engine == "nuts" else (),
    )


def failed_fit(replicate, method, rng):
    """A fit without an estimate."""
    return Fit(method.name, replicate.condition.spec, Status.DEGENERATE, message="all starts collapsed")


def intervals_about(estimate, half):
    """Intervals of one half-width about an estimate."""
    parts = (estimate.weights, estimate.means, estimate.variances)
    lower, upper = (Parameters(*(part + sign * half for part in parts)) for sign in (-1, 1))
    errors = Parameters(*(np.full_like(part, half / 2) for part in parts))
    return Intervals(0.95, errors, lower, upper)

"""Two components' posterior by summing over all 2^n allocations: exact, up to quadrature in one dimension."""

import itertools
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln, logsumexp
from scipy.stats import invgamma, norm

N_NODES = 801
REACH = 12.0  # of the grid of log sds, in prior standard deviations or so either way


@dataclass
class Enumeration:
    """Allocation probabilities of observations (n,) to two components.

    allocations: (2^n, n), 1 where an observation is in the first component; probabilities: (2^n,).
    """

    allocations: np.ndarray
    probabilities: np.ndarray
    log_evidence: float

    @classmethod
    def of(cls, x, prior):
        first = np.array(list(itertools.product([1, 0], repeat=len(x))))
        counts = np.stack([first.sum(axis=1), (1 - first).sum(axis=1)], axis=1)
        a = np.broadcast_to(prior.weights.concentration, 2)
        log_joint = (
            (gammaln(counts + a) - gammaln(a)).sum(axis=1) + gammaln(a.sum()) - gammaln(a.sum() + len(x))
        )
        log_joint += log_marginal_likelihoods(first, x, prior, 0)
        log_joint += log_marginal_likelihoods(1 - first, x, prior, 1)
        total = logsumexp(log_joint)
        return cls(first, np.exp(log_joint - total), total)

    def responsibilities(self):
        """P(z_i = first component | x), (n,)."""
        return self.probabilities @ self.allocations

    def co_clustering(self):
        """P(z_i = z_l | x), (n, n)."""
        signs = 2 * self.allocations - 1  # the product of two is 1 where they agree, else -1
        return (1 + signs.T @ (self.probabilities[:, None] * signs)) / 2


def log_marginal_likelihoods(subsets, x, prior, j):
    """Log marginal likelihood of each subset (rows of 0 and 1) of x as a sample of component j alone.

    Given the sd the mean is integrated out in closed form, from the subset's count, mean and sum of
    squares; over log sd by the trapezoid rule, which converges exponentially for smooth integrands
    that vanish at both ends.
    """
    n = subsets.sum(axis=1)[:, None]
    mean = (subsets @ x)[:, None] / np.maximum(n, 1)
    within = (subsets * (x - mean) ** 2).sum(axis=1)[:, None]
    location, scale = (np.broadcast_to(v, 2)[j] for v in (prior.means.location, prior.means.scale))
    log_sds, log_prior = quadrature(prior.sds, j)
    v = np.exp(2 * log_sds)
    log_terms = -0.5 * n * np.log(2 * np.pi * v) - within / (2 * v) - 0.5 * np.log1p(n * scale**2 / v)
    log_terms -= 0.5 * n * (mean - location) ** 2 / (v + n * scale**2)
    return logsumexp(log_terms + log_prior, axis=1)


def quadrature(sds, j):
    """Nodes in log sd, and the log of their weights times the prior density of log sd."""
    if type(sds).__name__ == "LogNormal":
        centre, spread = (np.broadcast_to(v, 2)[j] for v in (sds.location, sds.scale))
        nodes = centre + spread * np.linspace(-REACH, REACH, N_NODES)
        log_density = norm.logpdf(nodes, centre, spread)
    else:
        shape, scale = (np.broadcast_to(v, 2)[j] for v in (sds.shape, sds.scale))
        nodes = 0.5 * np.log(scale / shape) + np.linspace(-3, 9, N_NODES)
        log_density = invgamma.logpdf(np.exp(2 * nodes), shape, scale=scale) + np.log(2) + 2 * nodes
    return nodes, log_density + np.log(nodes[1] - nodes[0])

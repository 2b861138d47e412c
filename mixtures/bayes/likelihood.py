"""The log-likelihood of a univariate mixture as PyTensor Ops over one compiled pass over the data.

A model uses `log_density`, which has one value an observation, as PyMC expects of a distribution;
predictions, pointwise log-likelihoods and cross-validation therefore work as for any other. Wherever
a graph sums it, as a log posterior does, a rewrite puts `MixtureLogLikelihood` in its place: one pass
over the data for the total and its gradient together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import DisconnectedType, grad, pullback
from pytensor.graph.op import Op
from pytensor.graph.rewriting.basic import node_rewriter
from pytensor.link.numba.dispatch.basic import register_funcify_and_cache_key
from pytensor.tensor.math import Sum
from pytensor.tensor.rewriting.basic import register_canonicalize

from mixtures.model.arrays import Array
from mixtures.model.compiled import SOURCE_HASH, compiled
from mixtures.model.kernel import univariate_moments

__all__ = ["MixtureLogDensity", "MixtureLogLikelihood", "log_density"]

#: A variable of PyTensor's, or a node of its graphs.
type Variable = Any

_HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)


@compiled
def _log_likelihood(
    x: Array, log_weights: Array, means: Array, sds: Array
) -> tuple[Array, Array, Array, Array]:
    """Total log-likelihood, and its derivatives with respect to log weights, means and sds."""
    sums = np.empty((3, len(means)))
    total = univariate_moments(
        np.ascontiguousarray(x),
        np.ascontiguousarray(log_weights),
        np.ascontiguousarray(means),
        np.ascontiguousarray(sds),
        sums,
    )
    return np.asarray(total), sums[0], sums[1] / sds, (sums[2] - sums[0]) / sds


@compiled
def _log_densities(x: Array, log_weights: Array, means: Array, sds: Array) -> Array:
    """Log density at each observation, which the pass does not keep."""
    constants = log_weights - np.log(sds) - _HALF_LOG_TWO_PI
    exponents, values = np.empty_like(constants), np.empty(len(x))
    for i in range(len(x)):
        for j in range(len(means)):
            exponents[j] = constants[j] - 0.5 * ((x[i] - means[j]) / sds[j]) ** 2
        top, scale = exponents.max(), 0.0
        for exponent in exponents:
            scale += math.exp(exponent - top)
        values[i] = top + math.log(scale)
    return values


class MixtureLogDensity(Op):
    """Log density of a mixture of normals at each observation, (n,).

    Inputs are observations (n,), log weights (k,), means (k,) and standard deviations (k,).
    """

    __props__ = ()
    itypes = (pt.dvector,) * 4
    otypes = (pt.dvector,)
    gufunc_signature = "(n),(k),(k),(k)->(n)"

    def perform(self, _: Variable, inputs: Sequence[Array], output_storage: list[list[Any]]) -> None:
        """Compute the log densities."""
        output_storage[0][0] = _log_densities(*inputs)

    def pullback(
        self, inputs: Sequence[Variable], _: Sequence[Variable], cotangents: Sequence[Variable]
    ) -> list[Variable]:
        """Differentiate the definition: only the sum over observations has a pass of its own."""
        return _pullback(_definition(*inputs), inputs, cotangents[0])


class MixtureLogLikelihood(Op):
    """Total log-likelihood of a mixture of normals, and its gradient.

    Inputs are those of `MixtureLogDensity`; outputs are the total and its partial derivatives with
    respect to log weights, means and standard deviations, each (k,). Weights are taken as free: the
    derivative by the log of one is the expected number of observations from its component.
    """

    __props__ = ()
    itypes = (pt.dvector,) * 4
    otypes = (pt.dscalar, pt.dvector, pt.dvector, pt.dvector)
    gufunc_signature = "(n),(k),(k),(k)->(),(k),(k),(k)"

    def perform(self, _: Variable, inputs: Sequence[Array], output_storage: list[list[Any]]) -> None:
        """Compute the total and its gradient."""
        for storage, value in zip(output_storage, _log_likelihood(*inputs), strict=True):
            storage[0] = value

    def pullback(
        self, inputs: Sequence[Variable], outputs: Sequence[Variable], cotangents: Sequence[Variable]
    ) -> list[Variable]:
        """Use the gradient, which is there; second derivatives are those of the definition."""
        slopes: Variable = grad(_definition(*inputs).sum(), list(inputs))
        of_total, *of_slopes = cotangents
        terms = (
            [] if _is_disconnected(of_total) else [[of_total * slope for slope in (slopes[0], *outputs[1:])]]
        )
        terms += [
            _pullback(slope, inputs, cotangent)
            for slope, cotangent in zip(slopes[1:], of_slopes, strict=True)
            if not _is_disconnected(cotangent)
        ]
        return [reduce(add, parts) for parts in zip(*terms, strict=True)]


def log_density(x: Variable, weights: Variable, means: Variable, sds: Variable) -> Variable:
    """Log density of a mixture of normals at each observation, as a graph; arguments (n,) and (k,)."""
    return MixtureLogDensity()(x, pt.log(weights), means, sds)


def _definition(x: Variable, log_weights: Variable, means: Variable, sds: Variable) -> Variable:
    """Log density at each observation in PyTensor's own operations, (n,)."""
    z = (x[:, None] - means) / sds
    joint = log_weights - pt.log(sds) - _HALF_LOG_TWO_PI - 0.5 * z**2
    return pt.logsumexp(joint, axis=1)  # type: ignore[attr-defined, no-untyped-call]


def _pullback(value: Variable, inputs: Sequence[Variable], cotangent: Variable) -> list[Variable]:
    return pullback(value, list(inputs), cotangent)  # type: ignore[return-value]


def _is_disconnected(cotangent: Variable) -> bool:
    return isinstance(cotangent.type, DisconnectedType)


# PyMC and nutpie canonicalise a graph before they differentiate it.
@register_canonicalize
@node_rewriter([Sum])  # type: ignore[untyped-decorator]
def _sum_of_log_densities(_: Variable, node: Variable) -> list[Variable] | None:
    """Replace the sum of the log densities by the log-likelihood."""
    summed = node.inputs[0].owner
    if summed is None or not isinstance(summed.op, MixtureLogDensity):
        return None
    outputs: Variable = MixtureLogLikelihood()(*summed.inputs)
    return [outputs[0]]


# PyTensor keeps machine code on disk under a key, by default the name of the Op: it would outlive its source.


@register_funcify_and_cache_key(MixtureLogDensity)  # type: ignore[no-untyped-call, untyped-decorator]
def _compile_log_density(_: Op, **__: Any) -> tuple[Variable, str]:
    return _log_densities, f"MixtureLogDensity {SOURCE_HASH}"


@register_funcify_and_cache_key(MixtureLogLikelihood)  # type: ignore[no-untyped-call, untyped-decorator]
def _compile_log_likelihood(_: Op, **__: Any) -> tuple[Variable, str]:
    return _log_likelihood, f"MixtureLogLikelihood {SOURCE_HASH}"

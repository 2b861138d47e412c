"""Weights as a function of unconstrained variables, in fewer operations than PyMC's."""

from __future__ import annotations

from typing import Any

import pytensor.tensor
from pymc.logprob.transforms import SimplexTransform

pt: Any = pytensor.tensor  # most of its functions are not typed

#: A variable of PyTensor's.
type Variable = Any


class Simplex(SimplexTransform):  # type: ignore[misc]  # PyMC ships no types
    """PyMC's simplex transform, the same map: weights are the softmax of k numbers that sum to 0.

    PyMC's own graph of it, differentiated, takes a fifth of the time of a gradient at n = 500.
    """

    def backward(self, value: Variable, *_: Variable) -> Variable:
        """Weights (..., k) at the first k - 1 of the numbers."""
        return pt.special.softmax(_all_numbers(value), axis=-1)

    def log_jac_det(self, value: Variable, *_: Variable) -> Variable:
        """Log of k w_1 ... w_k."""
        log_weights = pt.special.log_softmax(_all_numbers(value), axis=-1)
        return pt.log(log_weights.shape[-1]) + log_weights.sum(axis=-1)


def _all_numbers(value: Variable) -> Variable:
    return pt.concatenate([value, -value.sum(axis=-1, keepdims=True)], axis=-1)

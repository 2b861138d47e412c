"""Exponentials and logarithms that a loop over observations can be vectorised with: no calls, no branches."""

from __future__ import annotations

import numpy as np

from mixtures.model.compiled import compiled

# log 2 as a sum of two: the first has so few digits that its product with an exponent is exact.
_LOG2_HIGH = float.fromhex("0x1.62e42fef00000p-1")
_LOG2_LOW = float.fromhex("0x1.473de6af278edp-34")
_ROUNDING = 1.5 * 2.0**52  # adding it rounds to a whole number, in the low bits of the sum
#: Larger powers are cut: products of a block's sums must not overflow, 2^-1010 is nothing next to 1, and
#: shares of it must stay normal numbers, since others are far slower.
LARGEST_POWER = 1010.0
# 2^r = 1 + r (E1 + E2 r + ...), Chebyshev interpolation on |r| <= 1/2: relative error 9e-18.
_E1 = float.fromhex("0x1.62e42fefa39efp-1")
_E2 = float.fromhex("0x1.ebfbdff82c598p-3")
_E3 = float.fromhex("0x1.c6b08d704a0c2p-5")
_E4 = float.fromhex("0x1.3b2ab6fba1ddap-7")
_E5 = float.fromhex("0x1.5d87fe78a5276p-10")
_E6 = float.fromhex("0x1.430913096fd9fp-13")
_E7 = float.fromhex("0x1.ffcbfc670dcd4p-17")
_E8 = float.fromhex("0x1.62bfd47773353p-20")
_E9 = float.fromhex("0x1.b524fae627834p-24")
_E10 = float.fromhex("0x1.e6063f7217bc6p-28")
_E11 = float.fromhex("0x1.e9d3fe3952179p-32")
# 2 atanh(s) = 2 s + s^3 (L0 + L1 s^2 + ...), likewise on s <= (sqrt 2 - 1) / (sqrt 2 + 1): error 1e-17.
_L0 = float.fromhex("0x1.5555555555558p-1")
_L1 = float.fromhex("0x1.9999999995204p-2")
_L2 = float.fromhex("0x1.2492492e09d4dp-2")
_L3 = float.fromhex("0x1.c71c62c639fdep-3")
_L4 = float.fromhex("0x1.7462bd8f7796ep-3")
_L5 = float.fromhex("0x1.39fd392179a95p-3")
_L6 = float.fromhex("0x1.2b6688a387e03p-3")
_MANTISSA = np.int64(52)
_HALF_ROOT = 0x3FE6A09E667F3BCD  # the bits of sqrt(1/2)


@compiled
def power_of_two(y: float) -> float:
    """2^y for y <= 1010, to 2 units in the last place; 2^-1010 below -1010."""
    y = max(y, -LARGEST_POWER)
    shifted = y + _ROUNDING
    r = y - (shifted - _ROUNDING)
    r2 = r * r
    r4 = r2 * r2
    low = (_E1 + _E2 * r) + (_E3 + _E4 * r) * r2
    high = ((_E5 + _E6 * r) + (_E7 + _E8 * r) * r2) + ((_E9 + _E10 * r) + _E11 * r2) * r4
    mantissa = 1.0 + r * (low + high * r4)
    scale = np.float64(shifted).view(np.int64) << _MANTISSA
    return np.int64(np.float64(mantissa).view(np.int64) + scale).view(np.float64)


@compiled
def log_of_sum(s: float) -> float:
    """log(s) for a normal number s >= 1, to 2 units in the last place of log 2."""
    bits = np.float64(s).view(np.int64)
    exponent = (bits - _HALF_ROOT) >> _MANTISSA
    f = np.int64(bits - (exponent << _MANTISSA)).view(np.float64) - 1.0
    t = f / (2.0 + f)
    u = t * t
    u2 = u * u
    series = (_L0 + _L1 * u) + (_L2 + _L3 * u) * u2 + ((_L4 + _L5 * u) + _L6 * u2) * (u2 * u2)
    return exponent * _LOG2_HIGH + (2.0 * t + (t * u * series + exponent * _LOG2_LOW))

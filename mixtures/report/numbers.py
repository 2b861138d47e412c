"""How numbers are written: an estimate with its Monte Carlo error, to the digits that the error leaves."""

from __future__ import annotations

import math

from mixtures.comparison.performance import (
    Measure,
    Proportion,
    ProportionDifference,
    monte_carlo_interval,
)

MISSING = "–"
LEVEL = 0.95  # of the intervals that figures and proportions at 0 or 1 show
_MOST_DECIMALS = 6
_LARGEST = 1e6
_ROUNDING = 1e-12  # an error that is this small a share of the value is rounding


def estimate(measure: Measure) -> str:
    """Write an estimate as `value (MCSE)`, both to the second significant digit of the MCSE.

    Without an MCSE no value is shown. A proportion of 0 or 1, whose standard error says nothing,
    has its 95% Wilson interval instead, and a difference of two that never differed Tango's.
    """
    value, mcse = measure.value, measure.mcse
    if math.isinf(value):
        return _sign("∞" if value > 0 else "-∞")
    is_share = isinstance(measure, Proportion | ProportionDifference)
    if is_share and measure.n > 0 and not mcse > 0:
        return f"{number(value)} {interval(*monte_carlo_interval(measure, LEVEL))}"
    if math.isnan(value) or math.isnan(mcse):
        return MISSING
    if mcse <= _ROUNDING * abs(value):
        return f"{number(value)} (0)"
    if mcse < 10**-_MOST_DECIMALS or max(abs(value), mcse) >= _LARGEST:
        return _scientific(value, mcse)
    decimals = decimals_of(mcse)
    return _sign(f"{value:.{decimals}f} ({mcse:.{decimals}f})")


def interval(lower: float, upper: float) -> str:
    """Write an interval to digits that its width makes meaningful."""
    if not (math.isfinite(lower) and math.isfinite(upper)):
        return MISSING
    width = upper - lower
    if width == 0 or width < 10**-_MOST_DECIMALS or max(abs(lower), abs(upper)) >= _LARGEST:
        return _sign(f"[{lower:.4g}, {upper:.4g}]")
    decimals = decimals_of(width / 4)
    return _sign(f"[{lower:.{decimals}f}, {upper:.{decimals}f}]")


def region(low: float, high: float) -> str:
    """Write the region that a claim allows."""
    if math.isinf(low):
        return f"below {number(high)}"
    return f"above {number(low)}" if math.isinf(high) else f"{number(low)} to {number(high)}"


def number(value: float | None, digits: int = 6) -> str:
    """Write a number that is known, not estimated, without trailing zeros."""
    if value is None or math.isnan(value):
        return MISSING
    return _sign(f"{value:.{digits}g}") if math.isfinite(value) else _sign("∞" if value > 0 else "-∞")


def fixed(value: float | None, decimals: int) -> str:
    """Write a number with as many decimals as its column has."""
    if value is None or not math.isfinite(value):
        return number(value)
    return _sign(f"{value:.{decimals}f}")


def decimals_of(error: float) -> int:
    """Decimals that show two significant digits of an error."""
    if not (math.isfinite(error) and error > 0):
        return 3
    return min(max(1 - math.floor(math.log10(error)), 0), _MOST_DECIMALS + 2)


def _scientific(value: float, mcse: float) -> str:
    exponent = math.floor(math.log10(max(abs(value), mcse)))
    scale = 10.0**exponent
    decimals = decimals_of(mcse / scale)
    return _sign(f"{value / scale:.{decimals}f}e{exponent} ({mcse / scale:.{decimals}f}e{exponent})")


def _sign(text: str) -> str:
    """Set true minus signs."""
    return text.replace("-", "−")

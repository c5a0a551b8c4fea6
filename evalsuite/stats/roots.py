"""The zero of an increasing function."""

from __future__ import annotations

from collections.abc import Callable

_STEPS = 100
_PRECISION = 1e-9


def crossing(function: Callable[[float], float], low: float, high: float) -> float:
    """Return where `function`, which increases, is 0; `low` or `high` if it is not between them.

    The Illinois variant of the method of false position (Dowell & Jarratt, BIT 11 (1971) 168), with
    a bisection where that gives no point between the ends.
    """
    at_low, at_high = float(function(low)), float(function(high))
    if at_low >= 0:
        return low
    if at_high <= 0:
        return high
    side, point = 0, low
    for _ in range(_STEPS):
        secant = (low * at_high - high * at_low) / (at_high - at_low)
        point = secant if low < secant < high else (low + high) / 2
        value = float(function(point))
        if abs(value) < _PRECISION or high - low < _PRECISION:
            break
        if value < 0:
            low, at_low = point, value
            at_high /= 2 if side < 0 else 1
            side = -1
        else:
            high, at_high = point, value
            at_low /= 2 if side > 0 else 1
            side = 1
    return point

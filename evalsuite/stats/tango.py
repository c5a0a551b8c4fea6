"""Tango's score statistic for the difference of two paired proportions.

Tango, "Equivalence test and confidence interval for the difference in proportions for the
paired-sample design", Statistics in Medicine 17 (1998) 891-908. Where few pairs differ, an
estimated standard error says little; here the variance is that under the hypothesis.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

_STEPS = 60
"""Halvings of an interval: enough for the last bit of any bound."""


@dataclass(frozen=True, slots=True)
class Flips:
    """How many of `n` pairs differ, and which way; fractions where counts were divided."""

    worse: float
    better: float
    n: float


def statistic(flips: Flips, drop: float) -> float:
    """How many standard errors the flips lie above `drop`, a share between -1 and 1.

    (worse - better - n drop) / sqrt(n (2 q + drop (1 - drop))), q being the probability of
    'better' that is likeliest if the drop is `drop`. At 0 its square is McNemar's chi-square.
    """
    worse, better, n = flips.worse, flips.better, flips.n
    linear = -worse - better + (2 * n - worse + better) * drop
    constant = -better * drop * (1 - drop)
    q = (math.sqrt(max(linear**2 - 8 * n * constant, 0.0)) - linear) / (4 * n)
    variance = n * (2 * q + drop * (1 - drop))
    gap = worse - better - n * drop
    if variance <= 0:
        return math.copysign(math.inf, gap) if gap else 0.0
    return gap / math.sqrt(variance)


def upper(flips: Flips, z: float) -> float:
    """The drop that the flips lie `z` standard errors below."""
    return _where(lambda drop: statistic(flips, drop) > -z, _estimate(flips), 1.0)


def lower(flips: Flips, z: float) -> float:
    """The drop that the flips lie `z` standard errors above."""
    return _where(lambda drop: statistic(flips, drop) > z, -1.0, _estimate(flips))


def _estimate(flips: Flips) -> float:
    return (flips.worse - flips.better) / flips.n


def _where(before: Callable[[float], bool], low: float, high: float) -> float:
    """Where between `low` and `high` the claim `before` ceases to hold."""
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if before(middle) else (low, middle)
    return (low + high) / 2

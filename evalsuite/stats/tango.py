"""Tango's score statistic for the difference of two paired proportions.

Tango, "Equivalence test and confidence interval for the difference in proportions for the
paired-sample design", Statistics in Medicine 17 (1998) 891-908. If few pairs differ, a standard
error estimated from them is unreliable; the score statistic uses the variance under the hypothesis.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from evalsuite.stats.roots import crossing


@dataclass(frozen=True, slots=True)
class Flips:
    """Numbers of pairs that are worse and better, of `n`; may be fractions (see design effect)."""

    worse: float
    better: float
    n: float


def statistic(flips: Flips, drop: float) -> float:
    """Return the distance of the flips from the hypothesis `drop` (-1 to 1), in standard errors.

    (worse - better - n drop) / sqrt(n (2 q + drop (1 - drop))), q being the maximum
    likelihood estimate of the probability of 'better' under the hypothesis. At 0 its square is
    McNemar's chi-square.
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
    """Return the upper bound: the drop at which the statistic is -`z`."""
    return crossing(lambda drop: -z - statistic(flips, drop), _estimate(flips), 1.0)


def lower(flips: Flips, z: float) -> float:
    """Return the lower bound: the drop at which the statistic is `z`."""
    return crossing(lambda drop: z - statistic(flips, drop), -1.0, _estimate(flips))


def _estimate(flips: Flips) -> float:
    return (flips.worse - flips.better) / flips.n

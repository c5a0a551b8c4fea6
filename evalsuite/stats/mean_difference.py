"""The drop of a mean over benchmarks, from the drops of the benchmarks."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from scipy.special import ndtr, stdtrit

from evalsuite.stats.paired_difference import Drop, satterthwaite
from evalsuite.stats.zero_events import zero_event_upper_bound

_STEPS = 60
_PRECISION = 1e-14


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanDrop(Drop):
    """The drop of a mean over benchmarks, of which some have a score interval.

    Score intervals are not symmetric, so the bounds of the mean are not either: the distances
    between estimates and bounds add as squares, on each side separately (MOVER, Zou & Donner,
    Statistics in Medicine 27 (2008) 1693). Benchmarks without a score interval are combined first,
    as in `mean_drop`.
    """

    score_parts: tuple[tuple[float, Drop], ...]
    """Weight and drop of the benchmarks that have a score interval."""
    t_variance: float
    """Variance of the part of the mean that the other benchmarks contribute."""
    t_df: float

    @property
    def method(self) -> str:
        """The source of the bounds: ``mover``."""
        return "mover"

    def upper(self, alpha: float) -> float:
        """Return the one-sided upper bound of the drop with confidence 1 - `alpha`."""
        return min(self.estimate + self._distance(alpha, 1), 1.0)

    def lower(self, alpha: float) -> float:
        """Return the one-sided lower bound of the drop with confidence 1 - `alpha`."""
        return max(self.estimate - self._distance(alpha, -1), -1.0)

    def _distance(self, alpha: float, side: int) -> float:
        """Return the distance of the upper (`side` 1) or lower (-1) bound from the estimate."""
        if not math.isfinite(self.variance):
            return math.inf
        parts = [
            weight * max(side * ((d.upper if side > 0 else d.lower)(alpha) - d.estimate), 0.0)
            for weight, d in self.score_parts
        ]
        known = max(-float(stdtrit(self.t_df, alpha)), 0.0) * math.sqrt(self.t_variance)
        unobserved = zero_event_upper_bound(self.zero_variance, alpha)
        least = zero_event_upper_bound(self.few_discordant, alpha)
        return max(math.hypot(known, unobserved, *parts), least)

    def _tail(self, sign: int) -> float:
        excess = sign * self.estimate
        if not math.isfinite(self.variance):
            return 0.5
        if excess <= 0:
            return 1.0
        return _level(lambda alpha: self._distance(alpha, -sign) - excess)


def mean_drop(drops: Sequence[Drop]) -> Drop:
    """Return the drop of the mean over benchmarks, each with the same weight.

    Benchmarks are assumed to be independent (no shared images). The variance is that of a mean; its
    degrees of freedom are by Welch and Satterthwaite (Biometrics Bulletin 2 (1946) 110). The number
    of effective clusters is that of a single benchmark with the same degrees of freedom. If a
    benchmark has a score interval, the bounds are those of `MeanDrop`. Raises ValueError without
    benchmarks.
    """
    if not drops:
        raise ValueError("no benchmarks to take a mean over")
    if len(drops) == 1:
        return drops[0]
    weight = 1 / len(drops)
    variances = [drop.variance * weight**2 for drop in drops]
    df = satterthwaite(variances, [drop.df for drop in drops])
    mean = Drop(
        estimate=math.fsum(drop.estimate for drop in drops) * weight,
        variance=math.fsum(variances),
        df=df,
        n=sum(drop.n for drop in drops),
        clusters=sum(drop.clusters for drop in drops),
        effective_clusters=df + 1,
        discordant=sum(drop.discordant for drop in drops),
        zero_variance=tuple((w * weight, c) for drop in drops for w, c in drop.zero_variance),
        few_discordant=tuple((w * weight, c) for drop in drops for w, c in drop.few_discordant),
    )
    scores = tuple((weight, drop) for drop in drops if drop.flips is not None)
    if not scores:
        return mean
    others = [drop for drop in drops if drop.flips is None and drop.variance]
    others_variances = [drop.variance * weight**2 for drop in others]
    return MeanDrop(
        **{item.name: getattr(mean, item.name) for item in dataclasses.fields(mean)},
        score_parts=scores,
        t_variance=math.fsum(others_variances),
        t_df=satterthwaite(others_variances, [drop.df for drop in others]) if others else 1.0,
    )


def _level(excess: Callable[[float], float]) -> float:
    """Return the level alpha at which `excess`, which decreases with alpha, is 0.

    The Illinois method on normal quantiles, in which distances of bounds are nearly linear.
    """
    low, high = -8.0, 37.0  # alpha from 1 to about 1e-300
    at_low, at_high = (excess(float(ndtr(-z))) for z in (low, high))
    if at_low >= 0:
        return 1.0
    if at_high <= 0:
        return float(ndtr(-high))
    side = 0
    for _ in range(_STEPS):
        z = (low * at_high - high * at_low) / (at_high - at_low)
        value = excess(float(ndtr(-z)))
        if abs(value) < _PRECISION or high - low < _PRECISION:
            break
        if value < 0:
            low, at_low = z, value
            at_high /= 2 if side < 0 else 1
            side = -1
        else:
            high, at_high = z, value
            at_low /= 2 if side > 0 else 1
            side = 1
    return float(ndtr(-z))

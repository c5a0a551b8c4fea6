"""Power analysis: what the gate's rules detect and pass, before any sample is predicted.

Normal-theory formulas (Cohen 1988; for evaluations Miller 2024, arXiv 2411.00640, section 5) at the
levels that `evalsuite.stats.decision` uses: alpha for a pass, alpha divided by the number of tests
for a regression, which is the first and strictest step of Holm's procedure. No bound is closer than
that of `evalsuite.stats.zero_events`, as in the decision.

Drops, margins and errors are on the scale 0 to 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtri, stdtrit

from evalsuite.stats import tango
from evalsuite.stats.decision import ALPHA, MARGIN
from evalsuite.stats.paired_difference import FEW_CLUSTERS
from evalsuite.stats.tango import Flips
from evalsuite.stats.zero_events import zero_event_upper_bound

POWER = 0.8
_DRAWS = 200_000
_ROUNDS = 50
"""Iterations of a drop and the standard error that depends on it; they converge much sooner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """The error rates of a policy."""

    alpha: float = ALPHA
    """One-sided."""
    power: float = POWER
    tests: int = 1
    """Number of tests for a regression: the benchmarks and, for two or more, their mean."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variability:
    """How the differences between two checkpoints on a benchmark are expected to vary."""

    n: int
    """Samples."""
    clusters: int
    """Images or videos."""
    discordance: float
    """Share of answers that differ; for values between 0 and 1, their mean squared difference."""
    design_effect: float = 1.0
    """Variance with clusters divided by the variance of independent samples."""

    def error(self, drop: float = 0.0) -> float:
        """Standard error of the estimate if the true drop is `drop`."""
        return planned_error(self.discordance, self.n, self.design_effect, drop)

    def undetected_drop(self, alpha: float) -> float:
        """Upper bound of a drop that may show no difference at all."""
        return zero_event_upper_bound([(1.0, self.clusters)], alpha)


def planned_error(
    discordance: float, n: int, design_effect: float = 1.0, drop: float = 0.0
) -> float:
    """Return the standard error of a drop if the share `discordance` of the answers differs.

    sqrt((discordance - drop^2) design_effect / n), as differences are -1, 0 or 1. The design effect
    is 1 + (m - 1) icc for m questions per cluster whose differences have the intraclass correlation
    icc (Kish 1965). A drop larger than the discordance implies a discordance of that size.
    """
    return math.sqrt((max(discordance, abs(drop)) - drop**2) * design_effect / n)


def mean_error(errors: Sequence[float]) -> float:
    """Return the standard error of the mean over benchmarks with these standard errors."""
    return math.hypot(*errors) / len(errors)


# Detection


def detectable_drop(error: float, margin: float, level: Level, df: float = math.inf) -> float:
    """Return the smallest true drop that is called a regression with probability `level.power`.

    The estimate must be significant among `level.tests` tests and larger than `margin`.
    """
    significant = _quantile(1 - level.alpha / level.tests, df) * error
    return max(significant, margin) + _quantile(level.power, df) * error


def planned_detectable_drop(
    discordance: float, n: int, margin: float, level: Level, design_effect: float = 1.0
) -> float:
    """Return `detectable_drop` of a benchmark of `n` samples, before any is predicted.

    A drop larger than the discordance adds discordance, so the standard error is that at the drop
    itself. Estimates are multiples of 1 / n; half of that is the continuity correction.
    """
    drop = margin
    for _ in range(_ROUNDS):
        error = planned_error(discordance, n, design_effect, drop)
        drop = min(detectable_drop(error, margin, level) + 0.5 / n, 1.0)
    return drop


def planned_detectable_mean(several: Sequence[Variability], margin: float, level: Level) -> float:
    """Return `planned_detectable_drop` of the mean, if every benchmark drops by the same amount."""
    drop = margin
    for _ in range(_ROUNDS):
        error = mean_error([each.error(drop) for each in several])
        drop = min(detectable_drop(error, margin, level), 1.0)
    return drop


def minimum_detectable_drop(expected: Variability, margin: float, level: Level) -> float:
    """Return the smallest true drop of a benchmark that is called a regression.

    `planned_detectable_drop`; the estimate must also be larger than the bound for no difference.
    """
    least = max(margin, expected.undetected_drop(level.alpha / level.tests))
    return planned_detectable_drop(
        expected.discordance, expected.n, least, level, expected.design_effect
    )


def minimum_detectable_mean(several: Sequence[Variability], margin: float, level: Level) -> float:
    """Return `minimum_detectable_drop` of the mean, if every benchmark drops by the same amount."""
    least = undetected_mean(several, level.alpha / level.tests)
    return planned_detectable_mean(several, max(margin, least), level)


def undetected_mean(several: Sequence[Variability], alpha: float) -> float:
    """Return `Variability.undetected_drop` of the mean over benchmarks."""
    return zero_event_upper_bound([(1 / len(several), each.clusters) for each in several], alpha)


# Passing


def passing_margin(error: float, level: Level, df: float = math.inf) -> float:
    """Return the smallest margin that an equal checkpoint passes with probability `level.power`."""
    return (_quantile(1 - level.alpha, df) + _quantile(level.power, df)) * error


def minimum_passing_margin(expected: Variability, level: Level) -> float:
    """Return `passing_margin` of a benchmark, with the bound for no difference."""
    margin = 0.0
    for _ in range(_ROUNDS):
        bound = _bound_distance(expected, margin, level.alpha)
        margin = min(bound + _quantile(level.power) * expected.error(), 1.0)
    return margin


def minimum_passing_mean_margin(several: Sequence[Variability], level: Level) -> float:
    """Return `minimum_passing_margin` of the mean over benchmarks."""
    error = mean_error([each.error() for each in several])
    return _mean_bound_distance(several, level.alpha) + _quantile(level.power) * error


def _bound_distance(expected: Variability, margin: float, alpha: float) -> float:
    """Return the distance between the estimate and its upper bound.

    The score interval uses the variance under the hypothesis that the drop equals the margin, which
    may be larger than the variance of equal checkpoints.
    """
    error = max(expected.error(), expected.error(margin))
    return max(_quantile(1 - alpha) * error, expected.undetected_drop(alpha))


def _mean_bound_distance(several: Sequence[Variability], alpha: float) -> float:
    """Return the distance between the mean of equal checkpoints and its upper bound.

    By MOVER, as in `evalsuite.stats.mean_difference.MeanDrop`: the distances of the benchmarks
    add as squares. The distance of a benchmark is that of its score interval at the expected counts
    of losses and gains, divided by the design effect.
    """
    distances = [_score_distance(each, alpha) for each in several]
    return max(mean_error(distances), undetected_mean(several, alpha))


def _score_distance(expected: Variability, alpha: float) -> float:
    z = _quantile(1 - alpha)
    n = expected.n / expected.design_effect
    half = n * expected.discordance / 2
    return tango.upper(Flips(half, half, n), z)


def pass_probability(
    several: Sequence[Variability], margins: Sequence[float], mean_margin: float, alpha: float
) -> float:
    """Return the probability that an equal checkpoint passes; see `chance_of_pass`."""
    return chance_of_pass(
        [each.error() for each in several],
        margins,
        mean_margin,
        alpha,
        distances=[_bound_distance(each, margin, alpha)
                   for each, margin in zip(several, margins, strict=True)],
        mean_distance=_mean_bound_distance(several, alpha),
    )  # fmt: skip


def chance_of_pass(
    errors: Sequence[float],
    margins: Sequence[float],
    mean_margin: float = MARGIN,
    alpha: float = ALPHA,
    drops: Sequence[float] | None = None,
    distances: Sequence[float] = (),
    mean_distance: float = 0.0,
) -> float:
    """Return the probability that a suite passes: the mean and each benchmark below its margin.

    `errors` are the standard errors of the benchmarks, `drops` their true drops (default: none).
    `distances` are the smallest distances between an estimate and its upper bound. The mean depends
    on the benchmarks, so the probability is estimated from 200,000 seeded draws (three Monte-Carlo
    errors: 0.003). It is a few points too high if many answers differ and a margin is at most three
    standard errors away; docs/evidence/simulations.md compares it with simulations.
    """
    spread = np.asarray(errors, dtype=np.float64)
    truth = np.zeros_like(spread) if drops is None else np.asarray(drops, dtype=np.float64)
    z = float(ndtri(1 - alpha))
    estimates = truth + spread * np.random.default_rng(0).standard_normal((_DRAWS, len(spread)))
    bounds = estimates + (np.maximum(z * spread, distances) if distances else z * spread)
    within = (bounds < np.asarray(margins)).all(axis=1)
    mean_bounds = estimates.mean(axis=1) + max(z * mean_error(errors), mean_distance)
    return float((within & (mean_bounds < mean_margin)).mean())


# Sample sizes


def clusters_for_identical_pass(margin: float, alpha: float) -> int:
    """Return how many clusters without any difference show a drop below `margin`.

    The inverse of the bound 1 - alpha^(1/C), and at least `FEW_CLUSTERS`.
    """
    if margin >= 1:
        return FEW_CLUSTERS
    return max(FEW_CLUSTERS, math.floor(math.log(alpha) / math.log1p(-margin)) + 1)


def samples_to_pass(expected: Variability, margin: float, level: Level) -> int:
    """Return how many samples an equal checkpoint needs to pass `margin`.

    The number of samples per cluster is that of `expected`.
    """
    per_cluster = expected.n / expected.clusters

    def enough(clusters: int) -> bool:
        more = replace(expected, n=math.ceil(clusters * per_cluster), clusters=clusters)
        return minimum_passing_margin(more, level) < margin

    return math.ceil(_smallest(enough, FEW_CLUSTERS) * per_cluster)


def _smallest(enough: Callable[[int], bool], least: int) -> int:
    """Return the smallest integer from `least` on that is `enough`, by bisection."""
    low, high = least - 1, least
    while not enough(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _quantile(probability: float, df: float = math.inf) -> float:
    return float(ndtri(probability) if math.isinf(df) else stdtrit(df, probability))

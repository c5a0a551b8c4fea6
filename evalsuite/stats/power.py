"""What a policy can find and whom it lets pass, before any sample is predicted.

Normal-theory formulas (Cohen 1988; for evaluations Miller 2024, arXiv 2411.00640, section 5) at the
levels the verdict really uses: alpha for a pass, alpha over the number of tests for a regression,
which is Holm's first and hardest step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit

from evalsuite.stats.decision import ALPHA, MARGIN

POWER = 0.8
_DRAWS = 200_000
_ROUNDS = 50
"""Each brings the drop and its own standard error closer together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """How sure one wants to be."""

    alpha: float = ALPHA
    """One-sided."""
    power: float = POWER
    tests: int = 1
    """How many drops are tested for a regression: the benchmarks and their mean."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What one expects of the differences on a benchmark."""

    n: int
    """Samples."""
    clusters: int
    """Images or videos they are about."""
    discordance: float
    """The share of answers that differ; of values from 0 to 1, their mean squared difference."""
    design_effect: float = 1.0

    def error(self, drop: float = 0.0) -> float:
        """The standard error of a drop of that size."""
        return planned_error(self.discordance, self.n, self.design_effect, drop)


def planned_error(
    discordance: float, n: int, design_effect: float = 1.0, drop: float = 0.0
) -> float:
    """The standard error of a drop when `discordance` of the answers differ.

    sqrt((discordance - drop^2) design_effect / n), as differences are -1, 0 or 1. The design effect
    is 1 + (m - 1) icc for m questions a cluster whose differences correlate by icc (Kish 1965). A
    drop cannot be larger than the discordance; if it is said to be, it is all of it.
    """
    return math.sqrt((max(discordance, abs(drop)) - drop**2) * design_effect / n)


def mean_error(errors: Sequence[float]) -> float:
    """The standard error of the mean over benchmarks with these."""
    return math.hypot(*errors) / len(errors)


def detectable_drop(error: float, allowed: float, level: Level, df: float = math.inf) -> float:
    """The smallest true drop that is called a regression with probability `level.power`.

    It must be significant among `level.tests` and its estimate beyond `allowed`.
    """
    real = _quantile(1 - level.alpha / level.tests, df) * error
    return max(real, allowed) + luck(error, level, df)


def planned_detectable_drop(
    discordance: float, n: int, allowed: float, level: Level, design_effect: float = 1.0
) -> float:
    """`detectable_drop` of a benchmark of `n` samples, before any is predicted.

    A drop beyond the discordance brings flips of its own, so the standard error is that at the drop
    itself; and estimates are multiples of 1 / n, of which half goes to the continuity correction.
    """
    drop = allowed
    for _ in range(_ROUNDS):
        error = planned_error(discordance, n, design_effect, drop)
        drop = min(detectable_drop(error, allowed, level) + 0.5 / n, 1.0)
    return drop


def planned_detectable_mean(expected: Sequence[Expected], allowed: float, level: Level) -> float:
    """`planned_detectable_drop` of the mean, if every benchmark drops as much."""
    drop = allowed
    for _ in range(_ROUNDS):
        error = mean_error([each.error(drop) for each in expected])
        drop = min(detectable_drop(error, allowed, level), 1.0)
    return drop


def reach(error: float, level: Level, df: float = math.inf) -> float:
    """How far the bound that must be below a margin or cliff lies from its estimate."""
    return _quantile(1 - level.alpha, df) * error


def luck(error: float, level: Level, df: float = math.inf) -> float:
    """How far an estimate may lie from the truth for the level's power."""
    return _quantile(level.power, df) * error


def passing_margin(error: float, level: Level, df: float = math.inf) -> float:
    """The smallest margin or cliff an equal checkpoint passes with probability `level.power`."""
    return reach(error, level, df) + luck(error, level, df)


def passing_drop(error: float, allowed: float, level: Level, df: float = math.inf) -> float:
    """The largest true drop that still passes with probability `level.power`.

    Negative if even an equal checkpoint passes more rarely: the policy asks for more samples.
    """
    return allowed - passing_margin(error, level, df)


def samples_to_detect(
    drop: float, allowed: float, discordance: float, level: Level, design_effect: float = 1.0
) -> int | None:
    """Samples needed to call a true `drop` a regression; None if none suffice, as it is allowed."""
    if drop <= allowed:
        return None
    found = luck(1.0, level)
    real = (float(ndtri(1 - level.alpha / level.tests)) + found) / drop
    return _samples(max(real, found / (drop - allowed)), discordance, drop, design_effect)


def samples_to_pass(
    allowed: float, discordance: float, level: Level, design_effect: float = 1.0, drop: float = 0.0
) -> int | None:
    """Samples needed for a true `drop` to pass; None if none suffice, as it is not allowed."""
    if drop >= allowed:
        return None
    errors = float(ndtri(1 - level.alpha) + ndtri(level.power)) / (allowed - drop)
    return _samples(errors, discordance, drop, design_effect)


def _samples(errors: float, discordance: float, drop: float, design_effect: float) -> int:
    """Samples with which one is to `errors` standard errors as a drop is to the other."""
    return math.ceil(
        max(errors, 0.0) ** 2 * planned_error(discordance, 1, design_effect, drop) ** 2
    )


def chance_of_pass(
    errors: Sequence[float],
    cliffs: Sequence[float],
    margin: float = MARGIN,
    alpha: float = ALPHA,
    drops: Sequence[float] | None = None,
    unseen: Sequence[float] = (),
    unseen_mean: float = 0.0,
) -> float:
    """The probability that a suite passes: its mean below `margin`, each benchmark below its cliff.

    `errors` are the benchmarks' standard errors, `drops` their true drops, none if not given.
    `unseen` is how far each bound lies from the estimate even where nothing differs. The
    mean depends on what it is a mean of, so this is counted in 200,000 seeded draws (three
    Monte-Carlo errors: 0.003). Some points too hopeful where many answers differ and a cliff is no
    more than three standard errors away: docs/evidence/simulations.md has simulated figures.
    """
    spread = np.asarray(errors, dtype=np.float64)
    truth = np.zeros_like(spread) if drops is None else np.asarray(drops, dtype=np.float64)
    z = float(ndtri(1 - alpha))
    estimates = truth + spread * np.random.default_rng(0).standard_normal((_DRAWS, len(spread)))
    bounds = estimates + (np.maximum(z * spread, np.asarray(unseen)) if unseen else z * spread)
    within = (bounds < np.asarray(cliffs)).all(axis=1)
    mean_within = estimates.mean(axis=1) + max(z * mean_error(errors), unseen_mean) < margin
    return float((within & mean_within).mean())


def _quantile(probability: float, df: float) -> float:
    return float(ndtri(probability) if math.isinf(df) else stdtrit(df, probability))

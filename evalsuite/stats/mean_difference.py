"""Drops that are combined from others: the mean over benchmarks, and groups of training runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evalsuite.stats.paired_difference import Drop, level_of


@dataclass(frozen=True, slots=True, kw_only=True)
class CombinedDrop(Drop):
    """A weighted sum of independent drops.

    Bounds are not symmetric: the distances between estimates and bounds add as squares, on each
    side separately (MOVER, Zou & Donner, Statistics in Medicine 27 (2008) 1693).
    """

    parts: tuple[tuple[float, Drop], ...]
    """Weights and drops."""

    @property
    def method(self) -> str:
        """``mover``."""
        return "mover"

    def reach(self, alpha: float, side: int) -> float:
        """Return the root of the sum of squares of the weighted distances."""
        return math.hypot(*(weight * part.reach(alpha, side) for weight, part in self.parts))

    def tail(self, limit: float, side: int) -> float:
        """Return the alpha at which `reach` ends at `limit`."""
        gap = side * (limit - self.estimate)
        start = gap / self.standard_error if self.variance else 1.0
        return level_of(lambda alpha: self.reach(alpha, side), gap, min(start, 30.0))


def mean_drop(drops: Sequence[Drop]) -> Drop:
    """Return the drop of the mean over benchmarks, each with the same weight.

    Benchmarks are assumed to be independent (no shared images). The number of effective clusters is
    that of a single benchmark with the same degrees of freedom. Raises ValueError without
    benchmarks.
    """
    if not drops:
        raise ValueError("no benchmarks to take a mean over")
    if len(drops) == 1:
        return drops[0]
    weight = 1 / len(drops)
    variances = [drop.variance * weight**2 for drop in drops]
    df = satterthwaite(variances, [drop.df for drop in drops])
    return CombinedDrop(
        estimate=math.fsum(drop.estimate for drop in drops) * weight,
        variance=math.fsum(variances),
        df=df,
        n=sum(drop.n for drop in drops),
        clusters=sum(drop.clusters for drop in drops),
        effective_clusters=df + 1,
        discordant=sum(drop.discordant for drop in drops),
        unseen=tuple((w * weight, c) for drop in drops for w, c in drop.unseen),
        parts=tuple((weight, drop) for drop in drops),
    )


def with_runs(drop: Drop, baseline: Sequence[float], candidate: Sequence[float]) -> Drop:
    """Add the variance between training runs to `drop`, the drop between two groups of runs.

    `drop` is that of the averages over runs per sample, so its variance is that between questions.
    `baseline` and `candidate` are the scores of the runs, 0 to 1. All runs answer the same
    questions, so the two variances add, as in two-way clustering (Cameron, Gelbach & Miller, JBES
    29 (2011) 238); the part they share is counted twice, which is conservative. Degrees of freedom
    are by Welch and Satterthwaite. Raises ValueError for a group of fewer than two runs.
    """
    variances, dfs = [], []
    for scores in (baseline, candidate):
        if len(scores) < 2:
            raise ValueError("the variance between runs needs two runs or more")
        spread = float(np.var(np.asarray(scores, dtype=np.float64), ddof=1))
        variances.append(spread / len(scores))
        dfs.append(len(scores) - 1.0)
    runs = len(baseline) + len(candidate)
    between = Drop(
        estimate=0.0,
        variance=math.fsum(variances),
        df=satterthwaite(variances, dfs),
        n=runs,
        clusters=runs,
        effective_clusters=runs,
        discordant=0,
    )
    return CombinedDrop(
        estimate=drop.estimate,
        variance=drop.variance + between.variance,
        df=satterthwaite([drop.variance, *variances], [drop.df, *dfs]),
        n=drop.n,
        clusters=drop.clusters,
        effective_clusters=drop.effective_clusters,
        discordant=drop.discordant,
        unseen=drop.unseen,
        parts=((1.0, drop), (1.0, between)),
    )


def satterthwaite(variances: Sequence[float], dfs: Sequence[float]) -> float:
    """Return the degrees of freedom of a sum of independent variance estimates.

    Satterthwaite, Biometrics Bulletin 2 (1946) 110.
    """
    if any(math.isinf(variance) for variance in variances):
        return 1.0
    total = math.fsum(variances)
    if not total:
        return math.fsum(dfs)
    return total**2 / math.fsum(v**2 / df for v, df in zip(variances, dfs, strict=True))

"""The drop from a baseline to a candidate on paired samples: estimate, bounds and p-values.

The interval, the p-value and the verdict come from one statistic, so they cannot contradict each
other: p is below alpha exactly if the lower bound is above 0.

A drop is baseline minus candidate, on the scale 0 to 1: a loss is positive.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from evalsuite.stats import tango
from evalsuite.stats.cluster_robust import Array, Moments, moments, totals
from evalsuite.stats.tango import Flips
from evalsuite.stats.zero_events import zero_event_upper_bound

FEW_CLUSTERS = 30
"""With fewer effective clusters nothing is decided; with fewer that differ, the variance estimate
is not trusted alone."""
SPARSE = 0.25
"""Tango's score interval is used if losses and gains are together a smaller share of samples."""
_NO_DIFFERENCE = 1e-12
"""A cluster with a sum of at most this size does not differ."""
_HALVINGS = 60

Parts = tuple[tuple[float, int], ...]
"""Weight and number of clusters of each part of a mean."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """An estimate of baseline minus candidate."""

    estimate: float
    variance: float
    """CR2; infinite if there is only one cluster."""
    df: float
    """Degrees of freedom of `variance`."""
    n: int
    """Number of paired samples."""
    clusters: int
    effective_clusters: float
    discordant: int
    """Clusters in which baseline and candidate differ."""
    flips: Flips | None = None
    """Losses and gains divided by the design effect; set if the score statistic is used."""
    exact_score: bool = False
    """The score statistic is Tango's own: answers are right or wrong, one per cluster."""
    zero_variance: Parts = ()
    """Parts whose clusters all differ by the same amount, mostly 0: the variance estimate is 0."""
    few_discordant: Parts = ()
    """Parts in which too few clusters differ to trust the variance estimate."""

    @property
    def standard_error(self) -> float:
        """The square root of `variance`."""
        return math.sqrt(self.variance)

    @property
    def too_few_clusters(self) -> bool:
        """Whether there are too few clusters to decide anything."""
        return round(self.effective_clusters, 6) < FEW_CLUSTERS

    @property
    def method(self) -> str:
        """The source of the bounds: ``t``, ``score`` (Tango) or ``bound`` (no variance)."""
        if self.flips is not None:
            return "score"
        return "bound" if self.zero_variance and not self.variance else "t"

    def upper(self, alpha: float) -> float:
        """Return the one-sided upper bound of the drop with confidence 1 - `alpha`."""
        bound = self.estimate + self._half_width(alpha)
        if self.flips is not None:
            score = tango.upper(self.flips, self._quantile(alpha))
            bound = score if self.exact_score else max(score, bound)
        return min(bound, 1.0)

    def lower(self, alpha: float) -> float:
        """Return the one-sided lower bound of the drop with confidence 1 - `alpha`."""
        bound = self.estimate - self._half_width(alpha)
        if self.flips is not None:
            score = tango.lower(self.flips, self._quantile(alpha))
            bound = score if self.exact_score else min(score, bound)
        return max(bound, -1.0)

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return the two-sided confidence interval of the drop."""
        return self.lower((1 - level) / 2), self.upper((1 - level) / 2)

    @property
    def p_worse(self) -> float:
        """One-sided p-value of the hypothesis that there is no drop."""
        return self._tail(1)

    @property
    def p(self) -> float:
        """Two-sided p-value of the hypothesis that there is no difference."""
        return min(1.0, 2 * min(self._tail(1), self._tail(-1)))

    def _half_width(self, alpha: float) -> float:
        """Return the distance of a bound from the estimate; for a score interval the minimum.

        A part without variance may still have a difference that no sample shows; its bound joins
        the standard error of the others by the sum of squares, as for bounds of independent parts
        in general: MOVER, Zou & Donner, Statistics in Medicine 27 (2008) 1693.

        If few clusters differ, the distance is at least the bound for no difference: small
        differences, or differences of single questions, show nothing about whole images.
        """
        least = zero_event_upper_bound(self.few_discordant, alpha)
        quantile = 0.0 if self.flips is not None else self._quantile(alpha)
        known = quantile * self.standard_error if quantile > 0 else 0.0
        return max(math.hypot(known, zero_event_upper_bound(self.zero_variance, alpha)), least)

    def _quantile(self, alpha: float) -> float:
        # The variance of Tango's statistic is not estimated.
        return -float(ndtri(alpha) if self.exact_score else stdtrit(self.df, alpha))

    def _tail(self, sign: int) -> float:
        excess = sign * self.estimate
        if self.flips is not None and self.exact_score:
            return self._score_tail(self.flips, sign)
        if not math.isfinite(self.variance):
            return 0.5
        found = 0.0 if excess > 0 else 1.0
        if self.flips is not None:
            found = self._score_tail(self.flips, sign)
        elif not self.zero_variance:
            found = float(stdtr(self.df, -excess / self.standard_error))
        # The alpha at which the bound equals 0: p and bounds are then one statistic.
        return max(found, _root(lambda a: self._half_width(a) > excess)) if excess > 0 else found

    def _score_tail(self, flips: Flips, sign: int) -> float:
        score = -sign * tango.statistic(flips, 0.0)
        return float(ndtr(score) if self.exact_score else stdtr(self.df, score))


def estimate_drop(differences: Sequence[float] | Array, clusters: Sequence[Hashable]) -> Drop:
    """Estimate the drop of one benchmark from `differences`, baseline minus candidate per sample.

    `differences` are of values, or of influence values (`evalsuite.stats.influence`); `clusters`
    has the cluster of each. Raises ValueError if there are none.
    """
    values = np.asarray(differences, dtype=np.float64)
    if not len(values):
        raise ValueError("no samples to compare")
    sums, sizes = totals(values, clusters)
    discordant = int((np.abs(sums) > _NO_DIFFERENCE).sum())
    if len(sums) < 2:
        return Drop(
            estimate=float(values.mean()),
            variance=math.inf,
            df=1.0,
            n=len(values),
            clusters=1,
            effective_clusters=1.0,
            discordant=discordant,
            few_discordant=((1.0, 1),),
        )
    answers = None
    if (np.abs(values) <= 1).all():
        answers = Flips(
            float(values[values > 0].sum()), float(-values[values < 0].sum()), len(values)
        )
    squares = float(values @ values)
    return drop_from(moments(sums, sizes), len(values), len(sums), discordant, answers, squares)


def drop_from(
    found: Moments,
    n: int,
    clusters: int,
    discordant: int,
    answers: Flips | None,
    squares: float | None = None,
) -> Drop:
    """Estimate the drop of `n` samples in `clusters`, of which `discordant` differ, from moments.

    `answers` are the sums of losses and of gains; None if a difference is outside -1 to 1.
    `squares` is the sum of the squared differences; by default each difference is -1, 0 or 1.
    """
    # Rounding leaves a tiny variance if all clusters differ by the same amount.
    varies = found.variance > _NO_DIFFERENCE**2
    flips, exact_score, few = None, False, False
    whole = math.inf if answers is None else answers.worse + answers.better
    if answers is not None and whole < SPARSE * n:
        # A hundred differences of 0.01 are worth one answer.
        few = min(discordant, whole) < FEW_CLUSTERS
        if varies:
            parts = whole if squares is None else squares
            flips = _effective(answers, parts, float(found.variance))
            exact_score = clusters == n and squares in (None, whole)
    return Drop(
        estimate=float(found.mean),
        variance=float(found.variance) if varies else 0.0,
        df=float(found.df),
        n=n,
        clusters=clusters,
        effective_clusters=float(found.effective_clusters),
        discordant=discordant,
        flips=flips,
        exact_score=exact_score,
        zero_variance=() if varies else ((1.0, clusters),),
        few_discordant=((1.0, clusters),) if few else (),
    )


def identical_difference(clusters: int) -> Drop:
    """Return the drop between checkpoints with identical answers on this number of clusters."""
    return Drop(
        estimate=0.0,
        variance=0.0 if clusters > 1 else math.inf,
        df=max(clusters - 1.0, 1.0),
        n=clusters,
        clusters=clusters,
        effective_clusters=float(clusters),
        discordant=0,
        zero_variance=((1.0, clusters),) if clusters > 1 else (),
        few_discordant=((1.0, clusters),),
    )


def _effective(flips: Flips, squares: float, variance: float) -> Flips:
    """Divide the counts by the design effect of clusters.

    The design effect is the CR2 variance divided by the variance of independent samples: Rao &
    Scott, Biometrics 48 (1992) 577; for paired proportions Yang, Sun & Hardin, Biometrical Journal
    54 (2012). Without clusters it is 1. With clusters the statistic is compared with Student's t
    with the degrees of freedom of CR2, because its variance is then estimated.

    Fractional differences, as of ANLS, vary less than whole ones: their design effect may be below
    1, down to the sum of their `squares` divided by the sum of their absolute values.
    """
    gap = flips.worse - flips.better
    whole = flips.worse + flips.better - gap**2 / flips.n
    effect = max(variance * flips.n * (flips.n - 1), squares - gap**2 / flips.n) / whole
    return Flips(flips.worse / effect, flips.better / effect, flips.n / effect)


def with_runs(drop: Drop, baseline: Sequence[float], candidate: Sequence[float]) -> Drop:
    """Add the variance between training runs to `drop`, the drop between two groups of runs.

    `drop` is that of the averages over runs per sample, so its variance is that between questions.
    `baseline` and `candidate` are the scores of the runs, 0 to 1. All runs answer the same
    questions, so the two variances add, as in two-way clustering (Cameron, Gelbach & Miller, JBES
    29 (2011) 238); the part they share is counted twice, which is conservative. Degrees of freedom
    are by Welch and Satterthwaite. Raises ValueError for a group of fewer than two runs.
    """
    parts = []
    for scores in (baseline, candidate):
        if len(scores) < 2:
            raise ValueError("the variance between runs needs two runs or more")
        spread = float(np.var(np.asarray(scores, dtype=np.float64), ddof=1))
        parts.append((spread / len(scores), len(scores) - 1.0))
    variances = [drop.variance, *(variance for variance, _ in parts)]
    return Drop(
        estimate=drop.estimate,
        variance=math.fsum(variances),
        df=satterthwaite(variances, [drop.df, *(df for _, df in parts)]),
        n=drop.n,
        clusters=drop.clusters,
        effective_clusters=drop.effective_clusters,
        discordant=drop.discordant,
        zero_variance=drop.zero_variance,
        few_discordant=drop.few_discordant,
    )


def satterthwaite(variances: Sequence[float], dfs: Sequence[float]) -> float:
    """Return the degrees of freedom of a sum of independent variance estimates."""
    if any(math.isinf(variance) for variance in variances):
        return 1.0
    total = math.fsum(variances)
    if not total:
        return math.fsum(dfs)
    return total**2 / math.fsum(v**2 / df for v, df in zip(variances, dfs, strict=True))


def _root(above: Callable[[float], bool]) -> float:
    """Return the number between 0 and 1 up to which `above` holds, by bisection on a log scale."""
    low, high = -700.0, 0.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if above(math.exp(middle)) else (low, middle)
    return math.exp(high)

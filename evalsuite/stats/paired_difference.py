"""How far a candidate lies below its baseline, and how sure that is.

One statistic gives interval, p and verdict, so that they cannot contradict each other: a p below
alpha and a bound above zero are the same event.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from evalsuite.stats import tango
from evalsuite.stats.cluster_robust import Array, Moments, moments, totals
from evalsuite.stats.tango import Flips
from evalsuite.stats.zero_events import largest_unseen

FEW_CLUSTERS = 30
"""With fewer effective clusters nothing is claimed, with fewer that differ no variance trusted."""
SPARSE = 0.25
"""If losses and gains are together a smaller share of the samples, Tango's score interval holds."""
_STILL = 1e-12
"""A cluster whose sum differs by no more than this does not differ."""
_HALVINGS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """An estimate of how much lower the candidate is; a gain is negative."""

    estimate: float
    variance: float
    """CR2; infinite if there is only one cluster."""
    df: float
    n: int
    """Samples both have."""
    clusters: int
    effective_clusters: float
    discordant: int
    """Clusters in which the two differ."""
    flips: Flips | None = None
    """Set where the score statistic is used: losses and gains over the design effect."""
    plain: bool = False
    """Whether that statistic is Tango's own: answers right or wrong, one a cluster."""
    still: tuple[tuple[float, int], ...] = ()
    """Weight and clusters of each part whose clusters all differ equally, that is mostly not at
    all: it has no variance of its own."""
    quiet: tuple[tuple[float, int], ...] = ()
    """Weight and clusters of each part of which too few clusters differ to trust its variance."""

    @property
    def standard_error(self) -> float:
        """The square root of `variance`."""
        return math.sqrt(self.variance)

    @property
    def too_few_clusters(self) -> bool:
        """Whether nothing should be claimed from so little."""
        return round(self.effective_clusters, 6) < FEW_CLUSTERS

    @property
    def method(self) -> str:
        """What the bounds come from: ``t``, ``score`` (Tango) or ``bound`` (no discordance)."""
        if self.flips is not None:
            return "score"
        return "bound" if self.still and not self.variance else "t"

    def upper(self, alpha: float) -> float:
        """The drop is below this with confidence 1 - `alpha`, one-sided."""
        bound = self.estimate + self._reach(alpha)
        if self.flips is not None:
            score = tango.upper(self.flips, self._quantile(alpha))
            bound = score if self.plain else max(score, bound)
        return min(bound, 1.0)

    def lower(self, alpha: float) -> float:
        """The drop is above this with confidence 1 - `alpha`, one-sided."""
        bound = self.estimate - self._reach(alpha)
        if self.flips is not None:
            score = tango.lower(self.flips, self._quantile(alpha))
            bound = score if self.plain else min(score, bound)
        return max(bound, -1.0)

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """The two-sided interval of that confidence level."""
        return self.lower((1 - level) / 2), self.upper((1 - level) / 2)

    @property
    def p_worse(self) -> float:
        """How likely such a drop, or a larger one, is if there is none: one-sided."""
        return self._tail(1)

    @property
    def p(self) -> float:
        """How likely a difference as large, either way, is if there is none."""
        return min(1.0, 2 * min(self._tail(1), self._tail(-1)))

    def _reach(self, alpha: float) -> float:
        """How far a bound lies from the estimate at least; of a score interval the least alone.

        A part without any discordant cluster has no variance; what it may hide joins the rest by
        the sum of squares, as do bounds of independent parts in general: MOVER, Zou & Donner,
        Statistics in Medicine 27 (2008) 1693.

        And where few clusters differ never less than if none did: those may be small, or of single
        questions, and say no more than none would about whole images lost elsewhere.
        """
        least = largest_unseen(self.quiet, alpha)
        quantile = 0.0 if self.flips is not None else self._quantile(alpha)
        known = quantile * self.standard_error if quantile > 0 else 0.0
        return max(math.hypot(known, largest_unseen(self.still, alpha)), least)

    def _quantile(self, alpha: float) -> float:
        # Tango's own variance needs no estimate.
        return -float(ndtri(alpha) if self.plain else stdtrit(self.df, alpha))

    def _tail(self, sign: int) -> float:
        excess = sign * self.estimate
        if self.flips is not None and self.plain:
            return self._score_tail(self.flips, sign)
        if not math.isfinite(self.variance):
            return 0.5
        found = 0.0 if excess > 0 else 1.0
        if self.flips is not None:
            found = self._score_tail(self.flips, sign)
        elif not self.still:
            found = float(stdtr(self.df, -excess / self.standard_error))
        # The alpha at which the bound meets zero: what makes p and bounds one statistic.
        return max(found, _root(lambda a: self._reach(a) > excess)) if excess > 0 else found

    def _score_tail(self, flips: Flips, sign: int) -> float:
        score = -sign * tango.statistic(flips, 0.0)
        return float(ndtr(score) if self.plain else stdtr(self.df, score))


def estimate_drop(differences: Sequence[float] | Array, clusters: Sequence[Hashable]) -> Drop:
    """The drop of one benchmark from the `differences` baseline - candidate, a sample each.

    `differences` are of values, or of influence values (`evalsuite.stats.influence`). Raises
    ValueError if there are none.
    """
    values = np.asarray(differences, dtype=np.float64)
    if not len(values):
        raise ValueError("no samples to compare")
    sums, sizes = totals(values, clusters)
    discordant = int((np.abs(sums) > _STILL).sum())
    if len(sums) < 2:
        return Drop(
            estimate=float(values.mean()),
            variance=math.inf,
            df=1.0,
            n=len(values),
            clusters=1,
            effective_clusters=1.0,
            discordant=discordant,
            quiet=((1.0, 1),),
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
    """The drop of `n` samples in `clusters`, of which `discordant` differ, from their moments.

    `answers` are the sums of losses and of gains, None if one is larger than a whole answer.
    `squares` is the sum of their squares; if not given, each difference is a whole answer.
    """
    # Rounding leaves a trace of variance where all clusters differ equally.
    varies = found.variance > _STILL**2
    flips, plain, few = None, False, False
    whole = math.inf if answers is None else answers.worse + answers.better
    if answers is not None and whole < SPARSE * n:
        # A hundred differences of a hundredth are no more than one answer.
        few = min(discordant, whole) < FEW_CLUSTERS
        if varies:
            parts = whole if squares is None else squares
            flips = _effective(answers, parts, float(found.variance))
            plain = clusters == n and squares in (None, whole)
    return Drop(
        estimate=float(found.mean),
        variance=float(found.variance) if varies else 0.0,
        df=float(found.df),
        n=n,
        clusters=clusters,
        effective_clusters=float(found.effective_clusters),
        discordant=discordant,
        flips=flips,
        plain=plain,
        still=() if varies else ((1.0, clusters),),
        quiet=((1.0, clusters),) if few else (),
    )


def no_difference(clusters: int) -> Drop:
    """The drop between checkpoints that answer everything about so many clusters alike."""
    return Drop(
        estimate=0.0,
        variance=0.0 if clusters > 1 else math.inf,
        df=max(clusters - 1.0, 1.0),
        n=clusters,
        clusters=clusters,
        effective_clusters=float(clusters),
        discordant=0,
        still=((1.0, clusters),) if clusters > 1 else (),
        quiet=((1.0, clusters),),
    )


def _effective(flips: Flips, squares: float, variance: float) -> Flips:
    """The counts over the design effect, where questions share an image.

    The effect is the CR2 variance over that of independent samples: Rao & Scott, Biometrics 48
    (1992) 577; for paired proportions Yang, Sun & Hardin, Biometrical Journal 54 (2012). Without
    clusters it is 1. With them the statistic is held against Student's t with CR2's degrees of
    freedom, as its variance is then an estimate again.

    Differences that are parts of an answer, as of ANLS, vary less than as many whole ones would:
    that is a design effect below 1, down to their `squares` over the differences themselves.
    """
    gap = flips.worse - flips.better
    whole = flips.worse + flips.better - gap**2 / flips.n
    effect = max(variance * flips.n * (flips.n - 1), squares - gap**2 / flips.n) / whole
    return Flips(flips.worse / effect, flips.better / effect, flips.n / effect)


def mean_drop(drops: Sequence[Drop]) -> Drop:
    """The drop of the mean over benchmarks, each counting the same whatever its size.

    Benchmarks are independent: they share no image. The variance is that of a mean, its degrees of
    freedom are Welch and Satterthwaite's (Biometrics Bulletin 2 (1946) 110). Effective clusters are
    those of a single benchmark with as many degrees of freedom.
    """
    if not drops:
        raise ValueError("no benchmarks to take a mean over")
    if len(drops) == 1:
        return drops[0]
    weight = 1 / len(drops)
    variances = [drop.variance * weight**2 for drop in drops]
    variance = math.fsum(variances)
    df = _satterthwaite(variances, [drop.df for drop in drops])
    return Drop(
        estimate=math.fsum(drop.estimate for drop in drops) * weight,
        variance=variance,
        df=df,
        n=sum(drop.n for drop in drops),
        clusters=sum(drop.clusters for drop in drops),
        effective_clusters=df + 1,
        discordant=sum(drop.discordant for drop in drops),
        still=tuple((w * weight, clusters) for drop in drops for w, clusters in drop.still),
        quiet=tuple((w * weight, clusters) for drop in drops for w, clusters in drop.quiet),
    )


def with_runs(drop: Drop, baseline: Sequence[float], candidate: Sequence[float]) -> Drop:
    """`drop` between two recipes, each trained several times, with the runs' own spread added.

    `drop` is that of the runs' averages, sample by sample, so its variance is about the questions.
    `baseline` and `candidate` are the score of each run, 0 to 1; two of each at least. Runs answer
    the same questions, so the two sources add, as in two-way clustering (Cameron, Gelbach & Miller,
    JBES 29 (2011) 238); the share that is in both is left in, which errs on the safe side. Degrees
    of freedom are Welch and Satterthwaite's.
    """
    parts = []
    for scores in (baseline, candidate):
        if len(scores) < 2:
            raise ValueError("one run says nothing of how runs differ")
        spread = float(np.var(np.asarray(scores, dtype=np.float64), ddof=1))
        parts.append((spread / len(scores), len(scores) - 1.0))
    variances = [drop.variance, *(variance for variance, _ in parts)]
    return dataclasses.replace(
        drop,
        variance=math.fsum(variances),
        df=_satterthwaite(variances, [drop.df, *(df for _, df in parts)]),
        flips=None,
        plain=False,
    )


def _satterthwaite(variances: Sequence[float], dfs: Sequence[float]) -> float:
    """Degrees of freedom of a sum of independent variance estimates."""
    if any(math.isinf(variance) for variance in variances):
        return 1.0
    total = math.fsum(variances)
    if not total:
        return math.fsum(dfs)
    return total**2 / math.fsum(v**2 / df for v, df in zip(variances, dfs, strict=True))


def _root(above: Callable[[float], bool]) -> float:
    """The number between 0 and 1 at which `above` ceases to hold, found on a logarithmic scale."""
    low, high = -700.0, 0.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if above(math.exp(middle)) else (low, middle)
    return math.exp(high)

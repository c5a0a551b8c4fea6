"""The drop from a baseline to a candidate on paired samples: estimate, bounds and p-values.

The interval, the p-value and the verdict come from one statistic, so they cannot contradict each
other: p is below alpha exactly if the lower bound is above 0. One more lost answer never lowers a
bound, and one more gained answer never raises it.

A drop is baseline minus candidate, on the scale 0 to 1: a loss is positive.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from evalsuite.stats import empirical_likelihood, tango
from evalsuite.stats.cluster_robust import Array, moments, totals
from evalsuite.stats.empirical_likelihood import Clusters
from evalsuite.stats.roots import crossing
from evalsuite.stats.tango import Flips
from evalsuite.stats.zero_events import zero_event_upper_bound

FEW_CLUSTERS = 30
"""With fewer effective clusters nothing is decided."""
_NO_DIFFERENCE = 1e-12
"""A cluster with a sum of at most this size does not differ."""

_FARTHEST = 37.0
"""Normal quantile of the smallest p-value, 1e-300."""

Parts = tuple[tuple[float, int], ...]
"""Weight and number of clusters of each part of a mean."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """An estimate of baseline minus candidate; this class has bounds by Student's t."""

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
    unseen: Parts = ()
    """The parts whose clusters are a sample: a drop may occur in other clusters alone."""

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
        """The source of the bounds: ``t``, ``score``, ``likelihood``, ``mover`` or ``bound``."""
        return "t"

    def upper(self, alpha: float) -> float:
        """Return the one-sided upper bound of the drop with confidence 1 - `alpha`."""
        return min(self.estimate + self._distance(alpha, 1), 1.0)

    def lower(self, alpha: float) -> float:
        """Return the one-sided lower bound of the drop with confidence 1 - `alpha`."""
        return max(self.estimate - self._distance(alpha, -1), -1.0)

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return the two-sided confidence interval of the drop."""
        return self.lower((1 - level) / 2), self.upper((1 - level) / 2)

    @property
    def p_worse(self) -> float:
        """One-sided p-value of the hypothesis that there is no drop."""
        return self.p_above(0.0)

    @property
    def p(self) -> float:
        """Two-sided p-value of the hypothesis that there is no difference."""
        return min(1.0, 2 * min(self.p_above(0.0), self.p_below(0.0)))

    def p_above(self, limit: float) -> float:
        """Return the one-sided p-value of the hypothesis that the drop is `limit` or smaller.

        It is the alpha at which the lower bound is `limit`; 1 if the estimate is not above `limit`.
        """
        return self._p(limit, -1)

    def p_below(self, limit: float) -> float:
        """Return the one-sided p-value of the hypothesis that the drop is `limit` or larger."""
        return self._p(limit, 1)

    def _p(self, limit: float, side: int) -> float:
        gap = side * (limit - self.estimate)
        if gap <= 0:
            return 1.0
        if not math.isfinite(self.variance):
            return 0.5
        tail = self.tail(limit, side)
        if zero_event_upper_bound(self.unseen, max(tail, float(ndtr(-_FARTHEST)))) <= gap:
            return tail
        return level_of(lambda alpha: zero_event_upper_bound(self.unseen, alpha), gap)

    def _distance(self, alpha: float, side: int) -> float:
        """Return the distance of the upper (`side` 1) or lower (-1) bound from the estimate.

        It is at least the bound for no difference: small differences, or differences of single
        questions, show nothing about whole images.
        """
        return max(self.reach(alpha, side), zero_event_upper_bound(self.unseen, alpha))

    def reach(self, alpha: float, side: int) -> float:
        """Return the distance that the observed differences alone give; never negative."""
        quantile = -float(stdtrit(self.df, alpha))
        return quantile * self.standard_error if quantile > 0 else 0.0

    def tail(self, limit: float, side: int) -> float:
        """Return the alpha at which `reach` ends at `limit`, which is on side `side`."""
        gap = side * (limit - self.estimate)
        return float(stdtr(self.df, -gap / self.standard_error)) if self.variance else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreDrop(Drop):
    """The drop of answers that are right or wrong, one per cluster: Tango's score interval."""

    flips: Flips

    @property
    def method(self) -> str:
        """``score``, or ``bound`` without any difference."""
        return "score" if self.discordant else "bound"

    def reach(self, alpha: float, side: int) -> float:
        """Return the distance of a bound of Tango's interval from the estimate."""
        z = -float(ndtri(alpha))
        if side > 0:
            return max(tango.upper(self.flips, z) - self.estimate, 0.0)
        return max(self.estimate - tango.lower(self.flips, z), 0.0)

    def tail(self, limit: float, side: int) -> float:
        """Return the normal tail probability of Tango's statistic."""
        return float(ndtr(side * tango.statistic(self.flips, limit)))


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusteredDrop(Drop):
    """The drop of clusters, or of answers that may be partly right: empirical likelihood.

    The signed root is compared with Student's t with the degrees of freedom of CR2 (Owen, Empirical
    Likelihood, 2001, section 2.7, for a calibration by F).
    """

    each: Clusters

    @property
    def method(self) -> str:
        """``likelihood``, or ``bound`` if all clusters differ by the same amount."""
        return "likelihood" if self.variance else "bound"

    def reach(self, alpha: float, side: int) -> float:
        """Return the distance at which the signed root is the quantile."""
        quantile = -float(stdtrit(self.df, alpha))
        toward = self.each if side > 0 else self.each.flipped()
        end = empirical_likelihood.upper(toward, quantile, self.standard_error)
        return max(end - side * self.estimate, 0.0)

    def tail(self, limit: float, side: int) -> float:
        """Return the tail probability of the signed root."""
        toward = self.each if side > 0 else self.each.flipped()
        return float(stdtr(self.df, -empirical_likelihood.signed_root(toward, side * limit)))


def estimate_drop(differences: Sequence[float] | Array, clusters: Sequence[Hashable]) -> Drop:
    """Estimate the drop of one benchmark from `differences`, baseline minus candidate per sample.

    `differences` are of values, or of influence values (`evalsuite.stats.influence`); `clusters`
    has the cluster of each. Raises ValueError if there are none.
    """
    values = np.asarray(differences, dtype=np.float64)
    if not len(values):
        raise ValueError("no samples to compare")
    return drop_of_clusters(*totals(values, clusters))


def drop_of_clusters(sums: Array, sizes: Array) -> Drop:
    """Estimate the drop from the sum of differences and the number of samples of each cluster."""
    n, clusters = float(sizes.sum()), len(sums)
    if clusters < 2:
        return Drop(
            estimate=float(sums.sum() / n),
            variance=math.inf,
            df=1.0,
            n=round(n),
            clusters=clusters,
            effective_clusters=1.0,
            discordant=int(abs(sums[0]) > _NO_DIFFERENCE),
            unseen=((1.0, clusters),),
        )
    found = moments(sums, sizes)
    # Rounding leaves a tiny variance if all clusters differ by the same amount.
    varies = found.variance > _NO_DIFFERENCE**2
    values: dict[str, Any] = {
        "estimate": float(found.mean),
        "variance": float(found.variance) if varies else 0.0,
        "df": float(found.df),
        "n": round(n),
        "clusters": clusters,
        "effective_clusters": float(found.effective_clusters),
        "discordant": int((np.abs(sums) > _NO_DIFFERENCE).sum()),
        "unseen": ((1.0, clusters),),
    }
    if clusters == n and np.isin(sums, (-1.0, 0.0, 1.0)).all():
        flips = Flips(float((sums > 0).sum()), float((sums < 0).sum()), n)
        return ScoreDrop(**values, flips=flips)
    return ClusteredDrop(**values, each=empirical_likelihood.group(sums, sizes))


def identical_difference(n: int, clusters: int) -> Drop:
    """Return the drop between checkpoints with identical answers, for clusters of equal size."""
    # Not by an array of all clusters: a planned number may be too large for the memory.
    size = n / clusters
    few = drop_of_clusters(np.zeros(min(clusters, 2)), np.full(min(clusters, 2), size))
    if clusters < 3:
        return few
    values: dict[str, Any] = {
        "n": n,
        "clusters": clusters,
        "df": clusters - 1.0,
        "unseen": ((1.0, clusters),),
    }
    if isinstance(few, ScoreDrop):
        values["flips"] = Flips(0, 0, n)
    return replace(few, effective_clusters=float(clusters), **values)


def level_of(distance: Callable[[float], float], gap: float, start: float = 1.0) -> float:
    """Return the alpha at which `distance`, which decreases with alpha, is `gap`, above 0.

    By search on normal quantiles, in which distances of bounds are nearly linear, from `start` on.
    """

    def beyond(z: float) -> float:
        return distance(float(ndtr(-z))) / gap - 1

    low, high = 0.0 if beyond(0.0) < 0 else -8.0, start
    while high < _FARTHEST and beyond(high) < 0:
        low, high = high, min(1.5 * high, _FARTHEST)
    return float(ndtr(-crossing(beyond, low, high)))

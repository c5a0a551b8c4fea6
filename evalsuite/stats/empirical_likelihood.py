"""The empirical likelihood of a clustered mean: how many standard errors a hypothesis is away.

Owen, Biometrika 75 (1988) 237, and "Empirical Likelihood" (2001), with one pseudo-cluster added as
by Chen, Variyath & Abraham (JCGS 17 (2008) 426). The signed root follows the skewness of the
clusters: a few images that were lost as a whole have a long upper and a short lower distance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from evalsuite.stats.cluster_robust import Array

_PSEUDO = 2 / 3
"""Weight of the pseudo-cluster. With it the bounds of a proportion are close to those of Clopper &
Pearson: 1/2 for the discreteness and 1/6 for the skewness of the signed root (Peizer &
Pratt, JASA 63 (1968) 1416)."""
_STEPS = 200
_PRECISION = 1e-13
_LAST_STEP = 1e-7
"""Newton's error after a step is about the square of that step."""


@dataclass(frozen=True, slots=True, eq=False)
class Clusters:
    """Clusters of samples, equal ones together: three arrays of the same length."""

    sums: Array
    """Sum of the differences in a cluster."""
    sizes: Array
    """Samples in a cluster."""
    counts: Array
    """Number of clusters with this sum and size."""

    def flipped(self) -> Clusters:
        """Return the clusters with losses and gains exchanged."""
        return Clusters(-self.sums, self.sizes, self.counts)


def group(sums: Array, sizes: Array) -> Clusters:
    """Return `Clusters` of these sums and sizes per cluster; their order does not matter."""
    distinct, counts = np.unique(sums + 1j * sizes, return_counts=True)
    return Clusters(distinct.real, distinct.imag, counts.astype(np.float64))


def signed_root(clusters: Clusters, drop: float) -> float:
    """Return the distance of the estimate from the hypothesis `drop`, which is above it.

    In standard errors; 0 if `drop` is not above the estimate, infinite if it is above the drop of
    every cluster. It never increases if a difference increases, for any set of clusters.

    With residuals a = sum - drop * size, the distance is ``sqrt(2 sum log(1 - t a))`` for the t at
    which ``sum a / (1 - t a) = 0``. The pseudo-cluster has the largest residual, multiplied by the
    share that positive residuals have of the sum of squares: the whole of it if clusters were lost
    but not gained, half of it if residuals are symmetric.
    """
    return _root_and_slope(clusters, drop)[0]


def _root_and_slope(clusters: Clusters, drop: float) -> tuple[float, float]:
    """Return the signed root, and approximately its derivative by `drop`."""
    residuals = clusters.sums - drop * clusters.sizes
    place = int(residuals.argmax())
    largest = float(residuals[place])
    if largest <= 0:
        return math.inf, math.inf
    scaled = residuals / largest
    squares = clusters.counts * scaled**2
    share = float(squares[scaled > 0].sum() / squares.sum())
    values = np.append(scaled, share)
    weights = np.append(clusters.counts, _PSEUDO)
    total = float(weights @ values)
    if total >= 0:
        return 0.0, 0.0
    tilt = _tilt(values, weights, total)
    left = 1 - tilt * values
    root = math.sqrt(max(2 * float(weights @ np.log(left)), 0.0))
    sizes = np.append(clusters.sizes, share * clusters.sizes[place])
    slope = tilt / largest * float(weights @ (sizes / left))
    return root, slope / root if root else 0.0


def _tilt(values: Array, weights: Array, total: float) -> float:
    """Return t between 0 and 1 at which ``weights @ (values / (1 - t values))`` is 0: Newton."""
    low, high = 0.0, 1.0
    tilt = min(-total / float(weights @ values**2), 0.5)
    for _ in range(_STEPS):
        terms = values / (1 - tilt * values)
        slope = float(weights @ terms)
        low, high = (tilt, high) if slope < 0 else (low, tilt)
        following = tilt - slope / float(weights @ terms**2)
        if not low < following < high:
            following = (low + high) / 2
        step, tilt = abs(following - tilt), following
        if step < _LAST_STEP:
            break
    return tilt


def upper(clusters: Clusters, quantile: float, error: float) -> float:
    """Return the drop at which the signed root is `quantile`; `error` is the standard error.

    Newton's method between the estimate and the largest drop of a cluster.
    """
    low = float((clusters.counts @ clusters.sums) / (clusters.counts @ clusters.sizes))
    high = float((clusters.sums / clusters.sizes).max())
    if quantile <= 0 or high <= low:
        return low
    drop = min(low + quantile * error, (low + high) / 2)
    for _ in range(_STEPS):
        root, slope = _root_and_slope(clusters, drop)
        low, high = (drop, high) if root < quantile else (low, drop)
        following = drop - (root - quantile) / slope if 0 < slope < math.inf else low
        if not low < following < high:
            following = (low + high) / 2
        if abs(following - drop) < _PRECISION:
            break
        drop = following
    return drop

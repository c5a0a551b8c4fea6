"""The mean of clustered values, its CR2 variance and degrees of freedom."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Moments:
    """A clustered mean and its variance: numbers, or arrays if there are replicates."""

    mean: Any
    variance: Any
    """CR2 variance of the mean."""
    df: Any
    """Satterthwaite degrees of freedom."""
    effective_clusters: Any
    """Number of clusters of equal size with the same precision: 1 / (sum of squared shares)."""


def totals(values: Array, clusters: Sequence[Hashable]) -> tuple[Array, Array]:
    """Return the sum and size of each cluster, in order of first occurrence."""
    if len(values) != len(clusters):
        raise ValueError(f"{len(values)} values but {len(clusters)} clusters")
    codes: dict[Hashable, int] = {}
    index = np.fromiter((codes.setdefault(c, len(codes)) for c in clusters), np.intp, len(values))
    sums, sizes = np.bincount(index, weights=values), np.bincount(index)
    return sums.astype(np.float64), sizes.astype(np.float64)


def moments(sums: Array, sizes: Array) -> Moments:
    """Return the moments of the mean of values with the totals `sums` and `sizes` per cluster.

    Clusters are along the last axis; axes before it are replicates. At least two clusters.

    CR2 (Bell & McCaffrey, Survey Methodology 28 (2002) 169; Pustejovsky & Tipton, JBES 36 (2018)
    672) multiplies the residuals of a cluster by ``(I - H)^(-1/2)``, H being its block of the hat
    matrix. For a mean of N values that block is 11'/N, of which 1 is an eigenvector with eigenvalue
    h = size / N. So the matrix multiplies the sum of a cluster by ``(1 - h)^(-1/2)``, and with S
    the sum of a cluster's residuals

        variance = sum_c S_c^2 / (1 - h_c) / N^2

    The degrees of freedom match the variance estimate's first two moments to a chi-square's when
    all values are independent with one variance (the working model): ``tr(G)^2 / tr(G G)`` with
    G_cd = p_c'p_d and p_c the weights of the values in cluster c's term. Written out, G_cc is
    h_c / N, G_cd is -h_c h_d / sqrt((1 - h_c)(1 - h_d)) / N, and with g = h^2 / (1 - h)

        df = 1 / (sum_c h_c^2 + (sum_c g_c)^2 - sum_c g_c^2)

    With C clusters of one size these are CR1 (C / (C - 1)) and C - 1.
    """
    n = sizes.sum(axis=-1)
    mean = sums.sum(axis=-1) / n
    share = sizes / n[..., None]
    residuals = sums - mean[..., None] * sizes
    variance = (residuals**2 / (1 - share)).sum(axis=-1) / n**2
    ratio = share**2 / (1 - share)
    squares = (share**2).sum(axis=-1)
    df = 1 / (squares + ratio.sum(axis=-1) ** 2 - (ratio**2).sum(axis=-1))
    return Moments(mean, variance, df, 1 / squares)

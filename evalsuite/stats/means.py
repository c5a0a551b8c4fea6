"""The mean and its standard error, as printed with a score."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Sequence


def mean(values: Sequence[float]) -> float:
    """Return the arithmetic mean; the sum is exact, so the order of values does not matter."""
    return math.fsum(values) / len(values)


def clustered_standard_error(values: Sequence[float], clusters: Sequence[Hashable]) -> float | None:
    """Return the standard error of the mean of `values`, clustered.

    The cluster-robust CR1 estimate: with residuals e = value - mean summed within each of C
    clusters of n values in all, ``sqrt(C / (C - 1) * sum_c (sum_i e_ic)^2) / n``
    (Liang & Zeger 1986; for evaluations: Miller 2024, arXiv 2411.00640, section 2.2).
    In the unit of `values`; None if there are fewer than two clusters.
    """
    if len(values) != len(clusters):
        raise ValueError(f"{len(values)} values but {len(clusters)} clusters")
    centre = mean(values)
    residuals: dict[Hashable, list[float]] = defaultdict(list)
    for value, cluster in zip(values, clusters, strict=True):
        residuals[cluster].append(value - centre)
    count = len(residuals)
    if count < 2:
        return None
    squares = math.fsum(math.fsum(group) ** 2 for group in residuals.values())
    return math.sqrt(count / (count - 1) * squares) / len(values)


def mean_standard_error(errors: Sequence[float | None]) -> float | None:
    """Return the standard error of the mean of independent scores.

    ``sqrt(sum_k e_k^2) / K``; benchmarks are assumed to share no images. None if there is no score,
    or if a score has no standard error.
    """
    known = [error for error in errors if error is not None]
    if not errors or len(known) < len(errors):
        return None
    return math.sqrt(math.fsum(error**2 for error in known)) / len(errors)

"""The confidence interval of one score, always between 0 and 1."""

from __future__ import annotations

import math

from scipy.special import stdtrit


def score_interval(
    value: float, error: float | None, clusters: int, level: float = 0.95
) -> tuple[float, float] | None:
    """Return the two-sided interval of a score (0 to 1) whose clustered standard error is `error`.

    Wilson's score interval (JASA 22 (1927) 209) for the effective sample size ``value (1 - value) /
    error^2``, with Student's t in place of the normal quantile, as recommended for complex samples
    by Franco, Little, Louis & Slud (Journal of Survey Statistics and Methodology 7 (2019) 334). If
    the variance is 0, the effective sample size is the number of clusters. None if there are fewer
    than two clusters.
    """
    if error is None or clusters < 2:
        return None
    spread = value * (1 - value)
    n = spread / error**2 if error > 0 and spread > 0 else float(clusters)
    t = -float(stdtrit(clusters - 1, (1 - level) / 2))
    shrink = 1 + t**2 / n
    centre = (value + t**2 / (2 * n)) / shrink
    half = t * math.sqrt(spread / n + t**2 / (4 * n**2)) / shrink
    # The interval contains a perfect score in spite of rounding.
    return max(min(centre - half, value), 0.0), min(max(centre + half, value), 1.0)

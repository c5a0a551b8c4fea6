"""The interval of one score, which never leaves the scale."""

from __future__ import annotations

import math

from scipy.special import stdtrit


def score_interval(
    value: float, error: float | None, clusters: int, level: float = 0.95
) -> tuple[float, float] | None:
    """The two-sided interval of a score from 0 to 1 whose clustered standard error is `error`.

    Wilson's score interval (JASA 22 (1927) 209) for as many independent answers as would have the
    same standard error, ``value (1 - value) / error^2``, with Student's t for the normal quantile:
    what Franco, Little, Louis & Slud recommend for complex samples (Journal of Survey Statistics
    and Methodology 7 (2019) 334). Where nothing varies, every cluster counts as one answer, so that
    100 % of a few is no certainty. None if there are fewer than two clusters.
    """
    if error is None or clusters < 2:
        return None
    spread = value * (1 - value)
    n = spread / error**2 if error > 0 and spread > 0 else float(clusters)
    t = -float(stdtrit(clusters - 1, (1 - level) / 2))
    shrink = 1 + t**2 / n
    centre = (value + t**2 / (2 * n)) / shrink
    half = t * math.sqrt(spread / n + t**2 / (4 * n**2)) / shrink
    # Rounding must not leave a perfect score outside its own interval.
    return max(min(centre - half, value), 0.0), min(max(centre + half, value), 1.0)

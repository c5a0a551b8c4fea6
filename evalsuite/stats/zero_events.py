"""Upper bound of a difference of which no event was observed."""

from __future__ import annotations

import math
from collections.abc import Sequence


def zero_event_upper_bound(parts: Sequence[tuple[float, int]], alpha: float) -> float:
    """Return the upper bound, at level `alpha`, of a weighted sum of rates without any event.

    Each part has a weight and a number C of clusters, none of which differs. Clusters of a part
    differ with some probability q, and the mean of the part is at most q; that no cluster differs
    has probability (1 - q)^C. For one part with weight 1 the result is the exact binomial bound for
    0 of C, ``1 - alpha^(1/C)`` (Clopper & Pearson, Biometrika 26 (1934) 404).

    For several parts it is the largest sum of w q for which no event has probability `alpha`: with
    t = -log(1 - q), the sum of C t is at most -log alpha. At the maximum, w (1 - q) / C is the same
    for all q above 0. Parts are therefore added in order of weight per cluster, largest first, as
    long as the sum increases. 0 without parts.
    """
    ranked = sorted(((w / c, w, c) for w, c in parts), reverse=True)
    budget, clusters, logs = -math.log(alpha), 0, 0.0
    level = 0.0
    taken: list[tuple[float, float]] = []
    for ratio, weight, count in ranked:
        if taken and math.log(ratio) <= level:
            break
        taken.append((ratio, weight))
        clusters += count
        logs += count * math.log(ratio)
        level = (logs - budget) / clusters
    return math.fsum(weight * -math.expm1(level - math.log(ratio)) for ratio, weight in taken)

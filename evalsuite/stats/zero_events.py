"""What no difference at all leaves open."""

from __future__ import annotations

import math
from collections.abc import Sequence


def largest_unseen(parts: Sequence[tuple[float, int]], alpha: float) -> float:
    """The largest weighted sum of differences that would go unseen with probability `alpha`.

    Each part has a weight and a number C of clusters, none of which differs. Clusters of a part
    differ with some probability q, and its mean by no more than that; that none does has
    probability (1 - q)^C. Of one part with weight 1 the answer is the exact binomial bound for 0 of
    C, ``1 - alpha^(1/C)`` (Clopper & Pearson, Biometrika 26 (1934) 404).

    Of several it is the largest sum of w q for which all stay unseen with probability `alpha`:
    with t = -log(1 - q), the sum of C t is at most -log alpha. The largest has w (1 - q) / C the
    same wherever q is above 0, so parts are taken in, those with the most weight a cluster first,
    while that raises the sum.
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

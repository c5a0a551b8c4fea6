"""Where the true score of a benchmark lies, from what is printed beside a score."""

from __future__ import annotations

from scipy.special import stdtrit

from evalsuite.stats.unseen import largest_unseen


def score_interval(
    score: float, stderr: float | None, clusters: int, level: float = 0.95
) -> tuple[float, float] | None:
    """Return the interval of a score from 0 to 100; None without a standard error.

    A t interval with one degree of freedom less than clusters, kept within the scale. Without any
    spread, which only a score at an end of the scale usually has, it is the exact binomial bound
    for 0 of so many clusters (`largest_unseen`): 20 right answers prove little.
    """
    if stderr is None or clusters < 2:
        return None
    tail = (1 - level) / 2
    reach = (
        -float(stdtrit(clusters - 1, tail)) * stderr
        if stderr > 0
        else 100 * largest_unseen([(1.0, clusters)], tail)
    )
    return max(score - reach, 0.0), min(score + reach, 100.0)

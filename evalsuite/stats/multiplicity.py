"""Several tests at once, and McNemar's test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import bdtr, ndtr


def holm(ps: Sequence[float]) -> list[float]:
    """Adjusted p of each test, in the order given: below alpha, it holds among all of them.

    Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
    Statistics 6 (1979) 65. Holds however the tests depend on each other.
    """
    adjusted = [0.0] * len(ps)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(ps)), key=lambda i: ps[i])):
        largest = max(largest, min(1.0, (len(ps) - rank) * ps[index]))
        adjusted[index] = largest
    return adjusted


@dataclass(frozen=True, slots=True)
class McNemar:
    """Two-sided p of McNemar's test on right and wrong answers, one question a cluster."""

    exact: float
    """Binomial: never too small."""
    mid: float
    """With half the weight on what was observed: less timid (Fagerland, Lydersen & Laake, BMC
    Medical Research Methodology 13 (2013) 91)."""


def mcnemar(worse: int, better: int) -> McNemar:
    """McNemar's test (Psychometrika 12 (1947) 153) of `worse` against `better` flips.

    Shown beside a difference and never decides: it knows no clusters and no size of the drop.
    """
    flips, fewer = worse + better, min(worse, better)
    if not flips:
        return McNemar(1.0, 1.0)
    below = float(bdtr(fewer, flips, 0.5))
    here = below - (float(bdtr(fewer - 1, flips, 0.5)) if fewer else 0.0)
    if worse == better:
        return McNemar(1.0, 1.0 - here / 2)
    return McNemar(min(1.0, 2 * below), 2 * below - here)


def luck_of_the_best(count: int, error: float) -> float:
    """By how much the best of `count` equally good checkpoints leads by luck, on average.

    `error` is the standard error of a difference between two of them, and the answer is in its
    unit: each varies by error / sqrt(2) around what it would show on endless samples, and the
    largest of `count` standard normal numbers is on average the integral of x d(Phi(x)^count).
    """
    x = np.linspace(-12, 12, 24_001)
    largest = float(np.sum((x[1:] + x[:-1]) / 2 * np.diff(ndtr(x) ** count)))
    return largest * error / float(np.sqrt(2))

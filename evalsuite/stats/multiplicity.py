"""Multiple tests, selection bias, and McNemar's test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import bdtr, ndtr


def holm(ps: Sequence[float]) -> list[float]:
    """Return the adjusted p-value of each test, in the order given.

    Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
    Statistics 6 (1979) 65. Controls the family-wise error rate for any dependence of the tests.
    """
    adjusted = [0.0] * len(ps)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(ps)), key=lambda i: ps[i])):
        largest = max(largest, min(1.0, (len(ps) - rank) * ps[index]))
        adjusted[index] = largest
    return adjusted


@dataclass(frozen=True, slots=True)
class McNemar:
    """Two-sided p-values of McNemar's test on right and wrong answers, one question per cluster."""

    exact: float
    """Binomial."""
    mid: float
    """With half the probability of the observed counts: less conservative (Fagerland, Lydersen &
    Laake, BMC Medical Research Methodology 13 (2013) 91)."""


def mcnemar(worse: int, better: int) -> McNemar:
    """Return McNemar's test (Psychometrika 12 (1947) 153) for these numbers of changed answers.

    It is reported and never decides: it ignores clusters and the size of the drop.
    """
    flips, fewer = worse + better, min(worse, better)
    if not flips:
        return McNemar(1.0, 1.0)
    below = float(bdtr(fewer, flips, 0.5))
    here = below - (float(bdtr(fewer - 1, flips, 0.5)) if fewer else 0.0)
    if worse == better:
        return McNemar(1.0, 1.0 - here / 2)
    return McNemar(min(1.0, 2 * below), 2 * below - here)


def selection_bias(count: int, error: float) -> float:
    """Return the expected lead of the best of `count` equally good checkpoints.

    `error` is the standard error of a difference between two of them; the result has its unit. Each
    score varies by error / sqrt(2) around its expectation, and the expected maximum of `count`
    standard normal numbers is the integral of x d(Phi(x)^count).
    """
    x = np.linspace(-12, 12, 24_001)
    expected_maximum = float(np.sum((x[1:] + x[:-1]) / 2 * np.diff(ndtr(x) ** count)))
    return expected_maximum * error / float(np.sqrt(2))

"""Metrics that are not a mean over samples, expressed as means of influence values.

Each function returns values per sample whose mean is exactly the metric and whose variance is that
of the metric to first order: metric + influence of the sample (Hampel 1974; for clustered data
Deville, Survey Methodology 25 (1999) 193). Their differences are valid input of
`evalsuite.stats.paired_difference.estimate_drop`.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from evalsuite.stats.cluster_robust import Array

Numbers = Sequence[float] | Array


def ratio_values(numerators: Numbers, denominators: Numbers) -> Array:
    """Return values whose mean is the ratio of two sums.

    The influence of a sample on R = sum u / sum v is (u - R v) / mean(v). Raises ValueError if the
    sum of the denominators is not positive.
    """
    above = np.asarray(numerators, dtype=np.float64)
    below = np.asarray(denominators, dtype=np.float64)
    total = below.sum()
    if not total > 0:
        raise ValueError("a ratio needs a positive denominator")
    ratio = above.sum() / total
    values: Array = ratio + (above - ratio * below) / (total / len(below))
    return values


def f1_values(predicted: Sequence[bool], actual: Sequence[bool]) -> Array:
    """Return values whose mean is F1 = 2 TP / (predicted + actual), as reported for POPE.

    Raises ValueError if no sample is predicted or actual.
    """
    positive = np.asarray(predicted, dtype=np.float64)
    true = np.asarray(actual, dtype=np.float64)
    return ratio_values(2 * positive * true, positive + true)


def group_mean_values(
    values: Numbers,
    groups: Sequence[Hashable],
    weights: Mapping[Hashable, float] | None = None,
) -> Array:
    """Return values whose mean is a weighted sum of group means; equal weights by default.

    For scores per task (MME's sum over tasks on the scale 0 to 1, a macro average). The influence
    of a sample of group g on sum_g w_g mean_g is w_g (value - mean_g) N / n_g.
    """
    given = np.asarray(values, dtype=np.float64)
    names = {group: place for place, group in enumerate(dict.fromkeys(groups))}
    index = np.fromiter((names[group] for group in groups), np.intp, len(given))
    sizes = np.bincount(index)
    means = np.bincount(index, weights=given) / sizes
    share = np.array([1 / len(names) if weights is None else weights[name] for name in names])
    scale = share * len(given) / sizes
    result: Array = share @ means + scale[index] * (given - means[index])
    return result


def all_or_nothing(values: Numbers, groups: Sequence[Hashable]) -> dict[Hashable, float]:
    """Return the value of each group: the smallest value of its samples.

    For the figures and questions of HallusionBench, the images of MME and the circular questions of
    MMBench, whose scores are means over such groups. Groups are in the order of the data.
    """
    smallest: dict[Hashable, float] = {}
    for value, group in zip(values, groups, strict=True):
        smallest[group] = min(float(value), smallest.get(group, float(value)))
    return smallest

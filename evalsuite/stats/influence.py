"""Metrics that are no mean of samples, as means of influence values.

Each function turns samples into values whose mean is the metric, exactly, and whose spread is that
of the metric, to first order: metric + influence of the sample (Hampel 1974; for clustered data
Deville, Survey Methodology 25 (1999) 193). Differences of such values go where differences of
ordinary ones go: `evalsuite.stats.paired_difference.estimate_drop`.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from evalsuite.stats.cluster_robust import Array

Numbers = Sequence[float] | Array


def ratio_values(numerators: Numbers, denominators: Numbers) -> Array:
    """Values whose mean is the ratio of two sums.

    The influence of a sample on R = sum u / sum v is (u - R v) over the mean of v. Raises
    ValueError if the denominators add up to nothing.
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
    """Values whose mean is F1 = 2 TP / (predicted + actual), as POPE reports it.

    Raises ValueError if nothing is predicted nor actual.
    """
    said = np.asarray(predicted, dtype=np.float64)
    true = np.asarray(actual, dtype=np.float64)
    return ratio_values(2 * said * true, said + true)


def group_mean_values(
    values: Numbers,
    groups: Sequence[Hashable],
    weights: Mapping[Hashable, float] | None = None,
) -> Array:
    """Values whose mean is a weighted sum of the groups' means; their plain mean without `weights`.

    For scores by task (MME's sum over tasks on the scale of 0 to 1, a macro average). The influence
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
    """What each group is worth if it counts only as a whole: its least value.

    For HallusionBench's figures and questions, MME's pictures and MMBench's circular
    questions, whose scores are means over such groups. Groups come in the order of the data.
    """
    worth: dict[Hashable, float] = {}
    for value, group in zip(values, groups, strict=True):
        worth[group] = min(float(value), worth.get(group, float(value)))
    return worth

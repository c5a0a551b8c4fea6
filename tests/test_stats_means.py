"""Standard errors against numbers worked out by hand and by simulation."""

import math
import random

import pytest

from evalsuite.stats import clustered_standard_error, mean
from evalsuite.stats.means import mean_standard_error


def test_one_question_per_cluster_is_the_ordinary_standard_error() -> None:
    # Values 1 0 1 1: mean 3/4, sum of squares 3/4, sqrt((3/4) / (n (n - 1))) = sqrt(1/16).
    assert clustered_standard_error([1, 0, 1, 1], "abcd") == pytest.approx(0.25)


def test_by_hand_with_two_questions_per_cluster() -> None:
    # Mean 1/2; residual sums per cluster 1, -1, 0; sqrt(3/2 * 2) / 6.
    value = clustered_standard_error([1, 1, 0, 0, 1, 0], "aabbcc")
    assert value == pytest.approx(math.sqrt(3) / 6)


def test_one_cluster_has_no_standard_error() -> None:
    assert clustered_standard_error([1, 0, 1], "aaa") is None


def test_equal_values_have_standard_error_zero() -> None:
    assert clustered_standard_error([0.1] * 7, "aabbccd") == pytest.approx(0, abs=1e-15)


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="2 values but 1 clusters"):
        clustered_standard_error([1, 0], "a")


def test_order_does_not_matter() -> None:
    rng = random.Random(7)
    rows = [(rng.random(), rng.randrange(30)) for _ in range(500)]
    mixed = rng.sample(rows, len(rows))
    assert mean([v for v, _ in rows]) == mean([v for v, _ in mixed])
    one = clustered_standard_error(*zip(*rows, strict=True))
    other = clustered_standard_error(*zip(*mixed, strict=True))
    assert one == pytest.approx(other, rel=1e-12)


def test_the_error_of_a_mean_of_scores_by_hand() -> None:
    assert mean_standard_error([0.03, 0.04]) == pytest.approx(0.05 / 2)
    assert mean_standard_error([0.02, 0.01, 0.02]) == pytest.approx(0.03 / 3)
    assert mean_standard_error([0.03]) == pytest.approx(0.03)
    assert mean_standard_error([0.0, 0.0]) == 0
    assert mean_standard_error([0.03, None]) is None
    assert mean_standard_error([]) is None


def test_two_clusters_have_a_standard_error() -> None:
    # Mean 1/2; residual sums 1/2 and -1/2; sqrt(2/1 * 1/2) / 2.
    assert clustered_standard_error([1, 0], "ab") == pytest.approx(0.5)


def test_intervals_cover_95_percent() -> None:
    """In 400 simulated benchmarks, 1.96 standard errors cover the true value in about 95 %.

    Clusters of 5 with a high intraclass correlation: an unclustered error would cover about 60 %.
    """
    rng = random.Random(1)
    hits = 0
    for _ in range(400):
        values, clusters = [], []
        for cluster in range(80):
            skill = rng.choice([0.1, 0.9])
            values += [float(rng.random() < skill) for _ in range(5)]
            clusters += [cluster] * 5
        stderr = clustered_standard_error(values, clusters)
        assert stderr is not None
        hits += abs(mean(values) - 0.5) <= 1.96 * stderr
    assert 0.91 <= hits / 400 <= 0.985

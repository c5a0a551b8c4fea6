"""The interval of a score."""

import pytest
from scipy import stats

from evalsuite.stats.interval import score_interval


@pytest.mark.parametrize(("score", "stderr", "clusters"), [(60.0, 2.4, 110), (50.0, 10.0, 3)])
def test_a_score_with_an_error_has_a_t_interval(score: float, stderr: float, clusters: int) -> None:
    low, high = stats.t.interval(0.95, clusters - 1, loc=score, scale=stderr)
    assert score_interval(score, stderr, clusters) == pytest.approx((max(low, 0), min(high, 100)))


def test_it_keeps_within_the_scale() -> None:
    assert score_interval(99, 2, 30) == (pytest.approx(99 - 2 * stats.t.ppf(0.975, 29)), 100)
    assert score_interval(50, 40, 3, level=0.9) == (0, 100)


def test_all_right_is_not_certain() -> None:
    # Clopper and Pearson's bound for 20 of 20 is the same.
    exact = stats.binomtest(20, 20).proportion_ci(0.95, "exact")
    assert score_interval(100, 0, 20) == (pytest.approx(100 * exact.low), 100)
    assert score_interval(0, 0, 20) == (0, pytest.approx(100 - 100 * exact.low))


def test_one_image_says_nothing() -> None:
    assert score_interval(50, None, 1) is None

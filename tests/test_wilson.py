"""The interval of one score: compared with statsmodels, tables and simulations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from evalsuite.stats import clustered_standard_error
from evalsuite.stats.wilson import score_interval


@pytest.mark.parametrize(("right", "n"), [(1, 10), (9, 10), (30, 80), (999, 1000)])
@pytest.mark.parametrize("level", [0.95, 0.9])
def test_the_interval_of_a_score_equals_wilsons(right: int, n: int, level: float) -> None:
    """With very many clusters, Student's t is normal; the error is that of n samples."""
    value = right / n
    error = math.sqrt(value * (1 - value) / n)
    theirs = proportion_confint(right, n, 1 - level, method="wilson")
    assert score_interval(value, error, 10**12, level) == pytest.approx(theirs, abs=1e-9)


@pytest.mark.parametrize("error", [0.0, 1e-17])
def test_the_interval_of_a_perfect_score_has_as_many_samples_as_clusters(error: float) -> None:
    """The bound is C / (C + t^2); t of 39 degrees of freedom is 2.0227 in tables."""
    found = score_interval(1.0, error, 40)
    assert found == (pytest.approx(40 / (40 + 2.0227**2), abs=1e-5), 1)
    none = score_interval(0.0, error, 40)
    assert none == (0, pytest.approx(2.0227**2 / (40 + 2.0227**2), abs=1e-5))


def test_clusters_that_are_all_half_right_count_as_one_sample_each() -> None:
    """Half the width is t / 2 / sqrt(C + t^2)."""
    half = 2.0227 / 2 / math.sqrt(40 + 2.0227**2)
    assert score_interval(0.5, 0.0, 40) == pytest.approx((0.5 - half, 0.5 + half), abs=1e-5)


def test_the_interval_of_a_score_needs_two_clusters() -> None:
    assert score_interval(0.5, None, 40) is None
    assert score_interval(0.5, 0.1, 1) is None


def test_two_clusters_allow_almost_any_score() -> None:
    """The effective sample size is 1; t of one degree of freedom is 12.706."""
    found = score_interval(0.5, 0.5, 2)
    half = 0.5 / math.sqrt(1 + 1 / 12.706**2)
    assert found == (pytest.approx(0.5 - half, abs=1e-5), pytest.approx(0.5 + half, abs=1e-5))


def test_clusters_widen_the_interval() -> None:
    narrow, wide = score_interval(0.9, 0.02, 200), score_interval(0.9, 0.06, 20)
    assert narrow is not None
    assert wide is not None
    assert 0 < wide[0] < narrow[0] < 0.9 < narrow[1] < wide[1] < 1


def test_intervals_cover_what_they_say() -> None:
    """3 questions an image that are often right together, 60 images: 95 % within 1.5."""
    chance = np.random.default_rng(7)
    covered = 0
    for _ in range(2000):
        image = chance.random(60) < 0.85
        alone = chance.random((60, 3)) < 0.85
        values = np.where(chance.random((60, 3)) < 0.5, image[:, None], alone).astype(float)
        flat = values.ravel().tolist()
        error = clustered_standard_error(flat, np.repeat(np.arange(60), 3).tolist())
        found = score_interval(float(values.mean()), error, 60)
        assert found is not None
        covered += found[0] <= 0.85 <= found[1]
    assert 0.935 <= covered / 2000 <= 0.965

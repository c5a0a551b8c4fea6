"""Bounds of clustered benchmarks: figures before and after, and properties for any data."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from evalsuite.stats.cluster_robust import Array
from evalsuite.stats.decision import decide
from evalsuite.stats.mean_difference import mean_drop
from evalsuite.stats.paired_difference import Drop, drop_of_clusters, estimate_drop

IMAGES, QUESTIONS = 60, 20


def single_answers(lost: int, gained: int) -> Drop:
    """Return the drop of `IMAGES` images, of which each loses or gains at most one answer."""
    sums = np.zeros(IMAGES)
    sums[:lost], sums[lost : lost + gained] = 1, -1
    return drop_of_clusters(sums, np.full(IMAGES, float(QUESTIONS)))


def test_thirty_differing_images_are_no_step() -> None:
    """Before: the upper bound fell from 4.95 to 0.97 points, p from 0.23 to 5e-7."""
    fewer, more = single_answers(15, 14), single_answers(16, 14)
    assert 100 * fewer.upper(0.05) == pytest.approx(4.954, abs=1e-3)
    assert 100 * more.upper(0.05) == pytest.approx(5.037, abs=1e-3)
    assert single_answers(29, 0).p_worse == pytest.approx(0.2304, abs=1e-4)
    assert single_answers(30, 0).p_worse == pytest.approx(0.2189, abs=1e-4)


def false_passes(images: int, largest: int, rng: np.random.Generator, count: int) -> float:
    """Return how often a drop of 5 points, all of whole images, passes a max drop of 5 points."""
    passed = 0
    for _ in range(count):
        sizes = rng.integers(largest if largest == QUESTIONS else 1, largest + 1, images)
        worse = rng.binomial(sizes, 0.075)
        other = worse - rng.binomial(sizes - worse, 0.075 / 0.925)
        sums = np.where(rng.random(images) < 0.05, sizes, other)
        drop = drop_of_clusters(sums.astype(float), sizes.astype(float))
        passed += drop.estimate < 0.05 and drop.p_below(0.05) < 0.05
    return passed / count


@pytest.mark.slow
@pytest.mark.parametrize(("images", "before"), [(60, 0.12), (100, 0.09), (300, 0.07)])
def test_lost_images_pass_at_most_at_alpha(images: int, before: float) -> None:
    """`before` is the rate of the earlier bound."""
    found = false_passes(images, QUESTIONS, np.random.default_rng(images), 5000)
    assert found < 0.05 + 2 * (0.05 * 0.95 / 5000) ** 0.5 < before


@pytest.mark.parametrize("images", [60, 100])
def test_lost_images_rarely_pass(images: int) -> None:
    found = false_passes(images, QUESTIONS, np.random.default_rng(images), 600)
    assert found < 0.065


def gained_images(chance: float, rng: np.random.Generator) -> Drop:
    """Return a true drop of 0: whole images gained, single answers lost on the others."""
    gained = rng.random(IMAGES) < chance
    lost = rng.binomial(QUESTIONS, chance / (1 - chance), IMAGES)
    return drop_of_clusters(np.where(gained, -float(QUESTIONS), lost), np.full(IMAGES, 20.0))


@pytest.mark.slow
@pytest.mark.parametrize("chance", [0.02, 0.05, 0.1])
def test_gained_images_do_not_make_a_regression(chance: float) -> None:
    """Before: 15.6 % regressions of five benchmarks without a true drop, for 5 % gained images."""
    rng, count = np.random.default_rng(1), 1000
    names = [f"B{index}" for index in range(5)]
    found = sum(
        decide(
            {name: gained_images(chance, rng) for name in names}, dict.fromkeys(names, 0.05)
        ).verdict
        == "regression"
        for _ in range(count)
    )
    assert found / count < 0.065


# Properties


def random_benchmark(random: Random) -> tuple[Array, list[int]]:
    """Return differences -1, 0 or 1 and their clusters; sizes, rates and skewness vary."""
    clusters = random.randint(2, 40)
    largest = random.choice([1, 1, 2, 5, 20])
    lost, gained, whole = (random.choice([0, 0.02, 0.1, 0.4]) for _ in range(3))
    values: list[float] = []
    names: list[int] = []
    for name in range(clusters):
        together = random.choice([-1.0, 1.0]) if random.random() < whole else None
        for _ in range(random.randint(1, largest)):
            draw = random.random()
            alone = 1.0 if draw < lost else -1.0 if draw > 1 - gained else 0.0
            values.append(alone if together is None else together)
            names.append(name)
    return np.array(values), names


def check_one_more_lost_answer(random: Random) -> None:
    """One more lost answer lowers no bound and no p-value against a drop: of one and of a mean."""
    values, names = random_benchmark(random)
    worse = values.copy()
    place = random.choice(range(len(values)))
    worse[place] = min(worse[place] + 1, 1.0)
    alpha = random.choice([0.2, 0.05, 0.01, 0.003])
    before, after = estimate_drop(values, names), estimate_drop(worse, names)
    others = [estimate_drop(*random_benchmark(random)) for _ in range(random.randint(0, 2))]
    for less, more in (
        (before, after),
        (mean_drop([before, *others]), mean_drop([after, *others])),
    ):
        assert more.upper(alpha) >= less.upper(alpha) - 1e-9
        assert more.lower(alpha) >= less.lower(alpha) - 1e-9


def check_order(random: Random) -> None:
    """The order of samples, clusters and benchmarks does not matter."""
    several, shuffled = [], []
    for _ in range(random.randint(1, 2)):
        values, names = random_benchmark(random)
        several.append(estimate_drop(values, names))
        places = random.sample(range(len(values)), len(values))
        renamed = random.sample(range(1000), len(set(names)))
        shuffled.append(estimate_drop(values[places], [renamed[names[i]] for i in places]))
    random.shuffle(shuffled)
    found, again = mean_drop(several), mean_drop(shuffled)
    assert again.interval() == pytest.approx(found.interval(), abs=1e-9)
    assert shuffled[0].p in [pytest.approx(drop.p, rel=1e-6, abs=1e-12) for drop in several]


@pytest.mark.parametrize("check", [check_one_more_lost_answer, check_order])
def test_properties_hold(check) -> None:  # type: ignore[no-untyped-def]
    for seed in range(300):
        check(Random(seed))


@pytest.mark.slow
@pytest.mark.parametrize("check", [check_one_more_lost_answer, check_order])
def test_properties_hold_for_many_data_sets(check) -> None:  # type: ignore[no-untyped-def]
    for seed in range(300, 10_000):
        check(Random(seed))

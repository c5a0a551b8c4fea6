"""Verdicts on given drops, and formulas of power compared with the decision."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, multivariate_normal, norm, t

from evalsuite.stats import power
from evalsuite.stats.cluster_robust import Array
from evalsuite.stats.decision import Decision, decide
from evalsuite.stats.mean_difference import mean_drop
from evalsuite.stats.paired_difference import Drop, estimate_drop
from evalsuite.stats.power import Level
from evalsuite.stats.zero_events import zero_event_upper_bound


def drop(estimate: float, error: float, clusters: int = 1000) -> Drop:
    return Drop(
        estimate=estimate,
        variance=error**2,
        df=1e9,
        n=clusters,
        clusters=clusters,
        effective_clusters=clusters,
        discordant=clusters,
    )


def judged(*drops: Drop, margin: float = 0.01, cliff: float = 0.05) -> Decision:
    named = {f"B{index}": each for index, each in enumerate(drops)}
    return decide(named, dict.fromkeys(named, cliff), margin)


def test_equal_and_precise_passes() -> None:
    decision = judged(drop(0.0, 0.005), drop(0.001, 0.005))
    assert decision.verdict == "pass"
    assert all(finding.within for finding in decision.benchmarks.values())
    assert decision.mean.upper == pytest.approx(0.0005 + 1.6449 * 0.005 / math.sqrt(2), abs=1e-6)


def test_equal_and_imprecise_is_inconclusive() -> None:
    decision = judged(drop(0.0, 0.04), drop(0.0, 0.001))
    assert decision.verdict == "inconclusive"
    assert not decision.benchmarks["B0"].within
    assert not decision.mean.within
    assert not decision.mean.regressed
    assert decision.benchmarks["B1"].within


def test_one_benchmark_beyond_its_margin_is_a_regression() -> None:
    decision = judged(drop(0.08, 0.01), drop(-0.08, 0.01), margin=0.05)
    assert decision.verdict == "regression"
    assert [f.regressed for f in decision.benchmarks.values()] == [True, False]
    assert decision.mean.within


def test_a_significant_drop_within_its_margin_is_no_regression() -> None:
    decision = judged(drop(0.04, 0.001), drop(-0.05, 0.001))
    assert decision.benchmarks["B0"].p < 1e-9
    assert decision.verdict == "pass"


def test_a_large_drop_that_is_not_significant_is_no_regression() -> None:
    """p is 0.02 alone, and 0.06 among two benchmarks and their mean."""
    error = 0.06 / norm.isf(0.02)
    decision = judged(drop(0.06, error), drop(-0.06, error))
    assert decision.benchmarks["B0"].p == pytest.approx(0.06, abs=1e-6)
    assert decision.verdict == "inconclusive"


@pytest.mark.parametrize(
    ("estimate", "verdict"), [(0.0499, "pass"), (0.05, "inconclusive"), (0.0501, "regression")]
)
def test_a_drop_equal_to_its_margin_is_neither(estimate: float, verdict: str) -> None:
    """The other benchmark gains as much: the mean is within its margin."""
    decision = judged(drop(estimate, 1e-6), drop(-0.05, 1e-6))
    assert decision.verdict == verdict


def test_an_upper_bound_equal_to_the_margin_is_not_within_it() -> None:
    upper = drop(0.0, 0.01).upper(0.05)
    assert not judged(drop(0.0, 0.01), margin=upper, cliff=1).mean.within
    assert judged(drop(0.0, 0.01), margin=upper * (1 + 1e-9), cliff=1).mean.within


def test_the_default_margin_is_one_point_and_the_default_alpha_five_percent() -> None:
    for estimate, error, verdict in (
        (0.0099, 1e-6, "pass"),
        (0.0101, 1e-6, "regression"),
        (0.02, 0.02 / 1.65, "regression"),  # p is 0.0495
        (0.02, 0.02 / 1.64, "inconclusive"),  # p is 0.0505
    ):
        assert decide({"A": drop(estimate, error)}, {"A": 0.05}).verdict == verdict


def test_the_mean_can_regress_alone() -> None:
    decision = judged(*[drop(0.02, 0.004)] * 4)
    assert decision.verdict == "regression"
    assert decision.mean.regressed
    assert not any(f.regressed for f in decision.benchmarks.values())


def test_too_few_clusters_decide_nothing() -> None:
    few = dataclasses.replace(drop(0.2, 0.001), effective_clusters=29, clusters=29)
    decision = judged(few, drop(-0.19, 0.001))
    assert not decision.benchmarks["B0"].regressed
    same = dataclasses.replace(drop(0.0, 0.001), effective_clusters=29, clusters=29)
    assert judged(same, drop(0.0, 0.001)).verdict == "inconclusive"


def test_few_identical_answers_do_not_pass() -> None:
    assert judged(estimate_drop([0.0] * 20, range(20))).verdict == "inconclusive"
    # 1 - 0.05^(1/C) is below 0.01 from C = 299 on.
    assert judged(estimate_drop([0.0] * 298, range(298))).verdict == "inconclusive"
    assert judged(estimate_drop([0.0] * 299, range(299))).verdict == "pass"


def test_a_single_benchmark_has_margin_and_cliff() -> None:
    assert judged(drop(0.02, 0.001)).verdict == "regression"
    assert judged(drop(0.02, 0.001), margin=0.03).verdict == "pass"


def test_one_benchmark_is_tested_once() -> None:
    """Its p-value is not doubled by its own mean (before: 0.0098 became 0.0196)."""
    decision = judged(drop(0.06, 0.06 / norm.isf(0.0098)))
    assert decision.benchmarks["B0"].p == pytest.approx(0.0098)
    assert decision.mean.p == decision.benchmarks["B0"].p
    assert decision.verdict == "regression"


def losses(n: int, rate: float) -> list[tuple[float, Drop]]:
    """Return the probability and the drop of each number of losses among `n` answers."""
    most = int(binom.isf(1e-7, n, rate)) if rate else 0
    return [
        (
            float(binom.pmf(lost, n, rate)),
            estimate_drop([1.0] * lost + [0.0] * (n - lost), range(n)),
        )
        for lost in range(most + 1)
    ]


@pytest.mark.parametrize(
    ("sizes", "rates", "before", "after"),
    [
        ((300, 5000), (0.02, 0.0), 0.1485, 0.0602),
        ((400, 5000), (0.02, 0.0), 0.0973, 0.0410),
        ((500, 5000), (0.02, 0.0), 0.0652, 0.0281),
        ((300, 300), (0.01, 0.01), 0.1278, 0.0170),
    ],
)
def test_a_mean_at_its_margin_rarely_passes(
    sizes: tuple[int, int], rates: tuple[float, float], before: float, after: float
) -> None:
    """The exact probability of a false pass, with losses alone; `before` is by Student's t."""
    tables = [losses(n, rate) for n, rate in zip(sizes, rates, strict=True)]
    passed = {"t": 0.0, "mover": 0.0}
    for first, second in itertools.product(*tables):
        drops = {"A": first[1], "B": second[1]}
        mean = mean_drop(list(drops.values()))
        few = [(0.5, each.clusters) for each in drops.values() if each.discordant < 30]
        none = [(0.5, each.clusters) for each in drops.values() if not each.discordant]
        least = zero_event_upper_bound(few, 0.05)
        by_t = math.hypot(
            -float(t.ppf(0.05, mean.df)) * mean.standard_error if mean.variance else 0.0,
            zero_event_upper_bound(none, 0.05),
        )
        within = all(each.upper(0.05) < 0.05 for each in drops.values())
        chance = first[0] * second[0] * within
        passed["t"] += chance * (mean.estimate + max(by_t, least) < 0.01)
        decision = decide(drops, dict.fromkeys(drops, 0.05))
        passed["mover"] += first[0] * second[0] * (decision.verdict == "pass")
    assert passed == {"t": pytest.approx(before, abs=1e-4), "mover": pytest.approx(after, abs=1e-4)}
    assert passed["mover"] < 0.065


@given(
    st.lists(
        st.tuples(st.integers(40, 300), st.integers(0, 12), st.integers(0, 12)),
        min_size=2, max_size=4,
    ),
    st.sampled_from([0.01, 0.05, 0.2]),
    st.randoms(use_true_random=False),
)  # fmt: skip
def test_bounds_and_p_of_the_mean_are_one_statistic(
    counts: list[tuple[int, int, int]], alpha: float, random: Random
) -> None:
    """p < alpha exactly if the lower bound is above 0, in any order of samples and benchmarks."""
    several = []
    for n, worse, better in counts:
        values = [1.0] * worse + [-1.0] * better + [0.0] * (n - worse - better)
        several.append(estimate_drop(values, range(n)))
        random.shuffle(values)
        shuffled = estimate_drop(values, range(n))
        assert shuffled.upper(alpha) == pytest.approx(several[-1].upper(alpha), abs=1e-12)
    mean = mean_drop(several)
    lower = mean.lower(alpha)
    assert abs(lower) < 1e-9 or (mean.p_worse < alpha) == (lower > 0)
    assert mean.lower(alpha) <= mean.estimate <= mean.upper(alpha)
    random.shuffle(several)
    assert mean_drop(several).upper(alpha) == pytest.approx(mean.upper(alpha), abs=1e-12)
    assert mean_drop(several).p_worse == pytest.approx(mean.p_worse, rel=1e-9, abs=1e-15)


# Power


LEVEL = Level(tests=15)


def test_planned_error_is_that_of_the_differences() -> None:
    """Of 1,000 answers 10 % differ, 70 for the worse and 30 for the better."""
    values = np.repeat([1.0, -1.0, 0.0], [70, 30, 900])
    error = power.planned_error(0.1, 1000, drop=0.04)
    assert error == pytest.approx(values.std() / math.sqrt(1000))
    assert power.planned_error(0.1, 1000, 4.0) == pytest.approx(2 * power.planned_error(0.1, 1000))
    assert power.planned_error(0.1, 1000, drop=0.5) == pytest.approx(0.5 / math.sqrt(1000))


@pytest.mark.parametrize("allowed", [0.001, 0.01, 0.05])
def test_the_detectable_drop_has_its_power(allowed: float) -> None:
    error = 0.008
    smallest = power.detectable_drop(error, allowed, LEVEL)
    bar = max(allowed, norm.isf(0.05 / 15) * error)
    assert norm.sf((bar - smallest) / error) == pytest.approx(0.8)


def test_the_passing_margin_has_its_power() -> None:
    error = 0.008
    margin = power.passing_margin(error, LEVEL)
    assert norm.cdf((margin - norm.isf(0.05) * error) / error) == pytest.approx(0.8)


def test_few_degrees_of_freedom_need_more() -> None:
    assert power.passing_margin(0.01, LEVEL, df=20) > power.passing_margin(0.01, LEVEL)
    assert power.detectable_drop(0.01, 0, LEVEL, df=20) > power.detectable_drop(0.01, 0, LEVEL)


@pytest.mark.parametrize("n", [200, 900, 5000])
def test_the_planned_detectable_drop_has_its_power(n: int) -> None:
    """With losses alone their number is binomial, so the power is exact."""
    drop = power.planned_detectable_drop(0.0, n, 0.05, Level(tests=1))
    beyond = binom.sf(math.floor(0.05 * n), n, drop)
    assert beyond == pytest.approx(0.8, abs=0.02)


def test_chance_of_pass_of_one_and_two_benchmarks() -> None:
    z = norm.isf(0.05)
    one = power.chance_of_pass([0.004], [0.05], mean_margin=0.01)
    assert one == pytest.approx(norm.cdf(0.01 / 0.004 - z), abs=0.004)
    errors = np.array([0.02, 0.03])
    mix = np.array([[1, 0], [0, 1], [0.5, 0.5]])
    spread = mix @ np.diag(errors**2) @ mix.T
    bars = np.array([0.05, 0.05, 0.04]) - z * np.sqrt(np.diag(spread))
    exact = multivariate_normal(cov=spread, allow_singular=True, seed=1).cdf(bars)
    two = power.chance_of_pass(list(errors), [0.05, 0.05], mean_margin=0.04)
    assert two == pytest.approx(exact, abs=0.005)


def test_chance_of_pass_of_a_drop_at_its_cliff_is_alpha() -> None:
    chance = power.chance_of_pass([0.004, 0.001], [0.05, 0.05], 0.2, drops=[0.05, -0.1])
    assert chance == pytest.approx(0.05, abs=0.002)


def within_five_points(differences: Sequence[float] | Array, clusters: Sequence[int]) -> bool:
    drop = estimate_drop(differences, clusters)
    return judged(drop, margin=0.05).verdict == "pass"


@pytest.mark.parametrize("questions", [1, 5])
def test_lost_images_are_not_hidden_by_small_differences(questions: int) -> None:
    """A true drop at the margin, of whole images, with small or rare other differences."""
    rng = np.random.default_rng(questions)
    passed = {31: 0, 60: 0, 100: 0}
    for count in passed:
        clusters = np.repeat(np.arange(count), questions)
        for _ in range(300):
            lost = np.repeat(rng.random(count) < 0.05, questions)
            size, share = (0.01, 0.3) if questions == 1 else (1.0, 0.01)
            other = rng.choice([0, size, -size], len(lost), p=[1 - share, share / 2, share / 2])
            passed[count] += within_five_points(np.where(lost, 1.0, other), clusters.tolist())
    assert max(passed.values()) <= 300 * (0.05 + 3 * (0.05 * 0.95 / 300) ** 0.5)


@pytest.mark.parametrize("count", [40, 60])
def test_many_small_differences_do_not_hide_lost_answers(count: int) -> None:
    """The same with a difference of 0.01 on every image, together less than one answer."""
    rng = np.random.default_rng(count)
    passed = 0
    for _ in range(400):
        other = rng.choice([0.01, -0.01], count)
        differences = np.where(rng.random(count) < 0.05, 1.0, other)
        passed += within_five_points(differences, range(count))
    assert passed <= 400 * (0.05 + 3 * (0.05 * 0.95 / 400) ** 0.5)

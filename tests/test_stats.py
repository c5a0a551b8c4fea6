"""Statistics compared with other implementations, with definitions, and with manual results."""

from __future__ import annotations

import math
import time

import hypothesis
import numpy as np
import pytest
import scipy.stats
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from statsmodels.stats.contingency_tables import mcnemar as their_mcnemar
from statsmodels.stats.multitest import multipletests

from evalsuite.stats import clustered_standard_error, tango
from evalsuite.stats.cluster_robust import Array, moments, totals
from evalsuite.stats.empirical_likelihood import group, signed_root
from evalsuite.stats.influence import all_or_nothing, f1_values, group_mean_values, ratio_values
from evalsuite.stats.mean_difference import mean_drop, with_runs
from evalsuite.stats.multiplicity import holm, mcnemar
from evalsuite.stats.paired_difference import (
    Drop,
    ScoreDrop,
    drop_of_clusters,
    estimate_drop,
    identical_difference,
)
from evalsuite.stats.tango import Flips
from evalsuite.stats.zero_events import zero_event_upper_bound

SAME = {"rel": 1e-9, "abs": 1e-12}


def clustered(seed: int, clusters: int = 40, largest: int = 9) -> tuple[Array, list[int]]:
    """Differences -1, 0 or 1 in clusters of unequal size, correlated within a cluster."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, largest + 1, clusters)
    labels = np.repeat(np.arange(clusters), sizes)
    leaning = rng.normal(0, 0.3, clusters)[labels]
    values = np.sign(np.round(rng.normal(0.2 + leaning, 0.6)))
    order = rng.permutation(len(values))
    return values[order], [int(label) for label in labels[order]]


# Other implementations


@pytest.mark.parametrize("seed", range(3))
def test_clustered_error_equals_cluster_robust_ols_of_statsmodels(seed: int) -> None:
    values, clusters = clustered(seed)
    fit = sm.OLS(values, np.ones(len(values))).fit(
        cov_type="cluster", cov_kwds={"groups": np.array(clusters)}
    )
    assert clustered_standard_error(list(values), clusters) == pytest.approx(fit.bse[0], **SAME)
    assert estimate_drop(values, clusters).estimate == pytest.approx(fit.params[0], **SAME)


def inspect_ai_clustered_error(values: Array, clusters: list[int]) -> float:
    """The formula of inspect_ai 0.3.285, scorer/_metrics/std.py, in case it is not installed."""
    groups = [values[[c == name for c in clusters]] for name in dict.fromkeys(clusters)]
    squares = sum(float((group - values.mean()).sum()) ** 2 for group in groups)
    return float(np.sqrt(squares * len(groups) / (len(groups) - 1)) / len(values))


@pytest.mark.parametrize("seed", range(3))
def test_clustered_error_equals_inspect_ai(seed: int) -> None:
    values, clusters = clustered(seed)
    ours = clustered_standard_error(list(values), clusters)
    assert ours == pytest.approx(inspect_ai_clustered_error(values, clusters), **SAME)


def test_clustered_error_equals_installed_inspect_ai() -> None:
    scorer = pytest.importorskip("inspect_ai.scorer")
    values, clusters = clustered(3)
    scores = [
        scorer.SampleScore(score=scorer.Score(value=float(v)), sample_metadata={"image": c})
        for v, c in zip(values, clusters, strict=True)
    ]
    theirs = scorer.stderr(cluster="image")(scores)
    assert clustered_standard_error(list(values), clusters) == pytest.approx(theirs, **SAME)


@pytest.mark.parametrize("seed", range(3))
def test_without_clusters_it_equals_the_paired_t_test_of_scipy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    baseline, candidate = rng.random(200), rng.random(200) ** 1.2
    found = moments(*totals(baseline - candidate, range(200)))
    drop = Drop(
        estimate=float(found.mean), variance=float(found.variance), df=float(found.df), n=200,
        clusters=200, effective_clusters=200, discordant=200,
    )  # fmt: skip
    theirs = scipy.stats.ttest_rel(baseline, candidate)
    low, high = theirs.confidence_interval(0.95)
    assert drop.p == pytest.approx(theirs.pvalue, **SAME)
    assert drop.interval() == (pytest.approx(low, **SAME), pytest.approx(high, **SAME))
    one_sided = scipy.stats.ttest_rel(baseline, candidate, alternative="greater")
    assert drop.p_worse == pytest.approx(one_sided.pvalue, **SAME)
    likelihood = estimate_drop(baseline - candidate, range(200))
    assert likelihood.interval() == pytest.approx(drop.interval(), abs=0.1 * drop.standard_error)


# CR2, by the definition


def cr2(y: Array, x: Array, clusters: Array) -> tuple[Array, Array, Array]:
    """Coefficients, CR2 standard errors and Bell-McCaffrey degrees of freedom, all as matrices."""
    n, bread = len(y), np.linalg.inv(x.T @ x)
    beta = bread @ x.T @ y
    residuals, maker = y - x @ beta, np.eye(n) - x @ bread @ x.T
    names = np.unique(clusters)
    meat = np.zeros_like(bread)
    columns = []
    for name in names:
        rows = np.flatnonzero(clusters == name)
        roots, vectors = np.linalg.eigh(maker[np.ix_(rows, rows)])
        adjust = vectors @ np.diag(roots**-0.5) @ vectors.T
        score = x[rows].T @ adjust @ residuals[rows]
        meat += np.outer(score, score)
        columns.append(maker[:, rows] @ adjust @ x[rows] @ bread)
    df = []
    for k in range(x.shape[1]):
        weights = np.column_stack([column[:, k] for column in columns])
        gram = weights.T @ weights
        df.append(np.trace(gram) ** 2 / np.sum(gram * gram))
    return beta, np.sqrt(np.diag(bread @ meat @ bread)), np.array(df)


def test_the_matrices_give_published_standard_errors() -> None:
    """HC2, which is CR2 with one row a cluster, on data Stata was run on.

    The figures are from the tests of Kolesár's R package dfadjust (tests/testthat/
    test_clustervar.R). They fix the matrices; that the closed form equals them is the next test.
    """
    y = np.concatenate([np.cos(np.arange(10)), np.tan(np.arange(1, 11))])
    x = np.column_stack([np.ones(20), np.concatenate([np.sin(np.arange(1, 11)),
                                                      np.sin(np.arange(2, 12))])])  # fmt: skip
    beta, errors, _ = cr2(y, x, np.arange(20))
    assert beta == pytest.approx([-0.4456202905, 0.3241183110], abs=1e-10)
    assert errors == pytest.approx([0.4227339762, 0.4421048122], abs=1e-10)


@pytest.mark.parametrize(("clusters", "largest"), [(2, 5), (7, 3), (40, 9), (15, 40)])
def test_the_closed_form_is_the_definition(clusters: int, largest: int) -> None:
    values, names = clustered(clusters, clusters, largest)
    beta, errors, df = cr2(values, np.ones((len(values), 1)), np.array(names))
    found = moments(*totals(values, names))
    assert found.mean == pytest.approx(beta[0], **SAME)
    assert math.sqrt(found.variance) == pytest.approx(errors[0], **SAME)
    assert found.df == pytest.approx(df[0], **SAME)


def test_equal_clusters_have_degrees_of_freedom_count_minus_one() -> None:
    values, clusters = np.random.default_rng(1).random(60), list(range(20)) * 3
    drop = estimate_drop(values, clusters)
    assert drop.df == pytest.approx(19)
    assert drop.effective_clusters == pytest.approx(20)
    cr1 = clustered_standard_error(list(values), clusters)
    assert drop.standard_error == pytest.approx(cr1, **SAME)


def test_replicates_equal_single_computations() -> None:
    rng = np.random.default_rng(2)
    sums, sizes = rng.normal(size=(4, 12)), rng.integers(1, 9, 12).astype(float)
    together = moments(sums, sizes)
    for index, row in enumerate(sums):
        assert moments(row, sizes).variance == pytest.approx(together.variance[index], **SAME)


# Tango


def likeliest(flips: Flips, drop: float) -> float:
    """Return the maximum likelihood estimate of the probability of 'better' at `drop`."""
    same = flips.n - flips.worse - flips.better

    def unlikely(q: float) -> float:
        terms = (flips.worse, q + drop), (flips.better, q), (same, 1 - 2 * q - drop)
        return -sum(count * math.log(p) for count, p in terms if count)

    low, high = max(0.0, -drop), (1 - drop) / 2
    edge = 1e-13
    return float(
        minimize_scalar(
            unlikely, bounds=(low + edge, high - edge), method="bounded", options={"xatol": 1e-13}
        ).x
    )


@pytest.mark.parametrize("flips", [Flips(5, 2, 60), Flips(1, 7, 21), Flips(12, 2, 50)])
@pytest.mark.parametrize("drop", [-0.3, -0.02, 0.01, 0.4])
def test_tango_is_the_score_under_the_hypothesis(flips: Flips, drop: float) -> None:
    q = likeliest(flips, drop)
    variance = flips.n * (2 * q + drop - drop**2)
    by_search = (flips.worse - flips.better - flips.n * drop) / math.sqrt(variance)
    assert tango.statistic(flips, drop) == pytest.approx(by_search, rel=1e-5)


def test_tango_gives_a_published_interval() -> None:
    """Bentur et al. 2009, in Fagerland, Lydersen & Laake, Stat. Med. 33 (2014) 2850."""
    flips = Flips(1, 7, 21)
    z = 1.959963984540054
    assert tango.lower(flips, z) == pytest.approx(-0.517, abs=5e-4)
    assert tango.upper(flips, z) == pytest.approx(-0.026, abs=5e-4)


@given(st.integers(0, 20), st.integers(0, 20), st.integers(41, 400), st.floats(0.5, 4))
def test_tango_bounds_solve_the_statistic(w: int, b: int, n: int, z: float) -> None:
    flips = Flips(w, b, n)
    low, high = tango.lower(flips, z), tango.upper(flips, z)
    assert -1 <= low <= (w - b) / n <= high <= 1
    assert tango.statistic(flips, high) == pytest.approx(-z, abs=1e-6)
    assert tango.statistic(flips, low) == pytest.approx(z, abs=1e-6)


def test_at_zero_it_equals_mcnemar() -> None:
    table = [[100, 9], [3, 50]]
    theirs = their_mcnemar(table, exact=False, correction=False)
    assert tango.statistic(Flips(9, 3, 162), 0) ** 2 == pytest.approx(theirs.statistic, **SAME)


def test_right_and_wrong_answers_use_the_score_interval() -> None:
    values = np.zeros(1000)
    values[:6], values[6:8] = 1, -1
    drop = estimate_drop(values, range(1000))
    assert isinstance(drop, ScoreDrop)
    assert drop.p_worse == pytest.approx(scipy.stats.norm.sf(4 / math.sqrt(8)), **SAME)
    assert drop.upper(0.05) == pytest.approx(tango.upper(Flips(6, 2, 1000), 1.6448536269514722))


# Empirical likelihood


def likelihood_ratio(values: Array, weights: Array, mean: float) -> float:
    """Return -2 log of the empirical likelihood ratio, by maximizing over the weights."""
    spread = values - mean

    def dual(tilt: float) -> float:
        return -float(weights @ np.log1p(-tilt * spread))

    edges = (1 / spread.min() + 1e-9, 1 / spread.max() - 1e-9)
    return -2 * float(minimize_scalar(dual, bounds=edges, method="bounded",
                                      options={"xatol": 1e-13}).fun)  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
def test_the_signed_root_is_the_maximum_of_the_likelihood(seed: int) -> None:
    """With a pseudo-cluster of weight 2/3 at half the largest residual if residuals are even."""
    values = np.random.default_rng(seed).normal(0, 1, 40)
    values = np.concatenate([values, -values])  # symmetric around 0
    limit = 0.25
    found = signed_root(group(values, np.ones(80)), limit)
    spread = values - limit
    share = (spread[spread > 0] ** 2).sum() / (spread**2).sum()
    pseudo = limit + share * spread.max()
    expected = likelihood_ratio(np.append(values, pseudo), np.append(np.ones(80), 2 / 3), limit)
    assert found == pytest.approx(math.sqrt(expected), rel=1e-6)


@pytest.mark.parametrize("lost", [0, 1, 2, 5, 10, 30])
def test_lost_images_have_the_bound_of_clopper_and_pearson(lost: int) -> None:
    sums = np.zeros(300)
    sums[:lost] = 20
    drop = drop_of_clusters(sums, np.full(300, 20.0))
    exact = scipy.stats.beta.ppf(0.95, lost + 1, 300 - lost)
    assert drop.upper(0.05) == pytest.approx(exact, rel=0.02)


def test_clusters_that_change_together_are_worth_one_question_each() -> None:
    single = np.zeros(200)
    single[:5], single[5:7] = 1, -1
    once = estimate_drop(single, range(200))
    four = estimate_drop(np.repeat(single, 4), np.repeat(range(200), 4).tolist())
    assert four.upper(0.05) == pytest.approx(once.upper(0.05), rel=0.03)
    assert four.p == pytest.approx(once.p, rel=0.2)


# No difference at all


def test_identical_answers_have_the_zero_event_bound() -> None:
    drop = estimate_drop([0.0] * 20, range(20))
    assert drop.upper(0.05) == pytest.approx(1 - 0.05 ** (1 / 20), **SAME)
    assert (drop.p, drop.p_worse, drop.discordant) == (1.0, 1.0, 0)
    assert drop.interval()[1] == pytest.approx(1 - 0.025 ** (1 / 20), **SAME)


def test_equal_differences_of_all_clusters_have_the_same_bound() -> None:
    drop = estimate_drop([0.25] * 40, range(40))
    assert drop.lower(0.05) == pytest.approx(0.25 - (1 - 0.05 ** (1 / 40)), **SAME)
    assert drop.p_worse == pytest.approx(0.75**40, rel=1e-6)


def test_small_or_rare_differences_do_not_narrow_the_bound() -> None:
    """One ANLS value 0.01 higher, or one question of one image: no bound is narrower."""
    unseen = 1 - 0.05 ** (1 / 31)
    small = np.zeros(31)
    small[3] = -0.01
    drop = estimate_drop(small, range(31))
    assert drop.upper(0.05) == pytest.approx(unseen - 0.01 / 31, **SAME)
    rare = np.zeros(155)
    rare[3] = -1.0
    drop = estimate_drop(rare, np.repeat(range(31), 5).tolist())
    assert drop.upper(0.05) == pytest.approx(unseen - 1 / 155, **SAME)
    assert drop.p == 1.0


def test_fractional_differences_are_worth_fractions() -> None:
    """Differences of 0.5 have half the bounds of whole ones."""
    values = np.zeros(2000)
    values[:8], values[8:10] = 0.5, -0.5
    half = estimate_drop(values, range(2000))
    whole = drop_of_clusters(2 * values, np.full(2000, 1.0))
    assert half.reach(0.05, 1) == pytest.approx(whole.reach(0.05, 1) / 2, rel=0.05)


def test_one_cluster_has_no_bound() -> None:
    drop = estimate_drop([1.0, 0.0, 1.0], "aaa")
    assert drop.interval() == (-1, 1)
    assert (drop.p, drop.too_few_clusters) == (1.0, True)
    assert (drop.lower(0.5), drop.upper(0.5)) == (pytest.approx(1 / 6), 1.0)


def test_no_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="no samples"):
        estimate_drop([], [])


@pytest.mark.parametrize(("count", "few"), [(29, True), (30, False)])
def test_too_few_clusters(count: int, few: bool) -> None:
    values = np.random.default_rng(count).random(2 * count)
    assert estimate_drop(values, list(range(count)) * 2).too_few_clusters is few


def test_effective_clusters_depend_on_the_sizes() -> None:
    drop = estimate_drop(np.random.default_rng(1).random(140), [0] * 100 + list(range(1, 41)))
    assert drop.effective_clusters == pytest.approx(140**2 / (100**2 + 40))
    assert drop.too_few_clusters


@given(st.lists(st.tuples(st.sampled_from([-1.0, 0.0, 0.5, 1.0]), st.integers(0, 9)),
                min_size=12, max_size=60), st.floats(0.001, 0.4))  # fmt: skip
def test_p_and_bound_are_one_statistic(rows: list[tuple[float, int]], alpha: float) -> None:
    """p < alpha exactly if the lower bound is above zero, for all methods."""
    drop = estimate_drop([value for value, _ in rows], [cluster for _, cluster in rows])
    if drop.p_worse < alpha - 1e-6:
        assert drop.lower(alpha) > 0
    if drop.p_worse > alpha + 1e-6:
        assert drop.lower(alpha) <= 0
    assert drop.lower(alpha) <= drop.estimate <= drop.upper(alpha)


# The mean over benchmarks


def drop_of(seed: int) -> Drop:
    return estimate_drop(*clustered(seed))


def test_the_mean_assumes_independent_benchmarks() -> None:
    drops = [drop_of(seed) for seed in range(3)]
    mean = mean_drop(drops)
    assert mean.estimate == pytest.approx(sum(d.estimate for d in drops) / 3, **SAME)
    assert mean.variance == pytest.approx(sum(d.variance for d in drops) / 9, **SAME)


def test_the_mean_of_two_has_the_degrees_of_freedom_of_welch() -> None:
    """With one question per cluster, (a - b) is Welch's t-test of two samples."""
    rng = np.random.default_rng(5)
    a, b = rng.normal(0.2, 1, 30), rng.normal(-0.1, 3, 12)
    mean = mean_drop([estimate_drop(a, range(30)), estimate_drop(-b, range(12))])
    theirs = scipy.stats.ttest_ind(a, b, equal_var=False)
    assert mean.df == pytest.approx(theirs.df, **SAME)
    assert mean.estimate / mean.standard_error == pytest.approx(theirs.statistic, **SAME)


def test_the_mean_of_one_benchmark_is_that_benchmark() -> None:
    drop = drop_of(1)
    assert mean_drop([drop]) is drop


def test_identical_benchmarks_add_their_bound_to_the_mean() -> None:
    still = identical_difference(100, 50)
    mean = mean_drop([still, still])
    # The bound of one benchmark with all hundred clusters.
    assert mean.upper(0.05) == pytest.approx(1 - 0.05 ** (1 / 100), **SAME)
    unequal = mean_drop([still, identical_difference(9000, 5000)])
    assert unequal.upper(0.05) == pytest.approx((1 - 0.05 ** (1 / 50)) / 2, rel=1e-4)


@given(st.lists(st.tuples(st.floats(0.05, 1), st.integers(1, 80)), min_size=1, max_size=4),
       st.floats(0.001, 0.5), st.integers(0, 10**6))  # fmt: skip
def test_the_zero_event_bound_is_the_maximum(
    parts: list[tuple[float, int]], alpha: float, seed: int
) -> None:
    """Random rates for which no event has probability alpha are not larger."""
    bound = zero_event_upper_bound(parts, alpha)
    rng = np.random.default_rng(seed)
    counts = np.array([count for _, count in parts])
    shares = rng.dirichlet(np.ones(len(parts)), 200)
    hidden = 1 - np.exp(-shares * -math.log(alpha) / counts)
    assert (hidden @ np.array([weight for weight, _ in parts])).max() <= bound + 1e-12


def test_distances_of_benchmarks_add_as_squares() -> None:
    drops = [drop_of(1), drop_of(2)]
    reach = math.hypot(*(drop.reach(0.05, 1) / 2 for drop in drops))
    mean = mean_drop(drops)
    assert mean.upper(0.05) == pytest.approx(mean.estimate + reach, **SAME)


# Training seeds


def test_variance_between_runs_is_that_of_welch() -> None:
    """Without variance between questions it is Welch's t-test of the runs' scores."""
    baseline, candidate = [0.50, 0.53, 0.49], [0.46, 0.41, 0.44, 0.45]
    flat = estimate_drop([np.mean(baseline) - np.mean(candidate)] * 10_000, range(10_000))
    drop = with_runs(flat, baseline, candidate)
    theirs = scipy.stats.ttest_ind(baseline, candidate, equal_var=False)
    assert drop.df == pytest.approx(theirs.df, **SAME)
    assert drop.estimate / drop.standard_error == pytest.approx(theirs.statistic, **SAME)


def test_one_run_has_no_variance() -> None:
    with pytest.raises(ValueError, match="two runs"):
        with_runs(drop_of(1), [0.5], [0.4, 0.5])


# Metrics that are no means


def by_weights(metric, n: int, step: float = 1e-6) -> Array:  # type: ignore[no-untyped-def]
    """Return the influence by definition: the derivative by the weight of a sample."""
    weights = np.ones(n)
    moved = []
    for index in range(n):
        up, down = weights.copy(), weights.copy()
        up[index] += step
        down[index] -= step
        moved.append(n * (metric(up) - metric(down)) / (2 * step))
    return metric(weights) + np.array(moved)


def test_f1_by_hand_and_by_weights() -> None:
    rng = np.random.default_rng(3)
    said, true = rng.random(60) < 0.5, rng.random(60) < 0.4

    def f1(weights: Array) -> float:
        hits = float((weights * said * true).sum())
        return 2 * hits / float((weights * said).sum() + (weights * true).sum())

    values = f1_values(said, true)
    hits = int((said & true).sum())
    assert values.mean() == pytest.approx(2 * hits / (said.sum() + true.sum()), **SAME)
    assert values == pytest.approx(by_weights(f1, 60), rel=1e-6, abs=1e-7)


def test_sums_of_tasks_by_weights() -> None:
    rng = np.random.default_rng(4)
    given_values, tasks = rng.random(50), [int(t) for t in rng.integers(0, 4, 50)]
    share = {0: 0.5, 1: 0.25, 2: 0.125, 3: 0.125}
    index = np.array(tasks)

    def total(weights: Array) -> float:
        return sum(
            share[t] * float(np.average(given_values[index == t], weights=weights[index == t]))
            for t in share
        )

    values = group_mean_values(given_values, tasks, share)
    assert values.mean() == pytest.approx(total(np.ones(50)), **SAME)
    assert values == pytest.approx(by_weights(total, 50), rel=1e-6, abs=1e-7)
    plain = group_mean_values(given_values, tasks).mean()
    assert plain == pytest.approx(np.mean([given_values[index == t].mean() for t in share]), **SAME)


def test_many_groups_are_fast() -> None:
    given_values = np.random.default_rng(5).random(50_000)
    seconds = []
    for groups in (50, 50_000):
        started = time.process_time()
        values = group_mean_values(given_values, [n % groups for n in range(50_000)])
        seconds.append(time.process_time() - started)
    assert seconds[1] < 50 * seconds[0]
    assert values.mean() == pytest.approx(given_values.mean(), **SAME)


def test_a_ratio_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="denominator"):
        ratio_values([0, 0], [0, 0])


def test_circular_questions_need_all_answers() -> None:
    worth = all_or_nothing([1, 1, 0, 1, 1], ["a", "a", "b", "b", "c"])
    assert worth == {"a": 1.0, "b": 0.0, "c": 1.0}


def test_the_interval_of_f1_equals_a_cluster_bootstrap() -> None:
    """The standard error of a difference of F1 is close to that of resampled clusters."""
    rng = np.random.default_rng(9)
    true = rng.random(600) < 0.5
    clusters = [i // 6 for i in range(600)]
    ours = true ^ (rng.random(600) < 0.2)
    theirs = true ^ (rng.random(600) < 0.3)
    drop = estimate_drop(f1_values(ours, true) - f1_values(theirs, true), clusters)

    def gap(rows: Array) -> float:
        picked = rows.astype(int)
        return float(f1_values(ours[picked], true[picked]).mean()
                     - f1_values(theirs[picked], true[picked]).mean())  # fmt: skip

    members = np.arange(600).reshape(100, 6)
    resampled = [gap(members[rng.integers(0, 100, 100)].ravel()) for _ in range(2000)]
    assert drop.estimate == pytest.approx(gap(np.arange(600)), **SAME)
    assert drop.standard_error == pytest.approx(np.std(resampled), rel=0.06)


# Several tests; McNemar


@hypothesis.settings(max_examples=20)  # statsmodels takes 70 ms a call
@given(st.lists(st.floats(0, 1), min_size=1, max_size=16))
def test_holm_equals_statsmodels(ps: list[float]) -> None:
    theirs = multipletests(ps, method="holm")[1]
    assert holm(ps) == pytest.approx(list(theirs), **SAME)


@pytest.mark.parametrize(("worse", "better"), [(9, 3), (0, 8), (5, 5), (40, 21), (0, 0), (1, 0)])
def test_mcnemar_equals_statsmodels_and_scipy(worse: int, better: int) -> None:
    found = mcnemar(worse, better)
    theirs = their_mcnemar([[10, worse], [better, 10]], exact=True)
    assert found.exact == pytest.approx(theirs.pvalue, **SAME)
    if worse + better:
        test = scipy.stats.binomtest(worse, worse + better)
        assert found.exact == pytest.approx(test.pvalue, **SAME)
    point = scipy.stats.binom.pmf(min(worse, better), worse + better, 0.5)
    mid = 1 - point / 2 if worse == better else found.exact - point
    if not worse + better:
        mid = 1.0  # nothing was observed, so there is no half of it to leave out
    assert found.mid == pytest.approx(mid, **SAME)


@pytest.mark.parametrize("clusters", [1, 2, 300])
def test_identical_difference_equals_an_estimate_without_differences(clusters: int) -> None:
    made, measured = (
        identical_difference(clusters, clusters),
        estimate_drop([0.0] * clusters, range(clusters)),
    )
    for alpha in (0.05, 0.5):
        assert made.upper(alpha) == measured.upper(alpha)
    assert (made.p, made.method, made.effective_clusters) == (
        measured.p, measured.method, pytest.approx(measured.effective_clusters)
    )  # fmt: skip

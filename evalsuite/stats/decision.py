"""The decision of the gate: pass, regression or inconclusive, from drops and margins alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from evalsuite.stats.mean_difference import mean_drop
from evalsuite.stats.multiplicity import holm
from evalsuite.stats.paired_difference import Drop

Verdict = Literal["pass", "regression", "inconclusive"]
ALPHA = 0.05
MARGIN = 0.01
"""Default margin of the mean: one point."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MarginTest:
    """The tests of one drop, of a benchmark or of the mean: against its margin and against 0."""

    drop: Drop
    margin: float
    """The drop must be smaller than this."""
    upper: float
    """One-sided upper bound of the drop with confidence 1 - alpha."""
    p: float
    """One-sided, hypothesis: no drop; Holm-adjusted over the mean and all benchmarks."""
    within: bool
    """The upper bound is below the margin."""
    regressed: bool
    """The drop is significant, and its estimate is larger than the margin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The verdict on a suite, and the tests that lead to it."""

    verdict: Verdict
    mean: MarginTest
    benchmarks: Mapping[str, MarginTest]


def decide(
    drops: Mapping[str, Drop],
    cliffs: Mapping[str, float],
    margin: float = MARGIN,
    alpha: float = ALPHA,
) -> Decision:
    """Decide on the `drops` of the benchmarks of a suite, by name; at least one.

    `cliffs` has the margin of each benchmark, `margin` is that of their mean, both on the scale 0
    to 1.

    Pass: at one-sided level `alpha` the drop of the mean is below `margin`, and that of each
    benchmark below its cliff. All of them must hold, so no correction for multiplicity is needed:
    an intersection-union test (Berger, Technometrics 24 (1982) 295).

    Regression: one drop or more is significant (one-sided, hypothesis: no drop, Holm-adjusted over
    the benchmarks and the mean, below `alpha`), and its estimate is larger than its margin. One
    benchmark is its own mean and is tested once.

    A drop with too few clusters is neither within its margin nor a regression.
    """
    mean = mean_drop(list(drops.values()))
    ps = [drop.p_worse for drop in drops.values()]
    # One benchmark is its own mean: there is one test.
    adjusted = holm([*ps, mean.p_worse] if len(ps) > 1 else ps)
    of_mean = _test(mean, margin, adjusted[-1], alpha)
    tests = {
        name: _test(drop, cliffs[name], p, alpha)
        for (name, drop), p in zip(drops.items(), adjusted, strict=False)
    }
    everything = [of_mean, *tests.values()]
    verdict: Verdict = "inconclusive"
    if any(test.regressed for test in everything):
        verdict = "regression"
    elif all(test.within for test in everything):
        verdict = "pass"
    return Decision(verdict=verdict, mean=of_mean, benchmarks=tests)


def _test(drop: Drop, margin: float, p: float, alpha: float) -> MarginTest:
    upper = drop.upper(alpha)
    enough = not drop.too_few_clusters
    return MarginTest(
        drop=drop,
        margin=margin,
        upper=upper,
        p=p,
        within=enough and upper < margin,
        regressed=enough and p < alpha and drop.estimate > margin,
    )

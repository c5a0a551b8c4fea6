"""Pass, regression or neither: from drops and what they may be, nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from evalsuite.stats.multiplicity import holm
from evalsuite.stats.paired_difference import Drop, mean_drop

Verdict = Literal["pass", "regression", "inconclusive"]
ALPHA = 0.05
MARGIN = 0.01
"""The mean may drop by less than this: one point."""
CLIFF = 0.05
"""Each benchmark may drop by less than this: five points."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One drop, of a benchmark or of the mean, held against what it may be."""

    drop: Drop
    allowed: float
    """Margin or cliff."""
    upper: float
    """The drop is below this with confidence 1 - alpha, one-sided."""
    p: float
    """One-sided, Holm-adjusted over the mean and all benchmarks."""
    within: bool
    """Shown to be below what is allowed."""
    regressed: bool
    """Real, and larger than what is allowed."""

    @property
    def open(self) -> bool:
        """Whether it is neither shown to be within what is allowed nor beyond it."""
        return not (self.within or self.regressed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The verdict on a suite, and what made it so."""

    verdict: Verdict
    mean: Finding
    benchmarks: Mapping[str, Finding]
    alpha: float


def decide(
    drops: Mapping[str, Drop],
    cliffs: Mapping[str, float],
    margin: float = MARGIN,
    alpha: float = ALPHA,
) -> Decision:
    """Judge the `drops` of a suite's benchmarks, at least one, by name; `cliffs` has each name too.

    Pass: at one-sided level `alpha` the drop of the mean is below `margin` and each benchmark's
    below its cliff. All must hold, so no correction is due: an intersection-union test (Berger,
    Technometrics 24 (1982) 295).

    Regression: some drop is real, its Holm-adjusted p over the benchmarks and the mean below
    `alpha` (one-sided, hypothesis: no drop), and its estimate is beyond its margin or cliff.

    Neither is claimed of a drop with too few clusters.
    """
    mean = mean_drop(list(drops.values()))
    adjusted = holm([mean.p_worse, *(drop.p_worse for drop in drops.values())])
    of_mean = _finding(mean, margin, adjusted[0], alpha)
    found = {
        name: _finding(drop, cliffs[name], p, alpha)
        for (name, drop), p in zip(drops.items(), adjusted[1:], strict=True)
    }
    everything = [of_mean, *found.values()]
    verdict: Verdict = "inconclusive"
    if any(finding.regressed for finding in everything):
        verdict = "regression"
    elif all(finding.within for finding in everything):
        verdict = "pass"
    return Decision(verdict=verdict, mean=of_mean, benchmarks=found, alpha=alpha)


def _finding(drop: Drop, allowed: float, p: float, alpha: float) -> Finding:
    upper = drop.upper(alpha)
    enough = not drop.too_few_clusters
    return Finding(
        drop=drop,
        allowed=allowed,
        upper=upper,
        p=p,
        within=enough and upper < allowed,
        regressed=enough and p < alpha and drop.estimate > allowed,
    )


def settle(failed_wrong: Decision, failed_dropped: Decision) -> Verdict | None:
    """The verdict, if it is the same with failed samples wrong and with them dropped; else None."""
    same = failed_wrong.verdict == failed_dropped.verdict
    return failed_wrong.verdict if same else None

"""The gate: decide whether a candidate may replace its baseline.

The rules are those of `evalsuite.stats.decision`; docs/reference/gate.md explains them. A benchmark
without a score, or with other prompts, data or scoring, cannot be compared: the verdict is then
never a pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

from evalsuite.benchmarks.benchmark import Benchmark
from evalsuite.comparison.comparison import (
    Comparison,
    Difference,
    PairedDifference,
    compare_any,
    to_points,
    to_share,
)
from evalsuite.comparison.pairing import Paired
from evalsuite.comparison.policy import Policy, Terms
from evalsuite.comparison.power import PowerAnalysis, analyse_power, expected_variability
from evalsuite.errors import GOOD, INCOMPLETE, INCONCLUSIVE, REGRESSION
from evalsuite.runs.records import FoundRun
from evalsuite.runs.storage import read_samples
from evalsuite.stats import decision
from evalsuite.stats.decision import MarginTest, decide

Verdict = Literal["pass", "inconclusive", "incomplete", "regression"]
Status = Literal["within", "open", "regression", "too few clusters"]
Role = Literal["baseline", "anchor"]
EXIT_CODES: Mapping[Verdict, int] = {
    "pass": GOOD,
    "inconclusive": INCONCLUSIVE,
    "incomplete": INCOMPLETE,
    "regression": REGRESSION,
}
"""From best to worst: the worst verdict counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The tests of one difference, of a benchmark or of the mean; in points."""

    difference: PairedDifference
    margin: float
    """Allowed drop, positive."""
    lower: float
    """One-sided lower bound of the difference at the policy's alpha."""
    upper: float
    p: float
    """One-sided, hypothesis: no drop; Holm-adjusted over the benchmarks and the mean."""
    status: Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """The verdict of the statistics alone, and its findings."""

    verdict: decision.Verdict
    mean: Finding
    benchmarks: Mapping[str, Finding]


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """The assessment of a candidate against one run."""

    role: Role
    comparison: Comparison
    terms: Terms
    findings: Findings | None
    """With failed samples counted as wrong; None if nothing can be compared."""
    without_failed: Findings | None
    """With failed samples left out; None if there are none, or if no other sample remains."""
    worst_case: Findings | None
    """With failed samples of the baseline counted as right; None if there are none."""
    power: PowerAnalysis | None
    """Based on the observed variability; None if nothing can be compared."""
    unfinished: tuple[FoundRun, ...] = ()
    """Runs that may lack benchmarks; empty if the policy names the benchmarks."""
    partial: bool = False
    """Whether samples that only one run has are ignored."""

    @property
    def verdict(self) -> Verdict:
        """The verdict; failed samples must not decide it, and missing benchmarks never pass."""
        if self.findings is None or self.failures_decide:
            return "incomplete"
        if self.findings.verdict == "regression":
            return "regression"
        missing = self.comparison.incomparable or self.differently_asked
        if missing or self.unanswered or self.unfinished or (self.unpaired and not self.partial):
            return "incomplete"
        return self.findings.verdict

    @property
    def differently_asked(self) -> tuple[Paired, ...]:
        """Benchmarks with samples whose prompts differ; the other samples were compared."""
        return tuple(paired for paired in self.comparison.paired if paired.different_prompts)

    @property
    def unpaired(self) -> tuple[Paired, ...]:
        """Benchmarks with samples that only one run has."""
        return tuple(paired for paired in self.comparison.paired if paired.left_out)

    @property
    def coverage(self) -> tuple[int, int]:
        """Numbers of compared samples and of all samples of the compared benchmarks."""
        paired = self.comparison.paired
        compared = sum(len(each.samples) for each in paired)
        return compared, compared + sum(e.left_out + e.different_prompts for e in paired)

    @property
    def failed(self) -> int:
        """Number of failed samples in both runs."""
        return sum(sum(difference.failed) for difference in self.comparison.differences)

    @property
    def unanswered(self) -> tuple[str, ...]:
        """Benchmarks without a sample that both runs answered."""
        return tuple(d.name for d in self.comparison.differences if not _answered(d))

    @property
    def failures_decide(self) -> bool:
        """Whether the verdict depends on how failed samples are counted."""
        if self.findings is None or not self.failed:
            return False
        if self.without_failed is None:
            return True
        others = [self.without_failed, self.worst_case or self.findings]
        return any(other.verdict != self.findings.verdict for other in others)


@dataclass(frozen=True, slots=True)
class GateResult:
    """The verdict of the gate: against the baseline and, if given, an anchor."""

    assessments: tuple[Assessment, ...]

    @property
    def verdict(self) -> Verdict:
        """The worst verdict of all assessments."""
        return max((each.verdict for each in self.assessments), key=list(EXIT_CODES).index)

    @property
    def exit_code(self) -> int:
        """The exit code of the verdict."""
        return EXIT_CODES[self.verdict]


def gate(
    baseline: FoundRun,
    candidate: FoundRun,
    policy: Policy,
    known: Mapping[str, Benchmark],
    anchor: FoundRun | None = None,
    *,
    partial: bool = False,
) -> GateResult:
    """Assess `candidate` against `baseline` and, with the same policy, against `anchor`.

    `known` has the margins of benchmarks that `policy` does not set. `partial` accepts a comparison
    of the samples that both runs have, if one run has others. Raises `UsageError` if
    `policy` names a benchmark that no run has, or if samples cannot be read.
    """
    read = cache(read_samples)  # the candidate is compared twice
    roles: list[tuple[Role, FoundRun]] = [("baseline", baseline)]
    if anchor is not None:
        roles.append(("anchor", anchor))
    return GateResult(
        tuple(
            assess(
                compare_any([run], [candidate], policy.benchmarks, read),
                policy,
                known,
                role,
                partial=partial,
            )
            for role, run in roles
        )
    )


def assess(
    comparison: Comparison,
    policy: Policy,
    known: Mapping[str, Benchmark],
    role: Role = "baseline",
    *,
    partial: bool = False,
) -> Assessment:
    """Assess the comparison of two runs."""
    differences = comparison.differences
    terms = policy.terms([difference.name for difference in differences], known)
    without_failed = worst_case = None
    if any(sum(difference.failed) for difference in differences):
        answered = {d.name: d.without_failed or d for d in differences if _answered(d)}
        without_failed = _decide(answered, terms)
    if any(difference.worst_case for difference in differences):
        worst_case = _decide({d.name: d.worst_case or d for d in differences}, terms)
    expected = {
        paired.benchmark: expected_variability(paired, difference)
        for paired, difference in zip(comparison.paired, differences, strict=True)
    }
    runs = (*comparison.baseline, *comparison.candidate)
    return Assessment(
        role=role,
        comparison=comparison,
        terms=terms,
        findings=_decide({d.name: d for d in differences}, terms),
        without_failed=without_failed,
        worst_case=worst_case,
        power=analyse_power(expected, terms) if expected else None,
        unfinished=()
        if policy.benchmarks
        else tuple(found for found in runs if not found.run.finished),
        partial=partial,
    )


def _answered(difference: Difference) -> bool:
    return not sum(difference.failed) or difference.without_failed is not None


def _decide(differences: Mapping[str, PairedDifference], terms: Terms) -> Findings | None:
    if not differences:
        return None
    made = decide(
        {name: difference.drop for name, difference in differences.items()},
        {name: to_share(terms.cliffs[name]) for name in differences},
        to_share(terms.margin),
        terms.alpha,
    )
    return Findings(
        verdict=made.verdict,
        mean=_finding(made.mean, terms.margin, terms.alpha),
        benchmarks={
            name: _finding(test, terms.cliffs[name], terms.alpha)
            for name, test in made.benchmarks.items()
        },
    )


def _finding(test: MarginTest, margin: float, alpha: float) -> Finding:
    difference = PairedDifference(drop=test.drop)
    return Finding(
        difference=difference,
        margin=margin,
        lower=to_points(test.upper),
        upper=difference.upper(alpha),
        p=test.p,
        status=_status(test),
    )


def _status(test: MarginTest) -> Status:
    if test.drop.too_few_clusters:
        return "too few clusters"
    if test.regressed:
        return "regression"
    return "within" if test.within else "open"

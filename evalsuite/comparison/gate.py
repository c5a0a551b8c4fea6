"""Decide whether a candidate may take its baseline's place.

The gate compares like with like or not at all: a benchmark without a score, or asked or scored
otherwise, is *incomparable*, and that never reads as success. The rules are those of
`evalsuite.stats.decision`; docs/reference/gate.md explains them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from evalsuite.benchmarks.catalogue import Benchmark
from evalsuite.comparison.comparison import Comparison, Difference, compare_any
from evalsuite.comparison.pairing import Paired
from evalsuite.comparison.policy import Policy, Terms
from evalsuite.comparison.power import Outlook, expect, look_ahead
from evalsuite.errors import GOOD, INCOMPLETE, INCONCLUSIVE, REGRESSION
from evalsuite.runs.records import FoundRun
from evalsuite.stats.decision import Decision, decide, settle
from evalsuite.stats.paired_difference import Drop

Word = Literal["pass", "inconclusive", "incomplete", "regression"]
EXIT_CODES: Mapping[Word, int] = {
    "pass": GOOD,
    "inconclusive": INCONCLUSIVE,
    "incomplete": INCOMPLETE,
    "regression": REGRESSION,
}
"""From best to worst: of several verdicts the worst counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A candidate held against one run."""

    role: Literal["baseline", "anchor"]
    """What that run is."""
    comparison: Comparison
    terms: Terms
    decision: Decision | None
    """With failed samples wrong; None if nothing can be compared."""
    without_failed: Decision | None
    """With failed samples dropped, if there are any; None also if nothing else is left."""
    outlook: Outlook | None
    """What the policy can find, as the answers varied; None if nothing can be compared."""
    unfinished: tuple[FoundRun, ...] = ()
    """Runs that may lack benchmarks, where all are gated that there are."""

    @property
    def verdict(self) -> Word:
        """The one word; failed samples must not decide it, and what is missing is no success."""
        if self.decision is None or self.failures_decide:
            return "incomplete"
        if self.decision.verdict == "regression":
            return "regression"
        missing = self.comparison.incomparable or self.asked_otherwise
        if missing or self.unanswered or self.unfinished:
            return "incomplete"
        return self.decision.verdict

    @property
    def asked_otherwise(self) -> tuple[Paired, ...]:
        """Benchmarks of which some samples were asked otherwise: the rest was compared alone."""
        return tuple(paired for paired in self.comparison.paired if paired.asked_otherwise)

    @property
    def failed(self) -> int:
        """Samples without an answer in either run."""
        return sum(sum(difference.failed) for difference in self.comparison.differences)

    @property
    def unanswered(self) -> tuple[str, ...]:
        """Benchmarks of which no sample was answered in both runs."""
        return tuple(d.name for d in self.comparison.differences if not _answered(d))

    @property
    def failures_decide(self) -> bool:
        """Whether the verdict hangs on samples that have no answer."""
        if self.decision is None or not self.failed:
            return False
        return self.without_failed is None or settle(self.decision, self.without_failed) is None


@dataclass(frozen=True, slots=True)
class Gated:
    """The gate's verdict: against the baseline, and an anchor if there is one."""

    judged: tuple[Judged, ...]

    @property
    def verdict(self) -> Word:
        """The worst of all."""
        return max((each.verdict for each in self.judged), key=list(EXIT_CODES).index)

    @property
    def exit_code(self) -> int:
        """What a command that judges exits with."""
        return EXIT_CODES[self.verdict]


def gate(
    baseline: FoundRun,
    candidate: FoundRun,
    policy: Policy,
    known: Mapping[str, Benchmark],
    anchor: FoundRun | None = None,
) -> Gated:
    """Judge `candidate` against `baseline` and, with the same policy, against `anchor`.

    `known` are the benchmarks whose margins and cliffs hold where `policy` names none. Raises
    `UsageError` if `policy` names a benchmark that no run has.
    """
    judged = [judge(compare_any([baseline], [candidate], policy.benchmarks), policy, known)]
    if anchor is not None:
        compared = compare_any([anchor], [candidate], policy.benchmarks)
        judged.append(judge(compared, policy, known, role="anchor"))
    return Gated(tuple(judged))


def judge(
    comparison: Comparison,
    policy: Policy,
    known: Mapping[str, Benchmark],
    role: Literal["baseline", "anchor"] = "baseline",
) -> Judged:
    """Judge one comparison of two runs."""
    differences = comparison.differences
    terms = policy.terms([difference.name for difference in differences], known)
    decision = _decide({d.name: d.drop for d in differences}, terms)
    without_failed = None
    if any(sum(difference.failed) for difference in differences):
        dropped = {d.name: d.without_failed or d.drop for d in differences if _answered(d)}
        without_failed = _decide(dropped, terms)
    expected = {p.benchmark: expect(p, d.drop)
                for p, d in zip(comparison.paired, differences, strict=True)}  # fmt: skip
    return Judged(
        role=role,
        comparison=comparison,
        terms=terms,
        decision=decision,
        without_failed=without_failed,
        outlook=look_ahead(expected, terms) if expected else None,
        unfinished=()
        if policy.benchmarks
        else tuple(f for f in (*comparison.baseline, *comparison.candidate) if not f.run.finished),
    )


def _answered(difference: Difference) -> bool:
    """Whether some sample has an answer in both runs."""
    return not sum(difference.failed) or difference.without_failed is not None


def _decide(drops: Mapping[str, Drop], terms: Terms) -> Decision | None:
    if not drops:
        return None
    cliffs = {name: terms.cliffs[name] / 100 for name in drops}
    return decide(drops, cliffs, terms.margin / 100, terms.alpha)

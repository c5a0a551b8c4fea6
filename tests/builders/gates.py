"""Gates on stored runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evalsuite.comparison.gate import Assessment, GateResult, gate
from evalsuite.comparison.policy import Policy
from evalsuite.comparison.power import Size
from evalsuite.report.tables.gate import GateReport, explain
from evalsuite.runs.records import SampleScore
from tests.builders.stored_runs import samples, stored

N = 400
"""Enough identical answers for a margin of 1 point: 1 - 0.05^(1/400) is 0.75 %."""
STRICT = Policy(margin=1, cliff=5)


def correct(count: int, n: int = N) -> list[SampleScore]:
    """Return `n` samples of which the first `count` are right."""
    return samples([float(i < count) for i in range(n)])


def gate_stored(
    tmp: Path,
    baseline: Mapping[str, Sequence[SampleScore]],
    candidate: Mapping[str, Sequence[SampleScore]],
    policy: Policy = STRICT,
    **more: Any,
) -> GateResult:
    """Store two runs and gate the second against the first; `more` goes to the candidate."""
    ours, theirs = stored(tmp, "old", baseline), stored(tmp, "new", candidate, **more)
    return gate(ours, theirs, policy, {})


def report_of(*arguments: Any, **more: Any) -> GateReport:
    """Return the report of `gate_stored` with these arguments."""
    return explain(gate_stored(*arguments, **more))


def only(result: GateResult) -> Assessment:
    """Return the assessment of a gate without anchor."""
    (assessment,) = result.assessments
    return assessment


DEMO = {
    "DemoDigits": Size(341, 120),
    "DemoYesNo": Size(352, 125),
    "DemoShapes": Size(360, 140),
    "DemoOCR": Size(360, 120),
    "DemoVideo": Size(330, 110),
}
"""Sizes of the demo benchmarks; tests/test_gate.py compares them with a run."""

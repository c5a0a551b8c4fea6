"""Gates on stored runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evalsuite.comparison.gate import Gated, Judged, gate
from evalsuite.comparison.policy import Policy
from evalsuite.report.tables.power import Size
from evalsuite.runs.records import SampleScore
from tests.builders.stored_runs import samples, stored

N = 400
"""Enough equal answers for a margin of 1 point: 1 - 0.05^(1/400) is 0.75 %."""


STRICT = Policy(margin=1, cliff=5)


def right(count: int, n: int = N) -> list[SampleScore]:
    return samples([float(i < count) for i in range(n)])


def held(
    tmp: Path,
    baseline: Mapping[str, Sequence[SampleScore]],
    candidate: Mapping[str, Sequence[SampleScore]],
    policy: Policy = STRICT,
    **more: Any,
) -> Gated:
    ours, theirs = stored(tmp, "old", baseline), stored(tmp, "new", candidate, **more)
    return gate(ours, theirs, policy, {})


def only(gated: Gated) -> Judged:
    (judged,) = gated.judged
    return judged


DEMO = {
    "DemoDigits": Size(341, 120),
    "DemoYesNo": Size(352, 125),
    "DemoShapes": Size(360, 140),
    "DemoOCR": Size(360, 120),
    "DemoVideo": Size(330, 110),
}
"""The demo's questions and images; tests/test_gate.py holds them against a run."""

"""Batch-size sensitivity of the gated runs, and a warning if it may matter for the margin."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from evalsuite.comparison.gate import Assessment, GateResult
from evalsuite.report.format import batch_sensitivity, counted, signed
from evalsuite.runs.records import FoundRun, Noise

SHARE = 4
"""The effect of the batch size must be shown to be below this part of the margin: 1 / SHARE."""


def remarks(assessment: Assessment) -> Iterator[str]:
    """Return the batch-size sensitivity of each run, one line per run."""
    for role, found in _runs(assessment):
        noise = found.run.noise
        shown = "not measured" if noise is None else batch_sensitivity(noise)
        yield f"batch-size sensitivity of the {role} {found.run.checkpoint.name}: {shown}"


def warnings(result: GateResult) -> Iterator[str]:
    """Return a warning for each run whose interval is not within a part of the margin.

    The warning changes neither margin nor verdict.
    """
    named: dict[tuple[float, str], dict[Path, str]] = {}
    for assessment in result.assessments:
        limit = assessment.terms.margin / SHARE
        for role, found in _runs(assessment):
            noise = found.run.noise
            if noise is None or noise.low < -limit or noise.high > limit:
                runs = named.setdefault((limit, _remedy(noise, limit)), {})
                runs.setdefault(found.path, f"the {role} {found.run.checkpoint.name}")
    for (limit, remedy), runs in named.items():
        yield (
            f"the effect of the batch size on {' and '.join(runs.values())} is not shown to be "
            f"below {limit:g} points (a quarter of the margin): {remedy}"
        )


def _remedy(noise: Noise | None, limit: float) -> str:
    if noise is None:
        return "rerun with --noise 64 or more"
    needed = _needed(noise, limit)
    if needed is None:
        return f"it is {signed(noise.effect)}; rerun with --dtype float32 or --batch-size 1"
    return f"measured on {counted(noise.count, 'sample')}; rerun with --noise {needed}"


def _needed(noise: Noise, limit: float) -> int | None:
    """Return the approximate number of samples needed; None if the effect is too large."""
    if abs(noise.effect) >= limit:
        return None
    if not noise.flipped and noise.high < 100:
        # No event in N samples: see `evalsuite.stats.zero_events`; clusters are as in these.
        ratio = math.log1p(-noise.high / 100) / math.log1p(-limit / 100)
        return math.ceil(round(noise.count * ratio, 6))
    half_width = max(noise.high - noise.effect, noise.effect - noise.low)
    return math.ceil(noise.count * (half_width / (limit - abs(noise.effect))) ** 2)


def _runs(assessment: Assessment) -> Iterator[tuple[str, FoundRun]]:
    yield assessment.role, assessment.comparison.baseline[0]
    yield "candidate", assessment.comparison.candidate[0]

"""Batch-size sensitivity of the gated runs, and a warning if it may matter for the margin."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from evalsuite.comparison.gate import Assessment, GateResult
from evalsuite.report.format import batch_sensitivity, listed, signed
from evalsuite.runs.records import BatchSensitivity, FoundRun
from evalsuite.system.text import counted

SHARE = 4
"""The effect of the batch size must be shown to be below this part of the margin: 1 / SHARE."""


def remarks(assessment: Assessment) -> Iterator[str]:
    """Return the batch-size sensitivity of each run, one line per run."""
    for role, found in _runs(assessment):
        sensitivity = found.run.batch_sensitivity
        shown = "not measured" if sensitivity is None else batch_sensitivity(sensitivity)
        yield f"batch-size sensitivity of the {role} {found.run.checkpoint.name}: {shown}"


def warnings(result: GateResult) -> Iterator[str]:
    """Return a warning for each run whose interval is not within a part of the margin.

    The warning changes neither margin nor verdict.
    """
    named: dict[tuple[float, str], dict[Path, str]] = {}
    for assessment in result.assessments:
        limit = assessment.terms.margin / SHARE
        for role, found in _runs(assessment):
            sensitivity = found.run.batch_sensitivity
            if sensitivity is None or sensitivity.low < -limit or sensitivity.high > limit:
                runs = named.setdefault((limit, _remedy(sensitivity, limit)), {})
                runs.setdefault(found.path, f"the {role} {found.run.checkpoint.name}")
    for (limit, remedy), runs in named.items():
        yield (
            f"the effect of the batch size on {listed(list(runs.values()))} is not shown to be "
            f"below {limit:g} points (a quarter of the margin): {remedy}"
        )


def _remedy(sensitivity: BatchSensitivity | None, limit: float) -> str:
    if sensitivity is None:
        return "rerun with --noise 64 or more"
    needed = _needed(sensitivity, limit)
    if needed is None:
        return f"it is {signed(sensitivity.effect)}; rerun with --dtype float32 or --batch-size 1"
    return f"measured on {counted(sensitivity.count, 'sample')}; rerun with --noise {needed}"


def _needed(sensitivity: BatchSensitivity, limit: float) -> int | None:
    """Return the approximate number of samples needed; None if the effect is too large."""
    if abs(sensitivity.effect) >= limit:
        return None
    if not sensitivity.flipped and sensitivity.high < 100:
        # Without a flip the bound of N samples is z^2 / (N + z^2); clusters are as in these.
        ratio = (100 / limit - 1) / (100 / sensitivity.high - 1)
        return math.ceil(round(sensitivity.count * ratio, 6))
    half_width = max(sensitivity.high - sensitivity.effect, sensitivity.effect - sensitivity.low)
    return math.ceil(sensitivity.count * (half_width / (limit - abs(sensitivity.effect))) ** 2)


def _runs(assessment: Assessment) -> Iterator[tuple[str, FoundRun]]:
    yield assessment.role, assessment.comparison.baseline[0]
    yield "candidate", assessment.comparison.candidate[0]

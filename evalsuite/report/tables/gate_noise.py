"""What a gate says of noise: what batching did to both runs, and whether a margin can bear it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from evalsuite.comparison.gate import Gated, Judged
from evalsuite.report.format import batch_sensitivity, counted, signed
from evalsuite.runs.records import BatchSensitivity, FoundRun

SHARE = 4
"""BatchSensitivity must be shown to be less than one such part of a margin."""


def remarks(judged: Judged) -> Iterator[str]:
    """Say of each run what batching did to it."""
    for role, found in _runs(judged):
        noise = found.run.batch_sensitivity
        said = "not measured" if noise is None else batch_sensitivity(noise)
        yield f"noise of the {role} {found.run.checkpoint.name}: {said}"


def warnings(gated: Gated) -> Iterator[str]:
    """Warn of each run whose noise is not shown to lie within a part of the margin.

    It changes neither margin nor verdict.
    """
    named: dict[tuple[float, str], dict[Path, str]] = {}
    for judged in gated.judged:
        most = judged.terms.margin / SHARE
        for role, found in _runs(judged):
            noise = found.run.batch_sensitivity
            if not _within(noise, most):
                runs = named.setdefault((most, _remedy(noise, most)), {})
                runs.setdefault(found.path, f"the {role} {found.run.checkpoint.name}")
    for (most, remedy), runs in named.items():
        yield (
            f"warning: that batching moves {' and '.join(runs.values())} by less than {most:g} "
            f"points, a quarter of the margin, is not shown: {remedy}"
        )


def _within(noise: BatchSensitivity | None, most: float) -> bool:
    return noise is not None and -most <= noise.low and noise.high <= most


def _remedy(noise: BatchSensitivity | None, most: float) -> str:
    if noise is None:
        return "run again with --noise 64 or more"
    needed = _needed(noise, most)
    if needed is None:
        return f"the effect is {signed(noise.effect)}; run with --dtype float32 or --batch-size 1"
    return f"{counted(noise.count, 'sample')} cannot tell, --noise {needed} might"


def _needed(noise: BatchSensitivity, most: float) -> int | None:
    """About how many samples would show it if they are like those there were; None: none would."""
    if abs(noise.effect) >= most:
        return None
    if not noise.flipped and noise.high < 100:
        # 0 of N: see `evalsuite.stats.zero_events`; such samples share images as these do.
        unseen = math.log1p(-noise.high / 100) / math.log1p(-most / 100)
        return math.ceil(round(noise.count * unseen, 6))
    reach = max(noise.high - noise.effect, noise.effect - noise.low)
    return math.ceil(noise.count * (reach / (most - abs(noise.effect))) ** 2)


def _runs(judged: Judged) -> Iterator[tuple[str, FoundRun]]:
    yield judged.role, judged.comparison.baseline[0]
    yield "candidate", judged.comparison.candidate[0]

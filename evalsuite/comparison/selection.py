"""Whether a candidate leads a sweep on the very data it is then compared on."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass

from evalsuite.checkpoint.locate import STEP
from evalsuite.comparison.comparison import Comparison
from evalsuite.runs.records import FoundRun
from evalsuite.stats import mean
from evalsuite.stats.multiplicity import luck_of_the_best


@dataclass(frozen=True, slots=True)
class Lead:
    """The candidates are the best of several checkpoints scored on the same benchmarks."""

    count: int
    """Checkpoints, the candidates included."""
    luck: float
    """By how many points the best of so many leads on average if all are equally good."""


def lead(comparison: Comparison, others: Sequence[FoundRun]) -> Lead | None:
    """Whether the candidates are the best of their sweep among `others`, on what is compared.

    A sweep is what lies side by side: the steps of a training run, and those of the runs beside it
    (``sweep/lr-1/checkpoint-500``). The baseline is not of it.
    """
    sweeps = {name for found in comparison.candidate if (name := sweep_of(found)) is not None}
    named = {found.path.resolve() for found in (*comparison.baseline, *comparison.candidate)}
    names = [difference.name for difference in comparison.differences]
    theirs = [
        score
        for found in others
        if sweep_of(found) in sweeps
        and found.path.resolve() not in named
        and found.run.settings == comparison.candidate[0].run.settings
        and (score := _average(found, names)) is not None
    ]
    ours = [score for found in comparison.candidate if (score := _average(found, names))]
    if not theirs or not ours or min(ours) < max(theirs):
        return None
    count = len(theirs) + len(ours)
    drop = (comparison.mean or comparison.differences[0]).drop
    if not math.isfinite(drop.variance):  # nothing is claimed of a single image anyway
        return None
    return Lead(count, 100 * luck_of_the_best(count, drop.standard_error))


def sweep_of(found: FoundRun) -> str | None:
    """Name the directory in which its training run lies; None if it is no step of one."""
    directory, name = os.path.split(os.path.normpath(found.run.checkpoint.source))
    return os.path.dirname(directory) if STEP.fullmatch(name) else None  # noqa: PTH120 - as typed


def _average(found: FoundRun, names: Sequence[str]) -> float | None:
    scores = {score.benchmark: score.value for score in found.run.scores}
    return mean([scores[name] for name in names]) if all(n in scores for n in names) else None

"""Selection bias: whether the candidate was chosen on the data it is compared on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evalsuite.checkpoint.locate import STEP
from evalsuite.comparison.comparison import Comparison
from evalsuite.errors import UsageError
from evalsuite.runs.find import find_all
from evalsuite.runs.records import FoundRun
from evalsuite.stats import mean
from evalsuite.stats.multiplicity import selection_bias


@dataclass(frozen=True, slots=True)
class Lead:
    """The candidates are the best of several checkpoints scored on the same benchmarks."""

    count: int
    """Checkpoints, the candidates included."""
    selection_bias: float
    """Expected lead of the best, in points, if all checkpoints are equally good."""


def find_lead(comparison: Comparison, results: Path) -> Lead | None:
    """Return `lead` among the runs in the directory `results`."""
    if all(sweep_of(found) is None for found in comparison.candidate):
        return None
    try:
        return lead(comparison, find_all(results, say=lambda _: None))
    except UsageError:  # the directory has no runs: those compared are elsewhere
        return None


def lead(comparison: Comparison, others: Sequence[FoundRun]) -> Lead | None:
    """Return a `Lead` if the candidates are the best of their sweep on the compared benchmarks.

    `others` are further runs. A sweep is all steps of the training runs in one directory
    (``sweep/lr-1/checkpoint-500``), without the baseline.
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
    error = (comparison.mean or comparison.differences[0]).standard_error
    if error is None:  # a single cluster
        return None
    return Lead(count, selection_bias(count, error))


def sweep_of(found: FoundRun) -> str | None:
    """The directory that contains the training run; None if `found` is not a step of one."""
    directory, name = os.path.split(os.path.normpath(found.run.checkpoint.source))
    return os.path.dirname(directory) if STEP.fullmatch(name) else None  # noqa: PTH120 - as typed


def _average(found: FoundRun, names: Sequence[str]) -> float | None:
    scores = {score.benchmark: score.value for score in found.run.scores}
    return mean([scores[name] for name in names]) if all(n in scores for n in names) else None

"""Events of a run in progress. They are passed to an `OnEvent` function.

The field ``run`` is the checkpoint's name if several checkpoints are evaluated together, and empty
otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evalsuite.benchmarks.data.progress import Step

if TYPE_CHECKING:  # the display of a run is imported before the run itself
    from evalsuite.benchmarks.benchmark import Benchmark
    from evalsuite.checkpoint.checkpoint import Checkpoint
    from evalsuite.runs.records import Outcome


@dataclass(frozen=True, slots=True)
class BenchmarkPlan:
    """What is left to do for one benchmark."""

    benchmark: Benchmark
    total: int
    """Samples of this run, after the limit."""
    done: int
    """How many of them have a prediction already."""
    scored: bool = False
    """Whether the score exists already."""


@dataclass(frozen=True, slots=True)
class RunPlanned:
    """Work on a checkpoint is about to start."""

    run: str
    checkpoint: Checkpoint
    directory: Path
    benchmarks: Sequence[BenchmarkPlan]


@dataclass(frozen=True, slots=True)
class SamplesPredicted:
    """`done` samples of a benchmark have a prediction on disk."""

    run: str
    benchmark: str
    done: int


@dataclass(frozen=True, slots=True)
class ScoringStarted:
    """All predictions of a benchmark exist."""

    run: str
    benchmark: str


@dataclass(frozen=True, slots=True)
class BenchmarkFinished:
    """A benchmark has its score or its failure."""

    run: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class SamplesRerun:
    """`done` of `total` samples are repeated at batch size 1. The total grows."""

    run: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Note:
    """A message for the user."""

    text: str


Event = (
    Step | RunPlanned | SamplesPredicted | ScoringStarted | BenchmarkFinished | SamplesRerun | Note
)
OnEvent = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Do nothing with `event`."""

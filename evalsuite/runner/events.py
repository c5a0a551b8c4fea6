"""What a run tells whoever watches it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from evalsuite.benchmarks.catalogue import Benchmark
from evalsuite.benchmarks.data.progress import Step
from evalsuite.checkpoint.checkpoint import Checkpoint
from evalsuite.runs.records import Outcome


@dataclass(frozen=True, slots=True)
class Planned:
    """What is to be done for one benchmark."""

    benchmark: Benchmark
    total: int
    """Samples of this run, the limit applied."""
    done: int
    """Of those, samples that have a prediction already."""
    finished: bool = False
    """Whether its score is there already."""
    label: str = ""
    """What the progress will call it; left out, by the benchmark's name."""

    @property
    def name(self) -> str:
        """What the progress will call it."""
        return self.label or self.benchmark.name


class Progress(Protocol):
    """Who wants to know how runs go.

    Where several checkpoints are at work at once, each is planned first, and a `benchmark` is
    called by the checkpoint's name and its own.
    """

    def loading(self, step: Step) -> None:
        """Data is being downloaded or unpacked."""

    def planned(self, checkpoint: Checkpoint, place: Path, plan: Sequence[Planned]) -> None:
        """Work is about to start."""

    def advanced(self, benchmark: str, done: int) -> None:
        """`done` samples of `benchmark` have a prediction."""

    def scoring(self, benchmark: str) -> None:
        """All predictions of `benchmark` are there."""

    def finished(self, outcome: Outcome) -> None:
        """A benchmark has its score or its failure."""

    def again(self, run: str, done: int, total: int) -> None:
        """`done` of `total` samples that were to be asked again, alone, are answered.

        `run` is the checkpoint's name where several are at work. The total grows.
        """

    def note(self, text: str) -> None:
        """Something a person should know."""

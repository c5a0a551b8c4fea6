"""One benchmark's work, and what the threads of an evaluation report about it."""

from __future__ import annotations

from dataclasses import dataclass, field

from evalsuite.benchmarks import Benchmark
from evalsuite.journal import Journal
from evalsuite.results import Failure, Score
from evalsuite.runner.local import Said
from evalsuite.samples import Sample
from evalsuite.vlmevalkit.kit import BrokenSample


@dataclass(slots=True, kw_only=True)
class Job:
    """The state of one benchmark's work."""

    benchmark: Benchmark
    digest: str
    """Of the data."""
    chosen: list[str]
    """Sample ids in the order they are asked: those of one cluster side by side."""
    order: list[str]
    """The same in data order."""
    journal: Journal
    left_out: int
    """Samples that only a judge could score."""
    before: Score | None
    """The score of an earlier session, if there was one."""
    samples: dict[str, Sample | BrokenSample] = field(default_factory=dict)
    pending: set[str] = field(default_factory=set)
    built: bool = False
    """Whether all samples have been built."""
    asked: int = 0
    done: int = 0
    """Samples of this run that have a prediction, for the progress display."""
    began: float | None = None
    """When the worker turned to it: monotonic seconds."""
    seconds: float | None = None
    """Spent predicting; None if nothing was asked in this session."""
    peak_memory_bytes: int | None = None
    host_memory_bytes: int | None = None
    spent: dict[str, float] = field(default_factory=dict)
    """Seconds by stage, of the kit process and of the workers."""
    tokens: dict[str, int] = field(default_factory=dict)
    """Tokens and tiles by kind, as in `Score.tokens`."""


@dataclass(frozen=True, slots=True)
class Built:
    """Some samples of a job have their prompts."""

    job: Job
    samples: list[Sample | BrokenSample]
    seconds: float = 0.0
    """What building them took."""


@dataclass(frozen=True, slots=True)
class AllBuilt:
    """All samples of a job have their prompts."""

    job: Job


@dataclass(frozen=True, slots=True)
class Settled:
    """A job has its score, or its failure."""

    outcome: Score | Failure


@dataclass(frozen=True, slots=True)
class Defect:
    """A thread ended by an exception that nobody expected."""

    error: BaseException


Event = Built | AllBuilt | Settled | Said | Defect

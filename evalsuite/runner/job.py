"""One benchmark's work, and what the threads of an evaluation report about it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from evalsuite.benchmarks.benchmark import Benchmark
from evalsuite.runner.workers.slot import WorkerMessage
from evalsuite.runs.comparable import Conditions
from evalsuite.runs.journal import Journal
from evalsuite.runs.records import Failure, Prediction, SampleScore, Score
from evalsuite.sample import Sample
from evalsuite.smolvlm.requests import Answer, add_seconds
from evalsuite.vlmevalkit.client import BrokenSample

MOST_FRAMES = 64
"""Of a video shown at so many frames a second, for guessing how long it takes."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Samples that are built in one request, those about the same media together."""

    ids: list[str]
    unanswered: int
    """How many of them have no prediction yet."""


@dataclass(slots=True, kw_only=True, eq=False)
class Job:
    """The state of one benchmark's work for one checkpoint."""

    run: int
    """Which of the evaluation's runs it belongs to."""
    benchmark: Benchmark
    conditions: Conditions
    """How it is asked and scored."""
    chosen: list[str]
    """Sample ids in the order they are asked: those of one cluster side by side."""
    order: list[str]
    """The same in data order."""
    journal: Journal
    whole: list[str]
    """Of all shards, if this is one; otherwise as `chosen`."""
    left_out: int
    """Samples that only a judge could score."""
    before: Score | None
    """The score of an earlier session, if there was one."""
    samples: dict[str, Sample | BrokenSample] = field(default_factory=dict)
    pending: set[str] = field(default_factory=set)
    """Ids of samples that were built and have no prediction."""
    to_build: deque[Piece] = field(default_factory=deque)
    building: int = 0
    """Pieces the kit process has been asked for."""
    coming: int = 0
    """Samples without a prediction among both."""
    asked: int = 0
    """Questions put to workers in this session, those asked again aside."""
    done: int = 0
    """Samples of this run that have a prediction, for the progress display."""
    began: float | None = None
    """When the first worker turned to it: monotonic seconds."""
    seconds: float | None = None
    """Spent predicting; None if nothing was asked in this session."""
    peak_memory_bytes: int | None = None
    host_memory_bytes: int | None = None
    spent: dict[str, float] = field(default_factory=dict)
    """Seconds by stage, of the kit process and of the workers."""
    tokens: dict[str, int] = field(default_factory=dict)
    """Tokens and tiles by kind, as in `Cost.tokens`."""
    score: Score | None = None
    """Of this session."""
    rows: list[SampleScore] = field(default_factory=list)
    """What `score` was made of."""
    again: Journal | None = None
    """Answers given alone; None if none are wanted."""
    wanted_again: list[str] = field(default_factory=list)
    """Ids of the samples to be asked once more, alone."""
    asked_again: bool = False
    """Whether these were put in line, if there is anybody to ask."""
    pending_again: set[str] = field(default_factory=set)
    """Of these, those in line without an answer."""

    @property
    def built(self) -> bool:
        """Whether all samples have been built."""
        return not (self.to_build or self.building)

    @property
    def weight(self) -> int:
        """How long it may take, in images to be looked at."""
        frames = self.benchmark.frames
        return self.coming * ((frames.count or MOST_FRAMES) if frames else 1)

    def charge(self, answer: Answer) -> None:
        """Add what `answer` cost to the figures."""
        cost = answer.cost
        add_seconds(self.spent, cost.seconds)
        counted = {
            "prompt": cost.prompt_tokens,
            "read": cost.prefill_tokens,
            "generated": answer.tokens,
            "tiles": cost.tiles,
        }
        for kind, count in counted.items():
            self.tokens[kind] = self.tokens.get(kind, 0) + count

    def measured(self, peak_memory_bytes: int | None, host_memory_bytes: int | None) -> None:
        """Keep the memory of the worker that took most."""
        self.peak_memory_bytes = _most(self.peak_memory_bytes, peak_memory_bytes)
        self.host_memory_bytes = _most(self.host_memory_bytes, host_memory_bytes)

    def stop(self) -> None:
        """Build no more; what has been asked may still be answered."""
        self.to_build.clear()
        self.coming = 0


@dataclass(frozen=True, slots=True)
class Built:
    """A piece of a job has its prompts."""

    job: Job
    piece: Piece
    samples: list[Sample | BrokenSample]
    seconds: float
    """What building them took."""


@dataclass(frozen=True, slots=True)
class Unbuilt:
    """The samples of a job cannot be had."""

    job: Job
    failure: Failure


@dataclass(frozen=True, slots=True)
class Scored:
    """A job has its score."""

    job: Job
    score: Score
    rows: list[SampleScore]
    """What it was made of."""


@dataclass(frozen=True, slots=True)
class Unscored:
    """A job can have no score."""

    job: Job
    failure: Failure


@dataclass(frozen=True, slots=True)
class LookedAgain:
    """What came of asking samples of a scored job again is written down."""

    job: Job
    asked_again: int
    remark: str = ""
    """Why nothing is, if so."""


@dataclass(frozen=True, slots=True)
class Defect:
    """A thread ended by an exception that nobody expected."""

    error: BaseException


Event = Built | Unbuilt | Scored | Unscored | LookedAgain | WorkerMessage | Defect


def failed_prediction(sample: BrokenSample) -> Prediction:
    """What is kept of a sample that cannot be asked."""
    return Prediction(
        id=sample.id, prompt_digest="", text="", tokens=0, ended="error", error=sample.reason
    )


def _most(one: int | None, other: int | None) -> int | None:
    return max(one or 0, other or 0) or None

"""One benchmark of one run: its samples, its phase and its costs."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field

from evalsuite.benchmarks.benchmark import Benchmark
from evalsuite.runner.plan import Choice
from evalsuite.runs.comparable import Conditions
from evalsuite.runs.journal import Journal
from evalsuite.runs.records import Failure, Prediction, SampleScore, Score
from evalsuite.sample import Sample
from evalsuite.smolvlm.requests import Answer, add_seconds
from evalsuite.system.text import counted
from evalsuite.vlmevalkit.client import BrokenSample

MAX_FRAMES = 64
"""Assumed number of frames of a video that is shown at a frame rate, to estimate durations."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Samples built by one request: all that share their images or videos."""

    ids: list[str]
    unanswered: int
    """How many of them have no prediction yet."""


@dataclass(slots=True)
class Predicting:
    """First phase: samples are built and predicted."""

    to_build: deque[Piece]
    building: int = 0
    """Requested pieces that have not arrived."""
    coming: int = 0
    """Samples without a prediction that are not built yet."""
    pending: set[str] = field(default_factory=set)
    """Ids of samples that are built and have no prediction."""
    done: int = 0
    """Samples with a prediction."""

    @property
    def built(self) -> bool:
        """Whether all samples are built."""
        return not (self.to_build or self.building)


@dataclass(slots=True)
class Scoring:
    """Second phase: all samples have a prediction. Meanwhile some are repeated at batch size 1."""

    score: Score | None = None
    """None until it is computed."""
    rows: list[SampleScore] = field(default_factory=list)
    """The scored samples."""


@dataclass(frozen=True, slots=True)
class ScoringReruns:
    """Third phase: score and reruns exist, and the reruns are being scored."""


@dataclass(frozen=True, slots=True)
class Done:
    """Last phase: the benchmark has its outcome, or its run was given up."""


Phase = Predicting | Scoring | ScoringReruns | Done


@dataclass(slots=True)
class Reruns:
    """Samples that are repeated at batch size 1."""

    journal: Journal | None
    """None: nothing is repeated."""
    ids: list[str] = field(default_factory=list)
    started: bool = False
    pending: set[str] = field(default_factory=set)
    """Ids without an answer."""

    @property
    def predictions(self) -> dict[str, Prediction]:
        """The answers so far."""
        known = {} if self.journal is None else self.journal.predictions
        return {id_: known[id_] for id_ in self.ids if id_ in known}


@dataclass(slots=True)
class PredictionCost:
    """Time, tokens and memory of the predictions of this session."""

    samples: int = 0
    """Samples sent to workers, without reruns."""
    began: float | None = None
    """When the first worker started: monotonic seconds."""
    predict_seconds: float | None = None
    """From then to the last prediction; None if this session predicted nothing."""
    seconds: dict[str, float] = field(default_factory=dict)
    """By stage, of the kit process and of the workers."""
    tokens: dict[str, int] = field(default_factory=dict)
    """Tokens and tiles by kind, as in `Cost.tokens`."""
    peak_memory_bytes: int | None = None
    host_memory_bytes: int | None = None

    def add(self, answer: Answer) -> None:
        """Add the cost of `answer`."""
        cost = answer.cost
        add_seconds(self.seconds, cost.seconds)
        counted = {
            "prompt": cost.prompt_tokens,
            "read": cost.prefill_tokens,
            "generated": answer.tokens,
            "tiles": cost.tiles,
        }
        for kind, count in counted.items():
            self.tokens[kind] = self.tokens.get(kind, 0) + count

    def add_batch(self, since: float, peak_bytes: int | None, host_bytes: int | None) -> None:
        """Add a batch begun at `since` by a worker with this peak memory."""
        self.began = since if self.began is None else min(self.began, since)
        self.peak_memory_bytes = _max(self.peak_memory_bytes, peak_bytes)
        self.host_memory_bytes = _max(self.host_memory_bytes, host_bytes)

    def finish(self) -> None:
        """Stop the clock: the last prediction exists."""
        if self.began is not None:
            self.predict_seconds = time.monotonic() - self.began


@dataclass(slots=True, kw_only=True, eq=False)
class Job:
    """The work on one benchmark for one checkpoint."""

    run: int
    """Index of its run."""
    benchmark: Benchmark
    conditions: Conditions
    """How it is asked and scored."""
    choice: Choice
    """The samples; those of one cluster are neighbours."""
    order: list[str]
    """Their ids in the order of the data."""
    journal: Journal
    reruns: Reruns
    phase: Phase
    before: Score | None
    """The score of an earlier session."""
    samples: dict[str, Sample] = field(default_factory=dict)
    """Those that are built, by id."""
    cost: PredictionCost = field(default_factory=PredictionCost)

    @property
    def name(self) -> str:
        """Name of the benchmark."""
        return self.benchmark.name

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return isinstance(self.phase, Done)

    @property
    def coming(self) -> int:
        """Samples that workers may yet be asked."""
        return self.phase.coming if isinstance(self.phase, Predicting) else 0

    @property
    def asking(self) -> bool:
        """Whether samples are left to ask, or answers to arrive."""
        return isinstance(self.phase, Predicting) or bool(self.reruns.pending)

    @property
    def weight(self) -> int:
        """Estimate of the time left, in images."""
        frames = self.benchmark.frames
        return self.coming * ((frames.count or MAX_FRAMES) if frames else 1)

    def close(self) -> None:
        """Close the journals."""
        self.journal.close()
        if self.reruns.journal is not None:
            self.reruns.journal.close()


def failed_prediction(sample: BrokenSample) -> Prediction:
    """The prediction of a sample that cannot be asked."""
    return Prediction(
        id=sample.id, prompt_digest="", text="", tokens=0, ended="error", error=sample.reason
    )


def unpredicted(job: Job, missing: int) -> Failure:
    """The failure of a benchmark with `missing` predictions and no worker to make them."""
    return Failure(
        benchmark=job.name,
        stage="predict",
        message=f"no prediction for {missing} of {counted(len(job.choice.asked), 'sample')}",
        remedy="run with --mode all or infer first, and every --shard there is",
    )


def _max(one: int | None, other: int | None) -> int | None:
    return max(one or 0, other or 0) or None

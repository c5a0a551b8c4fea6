"""The records of a run: predictions, scores, failures. `evalsuite.runs.storage` stores them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from evalsuite.runs.comparable import Conditions
from evalsuite.runs.layout import samples_path
from evalsuite.sample import Ended

Row = TypeVar("Row")
SCHEMA = 2
"""The version of run.json and the journals. Other versions are not read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """The answer of a checkpoint to one sample."""

    id: str
    prompt_digest: str
    """`evalsuite.sample.prompt_digest` of the prompt."""
    text: str
    tokens: int
    """Tokens generated, the end token not counted."""
    ended: Ended
    """``stop``: at the end token; ``length``: at the token limit; ``error``: no answer, for the
    reason in `error`."""
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleScore:
    """The value of one prediction, with the fields to check it."""

    id: str
    cluster: str
    value: float
    """0 (wrong) to 1 (right)."""
    parsed: bool
    """Whether the benchmark's rule found an answer in the text."""
    counts: bool = True
    """Whether it is part of the benchmark's score: MLVU's open questions are not."""
    prediction: str = ""
    target: str = ""
    part: str = ""
    """Key of the dataset, if a benchmark combines several."""
    category: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    """Further columns of the breakdown with their values."""
    question: str = ""
    media: tuple[str, ...] = ()
    """Paths of the images or frames in the prompt."""
    prompt_digest: str = ""
    ended: Ended = "stop"
    error: str | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.value <= 1:  # also refuses NaN
            raise ValueError(f"sample {self.id}: value {self.value} is not within 0-1")

    @property
    def groups(self) -> tuple[tuple[str, str], ...]:
        """The groups of the sample: pairs of column and value; the category has an empty column."""
        columns = (("", self.category), ("part", self.part), *self.labels)
        return tuple((column, value or "none") for column, value in columns)


def group_name(column: str, value: str) -> str:
    """The name of a group in a breakdown: ``chart`` for a category, ``split: val`` otherwise."""
    return f"{column}: {value}" if column else value


def by_group(
    rows: Iterable[Row], sample: Callable[[Row], SampleScore]
) -> dict[tuple[str, str], list[Row]]:
    """Group `rows` by category, part and label; `sample` gives the sample of a row.

    Keys are those of `SampleScore.groups`: columns in order of appearance, values sorted. Columns
    with one value only are left out.
    """
    columns: dict[str, dict[str, list[Row]]] = {}
    for row in rows:
        for column, value in dict.fromkeys(sample(row).groups):
            columns.setdefault(column, {}).setdefault(value, []).append(row)
    return {
        (column, value): groups[value]
        for column, groups in columns.items()
        if len(groups) > 1
        for value in sorted(groups)
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Samples of a score that need attention. All but `unscored` are among its ``n`` samples."""

    failed: int = 0
    """Without a prediction; they count as wrong."""
    empty: int = 0
    """With an empty or blank prediction."""
    truncated: int = 0
    """With a prediction cut at the token limit."""
    unparsed: int = 0
    """With a prediction in which the rule found no answer."""
    thinking: int = 0
    """With a prediction that holds tags of a reasoning model, such as ``</think>``."""
    unscored: int = 0
    """Left out of the score, because only a judge can score them."""


COUNTS = ("failed", "empty", "truncated", "unparsed")
"""The counts of samples that are part of the score."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Time and memory that a score took; docs/reference/run-json.md defines the stages."""

    seconds: Mapping[str, float] = field(default_factory=dict)
    """By stage: docs/reference/run-json.md defines the stages."""
    samples_per_second: float | None = None
    tokens: Mapping[str, int] = field(default_factory=dict)
    """``prompt``; ``read`` by the text model, shared prefixes counted once; ``generated``; and
    ``tiles``, image tiles encoded."""
    peak_memory_bytes: int | None = None
    """Of the worker that took most: on its device, or resident on the CPU."""
    host_memory_bytes: int | None = None
    """Resident memory of the worker that took most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """The result of one checkpoint on one benchmark."""

    benchmark: str
    modality: str
    """``image`` or ``video``."""
    value: float
    """0 to 100."""
    stderr: float | None
    """Standard error of `value` in points, clustered by image or video; None for one cluster."""
    n: int
    """Samples scored, failed ones included."""
    clusters: int
    """Distinct images or videos among them."""
    counts: Counts
    conditions: Conditions
    cost: Cost
    partial: bool = False
    """Whether a part of the benchmark is not scored, because only a judge can score it."""
    modified_data: bool = False
    """Whether the data differs from the published data (``--allow-modified-data``)."""
    vlmevalkit_score: float | None
    """VLMEvalKit's own score of the same predictions, 0 to 100; None if it raises."""
    deviations: tuple[str, ...] = ()
    """Why `vlmevalkit_score` differs from `value` (docs/evidence/differences.md); empty if not."""
    breakdown: Mapping[str, float] = field(default_factory=dict)
    """Score by category, and by split, duration and the like as ``split: val``."""
    macro_average: float | None = None
    """The unweighted mean over the benchmark's tasks, where that is reported too."""
    extra: Mapping[str, float] = field(default_factory=dict)
    """Further numbers from VLMEvalKit, by its names and on its scales: MLVU's G-Avg."""
    failure_reasons: tuple[str, ...] = ()
    """Why samples failed, the most frequent reason first, with sample ids: at most six lines."""
    thinking_example: str = ""
    """The start of one of the predictions that `Counts.thinking` counts."""
    rerun_samples: int | None = 0
    """Samples repeated at batch size 1, answered or not: see `BatchSensitivity`. None while
    answers are missing."""

    def __post_init__(self) -> None:
        # Also refuses NaN, which would compare as "no regression".
        if not 0 <= self.value <= 100:
            raise ValueError(f"{self.benchmark}: score {self.value} is not within 0-100")


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a benchmark has no score. A failure is never a score of zero."""

    benchmark: str
    stage: Literal["data", "predict", "score"]
    message: str
    remedy: str


Outcome = Score | Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSensitivity:
    """How batching changes predictions: some samples are repeated at batch size 1."""

    samples: Mapping[str, int]
    changed: int
    """Samples whose text differs."""
    flipped: int
    """Samples whose value differs."""
    effect: float
    """Mean value in batches minus mean value at batch size 1, in points."""
    low: float
    """Lower bound of the 95 % interval of `effect`, clustered by image or video."""
    high: float

    def __post_init__(self) -> None:
        # Also refuses NaN, which no bound would catch.
        if not all(-100 <= points <= 100 for points in (self.effect, self.low, self.high)):
            raise ValueError("effect and interval are not within -100 and 100")

    @property
    def count(self) -> int:
        """Repeated samples over all benchmarks."""
        return sum(self.samples.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointRecord:
    """The checkpoint of a run."""

    name: str
    source: str
    family: str
    digest: str
    parameters: int
    step: int | None
    base: str | None = None
    """The base model of an adapter, as named."""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One checkpoint on a set of benchmarks: run.json."""

    schema: int = SCHEMA
    evalsuite: str
    command: str
    started: str
    finished: str | None
    """When the last outcome was written; None for an unfinished run."""
    limit: str | None
    checkpoint: CheckpointRecord
    settings: Mapping[str, Any]
    environment: Mapping[str, Any]
    outcomes: tuple[Outcome, ...] = ()
    batch_sensitivity: BatchSensitivity | None = None
    """None: not measured, or not finished."""

    @property
    def scores(self) -> tuple[Score, ...]:
        """All scores."""
        return tuple(o for o in self.outcomes if isinstance(o, Score))

    @property
    def failures(self) -> tuple[Failure, ...]:
        """All failures."""
        return tuple(o for o in self.outcomes if isinstance(o, Failure))


@dataclass(frozen=True, slots=True)
class FoundRun:
    """A run and its run.json."""

    path: Path
    run: Run

    def samples(self, benchmark: str) -> Path:
        """The path of the scored samples of `benchmark`."""
        return samples_path(self.path, benchmark, self.run.limit)


def now() -> str:
    """The current time in UTC in the format of run.json."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())

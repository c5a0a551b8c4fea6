"""A benchmark: which data, which prompts, which metric."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from evalsuite.errors import UsageError
from evalsuite.runs.comparable import EXACT, JudgeId

Modality = Literal["image", "video"]
MARGIN, CLIFF = 1.0, 5.0
"""Default allowed drops, in points: of the mean, and of one benchmark."""
PROMPT_FORMATS = (
    *("default", "brief", "yes-no", "choices", "mmbench", "mmmu", "mathvista"),
    *("chartqa", "docvqa", "textvqa", "video", "video-choices", "video-letters", "mvbench"),
)
"""Keys of `evalsuite.smolvlm.formats.FORMATS`; a test compares the two."""
METRICS = (
    *("choice", "mmmu", "yes-no", "vqa-accuracy", "relaxed-accuracy", "anls", "exact-match"),
    *("ocr-contains", "mathvista", "video-choice", "worldsense", "mvbench", "mlvu", "tempcompass"),
)
"""Scoring rules of `evalsuite.vlmevalkit.scoring`; a test compares the two."""
JUDGED_METRICS = ("choice", "mmmu", "yes-no", "mathvista", "video-choice", "worldsense", "mvbench",
                  "mlvu", "tempcompass")  # fmt: skip
"""The `METRICS` that can use a judge; a test compares the two."""


@dataclass(frozen=True, slots=True)
class FrameRule:
    """Which frames of a video are used: a rate per second, or a number per video."""

    per_second: float | None = None
    count: int | None = None

    def __str__(self) -> str:
        if self.per_second is None:
            return str(self.count)
        # All digits: the text names cached frames and distinguishes runs.
        whole = self.per_second == int(self.per_second)
        return f"{int(self.per_second) if whole else self.per_second!r}fps"


@dataclass(frozen=True, slots=True)
class Reference:
    """A published score, shown beside evalsuite's own."""

    model: str
    score: float
    source: str
    verified: bool
    """True if the score was checked against its source; false if it was recalled from memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """The published data of a benchmark: its address and its hashes."""

    url: str | None = None
    """Of a table that contains everything. Either this or `repository` is set."""
    repository: str | None = None
    revision: str = "main"
    md5: Mapping[str, str]
    """The MD5, in hex, of each table, as in VLMEvalKit: ``{AI2D_TEST: …}``."""
    about_bytes: int
    """Approximate size of the download. The server is asked for the exact size."""
    licence: str
    """Recalled from memory; see the dataset's own page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """One benchmark: its data, prompts and metric."""

    name: str
    dataset: str
    """VLMEvalKit's dataset key. VLMEvalKit's own model class chooses its prompt by this key."""
    dataset_class: str | None = None
    """The class in ``vlmeval.dataset``, if VLMEvalKit does not know the key."""
    data: str | None = None
    """A TSV or JSONL file, or a directory for videos; None: published data."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """Additional arguments of the dataset's class."""
    modality: Modality
    prompt: str
    part_prompts: Mapping[str, str] = field(default_factory=dict)
    """Prompt formats of parts of the dataset that do not use `prompt`."""
    metric: str
    judged_parts: tuple[str, ...] = ()
    """Parts of the dataset that only a judge can score."""
    split: str | None = None
    """The split that the score covers, if the data has several."""
    judge: JudgeId | None = None
    """Scores predictions that the rules cannot score (``--judge``); None: rules alone."""
    frames: FrameRule | None = None
    max_new_tokens: int
    margin: float = MARGIN
    """Allowed drop in points. The margin of the mean score is the mean of these values."""
    cliff: float = CLIFF
    """Allowed drop of this benchmark, in points."""
    references: tuple[Reference, ...] = ()
    description: str = ""
    published: Published | None = None
    """None for the demo's data and a user's own."""
    modified: bool = False
    """Whether `data` differs from the published data (``--allow-modified-data``)."""

    @property
    def definition(self) -> str:
        """A digest of the prompts and the scoring: scores of different definitions differ."""
        shaping = (
            self.dataset, self.dataset_class, sorted(self.arguments.items()), self.modality,
            self.prompt, sorted(self.part_prompts.items()), self.metric, self.judged_parts,
            self.split, str(self.judge or EXACT), str(self.frames), self.max_new_tokens,
        )  # fmt: skip
        return hashlib.sha256(json.dumps(shaping, default=str).encode()).hexdigest()[:16]

    def prompt_of(self, part: str) -> str:
        """The prompt format of the samples of `part`."""
        return self.part_prompts.get(part, self.prompt)

    @property
    def as_published(self) -> bool:
        """Whether its data is published data without changes."""
        return self.published is not None and not self.modified

    def scorable(self, part: str) -> bool:
        """Whether the samples of `part` can be scored with `judge`."""
        return self.judge is not None or part not in self.judged_parts


def parse_frames(text: str, where: str) -> FrameRule:
    """The `FrameRule` of ``1fps`` or ``16``; raises `UsageError` that begins with `where`."""
    per_second = re.fullmatch(r"(\d+(?:\.\d+)?)fps", text)
    if per_second and float(per_second[1]) > 0:
        return FrameRule(per_second=float(per_second[1]))
    if re.fullmatch(r"\d+", text) and int(text) > 0:
        return FrameRule(count=int(text))
    raise UsageError(f"{where}: expected '1fps' or a number of frames like '16', not {text!r}")

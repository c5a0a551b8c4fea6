"""The engine's settings, requests and answers. Other processes import this without torch."""

from __future__ import annotations

import traceback
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from evalsuite.sample import Ended
from evalsuite.smolvlm.prompts import Prompt

QuestionId = Hashable
"""Identifies a question for the caller. The engine only copies it to the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """Options of `evalsuite.smolvlm.engine.Engine`: how it loads and runs a checkpoint."""

    device: str = "cpu"
    dtype: str = "float32"
    batch_size: int | None = None
    """None: free memory decides."""
    base: Path | None = None
    """Base model, if the checkpoint is a LoRA adapter."""
    processor: Path | None = None
    """Directory of the image settings, if not the checkpoint's."""
    tokenizer: Path | None = None
    """Directory of the tokenizer, if not the checkpoint's."""
    longest_edge: int | None = None
    """Images are resized to this longest edge, in pixels. None: as the processor does."""
    workers_per_device: int = 1
    """How many workers share the device's memory, this one included."""


@dataclass(frozen=True, slots=True)
class Question:
    """One prompt to answer."""

    id: QuestionId
    prompt: Prompt
    max_new_tokens: int
    unbatched: bool = False
    """If true, the prompt is answered at batch size 1 and its media are encoded separately. The
    difference to the normal answer measures batch-size sensitivity."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Work of one answer. Work shared by several answers is divided among them."""

    tiles: int = 0
    """Image tiles encoded for this answer. A tile counts for the first question that shows it."""
    prompt_tokens: int = 0
    prefill_tokens: int = 0
    """Prompt tokens processed by the text model. A shared prefix counts once."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Seconds by stage. ``read`` (decode media) and ``tiles`` (cut into tiles) are summed over
    background threads and overlap with the other stages. The other stages are wall-clock time and
    do not overlap: ``wait`` (the device is idle), ``vision``, ``prefill`` (prompts, up to the first
    token), ``decode`` (all later tokens; includes prefill if ``generate`` is used), ``other``
    (tokenization and the rest). No timer forces the device to synchronize."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The text a checkpoint generated, or the error that prevented it."""

    id: QuestionId
    text: str
    tokens: int
    """Number of generated tokens, without the end token."""
    ended: Ended
    error: str | None = None
    cost: Cost = field(default=Cost(), compare=False)


@dataclass(slots=True)
class Stats:
    """What an engine reports in addition to its answers, updated while `Engine.answer` runs."""

    generation: str
    """``greedy loop``, or ``transformers generate`` followed by the generation options that require
    it."""
    splits: int = 0
    """Number of times a batch was split because memory ran out."""
    peak_memory_bytes: int = 0
    """Peak memory allocated on the CUDA device; on CPU, the peak resident memory of this process.
    """
    host_memory_bytes: int = 0
    """Peak resident memory of this process."""


RAISED = "raised "
"""Begins the reason of a sample that failed because of an exception."""


def raised(error: BaseException) -> str:
    """`error` as a reason: its class, the last line of its message, and where it was raised."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name} line {frames[-1].lineno})" if frames else ""
    text = f": {' '.join(lines[-1].split())}" if lines else ""
    return f"{RAISED}{type(error).__name__}{text}{where}"


def add_seconds(into: dict[str, float], more: Mapping[str, float]) -> None:
    """Add `more` to `into`, stage by stage."""
    for stage, seconds in more.items():
        into[stage] = into.get(stage, 0.0) + seconds

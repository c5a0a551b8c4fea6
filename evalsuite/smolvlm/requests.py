"""What the engine is asked and what it answers; light, so that other processes can import it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from evalsuite.sample import Ended
from evalsuite.smolvlm.prompts import Prompt


@dataclass(frozen=True, slots=True)
class Question:
    """One prompt to answer."""

    id: str
    prompt: Prompt
    max_new_tokens: int
    alone: bool = False
    """Asked at batch size 1, its media encoded for it alone: what batching does is the difference
    to the answer it has in company."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What an answer took of the engine: its share of what it took together with others."""

    tiles: int = 0
    """Tiles encoded for it: those of its media that no question before it had shown."""
    prompt_tokens: int = 0
    read_tokens: int = 0
    """Of the prompt, those the text model read for it: a prefix that several share counts once."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """By stage, as in `Stats`."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the checkpoint said, or why it could not be asked."""

    id: str
    text: str
    tokens: int
    """Tokens generated, the end token not counted."""
    ended: Ended
    error: str | None = None
    cost: Cost = field(default=Cost(), compare=False)


@dataclass(slots=True)
class Stats:
    """What an engine did so far; it grows while `Engine.answer` runs."""

    generation: str
    """``greedy loop``, or ``transformers generate`` with what in the checkpoint's generation
    config asks for it."""
    seconds: dict[str, float] = field(default_factory=dict)
    """By stage. ``read`` and ``tiles``, media decoded and cut, are summed over background threads
    and overlap the others. The others are wall-clock and follow one another: ``wait``, the device
    has nothing to do; ``vision``; ``prefill``, prompts read up to the first token; ``decode``, the
    tokens after it (with prefill, where ``generate`` does both); ``other``, tokenising and such.
    No clock makes a device wait: it is read where results come back anyway."""
    answers: int = 0
    errors: int = 0
    tokens: int = 0
    """Generated, end tokens not counted."""
    prompt_tokens: int = 0
    read_tokens: int = 0
    """Of the prompts, those the text model read: what prompts share counts once."""
    tiles: int = 0
    """Tiles the vision tower encoded."""
    splits: int = 0
    """How often memory ran out and a batch was split."""
    peak_memory_bytes: int = 0
    """Most memory allocated on the CUDA device, or most resident memory of this process."""
    host_memory_bytes: int = 0
    """Most resident memory of this process."""

    def count(self, answer: Answer) -> None:
        """Add an answer and what it cost."""
        self.answers += 1
        self.errors += answer.ended == "error"
        self.tokens += answer.tokens
        cost = answer.cost
        self.prompt_tokens += cost.prompt_tokens
        self.read_tokens += cost.read_tokens
        self.tiles += cost.tiles
        add_seconds(self.seconds, cost.seconds)


def add_seconds(into: dict[str, float], more: Mapping[str, float]) -> None:
    """Add `more` seconds to those in `into`, stage by stage."""
    for stage, seconds in more.items():
        into[stage] = into.get(stage, 0.0) + seconds

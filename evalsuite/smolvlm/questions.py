"""What the engine is asked and what it answers; light, so that other processes can import it."""

from __future__ import annotations

from dataclasses import dataclass, field

from evalsuite.results import Ended
from evalsuite.smolvlm.prompts import Prompt


@dataclass(frozen=True, slots=True)
class Question:
    """One prompt to answer."""

    id: str
    prompt: Prompt
    max_new_tokens: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What the checkpoint said, or why it could not be asked."""

    id: str
    text: str
    tokens: int
    """Tokens generated, the end token not counted."""
    ended: Ended
    error: str | None = None


@dataclass(slots=True)
class Stats:
    """What an engine did so far; it grows while `Engine.answer` runs."""

    generation: str
    """``greedy loop``, or ``transformers generate`` with what in the checkpoint's generation
    config asks for it."""
    seconds: dict[str, float] = field(default_factory=dict)
    """By stage. ``decode`` and ``tiles`` are summed over background threads and overlap the others;
    ``wait`` is how long the device had nothing to do; ``vision`` and ``text`` are wall-clock."""
    answers: int = 0
    errors: int = 0
    tokens: int = 0
    tiles: int = 0
    """Tiles the vision tower encoded."""
    peak_memory_bytes: int = 0
    """Most memory allocated on the CUDA device, or most resident memory of this process."""

    def add(self, stage: str, seconds: float) -> None:
        """Add `seconds` to a stage."""
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds

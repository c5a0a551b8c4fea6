"""Turn a sample's messages into the text a SmolVLM checkpoint reads.

Pure. ``<image>`` stands where an image or a frame goes; the engine expands it into tile tokens
later. The words are VLMEvalKit's (`evalsuite.smolvlm.formats`) or those of the checkpoint's own
chat template (`evalsuite.smolvlm.chat_template`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from evalsuite.sample import Frames, Media, Message, Text
from evalsuite.smolvlm.formats import FORMATS, IMAGE_TOKEN, OF_FAMILY, VIDEO_FORMATS

MAX_FRAMES = 64
"""VLMEvalKit's adapter shows at most this many frames of a video, evenly picked."""

Profile = Literal["vlmevalkit", "native"]
PROFILES: tuple[Profile, ...] = ("vlmevalkit", "native")


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt ready for the tokenizer, and what its ``<image>`` marks stand for."""

    text: str
    media: tuple[Media, ...]
    split: bool
    """Whether images are cut into tiles plus a global one; if not, each is one tile."""


@dataclass(frozen=True, slots=True)
class Style:
    """Whose words a prompt is in."""

    profile: Profile = "vlmevalkit"
    family: str = "smolvlm"
    """As of `Checkpoint`: VLMEvalKit words some prompts of ``idefics3`` in another way."""
    chat_template: str | None = None
    """The checkpoint's own, in Jinja; ``native`` cannot do without."""


VLMEVALKIT = Style()


def build(prompt_format: str, messages: Sequence[Message], style: Style = VLMEVALKIT) -> Prompt:
    """Build the prompt of `messages` in one of the `FORMATS`.

    The profile ``native`` leaves the format aside: the words are the dataset's alone. It raises
    `UsageError` if the checkpoint's template is missing or broken.
    """
    if style.profile == "native":
        # Loads jinja2, which the other profile does without.
        from evalsuite.smolvlm import chat_template as native

        text = native.text(messages, style.chat_template)
    else:
        text = OF_FAMILY[style.family][prompt_format](messages)
    media = tuple(m for m in messages if not isinstance(m, Text))
    # A video's frames are one tile each, whatever the words around them.
    return Prompt(text, media, split=not any(isinstance(m, Frames) for m in media))


def shown_frames(n: int) -> list[int]:
    """Which of `n` frames are shown: all, or `MAX_FRAMES` evenly spaced from first to last.

    Equals ``numpy.linspace(0, n - 1, 64, dtype=int)``, which VLMEvalKit uses.
    """
    if n <= MAX_FRAMES:
        return list(range(n))
    step = (n - 1) / (MAX_FRAMES - 1)
    return [int(i * step) for i in range(MAX_FRAMES - 1)] + [n - 1]


__all__ = [
    "FORMATS",
    "IMAGE_TOKEN",
    "MAX_FRAMES",
    "PROFILES",
    "VIDEO_FORMATS",
    "VLMEVALKIT",
    "Profile",
    "Prompt",
    "Style",
    "build",
    "shown_frames",
]

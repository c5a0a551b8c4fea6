"""Build the prompt text of a sample.

Pure functions. ``<image>`` marks the position of an image or a frame; the engine later expands it
into image tokens. The wording is VLMEvalKit's (`evalsuite.smolvlm.formats`) or that of the
checkpoint's chat template (`evalsuite.smolvlm.chat_template`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from evalsuite.sample import Frames, Media, Message, Text
from evalsuite.smolvlm.formats import FORMATS_BY_FAMILY, IMAGE_TOKEN

MAX_FRAMES = 64
"""Maximum number of video frames shown, evenly spaced, as in VLMEvalKit's adapter."""

PromptStyle = Literal["vlmevalkit", "native"]


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt for the tokenizer, and the media of its ``<image>`` tokens."""

    text: str
    media: tuple[Media, ...]
    split: bool
    """Whether each image is cut into tiles plus a global view; otherwise each is one tile."""


@dataclass(frozen=True, slots=True)
class PromptOptions:
    """Source of the wording of prompts."""

    style: PromptStyle = "vlmevalkit"
    family: str = "smolvlm"
    """As in `Checkpoint`: VLMEvalKit words some prompts differently for ``idefics3``."""
    chat_template: str | None = None
    """The checkpoint's chat template in Jinja. Required for the style ``native``."""


DEFAULT_OPTIONS = PromptOptions()


def build(
    prompt_format: str, messages: Sequence[Message], options: PromptOptions = DEFAULT_OPTIONS
) -> Prompt:
    """Build the prompt of `messages` in one of `formats.FORMATS`.

    The style ``native`` ignores the format and uses only the dataset's text. It raises `UsageError`
    if the checkpoint's chat template is missing or invalid.
    """
    messages = [_without_image_tokens(message) for message in messages]
    if options.style == "native":
        # Imports transformers, which the other style does not need.
        from evalsuite.smolvlm import chat_template as native

        text = native.render_prompt(messages, options.chat_template)
    else:
        text = FORMATS_BY_FAMILY[options.family][prompt_format](messages)
    media = tuple(m for m in messages if not isinstance(m, Text))
    # Each video frame is one tile, in both styles.
    return Prompt(text, media, split=not any(isinstance(m, Frames) for m in media))


def _without_image_tokens(message: Message) -> Message:
    """Remove ``<image>`` from a text, as LLaVA's data have it: images have tokens of their own."""
    if not isinstance(message, Text) or IMAGE_TOKEN not in message.text:
        return message
    text = message.text.replace(f"{IMAGE_TOKEN}\n", "").replace(IMAGE_TOKEN, "")
    return Text(text, message.role)


def shown_frames(n: int) -> list[int]:
    """Return the indices of the frames shown: all of `n`, or `MAX_FRAMES` evenly spaced ones.

    Equals ``numpy.linspace(0, n - 1, 64, dtype=int)``, which VLMEvalKit uses.
    """
    if n <= MAX_FRAMES:
        return list(range(n))
    step = (n - 1) / (MAX_FRAMES - 1)
    return [int(i * step) for i in range(MAX_FRAMES - 1)] + [n - 1]

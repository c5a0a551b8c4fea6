"""Turn a sample's messages into the text a SmolVLM checkpoint reads.

One function a format, all pure. ``<image>`` stands where an image or a frame goes; the engine
expands it into tile tokens later. The texts are those that VLMEvalKit's ``SmolVLM2`` class builds
(``vlmeval/vlm/smolvlm.py``), byte for byte: ``tests/parity`` holds them against it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from evalsuite.samples import Frames, Media, Message, Text

IMAGE_TOKEN = "<image>"
MAX_FRAMES = 64
"""VLMEvalKit's adapter shows at most this many frames of a video, evenly picked."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt ready for the tokenizer, and what its ``<image>`` marks stand for."""

    text: str
    media: tuple[Media, ...]
    split: bool
    """Whether images are cut into tiles plus a global one; if not, each is one tile."""


def _joined(messages: Sequence[Message], suffix: str = "", *, end: str = "Assistant:") -> Prompt:
    """Images and texts in their order, each text stripped, in one user turn."""
    text = "<|im_start|>User:"
    for message in messages:
        text += message.text.strip() if isinstance(message, Text) else IMAGE_TOKEN
    return Prompt(text + suffix + f"<end_of_utterance>\n{end}", _media(messages), split=True)


def _media(messages: Sequence[Message]) -> tuple[Media, ...]:
    return tuple(m for m in messages if not isinstance(m, Text))


def default(messages: Sequence[Message]) -> Prompt:
    """The text as the dataset words it."""
    return _joined(messages)


def brief(messages: Sequence[Message]) -> Prompt:
    """As `default`, asking for a very brief answer (OCRBench among others)."""
    return _joined(messages, "\nGive a very brief answer.")


def video(messages: Sequence[Message]) -> Prompt:
    """A system line, then frames with time stamps, then the question.

    Parts are joined by single spaces, stamps count frames as seconds, and texts that come before
    the frames move behind them: so does VLMEvalKit (``build_prompt_video``).
    """
    system = next((m for m in messages if isinstance(m, Text) and m.role == "system"), None)
    parts = [
        "<|im_start|>System:",
        system.text if system else "pay attention to the video and answer the question",
        "<end_of_utterance>\n",
        "<|im_start|>User:",
        "Here are some frames sampled from a video:\n",
    ]
    for item in _media(messages):
        for number in item.numbers if isinstance(item, Frames) else (0,):
            parts += [f"Frame from {number // 60:02}:{number % 60:02}:", IMAGE_TOKEN]
        parts.append("\n")
    parts += [m.text.strip() for m in messages if isinstance(m, Text) and m.role != "system"]
    parts += ["<end_of_utterance>", "\nAssistant:"]
    return Prompt(" ".join(parts), _media(messages), split=False)


def video_choices(messages: Sequence[Message]) -> Prompt:
    """As `video`, with the wording VLMEvalKit's adapter swaps in for Video-MME."""
    prompt = video(messages)
    text = (
        prompt.text.replace("Options:", "Choices:").replace(
            "Please select the correct answer from the options above.", "Answer with the letter."
        )
        if "Options:" in prompt.text
        else prompt.text
    )
    return Prompt(text, prompt.media, prompt.split)


def shown_frames(n: int) -> list[int]:
    """Which of `n` frames are shown: all, or `MAX_FRAMES` evenly spaced from first to last.

    Equals ``numpy.linspace(0, n - 1, 64, dtype=int)``, which VLMEvalKit uses.
    """
    if n <= MAX_FRAMES:
        return list(range(n))
    step = (n - 1) / (MAX_FRAMES - 1)
    return [int(i * step) for i in range(MAX_FRAMES - 1)] + [n - 1]


FORMATS: dict[str, Callable[[Sequence[Message]], Prompt]] = {
    "default": default,
    "brief": brief,
    "video": video,
    "video-choices": video_choices,
}
"""Every prompt format a benchmark can name."""


def build(prompt_format: str, messages: Sequence[Message]) -> Prompt:
    """Build the prompt of `messages` in one of the `FORMATS`."""
    return FORMATS[prompt_format](messages)


__all__ = ["FORMATS", "IMAGE_TOKEN", "MAX_FRAMES", "Prompt", "build", "shown_frames"]

"""A sample: a question with its images or video frames.

A sample has paths and digests of media, no pixels: it is cheap to send to another process, and
equal images are recognised by their digest.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

Ended = Literal["stop", "length", "error"]
"""How a prediction ended: at the end token, at the token limit, or with an error."""


@dataclass(frozen=True, slots=True)
class Text:
    """Text in a message."""

    text: str
    role: str = ""
    """``system``, ``user``, ``assistant``, or empty if the dataset has none."""


@dataclass(frozen=True, slots=True)
class Image:
    """One still image on disk."""

    path: str
    digest: str
    """SHA-256 of the bytes at ``path``, in hex: two samples with the same digest share the work."""

    @property
    def paths(self) -> tuple[str, ...]:
        """The path, as of `Frames`."""
        return (self.path,)


@dataclass(frozen=True, slots=True)
class Frames:
    """The frames of one video that are in the prompt, in order, on disk."""

    paths: tuple[str, ...]
    times: tuple[float, ...]
    """Time of each frame, in seconds from the start of the video."""
    digest: str
    """SHA-256 over the frames' bytes, in hex."""
    numbers: tuple[int, ...] = ()
    """Index of each frame among those that the benchmark's rule selects, from 0: of a long video
    only some are in the prompt. Default: all."""
    seconds: float = 0.0
    """Duration of the video or of its clip. Default: time of the last frame."""

    def __post_init__(self) -> None:
        if not self.numbers:
            object.__setattr__(self, "numbers", tuple(range(len(self.paths))))
        if not len(self.paths) == len(self.times) == len(self.numbers):
            raise ValueError(
                f"{len(self.paths)} frames, {len(self.times)} times, {len(self.numbers)} numbers"
            )


Media = Image | Frames
Message = Text | Image | Frames


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One question of a benchmark."""

    id: str
    """Unique within its benchmark, and the same in every run over the same data."""
    messages: tuple[Message, ...]
    """Text and media in the order of the dataset."""
    cluster: str
    """The image or video of the question; several samples may share it."""
    part: str = ""
    """Key of the dataset, if a benchmark combines several."""
    category: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    """Further columns of the breakdown with their values: split, duration, …"""
    question: str = ""
    """The question alone, for display."""
    target: str = ""
    """The expected answer, for display; scoring uses the dataset itself."""

    @property
    def media(self) -> tuple[Media, ...]:
        """Images and frames, in the order they appear."""
        return tuple(m for m in self.messages if not isinstance(m, Text))


def blinded(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """The text alone, for the text-only baseline.

    White space replaces an image between two texts.
    """
    words: list[Text] = []
    separated = False
    for message in messages:
        if not isinstance(message, Text):
            separated = bool(words)
        elif separated and words[-1].role == message.role:
            before, after = words[-1].text, message.text
            spaced = before[-1:].isspace() or after[:1].isspace()
            words[-1] = Text(f"{before}{'' if spaced else ' '}{after}", message.role)
            separated = False
        else:
            words.append(message)
            separated = False
    return tuple(words)


def prompt_digest(prompt: str, media: tuple[Media, ...]) -> str:
    """Identify a prompt: its text before image tokens are expanded, and its media.

    Independent of the checkpoint (tile size, tokens per tile), so that runs of different
    checkpoints can be compared sample by sample.
    """
    digest = hashlib.sha256(prompt.encode("utf-8", "surrogatepass"))
    for item in media:
        digest.update(b"\0" + item.digest.encode())
        if isinstance(item, Frames):
            digest.update(",".join(f"{time:.3f}" for time in item.times).encode())
    return digest.hexdigest()[:16]

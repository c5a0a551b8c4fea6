"""What is asked: a question, the images or frames it is about, and what they have in common.

A sample holds references to media, never pixels: it crosses process boundaries cheaply, and the
same picture is recognised by its digest wherever it turns up.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

Ended = Literal["stop", "length", "error"]
"""How a prediction ended: at the end token, at the token limit, or without an answer."""


@dataclass(frozen=True, slots=True)
class Text:
    """Words in a message."""

    text: str
    role: str = ""
    """``system``, ``user``, ``assistant``, or empty where the dataset names none."""


@dataclass(frozen=True, slots=True)
class Image:
    """One still image on disk."""

    path: str
    digest: str
    """SHA-256 of the bytes at ``path``, in hex: two samples with the same digest share the work."""


@dataclass(frozen=True, slots=True)
class Frames:
    """The frames shown of one video, in order, on disk."""

    paths: tuple[str, ...]
    times: tuple[float, ...]
    """When each frame is shown, in seconds from the start of the video."""
    digest: str
    """SHA-256 over the frames' bytes, in hex."""
    numbers: tuple[int, ...] = ()
    """Which of the frames the benchmark's rule picks each is, from 0: of a long video only some
    are shown. Left out: all of them."""
    seconds: float = 0.0
    """How long the video, or the clip of it, is. Left out: till its last frame."""

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
    """One question put to a checkpoint."""

    id: str
    """Unique within its benchmark, and the same in every run over the same data."""
    messages: tuple[Message, ...]
    """Text and media in the order the dataset gives them."""
    cluster: str
    """What several questions have in common: the image or the video they are about."""
    part: str = ""
    """The key of the dataset it comes from, where a benchmark is made of several."""
    category: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    """Further columns that the score is broken down by, with their values: split, duration, …"""
    question: str = ""
    """The question alone, for people to read."""
    target: str = ""
    """The expected answer, for people to read; scoring goes by the dataset itself."""

    @property
    def media(self) -> tuple[Media, ...]:
        """Images and frames, in the order they appear."""
        return tuple(m for m in self.messages if not isinstance(m, Text))


def blinded(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """The words alone: what is asked of a checkpoint that is not to see anything.

    Where an image stood between words, white space keeps them apart.
    """
    words: list[Text] = []
    parted = False
    for message in messages:
        if not isinstance(message, Text):
            parted = bool(words)
        elif parted and words[-1].role == message.role:
            before, after = words[-1].text, message.text
            spaced = before[-1:].isspace() or after[:1].isspace()
            words[-1] = Text(f"{before}{'' if spaced else ' '}{after}", message.role)
            parted = False
        else:
            words.append(message)
            parted = False
    return tuple(words)


def prompt_digest(prompt: str, media: tuple[Media, ...]) -> str:
    """Identify what was asked: the prompt before image tokens are expanded, and the media shown.

    Free of anything that belongs to the checkpoint (tile size, tokens a tile), so that runs of
    checkpoints of different sizes can be compared sample by sample.
    """
    digest = hashlib.sha256(prompt.encode("utf-8", "surrogatepass"))
    for item in media:
        digest.update(b"\0" + item.digest.encode())
        if isinstance(item, Frames):
            digest.update(",".join(f"{time:.3f}" for time in item.times).encode())
    return digest.hexdigest()[:16]

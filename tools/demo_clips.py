"""Clips of one moving shape: drawing, encoding, and questions about them."""

from __future__ import annotations

import io
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from demo_data import COLORS, SIDE, Pixels, Question, choice, draw_shape, pale_color
from PIL import Image, ImageDraw

FPS = 8
CLIP_SHAPES = ("circle", "square", "triangle", "star")
DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
SIZES = {
    "It grows": (7, 14),
    "It shrinks": (14, 7),
    "It stays the same": (10, 10),
}
"""Change of the shape's size: half its side at the start and at the end."""

_GROWS_AND_SHRINKS = "It grows, then shrinks"
"""Always a wrong choice: no clip does it."""

CLIP_CATEGORIES = (
    "Action Recognition",
    "Object Recognition",
    "Temporal Perception",
    "Temporal Reasoning",
    "Attribute Perception",
)
"""Video-MME's names of the task types, in the order of `clip_questions`."""


@dataclass(frozen=True, slots=True)
class Clip:
    """One moving shape that changes its colour, and possibly its size."""

    shape: str
    direction: str
    size: str
    first_color: str
    last_color: str
    seconds: int
    ground: tuple[int, int, int]
    drift: float
    """Distance of the path from the centre in pixels."""
    turn: float
    """Time of the colour change, as a share of the clip."""


def random_clip(rng: random.Random) -> Clip:
    """Return a clip with independent shape, direction, size and colours."""
    first, last = rng.sample(sorted(COLORS), 2)
    return Clip(
        shape=rng.choice(CLIP_SHAPES),
        direction=rng.choice(sorted(DIRECTIONS)),
        size=rng.choice(sorted(SIZES)),
        first_color=first,
        last_color=last,
        seconds=rng.randint(5, 8),
        ground=pale_color(rng),
        drift=rng.uniform(-12, 12),
        turn=rng.uniform(0.35, 0.65),
    )


def draw_clip(clip: Clip) -> list[Pixels]:
    """Draw all frames of a clip."""
    n = clip.seconds * FPS
    return [_draw_frame(clip, i / (n - 1)) for i in range(n)]


def _draw_frame(clip: Clip, at: float) -> Pixels:
    image = Image.new("RGB", (SIDE, SIDE), clip.ground)
    x, y, half, color = _at(clip, at)
    box = (x - half, y - half, x + half, y + half)
    draw_shape(ImageDraw.Draw(image), clip.shape, box, COLORS[color])
    return np.asarray(image)


def _at(clip: Clip, at: float) -> tuple[float, float, float, str]:
    """Return centre, half the side and colour of the shape at time `at` (0 to 1)."""
    start, end = SIZES[clip.size]
    dx, dy = DIRECTIONS[clip.direction]
    along = (at - 0.5) * 34
    x = SIDE / 2 + dx * along + (clip.drift if dy else 0)
    y = SIDE / 2 + dy * along + (clip.drift if dx else 0)
    color = clip.first_color if at < clip.turn else clip.last_color
    return x, y, start + (end - start) * at, color


FRAME_CLASSES = (len(CLIP_SHAPES), len(COLORS), 8, 8, 4)
"""Number of values of each entry of `frame_facts`."""


def frame_facts(clip: Clip, second: int) -> tuple[int, ...]:
    """Return shape, colour, column, row and size in one frame, as class numbers."""
    x, y, half, color = _at(clip, second * FPS / (clip.seconds * FPS - 1))
    column, row = (int(min(7, max(0, (v - 14) / 36 * 8))) for v in (x, y))
    size = int(min(3, (half - 7) / 7 * 4))
    return CLIP_SHAPES.index(clip.shape), list(COLORS).index(color), column, row, size


def clip_questions(clip: Clip) -> list[Question]:
    """Return all questions about a clip. A choice always has the same letter."""
    asked: list[tuple[str, str, Sequence[str]]] = [
        ("In which direction does the shape move?", clip.direction, tuple(DIRECTIONS)),
        ("Which shape is moving?", clip.shape, CLIP_SHAPES),
        (
            "Which color does the shape have at the start?",
            clip.first_color,
            _palette(clip.first_color),
        ),
        ("Which color does the shape have at the end?", clip.last_color, _palette(clip.last_color)),
        ("How does the size of the shape change?", clip.size, (*SIZES, _GROWS_AND_SHRINKS)),
    ]
    task_types = (
        CLIP_CATEGORIES[0],
        CLIP_CATEGORIES[1],
        CLIP_CATEGORIES[2],
        CLIP_CATEGORIES[2],
        CLIP_CATEGORIES[3],
    )
    return [
        choice(text, right, choices, task)
        for (text, right, choices), task in zip(asked, task_types, strict=True)
    ]


def _palette(color: str) -> Sequence[str]:
    """Return the four colours offered together with `color`: the first or the last by name."""
    names = sorted(COLORS)
    return names[:4] if color in names[:4] else names[4:]


def encode_clip(frames: Sequence[Pixels]) -> bytes:
    """Encode the frames as an h264 mp4."""
    import av

    target = io.BytesIO()
    with av.open(target, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "20"})
        stream.width = stream.height = SIDE
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return target.getvalue()


def shown_frames(mp4: bytes) -> list[Pixels]:
    """Return one frame per second, encoded as JPEG like VLMEvalKit's."""
    import av

    with av.open(io.BytesIO(mp4), "r") as container:
        frames = [f.to_image() for f in container.decode(video=0)]
    return [_through_jpeg(frames[i]) for i in range(0, len(frames), FPS)][: len(frames) // FPS]


def _through_jpeg(frame: Image.Image) -> Pixels:
    buffer = io.BytesIO()
    frame.save(buffer, "JPEG")
    return np.asarray(Image.open(buffer).convert("RGB"))

"""What the demo benchmarks show and ask, and the training data that looks like them.

Three sources, each with its own held-out part:

* easy-VQA pictures: the package's own train and test split;
* strings of handwritten digits from scikit-learn's ``load_digits``: split by the digit's index;
* clips of one moving shape, drawn here: split by seed.
"""

from __future__ import annotations

import io
import json
import math
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from evalsuite import sample
from evalsuite.smolvlm import prompts

Split = Literal["train", "dev", "test"]
Pixels = npt.NDArray[np.uint8]

SIDE = 64
"""Every picture and every frame is a square of this many pixels."""

LETTERS = "ABCD"


@dataclass(frozen=True, slots=True)
class Question:
    """One question about a picture or a clip."""

    text: str
    answer: str
    category: str
    options: tuple[str, ...] = ()
    """The choices behind A to D; ``answer`` is then a letter."""


# --------------------------------------------------------------------------------------------------
# What a checkpoint is asked, word for word
# --------------------------------------------------------------------------------------------------

VIDEO_INSTRUCTION = """
These are the frames of a video. Select the best answer to the following multiple-choice question \
based on the video. Respond with only the letter (A, B, C, or D) of the correct option.
"""
"""VLMEvalKit's ``VideoMME.FRAMES_TMPL_NOSUB``."""

STILL = sample.Image(path="", digest="")


def still_prompt(text: str) -> str:
    """The prompt of one picture and the words a dataset puts beside it."""
    return prompts.build("default", [STILL, sample.Text(text)]).text


def choice_text(question: Question) -> str:
    """A multiple-choice question as VLMEvalKit's ``ImageMCQDataset`` words it."""
    options = "".join(f"{k}. {v}\n" for k, v in zip(LETTERS, question.options, strict=True))
    return (
        f"Question: {question.text}\nOptions:\n{options}"
        "Please select the correct answer from the options above. \n"
    )


def short_answer_text(question: Question) -> str:
    """An open question as VLMEvalKit's ``ImageVQADataset`` words it."""
    return question.text + "\nAnswer the question using a single word or phrase."


def lettered(options: Sequence[str]) -> list[str]:
    """Options as Video-MME writes them."""
    return [f"{k}. {v}" for k, v in zip(LETTERS, options, strict=True)]


def video_prompt(question: Question, n_frames: int) -> str:
    """The prompt of a Video-MME question over `n_frames` frames."""
    frames = sample.Frames(
        paths=tuple(str(i) for i in range(n_frames)),
        times=tuple(float(i) for i in range(n_frames)),
        digest="",
    )
    options = lettered(question.options) if question.options else []
    asked = "\n".join([question.text, *options])
    messages: list[sample.Message] = [
        sample.Text(""),
        frames,
        sample.Text(VIDEO_INSTRUCTION),
        sample.Text(f"Question: {asked}\nAnswer: "),
    ]
    return prompts.build("video-choices", messages).text


def choice(text: str, right: str, options: Sequence[str], category: str) -> Question:
    """A multiple-choice question whose options stand in the order given."""
    return Question(text, LETTERS[options.index(right)], category, tuple(options))


def spelled_out(question: Question) -> Question:
    """The same question without its options, to be answered in words. For training only."""
    answer = question.options[LETTERS.index(question.answer)]
    return Question(question.text, answer, question.category)


# --------------------------------------------------------------------------------------------------
# easy-VQA
# --------------------------------------------------------------------------------------------------

COLORS: dict[str, tuple[int, int, int]] = {
    "black": (0, 0, 0),
    "gray": (128, 128, 128),
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "yellow": (255, 255, 0),
    "teal": (0, 128, 128),
    "brown": (165, 42, 42),
}
SHAPES = ("circle", "rectangle", "triangle")

_SHAPE_QUESTIONS = (
    "what shape does the image contain?",
    "what shape is in the image?",
    "what shape is present?",
    "what is the {color} shape?",
)
_COLOR_QUESTIONS = (
    "what color is the shape?",
    "what is the color of the shape?",
    "what color is the {shape}?",
    "what is the color of the {shape}?",
)
_PRESENT = (
    "is there a {thing}?",
    "is there a {thing} in the image?",
    "does the image contain a {thing}?",
    "is a {thing} present?",
)
_ABSENT = (
    "is there not a {thing}?",
    "is there not a {thing} in the image?",
    "does the image not contain a {thing}?",
    "is no {thing} present?",
)


@dataclass(frozen=True, slots=True)
class Scene:
    """What one easy-VQA picture shows; it answers every question of the dataset."""

    shape: str
    color: str


def easy_vqa_rows(split: Literal["train", "test"]) -> list[tuple[str, str, int]]:
    """The dataset's own (question, answer, image id) rows."""
    rows = json.loads((_easy_vqa_folder() / split / "questions.json").read_text())
    return [(str(q), str(a), int(i)) for q, a, i in rows]


def easy_vqa_png(split: Literal["train", "test"], image_id: int) -> bytes:
    """One of the dataset's pictures, as stored."""
    return (_easy_vqa_folder() / split / "images" / f"{image_id}.png").read_bytes()


def _easy_vqa_folder() -> Path:
    import easy_vqa

    return Path(easy_vqa.__file__).parent / "data"


def is_yes_no(answer: str) -> bool:
    """Whether `answer` answers a yes/no question."""
    return answer in ("yes", "no")


def easy_vqa_scenes() -> dict[int, Scene]:
    """Training pictures whose shape and colour follow from their own questions and answers."""
    shapes: dict[int, str] = {}
    colors: dict[int, str] = {}
    for question, answer, image_id in easy_vqa_rows("train"):
        negated = re.search(r"\b(not|no)\b", question) is not None
        affirmed = answer == ("no" if negated else "yes") or not is_yes_no(answer)
        words = {answer, *re.findall(r"\w+", question)} if affirmed else set()
        for word in words & set(SHAPES):
            shapes[image_id] = word
        for word in words & set(COLORS):
            colors[image_id] = word
    both = sorted(shapes.keys() & colors.keys())
    return {i: Scene(shapes[i], colors[i]) for i in both}


def scene_questions(scene: Scene, n_open: int, n_yes_no: int, rng: random.Random) -> list[Question]:
    """Questions in easy-VQA's wordings.

    Yes and no are equally frequent behind every yes/no wording, unlike in the dataset, where the
    wording alone gives 82.5 % of the answers away: this way only looking pays.
    """
    asked = []
    for _ in range(n_open):
        about_shape = rng.random() < 0.5
        wording = rng.choice(_SHAPE_QUESTIONS if about_shape else _COLOR_QUESTIONS)
        text = wording.format(color=scene.color, shape=scene.shape)
        answer, category = (scene.shape, "shape") if about_shape else (scene.color, "color")
        asked.append(Question(text, answer, category))
    return asked + [_yes_no_question(scene, rng) for _ in range(n_yes_no)]


def _yes_no_question(scene: Scene, rng: random.Random) -> Question:
    about_shape = rng.random() < 0.5
    there = rng.random() < 0.5
    names: Sequence[str] = SHAPES if about_shape else tuple(COLORS)
    true = scene.shape if about_shape else scene.color
    name = true if there else rng.choice([n for n in names if n != true])
    thing = name if about_shape else f"{name} shape"
    negated = rng.random() < 0.5
    text = rng.choice(_ABSENT if negated else _PRESENT).format(thing=thing)
    return Question(text, "yes" if there != negated else "no", "yes/no")


def draw_scene(scene: Scene, rng: random.Random) -> Pixels:
    """A picture in easy-VQA's style: one flat shape anywhere on a pale ground."""
    image = Image.new("RGB", (SIDE, SIDE), _pale(rng))
    width, height = rng.randint(8, 32), rng.randint(8, 32)
    if scene.shape != "rectangle":
        height = width
    left, top = rng.randint(0, SIDE - width), rng.randint(0, SIDE - height)
    box = (left, top, left + width, top + height)
    _draw_shape(ImageDraw.Draw(image), scene.shape, box, COLORS[scene.color])
    return np.asarray(image)


def _pale(rng: random.Random) -> tuple[int, int, int]:
    return (rng.randint(230, 255), rng.randint(230, 255), rng.randint(230, 255))


def _draw_shape(
    draw: ImageDraw.ImageDraw,
    shape: str,
    box: tuple[float, float, float, float],
    color: tuple[int, int, int],
) -> None:
    left, top, right, bottom = box
    middle_x, middle_y = (left + right) / 2, (top + bottom) / 2
    if shape == "circle":
        draw.ellipse(box, fill=color)
    elif shape in ("rectangle", "square"):
        draw.rectangle(box, fill=color)
    elif shape == "triangle":
        draw.polygon([(left, bottom), (right, bottom), (middle_x, top)], fill=color)
    elif shape == "star":
        outer, inner = (right - left) / 2 * 1.15, (right - left) / 2 * 0.45
        points = [
            (
                middle_x + (inner if i % 2 else outer) * math.sin(math.pi * i / 4),
                middle_y - (inner if i % 2 else outer) * math.cos(math.pi * i / 4),
            )
            for i in range(8)
        ]
        draw.polygon(points, fill=color)
    else:
        raise ValueError(f"unknown shape {shape!r}")


# --------------------------------------------------------------------------------------------------
# Handwritten digits
# --------------------------------------------------------------------------------------------------

NUMBER = "Digit String Recognition"
SINGLE = "Handwriting Recognition"
"""OCRBench's own names of the two kinds of question asked about digit strings."""

_STRING_QUESTIONS = {
    "What number is written in the image?": NUMBER,
    "What is the first digit?": SINGLE,
    "What is the last digit?": SINGLE,
}
_PAIR_QUESTIONS = {
    "Which digit is on the left?": "left",
    "Which digit is on the right?": "right",
    "Which digit is the larger one?": "larger",
}


@cache
def _digits() -> Any:
    from sklearn.datasets import load_digits

    return load_digits()


def digit_indices(split: Split) -> list[int]:
    """Which of scikit-learn's digits belong to a split: a third is held out."""
    every = range(len(_digits().target))
    if split == "test":
        return [i for i in every if i % 3 == 0]
    return [i for i in every if i % 3 and (i % 30 == 1) == (split == "dev")]


def draw_digits(indices: Sequence[int], rng: random.Random) -> tuple[Pixels, str]:
    """Handwritten digits side by side, each a little turned, and the string they spell."""
    paper = tuple(rng.randint(205, 255) for _ in range(3))
    ink = tuple(rng.randint(0, 90) for _ in range(3))
    image = Image.new("RGB", (SIDE, SIDE), paper)
    slot = SIDE // len(indices)
    row = rng.randint(-12, 12)
    for place, index in enumerate(indices):
        size = int(min(slot, 30) * rng.uniform(0.88, 1.0))
        stroke = Image.fromarray((_digits().images[index] * 15.9).astype(np.uint8))
        stroke = stroke.resize((size, size), Image.Resampling.BICUBIC)
        stroke = stroke.rotate(rng.uniform(-9, 9), Image.Resampling.BILINEAR)
        left = place * slot + rng.randint(0, max(0, slot - size))
        top = min(max(0, (SIDE - size) // 2 + row + rng.randint(-2, 2)), SIDE - size)
        image.paste(ink, (left, top), stroke)
    return np.asarray(image), "".join(str(_digits().target[i]) for i in indices)


def string_questions(string: str) -> list[Question]:
    """The OCRBench-shaped questions about a digit string."""
    answers = (string, string[0], string[-1])
    return [
        Question(text, answer, category)
        for (text, category), answer in zip(_STRING_QUESTIONS.items(), answers, strict=True)
    ]


def pair_questions(pair: str, rng: random.Random) -> list[Question]:
    """The multiple-choice questions about two digits; "larger" only where one is.

    Digit d always stands behind the letter number d mod 4, beside digits of the other remainders.
    """
    asked = []
    for text, category in _PAIR_QUESTIONS.items():
        right = {"left": pair[0], "right": pair[1], "larger": max(pair)}[category]
        if category == "larger" and pair[0] == pair[1]:
            continue
        options = [rng.choice("0123456789"[remainder::4]) for remainder in range(len(LETTERS))]
        # The other digit of the picture is a choice wherever its letter is free.
        for digit in (*pair, right):
            options[int(digit) % 4] = digit
        asked.append(choice(text, right, options, category))
    return asked


# --------------------------------------------------------------------------------------------------
# Clips
# --------------------------------------------------------------------------------------------------

FPS = 8
CLIP_SHAPES = ("circle", "square", "triangle", "star")
DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
SIZES = {
    "It grows": (7, 14),
    "It shrinks": (14, 7),
    "It stays the same": (10, 10),
}
"""How a clip's shape changes: half its side at the start and at the end."""

_GROWS_AND_SHRINKS = "It grows, then shrinks"
"""A wrong choice always: no clip does it."""

CLIP_CATEGORIES = (
    "Action Recognition",
    "Object Recognition",
    "Temporal Perception",
    "Temporal Reasoning",
    "Attribute Perception",
)
"""Video-MME's own names of the task types, in the order in which `clip_questions` asks."""


@dataclass(frozen=True, slots=True)
class Clip:
    """One shape that moves, changes its colour half-way and maybe its size."""

    shape: str
    direction: str
    size: str
    first_color: str
    last_color: str
    seconds: int
    ground: tuple[int, int, int]
    drift: float
    """How far off the middle the path runs, in pixels."""
    turn: float
    """When the colour changes, as a share of the clip."""


def random_clip(rng: random.Random) -> Clip:
    """A clip in which shape, direction, size and colours are independent."""
    first, last = rng.sample(sorted(COLORS), 2)
    return Clip(
        shape=rng.choice(CLIP_SHAPES),
        direction=rng.choice(sorted(DIRECTIONS)),
        size=rng.choice(sorted(SIZES)),
        first_color=first,
        last_color=last,
        seconds=rng.randint(5, 8),
        ground=_pale(rng),
        drift=rng.uniform(-12, 12),
        turn=rng.uniform(0.35, 0.65),
    )


def draw_clip(clip: Clip) -> list[Pixels]:
    """All frames of a clip."""
    n = clip.seconds * FPS
    return [_draw_frame(clip, i / (n - 1)) for i in range(n)]


def _draw_frame(clip: Clip, at: float) -> Pixels:
    image = Image.new("RGB", (SIDE, SIDE), clip.ground)
    x, y, half, color = _at(clip, at)
    box = (x - half, y - half, x + half, y + half)
    _draw_shape(ImageDraw.Draw(image), clip.shape, box, COLORS[color])
    return np.asarray(image)


def _at(clip: Clip, at: float) -> tuple[float, float, float, str]:
    """Middle, half the side and colour of a clip's shape when a share `at` of it has passed."""
    start, end = SIZES[clip.size]
    dx, dy = DIRECTIONS[clip.direction]
    along = (at - 0.5) * 34
    x = SIDE / 2 + dx * along + (clip.drift if dy else 0)
    y = SIDE / 2 + dy * along + (clip.drift if dx else 0)
    color = clip.first_color if at < clip.turn else clip.last_color
    return x, y, start + (end - start) * at, color


FRAME_CLASSES = (len(CLIP_SHAPES), len(COLORS), 8, 8, 4)
"""How many values each of `frame_facts` can take."""


def frame_facts(clip: Clip, second: int) -> tuple[int, ...]:
    """Shape, colour, column, row and size seen in one frame, as class numbers."""
    x, y, half, color = _at(clip, second * FPS / (clip.seconds * FPS - 1))
    column, row = (int(min(7, max(0, (v - 14) / 36 * 8))) for v in (x, y))
    size = int(min(3, (half - 7) / 7 * 4))
    return CLIP_SHAPES.index(clip.shape), list(COLORS).index(color), column, row, size


def clip_questions(clip: Clip) -> list[Question]:
    """Every question there is about a clip. A choice always stands behind the same letter."""
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
    """The four colours asked about together with `color`: the first or the last by name."""
    names = sorted(COLORS)
    return names[:4] if color in names[:4] else names[4:]


def encode_clip(frames: Sequence[Pixels]) -> bytes:
    """An h264 mp4 of the frames."""
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
    """The frames a checkpoint is shown: one a second, through a JPEG as VLMEvalKit saves it."""
    import av

    with av.open(io.BytesIO(mp4), "r") as container:
        frames = [f.to_image() for f in container.decode(video=0)]
    return [_through_jpeg(frames[i]) for i in range(0, len(frames), FPS)][: len(frames) // FPS]


def _through_jpeg(frame: Image.Image) -> Pixels:
    buffer = io.BytesIO()
    frame.save(buffer, "JPEG")
    return np.asarray(Image.open(buffer).convert("RGB"))

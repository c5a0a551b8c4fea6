"""Images and questions of the demo benchmarks, and training data like them.

Three sources, each with its own held-out part:

* easy-VQA images: the package's own train and test split;
* strings of handwritten digits from scikit-learn's ``load_digits``: split by the digit's index;
* clips of one moving shape (`demo_clips`): split by seed.
"""

from __future__ import annotations

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
"""Images and frames are squares of this many pixels."""

LETTERS = "ABCD"


@dataclass(frozen=True, slots=True)
class Question:
    """One question about an image or a clip."""

    text: str
    answer: str
    category: str
    options: tuple[str, ...] = ()
    """The choices A to D; ``answer`` is then a letter."""


# --------------------------------------------------------------------------------------------------
# Prompts
# --------------------------------------------------------------------------------------------------

VIDEO_INSTRUCTION = """
These are the frames of a video. Select the best answer to the following multiple-choice question \
based on the video. Respond with only the letter (A, B, C, or D) of the correct option.
"""
"""VLMEvalKit's ``VideoMME.FRAMES_TMPL_NOSUB``."""

STILL = sample.Image(path="", digest="")


def still_prompt(text: str) -> str:
    """Return the prompt of one image and a dataset's text."""
    return prompts.build("default", [STILL, sample.Text(text)]).text


def choice_text(question: Question) -> str:
    """Return a multiple-choice question in the format of VLMEvalKit's ``ImageMCQDataset``."""
    options = "".join(f"{k}. {v}\n" for k, v in zip(LETTERS, question.options, strict=True))
    return (
        f"Question: {question.text}\nOptions:\n{options}"
        "Please select the correct answer from the options above. \n"
    )


def short_answer_text(question: Question) -> str:
    """Return an open question in the format of VLMEvalKit's ``ImageVQADataset``."""
    return question.text + "\nAnswer the question using a single word or phrase."


def lettered(options: Sequence[str]) -> list[str]:
    """Return options in the format of Video-MME."""
    return [f"{k}. {v}" for k, v in zip(LETTERS, options, strict=True)]


def video_prompt(question: Question, n_frames: int) -> str:
    """Return the prompt of a Video-MME question with `n_frames` frames."""
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
    """Return a multiple-choice question with options in the given order."""
    return Question(text, LETTERS[options.index(right)], category, tuple(options))


def spelled_out(question: Question) -> Question:
    """Return the question without options, with a text as the answer. For training only."""
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
    """The content of one easy-VQA image, which answers all questions of the dataset."""

    shape: str
    color: str


def easy_vqa_rows(split: Literal["train", "test"]) -> list[tuple[str, str, int]]:
    """Return the dataset's (question, answer, image id) rows."""
    rows = json.loads((_easy_vqa_folder() / split / "questions.json").read_text())
    return [(str(q), str(a), int(i)) for q, a, i in rows]


def easy_vqa_png(split: Literal["train", "test"], image_id: int) -> bytes:
    """Return one of the dataset's image files."""
    return (_easy_vqa_folder() / split / "images" / f"{image_id}.png").read_bytes()


def _easy_vqa_folder() -> Path:
    import easy_vqa

    return Path(easy_vqa.__file__).parent / "data"


def is_yes_no(answer: str) -> bool:
    """Return whether `answer` answers a yes/no question."""
    return answer in ("yes", "no")


def easy_vqa_scenes() -> dict[int, Scene]:
    """Return training images whose shape and colour follow from their questions and answers."""
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
    """Return questions in easy-VQA's wordings.

    Yes and no are equally frequent for every wording. In the dataset the wording alone determines
    82.5 % of the answers.
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
    """Draw an image in easy-VQA's style: one flat shape on a pale background."""
    image = Image.new("RGB", (SIDE, SIDE), pale_color(rng))
    width, height = rng.randint(8, 32), rng.randint(8, 32)
    if scene.shape != "rectangle":
        height = width
    left, top = rng.randint(0, SIDE - width), rng.randint(0, SIDE - height)
    box = (left, top, left + width, top + height)
    draw_shape(ImageDraw.Draw(image), scene.shape, box, COLORS[scene.color])
    return np.asarray(image)


def pale_color(rng: random.Random) -> tuple[int, int, int]:
    """Return a random pale colour."""
    return (rng.randint(230, 255), rng.randint(230, 255), rng.randint(230, 255))


def draw_shape(
    draw: ImageDraw.ImageDraw,
    shape: str,
    box: tuple[float, float, float, float],
    color: tuple[int, int, int],
) -> None:
    """Draw a filled shape into `box` (left, top, right, bottom)."""
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
"""OCRBench's names for the two kinds of question about digit strings."""

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
    """Return the indices of a split of scikit-learn's digits; a third is held out."""
    every = range(len(_digits().target))
    if split == "test":
        return [i for i in every if i % 3 == 0]
    return [i for i in every if i % 3 and (i % 30 == 1) == (split == "dev")]


def draw_digits(indices: Sequence[int], rng: random.Random) -> tuple[Pixels, str]:
    """Draw handwritten digits side by side, slightly rotated; return image and string."""
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
    """Return OCRBench questions about a digit string."""
    answers = (string, string[0], string[-1])
    return [
        Question(text, answer, category)
        for (text, category), answer in zip(_STRING_QUESTIONS.items(), answers, strict=True)
    ]


def pair_questions(pair: str, rng: random.Random) -> list[Question]:
    """Return multiple-choice questions about two digits; "larger" only if they differ.

    Digit d always has letter number d mod 4, among digits with other remainders.
    """
    asked = []
    for text, category in _PAIR_QUESTIONS.items():
        right = {"left": pair[0], "right": pair[1], "larger": max(pair)}[category]
        if category == "larger" and pair[0] == pair[1]:
            continue
        options = [rng.choice("0123456789"[remainder::4]) for remainder in range(len(LETTERS))]
        # The image's other digit is a choice if its letter is free.
        for digit in (*pair, right):
            options[int(digit) % 4] = digit
        asked.append(choice(text, right, options, category))
    return asked

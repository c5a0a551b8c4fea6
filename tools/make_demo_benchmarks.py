"""Write the demo benchmarks in VLMEvalKit's formats, from held-out data and a seed.

    python tools/make_demo_benchmarks.py --out evalsuite/demo/benchmarks

See ``tools/README.md``.
"""

from __future__ import annotations

import argparse
import base64
import csv
import io
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import demo_clips
import demo_data
from demo_data import Pixels, Question
from PIL import Image

TEST_SEED = 20_000
"""Added to the seed, so that benchmarks and training have different drawings."""

Row = dict[str, Any]
Asked = tuple[bytes, Question]
"""An image file and a question about it."""


def write_tsv(path: Path, rows: Sequence[Row]) -> None:
    """Write rows with their column names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def picture_rows(asked: Iterable[Asked]) -> list[tuple[Row, Question]]:
    """Return index and image columns; a repeated image refers to its first row."""
    first: dict[bytes, int] = {}
    rows = []
    for index, (png, question) in enumerate(asked):
        row = first.setdefault(png, index)
        image = base64.b64encode(png).decode() if row == index else str(row)
        rows.append(({"index": index, "image": image}, question))
    return rows


def png_of(pixels: Pixels) -> bytes:
    """Encode an image as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def same_answers(answer: str, times: int) -> str:
    """Return a Python list literal of one repeated answer, the format of VQA annotations."""
    return repr([answer] * times)


def digit_choices(rng: random.Random, pictures: int) -> list[Row]:
    """Multiple-choice questions about pairs of held-out digits."""
    asked = []
    for pixels, pair in _held_out_strings(rng, [2] * pictures):
        asked += [(png_of(pixels), question) for question in demo_data.pair_questions(pair, rng)]
    return [
        {
            **row,
            "question": q.text,
            **dict(zip(demo_data.LETTERS, q.options, strict=True)),
            "answer": q.answer,
            "category": q.category,
        }
        for row, q in picture_rows(asked)
    ]


def digit_strings(rng: random.Random, pictures: int) -> list[Row]:
    """OCRBench questions about strings of held-out digits."""
    asked = []
    for pixels, string in _held_out_strings(rng, [2 + i % 2 for i in range(2 * pictures)]):
        # If all answers are digits, VLMEvalKit reads a prediction 061 as the number 61.
        if string[0] == "0" or len(asked) == 3 * pictures:
            continue
        asked += [(png_of(pixels), question) for question in demo_data.string_questions(string)]
    return [
        {
            **row,
            "question": q.text,
            "answer": same_answers(q.answer, 1),
            "category": q.category,
        }
        for row, q in picture_rows(asked)
    ]


def _held_out_strings(rng: random.Random, lengths: Sequence[int]) -> list[tuple[Pixels, str]]:
    indices = demo_data.digit_indices("test")
    return [demo_data.draw_digits(rng.sample(indices, n), rng) for n in lengths]


def shape_questions(rng: random.Random, pictures: int) -> list[Row]:
    """Open questions about held-out easy-VQA images, two or three per image."""
    open_questions = defaultdict(list)
    for question, answer, image_id in demo_data.easy_vqa_rows("test"):
        if not demo_data.is_yes_no(answer):
            category = "shape" if answer in demo_data.SHAPES else "color"
            open_questions[image_id].append(Question(question, answer, category))
    several = sorted(i for i, questions in open_questions.items() if len(questions) >= 2)
    asked = [
        (demo_data.easy_vqa_png("test", image_id), question)
        for image_id in sorted(rng.sample(several, pictures))
        for question in open_questions[image_id][:3]
    ]
    return [
        {**row, "question": q.text, "answer": same_answers(q.answer, 10), "category": q.category}
        for row, q in picture_rows(asked)
    ]


def yes_no_questions(rng: random.Random, each: int) -> list[Row]:
    """Held-out yes/no questions, with equally many yes and no for every wording.

    Images that are already chosen are preferred, so that questions share images.
    """
    images: dict[tuple[str, str], list[int]] = defaultdict(list)
    for question, answer, image_id in demo_data.easy_vqa_rows("test"):
        if demo_data.is_yes_no(answer):
            images[question, answer].append(image_id)
    chosen: dict[int, list[Question]] = {}
    for question in sorted({question for question, _ in images}):
        for answer in ("yes", "no"):
            candidates = sorted(set(images[question, answer]))
            rng.shuffle(candidates)
            candidates.sort(key=lambda image_id: image_id not in chosen)
            for image_id in candidates[:each]:
                asked = Question(question, answer.capitalize(), _kind(question))
                chosen.setdefault(image_id, []).append(asked)
    pairs = [
        (demo_data.easy_vqa_png("test", image_id), question)
        for image_id in sorted(chosen)
        for question in chosen[image_id]
    ]
    return [
        {**row, "question": q.text, "answer": q.answer, "category": q.category}
        for row, q in picture_rows(pairs)
    ]


def _kind(question: str) -> str:
    """Return what a yes/no question asks about, and whether it is negated."""
    words = question.rstrip("?").split()
    thing = "color" if "shape" in words else "shape"
    return f"{thing} absent" if {"no", "not"} & set(words) else f"{thing} present"


def clip_rows(rng: random.Random, clips: int, folder: Path) -> list[Row]:
    """Video-MME questions, three per clip; writes the clips."""
    (folder / "video").mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    for number in range(clips):
        clip = demo_clips.random_clip(rng)
        name = f"clip-{number:03}"
        frames = demo_clips.draw_clip(clip)
        (folder / "video" / f"{name}.mp4").write_bytes(demo_clips.encode_clip(frames))
        for question in rng.sample(demo_clips.clip_questions(clip), 3):
            rows.append(_clip_row(len(rows), name, clip, question))
    return rows


def _clip_row(index: int, name: str, clip: demo_clips.Clip, question: Question) -> Row:
    return {
        "index": index,
        "video": name,
        "video_path": f"./video/{name}.mp4",
        "duration": {5: "short", 6: "medium", 7: "medium", 8: "long"}[clip.seconds],
        "domain": "Knowledge",
        "candidates": repr(demo_data.lettered(question.options)),
        "sub_category": "Technology",
        "task_type": question.category,
        "subtitle_path": f"./subtitle/{name}.srt",
        "question": question.text,
        "answer": question.answer,
    }


def main() -> None:
    """Write all five benchmarks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    rng = random.Random(args.seed + TEST_SEED)
    out: Path = args.out
    write_tsv(out / "DemoDigits.tsv", digit_choices(rng, 120))
    write_tsv(out / "DemoOCR.tsv", digit_strings(rng, 120))
    write_tsv(out / "DemoShapes.tsv", shape_questions(rng, 140))
    write_tsv(out / "DemoYesNo.tsv", yes_no_questions(rng, 2))
    clips = clip_rows(rng, 110, out / "Video-MME")
    write_tsv(out / "Video-MME" / "Video-MME.tsv", clips)


if __name__ == "__main__":
    main()

"""Evaluate saved demo checkpoints on held-out data with transformers' ``generate``.

    python tools/measure_demo.py evalsuite/demo

Prints a Markdown table with the exact match of the whole completion, ignoring case.
"""

from __future__ import annotations

import argparse
import ast
import base64
import csv
import io
import random
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import demo_clips
import demo_data
import demo_model
import torch
from demo_data import Question
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

EASY_VQA_SAMPLE = 2000
MAX_NEW_TOKENS = 8


@dataclass(frozen=True, slots=True)
class Item:
    """One question of a benchmark."""

    question: str
    """Without options, for the text-only score."""
    prompt: str
    media: bytes
    """An image file or an mp4."""
    answer: str
    kind: str


def read_tsv(path: Path) -> list[dict[str, str]]:
    """Return the rows of a benchmark."""
    csv.field_size_limit(1 << 30)
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def picture_items(path: Path) -> list[Item]:
    """Return an image benchmark with VLMEvalKit's prompts."""
    rows = read_tsv(path)
    stored = {row["index"]: row["image"] for row in rows}
    return [_picture_item(path.stem, row, stored) for row in rows]


def _picture_item(name: str, row: dict[str, str], stored: dict[str, str]) -> Item:
    image = stored.get(row["image"], row["image"])
    question = Question(row["question"], row["answer"], row["category"])
    text = row["question"]
    if name == "DemoDigits":
        options = tuple(row[letter] for letter in demo_data.LETTERS)
        text = demo_data.choice_text(replace(question, options=options))
    elif name == "DemoShapes":
        text = demo_data.short_answer_text(question)
    answer = row["answer"]
    if answer.startswith("["):
        answer = ast.literal_eval(answer)[0]
    prompt = demo_data.still_prompt(text)
    return Item(row["question"], prompt, base64.b64decode(image), answer, row["category"])


def clip_items(path: Path) -> list[Item]:
    """Return the video benchmark."""
    items = []
    for row in read_tsv(path):
        mp4 = (path.parent / row["video_path"]).read_bytes()
        options = tuple(option[3:] for option in ast.literal_eval(row["candidates"]))
        question = Question(row["question"], row["answer"], row["task_type"], options)
        prompt = demo_data.video_prompt(question, len(demo_clips.shown_frames(mp4)))
        items.append(Item(row["question"], prompt, mp4, row["answer"], row["task_type"]))
    return items


def easy_vqa_items() -> dict[str, list[Item]]:
    """Return a sample of easy-VQA's test split, separated into open and yes/no questions."""
    rows = random.Random(0).sample(demo_data.easy_vqa_rows("test"), EASY_VQA_SAMPLE)
    found: dict[str, list[Item]] = {"easy-VQA test, open": [], "easy-VQA test, yes/no": []}
    for question, answer, image_id in rows:
        yes_no = demo_data.is_yes_no(answer)
        asked = Question(question, answer, "")
        text = question if yes_no else demo_data.short_answer_text(asked)
        png = demo_data.easy_vqa_png("test", image_id)
        item = Item(question, demo_data.still_prompt(text), png, answer, "")
        found["easy-VQA test, yes/no" if yes_no else "easy-VQA test, open"].append(item)
    return found


def blind_score(items: Sequence[Item], others: Sequence[tuple[str, str]] = ()) -> float:
    """Return the percentage correct if each question gets its most frequent answer.

    Frequencies come from `others`, or from the benchmark itself, which gives the maximum.
    """
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for question, answer in others or [(item.question, item.answer) for item in items]:
        counts[question][answer] += 1
    right = sum(counts[i.question].most_common(1)[0][0] == i.answer for i in items)
    return 100 * right / len(items)


class Checkpoint:
    """A saved directory, loaded as anyone would load it, in float32."""

    def __init__(self, folder: Path) -> None:
        self.processor: Any = AutoProcessor.from_pretrained(folder)
        self.model: Any = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
        self.model.eval()

    def inputs(self, items: Sequence[Item], clip: bool) -> Any:
        """What the model takes, padded on the left."""
        single = {"do_image_splitting": False, "size": {"longest_edge": demo_model.TILE}}
        return self.processor(
            text=[item.prompt for item in items],
            images=[pictures(item.media, clip) for item in items],
            padding=True,
            padding_side="left",
            return_tensors="pt",
            **(single if clip else {}),
        )

    @torch.no_grad()
    def answers(self, items: Sequence[Item], *, clip: bool, size: int) -> list[str]:
        """Greedy answers, `size` questions at a time."""
        found = [""] * len(items)
        order = sorted(range(len(items)), key=lambda i: len(items[i].prompt))
        for start in range(0, len(order), size):
            chosen = order[start : start + size]
            given = self.inputs([items[i] for i in chosen], clip)
            made = self.model.generate(**given, max_new_tokens=MAX_NEW_TOKENS, do_sample=False)
            new = made[:, given["input_ids"].shape[1] :]
            texts = self.processor.batch_decode(new, skip_special_tokens=True)
            for i, text in zip(chosen, texts, strict=True):
                found[i] = text.strip()
        return found


def pictures(media: bytes, clip: bool) -> list[Image.Image]:
    """Return the image, or the shown frames of a clip."""
    if clip:
        return [Image.fromarray(frame) for frame in demo_clips.shown_frames(media)]
    return [Image.open(io.BytesIO(media)).convert("RGB")]


def right_share(items: Sequence[Item], answers: Sequence[str]) -> float:
    """Return the percentage of exact matches."""
    right = [a.lower() == i.answer.lower() for i, a in zip(items, answers, strict=True)]
    return 100 * sum(right) / len(right)


def by_kind(items: Sequence[Item], answers: Sequence[str]) -> str:
    """Return the scores by category, on one line."""
    groups: dict[str, list[int]] = defaultdict(list)
    for i, item in enumerate(items):
        groups[item.kind].append(i)
    return ", ".join(
        f"{kind} {right_share([items[i] for i in group], [answers[i] for i in group]):.1f}"
        for kind, group in sorted(groups.items())
    )


def with_wrong_media(items: Sequence[Item]) -> list[Item]:
    """Return the same questions with the image or clip of another question."""
    media = [item.media for item in items]
    far = len(media) // 2
    return [
        replace(item, media=other)
        for item, other in zip(items, media[far:] + media[:far], strict=True)
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("demo", type=Path, help="directory with benchmarks/ and checkpoints/")
    parser.add_argument("--size", type=int, default=50, help="batch size")
    parser.add_argument("--limit", type=int, help="questions per benchmark")
    parser.add_argument("--only", nargs="*", default=["early", "demo"], help="checkpoints")
    args = parser.parse_args()
    torch.set_num_threads(2)

    folder: Path = args.demo / "benchmarks"
    names = ["DemoDigits", "DemoOCR", "DemoShapes", "DemoYesNo"]
    parts = {name: picture_items(folder / f"{name}.tsv") for name in names}
    parts["Video-MME"] = clip_items(folder / "Video-MME" / "Video-MME.tsv")
    parts |= easy_vqa_items()
    parts = {name: items[: args.limit] for name, items in parts.items()}
    checkpoints = {name: Checkpoint(args.demo / "checkpoints" / name) for name in args.only}
    train = [(question, answer) for question, answer, _ in demo_data.easy_vqa_rows("train")]

    print(
        "| held-out part | n | blind |", " | ".join(args.only), f"| {args.only[-1]}, wrong image |"
    )
    print("|---|---|---|" + "---|" * (len(args.only) + 1))
    for name, items in parts.items():
        clip = name == "Video-MME"
        scores = []
        for label, checkpoint in checkpoints.items():
            answers = checkpoint.answers(items, clip=clip, size=args.size)
            scores.append(right_share(items, answers))
            print(f"{name}, {label}: {by_kind(items, answers)}", file=sys.stderr)
        if not clip:
            wrong = checkpoint.answers(with_wrong_media(items), clip=False, size=args.size)
            scores.append(right_share(items, wrong))
        blind = blind_score(items, train if name.startswith("easy-VQA") else ())
        shown = " | ".join(f"{score:.1f}" for score in scores)
        print(f"| {name} | {len(items)} | {blind:.1f} | {shown} |", flush=True)


if __name__ == "__main__":
    main()

"""Training data of the demo checkpoints: images and clips, packed into batches."""

from __future__ import annotations

import io
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import demo_clips
import demo_data
import demo_model
import numpy as np
import torch
from demo_data import Pixels, Question
from PIL import Image
from torch import Tensor
from transformers import PreTrainedTokenizerFast, SmolVLMProcessor
from transformers.models.smolvlm.processing_smolvlm import get_image_prompt_string

IGNORED = -100
HIDDEN = -30000.0
"""Attention bias that masks a position, within the range of bfloat16."""


@dataclass(frozen=True, slots=True)
class PromptAnswer:
    """A prompt, with ``<image>`` not yet expanded, and its completion."""

    prompt: str
    answer: str


@dataclass(frozen=True, slots=True)
class Source:
    """Images or clips of one kind as tiles, and their questions."""

    name: str
    tiles: Tensor
    """uint8, (images, tiles per image, 3, side, side)."""
    ask: Callable[[int, random.Random], list[PromptAnswer]]
    marker: str
    """First text after the common prefix of all prompts of this source."""
    facts: Tensor
    """Class numbers of each image or frame: (images[, frames], facts)."""
    classes: tuple[int, ...]
    """Number of values of each fact."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Images of one source, each with its questions after one common prefix."""

    tiles: Tensor
    ids: Tensor
    positions: Tensor
    bias: Tensor
    """Attention bias: a token attends to the prefix and its own question only."""
    labels: Tensor


# --------------------------------------------------------------------------------------------------
# Sources
# --------------------------------------------------------------------------------------------------


def still_tiles(processor: SmolVLMProcessor, pictures: Sequence[Pixels]) -> Tensor:
    """Return tiles from the real processor, before rescaling."""
    made = processor.image_processor(
        images=[[Image.fromarray(picture)] for picture in pictures],
        do_rescale=False,
        do_normalize=False,
        return_tensors="pt",
    )
    tiles: Tensor = made["pixel_values"].round().to(torch.uint8)
    return tiles


def frame_tiles(processor: SmolVLMProcessor, clips: Sequence[Sequence[Pixels]]) -> Tensor:
    """Return one tile per frame, as for video frames."""
    made = processor.image_processor(
        images=[[Image.fromarray(frame) for frame in clip] for clip in clips],
        do_image_splitting=False,
        size={"longest_edge": demo_model.TILE},
        do_rescale=False,
        do_normalize=False,
        return_tensors="pt",
    )
    tiles: Tensor = made["pixel_values"].round().to(torch.uint8)
    return tiles


def scene_source(processor: SmolVLMProcessor, split: str, seed: int, n_drawn: int) -> Source:
    """easy-VQA's training images, mirrored ones, and `n_drawn` drawn ones."""
    rng = random.Random(seed)
    known = easy_vqa_split(split)
    pictures = [decoded(demo_data.easy_vqa_png("train", i)) for i in known]
    scenes = list(known.values())
    if split == "train":
        pictures += [np.ascontiguousarray(picture[:, ::-1]) for picture in pictures]
        scenes += scenes
        drawn = [
            demo_data.Scene(rng.choice(demo_data.SHAPES), rng.choice(sorted(demo_data.COLORS)))
            for _ in range(n_drawn)
        ]
        pictures += [demo_data.draw_scene(scene, rng) for scene in drawn]
        scenes += drawn

    def ask(index: int, rng: random.Random) -> list[PromptAnswer]:
        questions = demo_data.scene_questions(scenes[index], 3, 5, rng)
        return [PromptAnswer(demo_data.still_prompt(_scene_text(q)), q.answer) for q in questions]

    facts = torch.tensor(
        [(demo_data.SHAPES.index(s.shape), list(demo_data.COLORS).index(s.color)) for s in scenes]
    )
    classes = (len(demo_data.SHAPES), len(demo_data.COLORS))
    return Source("scenes", still_tiles(processor, pictures), ask, "", facts, classes)


def _scene_text(question: Question) -> str:
    yes_no = demo_data.is_yes_no(question.answer)
    return question.text if yes_no else demo_data.short_answer_text(question)


def easy_vqa_split(split: str) -> dict[int, demo_data.Scene]:
    """Every 20th of easy-VQA's training images for monitoring, the others for training."""
    scenes = demo_data.easy_vqa_scenes()
    return {i: scene for i, scene in scenes.items() if (i % 20 == 0) == (split == "dev")}


def decoded(png: bytes) -> Pixels:
    """Return the pixels of an image file."""
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def digit_source(
    processor: SmolVLMProcessor, split: demo_data.Split, seed: int, n: int, length: int
) -> Source:
    """`n` strings of `length` handwritten digits."""
    rng = random.Random(seed)
    indices = demo_data.digit_indices(split)
    drawn = [demo_data.draw_digits(rng.choices(indices, k=length), rng) for _ in range(n)]
    strings = [string for _, string in drawn]

    def ask(index: int, rng: random.Random) -> list[PromptAnswer]:
        string = strings[index]
        asked = [
            PromptAnswer(demo_data.still_prompt(q.text), q.answer)
            for q in demo_data.string_questions(string)
        ]
        if length == 2:
            asked += [
                PromptAnswer(demo_data.still_prompt(demo_data.choice_text(q)), q.answer)
                for q in demo_data.pair_questions(string, rng)
            ]
        return asked

    tiles = still_tiles(processor, [picture for picture, _ in drawn])
    facts = torch.tensor([[int(digit) for digit in string] for string in strings])
    return Source(f"digits-{length}", tiles, ask, "", facts, (10,) * length)


def clip_sources(processor: SmolVLMProcessor, seed: int, n: int, kept: Path) -> list[Source]:
    """`n` clips, grouped by number of frames; their tiles are cached in `kept`."""
    rng = random.Random(seed)
    clips = [demo_clips.random_clip(rng) for _ in range(n)]
    sources = []
    for seconds in sorted({clip.seconds for clip in clips}):
        chosen = [clip for clip in clips if clip.seconds == seconds]
        path = kept / f"clips-{seed}-{n}-{seconds}.pt"
        if not path.exists():
            kept.mkdir(parents=True, exist_ok=True)
            torch.save(frame_tiles(processor, [_clip_frames(clip) for clip in chosen]), path)
        sources.append(_clip_source(chosen, torch.load(path)))
    return sources


def _clip_frames(clip: demo_clips.Clip) -> list[Pixels]:
    return demo_clips.shown_frames(demo_clips.encode_clip(demo_clips.draw_clip(clip)))


def _clip_source(clips: Sequence[demo_clips.Clip], tiles: Tensor) -> Source:
    n_frames = tiles.shape[1]

    def ask(index: int, rng: random.Random) -> list[PromptAnswer]:
        questions = demo_clips.clip_questions(clips[index])
        questions += [demo_data.spelled_out(q) for q in rng.sample(questions, 2)]
        return [PromptAnswer(demo_data.video_prompt(q, n_frames), q.answer) for q in questions]

    facts = torch.tensor(
        [[demo_clips.frame_facts(clip, second) for second in range(n_frames)] for clip in clips]
    )
    classes = demo_clips.FRAME_CLASSES
    return Source(f"clips-{n_frames}", tiles, ask, " Question:", facts, classes)


# --------------------------------------------------------------------------------------------------
# Packing
# --------------------------------------------------------------------------------------------------


class Packer:
    """Packs images and their questions into batches."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._encode = lru_cache(maxsize=200_000)(
            lambda text: tuple(tokenizer(text, add_special_tokens=False)["input_ids"])
        )

    def batch(self, source: Source, indices: Sequence[int], rng: random.Random) -> Batch:
        """Return the images at `indices` with random questions."""
        rows = [self._row(source, source.ask(i, rng)) for i in indices]
        width = math.ceil(max(len(ids) for ids, *_ in rows) / 16) * 16
        ids = torch.full((len(rows), width), 0)
        positions = torch.zeros((len(rows), width), dtype=torch.long)
        segments = torch.full((len(rows), width), -1)
        labels = torch.full((len(rows), width), IGNORED)
        for i, (row_ids, row_positions, row_segments, row_labels) in enumerate(rows):
            n = len(row_ids)
            ids[i, :n] = torch.tensor(row_ids)
            positions[i, :n] = torch.tensor(row_positions)
            segments[i, :n] = torch.tensor(row_segments)
            labels[i, :n] = torch.tensor(row_labels)
        same = segments[:, :, None] == segments[:, None, :]
        visible = (same | (segments[:, None, :] == 0)).tril()[:, None]
        bias = torch.zeros(visible.shape, dtype=torch.bfloat16).masked_fill(~visible, HIDDEN)
        return Batch(source.tiles[list(indices)], ids, positions, bias, labels)

    def _row(
        self, source: Source, asked: Sequence[PromptAnswer]
    ) -> tuple[list[int], list[int], list[int], list[int]]:
        """Return token ids, positions, segment numbers (0: prefix) and labels, shifted by one."""
        prefix = list(self._encode(_split_prompt(source, asked[0].prompt)[0]))
        ids, positions = list(prefix), list(range(len(prefix)))
        segments, labels = [0] * len(prefix), [IGNORED] * len(prefix)
        for number, one in enumerate(asked, start=1):
            question = self._encode(_split_prompt(source, one.prompt)[1])
            answer = self._encode(f" {one.answer}{demo_model.END}")
            n = len(question) + len(answer) - 1
            ids += [*question, *answer[:-1]]
            positions += range(len(prefix), len(prefix) + n)
            segments += [number] * n
            labels += [IGNORED] * (len(question) - 1) + list(answer)
        return ids, positions, segments, labels


def _split_prompt(source: Source, prompt: str) -> tuple[str, str]:
    """Split a prompt, with expanded images, into common prefix and question.

    The split is after a special token or before a word, where the tokenizer splits too, so the
    tokens of the parts are those of the whole.
    """
    expanded = expand(prompt, splits=0 if source.marker else 2)
    if source.marker:
        at = expanded.index(source.marker)
    else:
        at = expanded.rindex(demo_model.FAKE) + len(demo_model.FAKE)
    return expanded[:at], expanded[at:]


@lru_cache(maxsize=200_000)
def expand(prompt: str, splits: int) -> str:
    """Replace each ``<image>`` by its tile tokens, as the processor does."""
    tiles = get_image_prompt_string(
        splits,
        splits,
        demo_model.IMAGE_TOKENS,
        demo_model.FAKE,
        demo_model.IMAGE,
        demo_model.GLOBAL,
    )
    return prompt.replace(demo_model.IMAGE, tiles)

"""Checks of a checkpoint's files against each other, before anything is loaded.

To add a check, write a function of `Parts`. One whose message makes an evaluation impossible
belongs in `_ERRORS`; one whose message makes predictions doubtful belongs in `_WARNINGS`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalsuite.checkpoint.model_config import CONFIG, VisionConfig, read_vocabulary_size
from evalsuite.checkpoint.processor import END_OF_UTTERANCE, Processor
from evalsuite.checkpoint.weights import INDEX, SINGLE, Weights
from evalsuite.errors import UsageError

PADDING_ROWS = 1024
"""Embeddings without a token that are still explained by padding to a round number."""
_TEMPLATE_MARKS = ("<image>", END_OF_UTTERANCE, "Assistant:")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Everything that is read from the files of a model and its processor."""

    path: Path
    """The directory of config.json and the weights."""
    config: Mapping[str, Any]
    vision: VisionConfig
    weights: Weights
    generation: Mapping[str, Any] | None
    """generation_config.json, if there is one."""
    processor: Processor


def require_consistent(parts: Parts) -> None:
    """Raise `UsageError` if the files of a checkpoint contradict each other."""
    for check in _ERRORS:
        for message in check(parts):
            raise UsageError(message)


def find_warnings(parts: Parts) -> tuple[str, ...]:
    """Reasons to doubt the predictions of a checkpoint."""
    return tuple(message for check in _WARNINGS for message in check(parts))


def _vocabulary_size(parts: Parts) -> Iterator[str]:
    stated, stored = read_vocabulary_size(parts.config), parts.weights.embedding_rows
    if stated is not None and stored not in (None, stated):
        yield (
            f"{parts.path}: vocab_size is {stated:,} in {CONFIG}, but the weights have {stored:,} "
            "embeddings; the files are from different models: copy both from the same one"
        )


def _end_of_answer(parts: Parts) -> Iterator[str]:
    end = parts.processor.tokens.get(END_OF_UTTERANCE)
    if parts.processor.tokens and end is None:
        yield f"the tokenizer has no {END_OF_UTTERANCE}: answers may run to the token limit"
        return
    stops = (parts.generation or {}).get("eos_token_id")
    ids = stops if isinstance(stops, list) else [stops]
    if stops is None or (end is not None and end not in ids):
        found = "no generation_config.json"
        if parts.generation is not None:
            found = f"eos_token_id in generation_config.json is {stops}"
        yield (
            f"{found}, so {END_OF_UTTERANCE} (id {end}) does not end an answer: "
            "answers may run to the token limit"
        )


def _embeddings(parts: Parts) -> Iterator[str]:
    rows = read_vocabulary_size(parts.config) or parts.weights.embedding_rows
    size = parts.processor.tokenizer_size
    if rows is None or size is None:
        return
    counts = f"the tokenizer has {size:,} tokens and the model {rows:,} embeddings"
    if size > rows:
        yield f"{counts}: a prompt with a token that has no embedding crashes"
    elif rows - size > PADDING_ROWS:
        yield f"{counts}, more than padding explains: they may not belong together"


def _chat_template(parts: Parts) -> Iterator[str]:
    template = parts.processor.chat_template
    if template is None:
        yield "no chat template: the processor was saved without one"
    elif lacking := [mark for mark in _TEMPLATE_MARKS if mark not in template]:
        yield f"the chat template differs from SmolVLM's: it lacks {', '.join(lacking)}"


def _tiles(parts: Parts) -> Iterator[str]:
    processor, vision = parts.processor, parts.vision
    if processor.tile_size != vision.image_size:
        yield (
            f"the processor makes tiles of {processor.tile_size} pixels, but the vision encoder "
            f"was made for {vision.image_size}"
        )
    if processor.image_seq_len != vision.tokens_per_tile:
        yield (
            f"the processor counts {processor.image_seq_len} tokens per tile (image_seq_len), but "
            f"the model makes {vision.tokens_per_tile}"
        )
    if processor.longest_edge % processor.tile_size:
        yield (
            f"images are resized to a longest edge of {processor.longest_edge} pixels, which is "
            f"not a multiple of the tile size {processor.tile_size}"
        )


def _two_sets_of_weights(parts: Parts) -> Iterator[str]:
    if (parts.path / SINGLE).exists() and (parts.path / INDEX).exists():
        yield f"both {SINGLE} and {INDEX} exist: the first is evaluated, as in transformers"


_ERRORS = (_vocabulary_size,)
_WARNINGS = (_end_of_answer, _embeddings, _chat_template, _tiles, _two_sets_of_weights)

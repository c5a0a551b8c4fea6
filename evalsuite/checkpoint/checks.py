"""Checks of a checkpoint's files against each other, before anything is loaded.

To add a check, write a function of `Parts`. One whose message makes an evaluation impossible
belongs in `_ERRORS`; one whose message makes predictions doubtful belongs in `_WARNINGS`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalsuite.checkpoint import weight_checks
from evalsuite.checkpoint.expected_weights import stated_sizes
from evalsuite.checkpoint.model_config import CONFIG, VisionConfig
from evalsuite.checkpoint.processor import END_OF_UTTERANCE, Processor
from evalsuite.checkpoint.weights import INDEX, SINGLE, Weights
from evalsuite.errors import UsageError

PADDING_ROWS = 1024
"""Embeddings without a token that are still explained by padding to a round number."""
_PROMPT_TOKENS = {
    "image_token": "<image>",
    "fake_image_token": "<fake_token_around_image>",
    "global_image_token": "<global-img>",
}
"""By their keys in tokenizer_config.json."""
_TILE_TOKEN = "<row_{}_col_{}>"
_DEFAULT_IMAGE_TOKEN_ID = 128257  # the default of transformers
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
    adapter_rows: int
    """Token embeddings that an adapter brings; 0 if it brings none."""


def require_consistent(parts: Parts) -> None:
    """Raise `UsageError` if the files of a checkpoint contradict each other."""
    for check in _ERRORS:
        for message in check(parts):
            raise UsageError(message)


def find_warnings(parts: Parts) -> tuple[str, ...]:
    """Reasons to doubt the predictions of a checkpoint."""
    return tuple(message for check in _WARNINGS for message in check(parts))


def _weights(parts: Parts) -> Iterator[str]:
    for check in weight_checks.ERRORS:
        yield from (f"{parts.path}: {said}" for said in check(parts.config, parts.weights))


def _weight_doubts(parts: Parts) -> Iterator[str]:
    for check in weight_checks.WARNINGS:
        yield from check(parts.config, parts.weights)


def _prompt_tokens(parts: Parts) -> Iterator[str]:
    """The tokens that prompts are made of: without one, its text would become other tokens."""
    tokens, remedy = parts.processor.tokens, "use the tokenizer of a SmolVLM model"
    for key, token in _PROMPT_TOKENS.items():
        named = parts.processor.named.get(key, token)
        named = named.get("content") if isinstance(named, dict) else named
        if token not in tokens or named != token:
            other = f"; its {key} is {named}" if named != token else ""
            yield (
                f"{parts.path}: the tokenizer has no token {token}, of which prompts are made"
                f"{other}; {remedy}"
            )
    if parts.processor.splits_images and _TILE_TOKEN.format(1, 1) not in tokens:
        yield (
            f"{parts.path}: images are split, but the tokenizer has no token "
            f"{_TILE_TOKEN.format(1, 1)}; {remedy}, or set do_image_splitting to false"
        )
    stated = parts.config.get("image_token_id", _DEFAULT_IMAGE_TOKEN_ID)
    if stated != (found := tokens.get("<image>")):
        yield (
            f"{parts.path}: image_token_id is {stated} in {CONFIG}, but <image> is {found} in the "
            "tokenizer; use the files of one checkpoint"
        )


def _tokens_per_tile(parts: Parts) -> Iterator[str]:
    processor, vision = parts.processor, parts.vision
    made = (processor.tile_size // vision.patch_size) ** 2 // vision.scale_factor**2
    if made != processor.image_seq_len:
        yield (
            f"{parts.path}: the processor counts {processor.image_seq_len} tokens per tile "
            f"(image_seq_len), but the model makes {made} of a tile of {processor.tile_size} "
            "pixels; use the files of one checkpoint"
        )


def _end_of_answer(parts: Parts) -> Iterator[str]:
    end = parts.processor.tokens.get(END_OF_UTTERANCE)
    if end is None:
        yield f"the tokenizer has no {END_OF_UTTERANCE}: answers may run to the token limit"
        return
    stops = (parts.generation or {}).get("eos_token_id")
    ids = stops if isinstance(stops, list) else [stops]
    if stops is None or end not in ids:
        found = "no generation_config.json"
        if parts.generation is not None:
            found = f"eos_token_id in generation_config.json is {stops}"
        yield (
            f"{found}, so {END_OF_UTTERANCE} (id {end}) does not end an answer: "
            "answers may run to the token limit"
        )


def _embeddings(parts: Parts) -> Iterator[str]:
    rows = max(stated_sizes(parts.config)[0]["vocab_size"], parts.adapter_rows)
    size = parts.processor.tokenizer_size
    counts = f"the tokenizer has {size:,} tokens and the model {rows:,} embeddings"
    if size > rows:
        yield f"{counts}: a sample whose prompt has a token without an embedding fails"
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
    tiles = -(-processor.longest_edge // processor.tile_size)
    last = _TILE_TOKEN.format(tiles, tiles)
    if processor.splits_images and last not in processor.tokens:
        yield f"images are cut into up to {tiles} x {tiles} tiles, but the tokenizer has no {last}"
    if processor.longest_edge % processor.tile_size:
        yield (
            f"images are resized to a longest edge of {processor.longest_edge} pixels, which is "
            f"not a multiple of the tile size {processor.tile_size}"
        )


def _two_sets_of_weights(parts: Parts) -> Iterator[str]:
    if (parts.path / SINGLE).exists() and (parts.path / INDEX).exists():
        yield f"both {SINGLE} and {INDEX} exist: the first is evaluated, as in transformers"


def _two_files(parts: Parts) -> Iterator[str]:
    yield from parts.processor.doubts


_ERRORS = (_weights, _prompt_tokens, _tokens_per_tile)
_WARNINGS = (
    *(_end_of_answer, _embeddings, _chat_template, _tiles, _two_sets_of_weights),
    *(_weight_doubts, _two_files),
)

"""Tokenize prompts and replace ``<image>`` by the image tokens of the tiles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers.models.smolvlm.processing_smolvlm import get_image_prompt_string

from evalsuite.smolvlm.formats import IMAGE_TOKEN
from evalsuite.smolvlm.image_processing import Grid


class PromptTokenizer:
    """A checkpoint's tokenizer, and the processors' token pattern for tiles."""

    def __init__(self, tokenizer: Any, tokens_per_tile: int) -> None:
        self._tokenizer = tokenizer
        self.tokens_per_tile = tokens_per_tile
        self.image_token_id: int = tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
        self._image_tokens: dict[Grid, list[int]] = {}

    def encode(self, texts: Sequence[str], grids: Sequence[Sequence[Grid]]) -> list[list[int]]:
        """Return the token ids of each text; the i-th ``<image>`` of a text gets its i-th grid.

        Equal to the ids from the checkpoint's processor. Every text must have as many ``<image>``
        tokens as grids.
        """
        if not texts:
            return []  # the tokenizer fails for an empty list
        tokenised = self._tokenizer(list(texts))["input_ids"]
        return [
            self._insert_images(ids, layout) for ids, layout in zip(tokenised, grids, strict=True)
        ]

    def decode(self, tokens: Sequence[list[int]]) -> list[str]:
        """Convert generated tokens to text without special tokens and surrounding white space."""
        texts = self._tokenizer.batch_decode(list(tokens), skip_special_tokens=True)
        return [text.strip() for text in texts]

    def _insert_images(self, ids: list[int], grids: Sequence[Grid]) -> list[int]:
        """Return `ids` with each ``<image>`` replaced by the tokens of its image.

        ``<image>`` is a special token, and an image's tokens begin and end with special tokens, so
        the text in between is tokenized the same way in both cases.
        """
        if not grids:
            return ids
        result: list[int] = []
        start = 0
        for grid in grids:
            mark = ids.index(self.image_token_id, start)
            result += ids[start:mark]
            result += self._tokens_of(grid)
            start = mark + 1
        return result + ids[start:]

    def _tokens_of(self, grid: Grid) -> list[int]:
        if grid not in self._image_tokens:
            text = get_image_prompt_string(
                *grid,
                self.tokens_per_tile,
                fake_token_around_image="<fake_token_around_image>",
                image_token=IMAGE_TOKEN,
                global_image_token="<global-img>",
            )
            ids = self._tokenizer(text, add_special_tokens=False)["input_ids"]
            self._image_tokens[grid] = ids
        return self._image_tokens[grid]

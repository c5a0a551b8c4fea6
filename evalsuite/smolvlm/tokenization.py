"""Turn prompts into token ids, ``<image>`` marks expanded into the tokens of their tiles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers.models.smolvlm.processing_smolvlm import get_image_prompt_string

from evalsuite.smolvlm.image_processing import Grid
from evalsuite.smolvlm.prompts import IMAGE_TOKEN


class Expander:
    """A checkpoint's tokenizer, and the way its processor spells the tiles of an image."""

    def __init__(self, processor: Any) -> None:
        self._tokenizer = processor.tokenizer
        self.tokens_per_tile: int = processor.image_seq_len
        self._fake: str = processor.fake_image_token
        # SmolVLM's processor and Idefics3's name it differently and spell images alike.
        self._overview: str = getattr(processor, "global_image_token", None) or (
            processor.global_image_tag
        )
        self.image_token_id: int = processor.image_token_id
        self._spelled: dict[Grid, list[int]] = {}

    def ids(self, texts: Sequence[str], grids: Sequence[Sequence[Grid]]) -> list[list[int]]:
        """Token ids of each text; the i-th mark in a text stands for the i-th of its grids.

        Equal to what the checkpoint's processor makes of text and images. Every text must have as
        many marks as grids.
        """
        if not texts:
            return []  # of which the tokenizer can make nothing
        tokenised = self._tokenizer(list(texts))["input_ids"]
        return [self._spliced(ids, layout) for ids, layout in zip(tokenised, grids, strict=True)]

    def decode(self, tokens: Sequence[list[int]]) -> list[str]:
        """Turn generated tokens into text, without special tokens and outer white space."""
        texts = self._tokenizer.batch_decode(list(tokens), skip_special_tokens=True)
        return [text.strip() for text in texts]

    def _spliced(self, ids: list[int], grids: Sequence[Grid]) -> list[int]:
        """`ids` with each mark replaced by the tokens of its image.

        The mark is a special token and an image's spelling begins and ends with one, so the text
        between marks is cut into the same tokens either way.
        """
        if not grids:
            return ids
        whole: list[int] = []
        start = 0
        for grid in grids:
            mark = ids.index(self.image_token_id, start)
            whole += ids[start:mark]
            whole += self._spelling(grid)
            start = mark + 1
        return whole + ids[start:]

    def _spelling(self, grid: Grid) -> list[int]:
        if grid not in self._spelled:
            text = get_image_prompt_string(
                *grid,
                self.tokens_per_tile,
                fake_token_around_image=self._fake,
                image_token=IMAGE_TOKEN,
                global_image_token=self._overview,
            )
            ids = self._tokenizer(text, add_special_tokens=False)["input_ids"]
            self._spelled[grid] = ids
        return self._spelled[grid]

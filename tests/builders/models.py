"""Models that run out of memory, and dimensions of a known model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch

from evalsuite.smolvlm.model import Model
from evalsuite.smolvlm.roofline import Shape

Stage = Literal["vision", "embed", "prefix", "rest", "decode", "generate"]


class LimitedModel:
    """A model that runs out of memory above a number of tiles or prompts at one stage."""

    def __init__(
        self, model: Model, error: Exception, stage: Stage | None = None, limit: int = 1000
    ) -> None:
        self._model, self._error, self._stage, self._limit = model, error, stage, limit
        self.tried: list[int] = []
        """Sizes tried at that stage; without a stage, rows of the text model."""
        self._decoding = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def _check_memory(self, stage: Stage, count: int) -> None:
        if self._stage == stage:
            self.tried.append(count)
            if count > self._limit:
                raise self._error

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        self._check_memory("vision", len(pixels))
        return self._model.encode(pixels)

    def embed(self, ids: torch.Tensor, features: Sequence[torch.Tensor]) -> torch.Tensor:
        self._decoding = ids.shape[1] == 1
        if not self._decoding:
            self._check_memory("embed", int((ids == 1).sum()))
        return self._model.embed(ids, features)

    def next_tokens(
        self,
        embedded: torch.Tensor,
        positions: torch.Tensor,
        mask: torch.Tensor | None,
        cache: Any,
        selected: Sequence[torch.Tensor],
    ) -> torch.Tensor:
        if self._stage is None:
            self.tried.append(len(embedded))
        prompts = len(selected[0])
        if not prompts:
            self._check_memory("prefix", len(embedded))
        else:
            self._check_memory("decode" if self._decoding else "rest", prompts)
        return self._model.next_tokens(embedded, positions, mask, cache, selected)

    def generate(
        self, ids: torch.Tensor, embedded: torch.Tensor, max_new_tokens: int
    ) -> list[list[int]]:
        self._check_memory("generate", len(ids))
        return self._model.generate(ids, embedded, max_new_tokens)


SMALL = Shape(
    side=512,
    patch=16,
    scale=4,
    vision_width=768,
    vision_inner=3072,
    vision_layers=12,
    width=576,
    inner=1536,
    layers=30,
    heads=9,
    key_heads=3,
    head_width=64,
    vocabulary=49_280,
)
"""SmolVLM2-256M."""

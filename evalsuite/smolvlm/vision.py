"""Encode tiles with the vision tower, in batches that run across images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import torch

from evalsuite.smolvlm.image_processing import Tiled, normalise
from evalsuite.smolvlm.media_loader import MediaKey
from evalsuite.smolvlm.memory import fitting
from evalsuite.smolvlm.model import Model


class Encoder:
    """The vision tower, and how many tiles it takes at a time."""

    def __init__(self, model: Model, levels: torch.Tensor, tiles_at_once: int) -> None:
        self._model = model
        self._levels = levels.to(model.device, model.dtype)
        self.tiles_at_once = tiles_at_once
        """Lowered when memory runs out."""
        self.splits = 0
        """How often it did."""

    def encode(
        self, media: Mapping[MediaKey, Tiled]
    ) -> tuple[dict[MediaKey, torch.Tensor], dict[MediaKey, str]]:
        """Encode each medium: its features (tokens, hidden), or why there are none."""
        tiles = [(key, tile) for key, tiled in media.items() for tile in tiled.pixels]
        encoded: dict[MediaKey, list[torch.Tensor]] = defaultdict(list)
        failed: dict[MediaKey, str] = {}
        start = 0
        while start < len(tiles):
            batch = tiles[start : start + self.tiles_at_once]
            features = fitting(self._features, [tile for _, tile in batch])
            if features is None and len(batch) > 1:
                self.tiles_at_once = len(batch) // 2
                self.splits += 1
                continue
            start += len(batch)
            if features is None:
                failed[batch[0][0]] = f"out of memory: not one tile fits on {self._model.device}"
                continue
            for (key, _), tokens in zip(batch, features, strict=True):
                encoded[key].append(tokens)
        return {key: torch.cat(parts) for key, parts in encoded.items()}, failed

    def _features(self, tiles: Sequence[torch.Tensor]) -> torch.Tensor:
        pixels = torch.stack(list(tiles))
        if self._model.device.type == "cuda":
            pixels = pixels.pin_memory().to(self._model.device, non_blocking=True)
        return self._model.encode(normalise(pixels, self._levels))

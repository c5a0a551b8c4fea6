"""Encode tiles with the vision tower, in batches across images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import torch

from evalsuite.smolvlm.image_processing import MediaTiles, normalise
from evalsuite.smolvlm.media_loader import MediaKey
from evalsuite.smolvlm.memory import none_if_out_of_memory
from evalsuite.smolvlm.model import Model


class VisionEncoder:
    """The vision tower, and its batch size in tiles."""

    def __init__(self, model: Model, normalisation_table: torch.Tensor, max_tiles: int) -> None:
        self._model = model
        self._normalisation_table = normalisation_table.to(model.device, model.dtype)
        self.max_tiles = max_tiles
        """Reduced when memory runs out."""
        self.splits = 0
        """Number of times it was reduced."""

    def encode(
        self, media: Mapping[MediaKey, MediaTiles]
    ) -> tuple[dict[MediaKey, torch.Tensor], dict[MediaKey, str]]:
        """Return features (tokens, hidden) by medium, and reasons for media without features."""
        tiles = [(key, tile) for key, tiled in media.items() for tile in tiled.pixels]
        encoded: dict[MediaKey, list[torch.Tensor]] = defaultdict(list)
        failed: dict[MediaKey, str] = {}
        start = 0
        while start < len(tiles):
            batch = tiles[start : start + self.max_tiles]
            features = none_if_out_of_memory(self._features, [tile for _, tile in batch])
            if features is None and len(batch) > 1:
                self.max_tiles = len(batch) // 2
                self.splits += 1
                continue
            start += len(batch)
            if features is None:
                failed[batch[0][0]] = (
                    f"out of memory: one tile does not fit on {self._model.device}"
                )
                continue
            for (key, _), tokens in zip(batch, features, strict=True):
                encoded[key].append(tokens)
        return {key: torch.cat(parts) for key, parts in encoded.items()}, failed

    def _features(self, tiles: Sequence[torch.Tensor]) -> torch.Tensor:
        pixels = torch.stack(list(tiles))
        if self._model.device.type == "cuda":
            pixels = pixels.pin_memory().to(self._model.device, non_blocking=True)
        return self._model.encode(normalise(pixels, self._normalisation_table))

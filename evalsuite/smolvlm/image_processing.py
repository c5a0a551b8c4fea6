"""Cut images into tiles with the checkpoint's own image processor.

Tiles stay uint8 until they are on the device, which saves three quarters of memory and transfer.
There `normalise` computes exactly the numbers of the processor.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image

Grid = tuple[int, int]
"""Rows and columns of tiles of an image; (0, 0) for an image that is one tile."""


@dataclass(frozen=True, slots=True, eq=False)
class MediaTiles:
    """The tiles of one image, or of all frames of a video."""

    grids: tuple[Grid, ...]
    """One per ``<image>`` token, in order."""
    pixels: torch.Tensor
    """uint8, (tiles, 3, side, side): for each image its tiles row by row, then its global view."""


class Tiler:
    """A checkpoint's image processor, used without changing it."""

    def __init__(self, image_processor: Any, longest_edge: int | None = None) -> None:
        self._process = image_processor
        self.side: int = image_processor.max_image_size["longest_edge"]
        self._split = {} if longest_edge is None else {"size": {"longest_edge": longest_edge}}
        # VLMEvalKit's SmolVLM2 class sets these for video frames.
        self._whole = {
            "do_image_splitting": False,
            "do_resize": True,
            "size": {"longest_edge": self.side},
        }
        self.whitens_transparency = whitens_transparency(image_processor)
        edge = longest_edge or image_processor.size["longest_edge"]
        self._max_tiles = math.ceil(edge / self.side) ** 2 + 1

    def max_bytes(self, images: int, split: bool) -> int:
        """Return an upper bound of the tile bytes of `images` images."""
        return images * (self._max_tiles if split else 1) * 3 * self.side**2

    def tile(self, images: Sequence[np.ndarray[Any, Any]], split: bool) -> list[MediaTiles]:
        """Cut each of `images`, uint8 (height, width, 3), into tiles.

        Images of equal size share one call, because a call has a large fixed cost.
        """
        by_size: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for i, image in enumerate(images):
            by_size[image.shape].append(i)
        tiled: dict[int, MediaTiles] = {}
        for members in by_size.values():
            batch = self._process(
                [[images[i]] for i in members],
                # The processor guesses wrong for images 1 or 3 pixels high.
                input_data_format="channels_last",
                do_rescale=False,
                do_normalize=False,
                # Nothing needs padding, and padding would convert tiles to float32.
                do_pad=False,
                return_row_col_info=True,
                **(self._split if split else self._whole),
            )
            for i, (rows,), (cols,), pixels in zip(
                members, batch["rows"], batch["cols"], batch["pixel_values"], strict=True
            ):
                stacked = torch.stack([torch.as_tensor(tile) for tile in pixels])
                tiled[i] = MediaTiles(((rows, cols),), stacked)
        return [tiled[i] for i in range(len(images))]


def join(parts: Sequence[MediaTiles]) -> MediaTiles:
    """Join several images into one medium: the frames of a video."""
    if len(parts) == 1:
        return parts[0]
    grids = tuple(grid for part in parts for grid in part.grids)
    return MediaTiles(grids, torch.cat([part.pixels for part in parts]))


def whitens_transparency(image_processor: Any) -> bool:
    """Return whether the processor shows the transparent colour of an RGB image as white.

    Pillow keeps that colour (PNG's tRNS, GIF) as metadata when it converts to RGB. Newer processors
    use it, older ones do not, so this function tries a test image.
    """
    side: int = image_processor.max_image_size["longest_edge"]
    black = Image.new("RGB", (side, side))
    black.info["transparency"] = (0, 0, 0)
    pixels = _one_tile(image_processor, black, do_rescale=False, do_normalize=False)
    return bool((pixels == 255).all())


def normalisation_table(image_processor: Any) -> torch.Tensor:
    """Return the processor's output for each channel and pixel value: float32, (3, 256).

    Rescaling and normalisation differ in the last bit between processors. Therefore the numbers are
    taken from the processor itself instead of repeating its arithmetic.
    """
    side: int = image_processor.max_image_size["longest_edge"]
    ramp = np.arange(side * side, dtype=np.int64) % 256
    image = np.repeat(ramp.astype(np.uint8).reshape(side, side, 1), 3, axis=2)
    pixels = _one_tile(image_processor, image, input_data_format="channels_last")
    return pixels.reshape(3, side * side)[:, :256].to(torch.float32).contiguous()


def _one_tile(image_processor: Any, image: Any, **options: object) -> torch.Tensor:
    """Process an image that has the size of one tile and therefore is not resized."""
    size = {"longest_edge": image_processor.max_image_size["longest_edge"]}
    batch = image_processor(
        [[image]], do_image_splitting=False, size=size, return_tensors="pt", **options
    )
    pixels: torch.Tensor = batch["pixel_values"]
    return pixels


def normalise(pixels: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Convert uint8 tiles to the vision tower's input with a `normalisation_table`.

    Both must be on the same device. The result has the table's dtype and the shape of `pixels`.
    """
    channel = torch.arange(3, dtype=torch.int32, device=pixels.device).view(3, 1, 1) * 256
    index = (pixels.to(torch.int32) + channel).flatten()
    return table.flatten().index_select(0, index).view(pixels.shape)

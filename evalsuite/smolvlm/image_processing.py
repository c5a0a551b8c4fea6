"""Cut images into the tiles a checkpoint looks at, with its own image processor.

Tiles stay uint8 until they are on the device: a quarter of the memory and of the traffic. There
`normalise` turns them into the very numbers the processor would have made.
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
"""Rows and columns an image was cut into; (0, 0) for an image that is one tile."""


@dataclass(frozen=True, slots=True, eq=False)
class Tiled:
    """The tiles of one image, or of all frames of a video."""

    grids: tuple[Grid, ...]
    """One for each ``<image>`` mark, in order."""
    pixels: torch.Tensor
    """uint8, (tiles, 3, side, side): of each image row by row, its global tile last."""


class Tiler:
    """A checkpoint's image processor, called without ever changing it."""

    def __init__(self, image_processor: Any, longest_edge: int | None = None) -> None:
        self._process = image_processor
        self.side: int = image_processor.max_image_size["longest_edge"]
        self._split = {} if longest_edge is None else {"size": {"longest_edge": longest_edge}}
        # What VLMEvalKit's SmolVLM2 class sets on the processor before it shows video frames.
        self._whole = {
            "do_image_splitting": False,
            "do_resize": True,
            "size": {"longest_edge": self.side},
        }
        self.whitens = whitens(image_processor)
        edge = longest_edge or image_processor.size["longest_edge"]
        self._most_tiles = math.ceil(edge / self.side) ** 2 + 1

    def most_bytes(self, images: int, split: bool) -> int:
        """No `images` images have more bytes of tiles than this."""
        return images * (self._most_tiles if split else 1) * 3 * self.side**2

    def tile(self, images: Sequence[np.ndarray[Any, Any]], split: bool) -> list[Tiled]:
        """Cut each of `images` into tiles: uint8, (height, width, 3).

        Images of one size share a call, which costs as much as cutting a small image.
        """
        by_size: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for i, image in enumerate(images):
            by_size[image.shape].append(i)
        tiled: dict[int, Tiled] = {}
        for members in by_size.values():
            batch = self._process(
                [[images[i]] for i in members],
                # Of an image 1 or 3 pixels high the processor would guess wrong.
                input_data_format="channels_last",
                do_rescale=False,
                do_normalize=False,
                # Padding would turn tiles to float32; there is nothing to pad.
                do_pad=False,
                return_row_col_info=True,
                **(self._split if split else self._whole),
            )
            for i, (rows,), (cols,), pixels in zip(
                members, batch["rows"], batch["cols"], batch["pixel_values"], strict=True
            ):
                stacked = torch.stack([torch.as_tensor(tile) for tile in pixels])
                tiled[i] = Tiled(((rows, cols),), stacked)
        return [tiled[i] for i in range(len(images))]


def join(parts: Sequence[Tiled]) -> Tiled:
    """Several images as one: the frames of a video."""
    if len(parts) == 1:
        return parts[0]
    grids = tuple(grid for part in parts for grid in part.grids)
    return Tiled(grids, torch.cat([part.pixels for part in parts]))


def whitens(image_processor: Any) -> bool:
    """Whether the processor shows the transparent colour of an RGB image as white.

    Pillow keeps a note of that colour (PNG's tRNS, GIF) through every conversion to RGB. Newer
    processors heed it and older ones do not: this one is tried.
    """
    side: int = image_processor.max_image_size["longest_edge"]
    black = Image.new("RGB", (side, side))
    black.info["transparency"] = (0, 0, 0)
    batch = image_processor(
        [[black]],
        do_rescale=False,
        do_normalize=False,
        do_image_splitting=False,
        size={"longest_edge": side},
        return_tensors="pt",
    )
    return bool((batch["pixel_values"] == 255).all())


def levels(image_processor: Any) -> torch.Tensor:
    """Read off what the processor makes of each value of each channel: float32, (3, 256).

    Rescaling and normalising differ in the last bit from one kind of processor to the next. So the
    arithmetic is not repeated here: the numbers are read off the processor itself.
    """
    side: int = image_processor.max_image_size["longest_edge"]
    ramp = np.arange(side * side, dtype=np.int64) % 256
    image = np.repeat(ramp.astype(np.uint8).reshape(side, side, 1), 3, axis=2)
    batch = image_processor(
        [[image]],
        input_data_format="channels_last",
        # An image of exactly one tile is not resized.
        do_image_splitting=False,
        size={"longest_edge": side},
        return_tensors="pt",
    )
    pixels: torch.Tensor = batch["pixel_values"]
    return pixels.reshape(3, side * side)[:, :256].to(torch.float32).contiguous()


def normalise(pixels: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """uint8 tiles as the vision tower wants them, by the table that `levels` made.

    Both on the same device; the result has the table's dtype and the shape of `pixels`.
    """
    channel = torch.arange(3, dtype=torch.int32, device=pixels.device).view(3, 1, 1) * 256
    index = (pixels.to(torch.int32) + channel).flatten()
    return table.flatten().index_select(0, index).view(pixels.shape)

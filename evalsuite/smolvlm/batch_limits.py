"""Choose batch sizes from the available memory."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace

from evalsuite.smolvlm.roofline import Shape


@dataclass(frozen=True, slots=True)
class Limits:
    """Maximum sizes of the engine's batches. The engine reduces them when memory runs out."""

    questions: int
    """Questions per batch."""
    tokens: int
    """Tokens per batch: prompts and padding. A shared prefix counts once."""
    patches: int
    """Patches per call of the vision tower."""
    tile_bytes: int
    """Bytes of tiles per window. Up to three windows are in memory."""


USEFUL_LIMITS = {
    "cpu": Limits(questions=128, tokens=16_384, patches=4_096, tile_bytes=2**28),
    "cuda": Limits(questions=256, tokens=65_536, patches=65_536, tile_bytes=2**31),
}
"""Sizes that fully use a device: larger batches are not faster."""
TOKEN_MEMORY_SHARE = 0.5
PATCH_MEMORY_SHARE = 0.25
"""Shares of the free memory. The rest is for features, masks and allocator fragmentation."""
WINDOW_MEMORY_SHARE = 0.1
"""Share of the host's free memory for the tiles of a window."""
PATCHES_PER_QUESTION = 8_192
"""With an explicit batch size, patches per question in a call of the vision tower."""


def choose(
    device: str, shape: Shape, weight_bytes: int, free: int, host_free: int, batch_size: int | None
) -> Limits:
    """Return the limits for a checkpoint on a ``cpu`` or ``cuda`` device.

    A weight has `weight_bytes` bytes. `free` and `host_free` are the free bytes of device and host.
    With a `batch_size`, a batch has that many questions of any length, until memory runs out.
    """
    useful = USEFUL_LIMITS[device]
    limits = replace(
        useful,
        tokens=min(
            useful.tokens, int(TOKEN_MEMORY_SHARE * free) // bytes_per_token(shape, weight_bytes)
        ),
        patches=min(
            useful.patches, int(PATCH_MEMORY_SHARE * free) // bytes_per_patch(shape, weight_bytes)
        ),
        tile_bytes=min(useful.tile_bytes, int(WINDOW_MEMORY_SHARE * host_free)),
    )
    if batch_size is None:
        return limits
    patches = min(limits.patches, PATCHES_PER_QUESTION * batch_size)
    return replace(limits, questions=batch_size, tokens=sys.maxsize, patches=patches)


def bytes_per_token(shape: Shape, weight_bytes: int) -> int:
    """Memory per token of a batch: cached keys and values, and activations of one layer.

    The cache holds ``2 layers kv`` numbers. A layer holds at the same time about four hidden
    states, the queries, keys and values before and after rotation, repeated for all heads (``6
    q``), and three times the inner width.
    """
    queries = shape.heads * shape.head_width
    cached = 2 * shape.layers * shape.key_heads * shape.head_width
    return weight_bytes * (cached + 4 * shape.width + 6 * queries + 3 * shape.inner)


def bytes_per_patch(shape: Shape, weight_bytes: int) -> int:
    """Memory per patch: activations of one layer of the vision tower, and pixels."""
    pixels = 3 * shape.patch**2
    return weight_bytes * (6 * shape.vision_width + 2 * shape.vision_inner + 2 * pixels)

"""How much the engine takes on at a time, chosen by the memory there is."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace

from evalsuite.smolvlm.roofline import Shape


@dataclass(frozen=True, slots=True)
class Limits:
    """How much the engine takes on at a time; it takes on less once memory has run out."""

    questions: int
    """In a batch."""
    tokens: int
    """In a batch: prompts and padding, what questions share counted once."""
    patches: int
    """In a call of the vision tower."""
    tile_bytes: int
    """In a window, of which up to three are in memory."""


ENOUGH = {
    "cpu": Limits(questions=128, tokens=16_384, patches=4_096, tile_bytes=2**28),
    "cuda": Limits(questions=256, tokens=65_536, patches=65_536, tile_bytes=2**31),
}
"""What keeps a device busy: more at a time is not faster."""
TOKENS_SHARE = 0.5
PATCHES_SHARE = 0.25
"""Of the free memory. Features, masks and what an allocator loses between blocks need the rest."""
WINDOWS_SHARE = 0.1
"""Of the host's free memory, for the tiles of a window."""
PATCHES_A_QUESTION = 8_192
"""Where batches are small on purpose, to save memory, the vision tower's are, too."""


def choose(
    device: str, shape: Shape, width: int, free: int, host_free: int, batch_size: int | None
) -> Limits:
    """The limits for a checkpoint with weights of `width` bytes on a ``cpu`` or ``cuda`` device.

    `free` and `host_free` are bytes that the device and the host have left for it. With a
    `batch_size` as many questions are taken together however long they are, until memory runs out.
    """
    enough = ENOUGH[device]
    limits = replace(
        enough,
        tokens=min(enough.tokens, int(TOKENS_SHARE * free) // token_bytes(shape, width)),
        patches=min(enough.patches, int(PATCHES_SHARE * free) // patch_bytes(shape, width)),
        tile_bytes=min(enough.tile_bytes, int(WINDOWS_SHARE * host_free)),
    )
    if batch_size is None:
        return limits
    patches = min(limits.patches, PATCHES_A_QUESTION * batch_size)
    return replace(limits, questions=batch_size, tokens=sys.maxsize, patches=patches)


def token_bytes(shape: Shape, width: int) -> int:
    """What a token of a batch takes: its keys and values, and on its way through a layer.

    ``2 layers kv`` are kept. A layer holds about four states, the queries, keys and values before
    and after rotation, repeated for all heads (``6 q``), and three times the inner width at once.
    """
    queries = shape.heads * shape.head_width
    kept = 2 * shape.layers * shape.key_heads * shape.head_width
    return width * (kept + 4 * shape.width + 6 * queries + 3 * shape.inner)


def patch_bytes(shape: Shape, width: int) -> int:
    """What a patch takes on its way through a layer of the vision tower, and as pixels."""
    pixels = 3 * shape.patch**2
    return width * (6 * shape.vision_width + 2 * shape.vision_inner + 2 * pixels)

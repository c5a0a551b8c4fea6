"""Place names beside their points without overlap."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from matplotlib.transforms import Bbox

_RINGS = 40
_TURNS = 16


def place(
    points: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    taken: Sequence[Bbox],
    room: Bbox,
    gap: float,
) -> list[Bbox | None]:
    """Find a free rectangle of each size near its point, within `room` and not overlapping `taken`.

    In order, each as near as possible, preferably on the right; None where nothing is free.
    """
    used = list(taken)
    placed: list[Bbox | None] = []
    for point, size in zip(points, sizes, strict=True):
        free = (
            box
            for box in _around(point, size, gap)
            if room.x0 <= box.x0 and box.x1 <= room.x1 and room.y0 <= box.y0 and box.y1 <= room.y1
            if not box.count_overlaps(used)
        )
        found = next(free, None)
        placed.append(found)
        if found is not None:
            used.append(found)
    return placed


def _around(point: tuple[float, float], size: tuple[float, float], gap: float) -> Iterator[Bbox]:
    """Yield rectangles around `point`, nearest first: right, above, below, left, then diagonal."""
    (x, y), (width, height) = point, size
    turns = sorted(range(_TURNS), key=lambda turn: (turn % 4 != 0, turn))
    for ring in range(_RINGS):
        reach = gap * (1 + ring)
        for turn in turns:
            angle = 2 * math.pi * turn / _TURNS
            # The rectangle touches the ring from outside.
            left = x + math.cos(angle) * (reach + width / 2) - width / 2
            bottom = y + math.sin(angle) * (reach + height / 2) - height / 2
            yield Bbox.from_bounds(left, bottom, width, height)

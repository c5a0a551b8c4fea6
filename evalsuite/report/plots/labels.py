"""Place names beside their points without overlap."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_RINGS = 40
_TURNS = 16


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle, in pixels."""

    left: float
    bottom: float
    width: float
    height: float

    def meets(self, other: Box) -> bool:
        """Whether the two overlap."""
        return (
            self.left < other.left + other.width
            and other.left < self.left + self.width
            and self.bottom < other.bottom + other.height
            and other.bottom < self.bottom + self.height
        )

    def within(self, other: Box) -> bool:
        """Whether `other` contains it."""
        return (
            self.left >= other.left
            and self.bottom >= other.bottom
            and self.left + self.width <= other.left + other.width
            and self.bottom + self.height <= other.bottom + other.height
        )


def place(
    points: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    taken: Sequence[Box],
    room: Box,
    gap: float,
) -> list[Box | None]:
    """Find a free rectangle of each size near its point, within `room` and not overlapping `taken`.

    In order, each as near as possible, preferably on the right; None where nothing is free.
    """
    used = list(taken)
    placed: list[Box | None] = []
    for point, size in zip(points, sizes, strict=True):
        free = (
            box
            for box in _around(point, size, gap)
            if box.within(room) and not any(box.meets(other) for other in used)
        )
        found = next(free, None)
        placed.append(found)
        if found is not None:
            used.append(found)
    return placed


def _around(point: tuple[float, float], size: tuple[float, float], gap: float) -> Iterator[Box]:
    """Yield rectangles around `point`, nearest first: right, above, below, left, then diagonal."""
    (x, y), (width, height) = point, size
    turns = sorted(range(_TURNS), key=lambda turn: (turn % 4 != 0, turn))
    for ring in range(_RINGS):
        reach = gap * (1 + ring)
        for turn in turns:
            angle = 2 * math.pi * turn / _TURNS
            # The rectangle touches the ring from outside.
            centre_x = x + math.cos(angle) * (reach + width / 2)
            centre_y = y + math.sin(angle) * (reach + height / 2)
            yield Box(centre_x - width / 2, centre_y - height / 2, width, height)

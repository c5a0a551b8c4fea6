"""Score against peak memory, as in the first figure of SmolVLM's paper."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator
from matplotlib.transforms import Bbox

from evalsuite.report.model.table import Table
from evalsuite.report.plots.intervals import ABOUT, Dot, limits, row_dot
from evalsuite.report.plots.style import (
    COLOURS,
    INK,
    MARKERS,
    SERIES,
    SMALL,
    distinct,
    figure,
    headed,
    legend,
    mean_name,
    scores_up,
)
from evalsuite.runs.layout import profiles_beside
from evalsuite.runs.records import FoundRun

NAMED = 16
"""Most points with names; of more, those on the Pareto front of score and memory."""
_RINGS = 40
_TURNS = 16
"""Places that are tried for a name: on circles around its point, and on each circle."""
_LEAST_SPAN = 4.0
"""Smallest ratio of the ends of the memory axis."""


Memory = tuple[int, str]
"""Peak memory of a checkpoint in bytes, and how it was measured."""


@dataclass(frozen=True, slots=True)
class Spot:
    """A checkpoint on the plot."""

    name: str
    gigabytes: float
    how: str
    """How the memory was measured."""
    dot: Dot


def memory_of(found: FoundRun) -> Memory | None:
    """Return the measurement of `evalsuite profile` at the smallest batch, or the run's peak.

    A profile is used if it has the same weights, dtype and kind of device as the run.
    """
    run = found.run
    device = str(run.environment.get("device", "")).partition(":")[0]
    for path in profiles_beside(found.path):
        measured = _profiled(path, run.checkpoint.digest, str(run.settings.get("dtype")), device)
        if measured is not None:
            return measured
    peaks = [peak for score in run.scores if (peak := score.cost.peak_memory_bytes) is not None]
    kind = f", {device}" if device else ""
    return (max(peaks), f"peak of the run, any batch size{kind}") if peaks else None


def _profiled(path: Path, digest: str, dtype: str, device: str) -> Memory | None:
    """Return the smallest batch of a profile.json; None for other weights or a damaged file."""
    try:
        plain: Any = json.loads(path.read_text(encoding="utf-8"))
        kind = str(plain["device"]).partition(":")[0]
        if (plain["checkpoint"]["digest"], plain["dtype"]) != (digest, dtype):
            return None
        if device and kind != device:
            return None
        rows = [row for row in plain["rows"] if isinstance(row.get("peak_memory_bytes"), int)]
        row = min(rows, key=lambda row: int(row["batch_size"]))
        return row["peak_memory_bytes"], f"profile, batch size {row['batch_size']}, {kind}"
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def spots(table: Table, runs: Sequence[FoundRun]) -> list[Spot]:
    """Return the points of `table`, whose rows are `runs`."""
    made = []
    for row, found in zip(table.rows, runs, strict=True):
        memory, dot = memory_of(found), row_dot(row, table)
        if dot is not None and memory is not None and memory[0] > 0:
            made.append(Spot(row.label, memory[0] / 1e9, memory[1], dot))
    return made


def draw(found: Sequence[Spot], averaged: Sequence[str]) -> Figure | None:
    """Draw `found` with the mean over `averaged`; None if it is empty."""
    if not found:
        return None
    made = figure(7.2, 4.6)
    axes = made.add_subplot()
    crowded = len(found) > NAMED
    named = frontier(found) if crowded else list(found)
    # If there are more ways than markers, the last marker is shared.
    ways = list(dict.fromkeys(spot.how for spot in found))
    for index, how in enumerate(ways):
        some = [spot for spot in found if spot.how == how]
        _points(axes, min(index, SERIES - 1), f"series {index}", some, named)
    _scales(axes, found)
    axes.set_xlabel("peak memory, GB")
    axes.set_ylabel(mean_name(averaged))
    caption = ABOUT + (f" Memory: {ways[0]}." if len(ways) == 1 else "")
    if crowded:
        most = f"the {NAMED} best of " if len(named) == NAMED else ""
        caption += f" {len(found)} checkpoints; named: {most}the Pareto front of score and memory."
    headed(made, "Score against memory", caption)
    legend(made, axes, ways)
    _name(made, axes, named, found)
    return made


def _points(axes: Axes, kind: int, label: str, some: Sequence[Spot], named: Sequence[Spot]) -> None:
    """Draw the points measured in one way: named ones with bars, others faint."""
    plain = [spot for spot in some if spot not in named]
    clear = [spot for spot in some if spot in named]
    axes.plot(
        [spot.gigabytes for spot in plain],
        [spot.dot.value for spot in plain],
        linestyle="none", marker=MARKERS[kind], color=COLOURS[kind], markersize=5, alpha=0.35,
        label=None if clear else label,
    )  # fmt: skip
    if clear:
        axes.errorbar(
            [spot.gigabytes for spot in clear],
            [spot.dot.value for spot in clear],
            yerr=[
                [s.dot.value - s.dot.low for s in clear], [s.dot.high - s.dot.value for s in clear],
            ],
            fmt=MARKERS[kind], color=COLOURS[kind], markersize=7, elinewidth=1.6, label=label,
        )  # fmt: skip


def frontier(found: Sequence[Spot]) -> list[Spot]:
    """Return the Pareto front of score and memory, best score first."""
    best: list[Spot] = []
    for spot in sorted(found, key=lambda spot: (spot.gigabytes, -spot.dot.value)):
        if not best or spot.dot.value > best[-1].dot.value:
            best.append(spot)
    return best[::-1][:NAMED]


def _scales(axes: Axes, found: Sequence[Spot]) -> None:
    axes.set_xscale("log")
    sizes = [spot.gigabytes for spot in found]
    low, high = min(sizes), max(sizes)
    room = max((_LEAST_SPAN * low / high) ** 0.5, 1.4)
    axes.set_xlim(low / room, high * room)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=50))
    axes.xaxis.set_major_formatter(lambda gigabytes, _: f"{gigabytes:g}")
    axes.minorticks_off()
    axes.set_ylim(*limits([spot.dot for spot in found], span=10, margin=0.08, beyond=2))
    scores_up(axes, 8)


def _name(made: Figure, axes: Axes, named: Sequence[Spot], found: Sequence[Spot]) -> None:
    """Write names beside points without covering names, points or bars."""
    made.draw_without_rendering()  # positions are known after drawing
    made.set_layout_engine("none")  # keep the positions
    scale = made.dpi / 72
    to_pixels = axes.transData.transform
    taken = []
    for spot in found:
        heights = (spot.dot.low, spot.dot.value, spot.dot.high)
        (x, low), (_, y), (_, high) = to_pixels([(spot.gigabytes, end) for end in heights])
        taken.append(Bbox.from_extents(x, y, x, y).padded(4 * scale))
        if spot in named:  # only named points have bars
            taken.append(Bbox.from_extents(x - scale, low, x + scale, high))
    texts = [
        axes.text(0, 0, name, fontsize=SMALL, gid="name")
        for name in distinct([spot.name for spot in named])
    ]
    extents = [text.get_window_extent() for text in texts]
    sizes = [(float(extent.width) + 4, float(extent.height) + 2) for extent in extents]
    beside = [tuple(to_pixels((spot.gigabytes, spot.dot.value))) for spot in named]
    boxes = place(beside, sizes, taken, axes.get_window_extent(), 6 * scale)
    back = axes.transData.inverted().transform
    for text, box, point in zip(texts, boxes, beside, strict=True):
        if box is None:
            text.remove()
            continue
        text.set_position(tuple(back(box.min)))
        text.set_verticalalignment("bottom")
        nearest = (
            min(max(point[0], box.x0), box.x1),
            min(max(point[1], box.y0), box.y1),
        )
        if abs(nearest[0] - point[0]) + abs(nearest[1] - point[1]) > 20 * scale:
            ends = back([nearest, point])
            axes.plot(ends[:, 0], ends[:, 1], color=INK, linewidth=0.7, alpha=0.7, zorder=1)


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

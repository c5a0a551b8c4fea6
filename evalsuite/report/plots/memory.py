"""Score against peak memory, as in the first figure of SmolVLM's paper."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox

from evalsuite.report.format import counted
from evalsuite.report.model.table import Table
from evalsuite.report.plots.intervals import averaged_scores, mean_dot
from evalsuite.report.plots.labels import Box, place
from evalsuite.report.plots.style import (
    COLOURS,
    INK,
    MARKERS,
    ROUND,
    SERIES,
    SMALL,
    distinct,
    figure,
    headed,
    legend,
    shown,
)
from evalsuite.runs.layout import profiles_beside
from evalsuite.runs.records import FoundRun

NAMED = 16
"""Most points with names; of more, those on the Pareto front of score and memory."""
_GIGA = 1e9
_LEAST_SPAN = 4.0
"""Smallest ratio of the ends of the memory axis."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Peak memory of a checkpoint, and how it was measured."""

    bytes: int
    how: str


@dataclass(frozen=True, slots=True)
class Spot:
    """A checkpoint on the plot."""

    name: str
    memory: Memory
    score: float
    low: float
    high: float


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
    costs = [score.cost for score in run.scores]
    peaks = [c.peak_memory_bytes for c in costs if c.peak_memory_bytes is not None]
    kind = f", {device}" if device else ""
    return Memory(max(peaks), f"peak of the run, any batch size{kind}") if peaks else None


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
        return Memory(row["peak_memory_bytes"], f"profile, batch size {row['batch_size']}, {kind}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def spots(table: Table, runs: Sequence[FoundRun]) -> list[Spot]:
    """Return the points of `table`, whose rows are `runs`."""
    made = []
    for row, found in zip(table.rows, runs, strict=True):
        memory = memory_of(found)
        if row.average is not None and memory is not None and memory.bytes > 0:
            dot = mean_dot(averaged_scores(row, table), row.average)
            made.append(Spot(row.label, memory, dot.value, dot.low, dot.high))
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
    ways = list(dict.fromkeys(spot.memory.how for spot in found))
    for index, how in enumerate(ways):
        some = [spot for spot in found if spot.memory.how == how]
        _points(axes, min(index, SERIES - 1), f"series {index}", some, named)
    _scales(axes, found)
    axes.set_xlabel("peak memory, GB")
    axes.set_ylabel(
        shown(averaged[0]) if len(averaged) == 1
        else f"mean of {counted(len(averaged), 'benchmark')}"
    )  # fmt: skip
    ways_told = f" Memory: {ways[0]}." if len(ways) == 1 else ""
    few = f" {len(found)} checkpoints; named: {_which(len(named))}." if crowded else ""
    headed(made, "Score against memory", _about(ways_told, few))
    legend(made, axes, ways)
    _name(made, axes, named, found)
    return made


def _points(axes: Axes, kind: int, label: str, some: Sequence[Spot], named: Sequence[Spot]) -> None:
    """Draw the points measured in one way: named ones with bars, others faint."""
    plain = [spot for spot in some if spot not in named]
    clear = [spot for spot in some if spot in named]
    axes.plot(
        [spot.memory.bytes / _GIGA for spot in plain],
        [spot.score for spot in plain],
        linestyle="none", marker=MARKERS[kind], color=COLOURS[kind], markersize=5, alpha=0.35,
        label=None if clear else label,
    )  # fmt: skip
    if clear:
        axes.errorbar(
            [spot.memory.bytes / _GIGA for spot in clear],
            [spot.score for spot in clear],
            yerr=[[s.score - s.low for s in clear], [s.high - s.score for s in clear]],
            fmt=MARKERS[kind], color=COLOURS[kind], markersize=7, elinewidth=1.6, label=label,
        )  # fmt: skip


def _about(ways: str, few: str) -> str:
    return f"Bars: 95 % intervals, clustered by image or video.{ways}{few}"


def frontier(found: Sequence[Spot]) -> list[Spot]:
    """Return the Pareto front of score and memory, best score first."""
    best: list[Spot] = []
    for spot in sorted(found, key=lambda spot: (spot.memory.bytes, -spot.score)):
        if not best or spot.score > best[-1].score:
            best.append(spot)
    return best[::-1][:NAMED]


def _which(named: int) -> str:
    most = f"the {NAMED} best of " if named == NAMED else ""
    return f"{most}the Pareto front of score and memory"


def _scales(axes: Axes, found: Sequence[Spot]) -> None:
    axes.set_xscale("log")
    sizes = [spot.memory.bytes / _GIGA for spot in found]
    low, high = min(sizes), max(sizes)
    room = max((_LEAST_SPAN * low / high) ** 0.5, 1.4)
    axes.set_xlim(low / room, high * room)
    ticks = [
        digit * 10.0**power
        for power in range(-6, 7)
        for digit in (1, 2, 5)
        if low / room <= digit * 10.0**power <= high * room
    ]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    bottom, top = min(s.low for s in found), max(s.high for s in found)
    space = max(10 - (top - bottom), 0.0) / 2 + 0.08 * (top - bottom)
    axes.set_ylim(max(bottom - space, -2), min(top + space, 102))
    axes.yaxis.set_major_locator(MaxNLocator(8, steps=ROUND))
    axes.yaxis.set_major_formatter(lambda score, _: f"{score:g}")
    axes.grid()


def _name(made: Figure, axes: Axes, named: Sequence[Spot], found: Sequence[Spot]) -> None:
    """Write names beside points without covering names, points or bars."""
    made.draw_without_rendering()  # positions are known after drawing
    made.set_layout_engine("none")  # keep the positions
    scale = made.dpi / 72
    to_pixels = axes.transData.transform
    taken = []
    for spot in found:
        x, low = to_pixels((spot.memory.bytes / _GIGA, spot.low))
        high = to_pixels((spot.memory.bytes / _GIGA, spot.high))[1]
        y = to_pixels((spot.memory.bytes / _GIGA, spot.score))[1]
        half = 4 * scale
        taken += [Box(x - half, y - half, 2 * half, 2 * half)]
        if spot in named:  # only named points have bars
            taken += [Box(x - scale, low, 2 * scale, high - low)]
    names = distinct([spot.name for spot in named])
    texts = [axes.text(0, 0, name, fontsize=SMALL, gid="name") for name in names]
    sizes = [_size(text.get_window_extent()) for text in texts]
    points = [tuple(to_pixels((s.memory.bytes / _GIGA, s.score))) for s in named]
    frame = axes.get_window_extent()
    room = Box(frame.x0, frame.y0, frame.width, frame.height)
    boxes = place(points, sizes, taken, room, 6 * scale)
    back = axes.transData.inverted().transform
    for text, box, point in zip(texts, boxes, points, strict=True):
        if box is None:
            text.remove()
            continue
        text.set_position(tuple(back((box.left, box.bottom))))
        text.set_verticalalignment("bottom")
        nearest = (
            min(max(point[0], box.left), box.left + box.width),
            min(max(point[1], box.bottom), box.bottom + box.height),
        )
        if abs(nearest[0] - point[0]) + abs(nearest[1] - point[1]) > 20 * scale:
            ends = back([nearest, point])
            axes.plot(ends[:, 0], ends[:, 1], color=INK, linewidth=0.7, alpha=0.7, zorder=1)


def _size(extent: Bbox) -> tuple[float, float]:
    return float(extent.width) + 4, float(extent.height) + 2

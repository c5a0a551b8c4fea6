"""Dots with intervals: a line a benchmark or category, a colour and a marker a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from evalsuite.report.plots.style import (
    COLOURS,
    INK,
    MARKERS,
    distinct,
    figure,
    headed,
    legend,
)

_WIDTH = 7.2
_APART, _WIDEST = 0.2, 0.68
"""Distance between the dots of a line, and most between its first and last, in lines."""


@dataclass(frozen=True, slots=True)
class Dot:
    """A score and its interval, 0 to 100."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the plot."""

    name: str
    dots: tuple[Dot | None, ...]
    """A dot for each series; None without a score."""
    apart: bool = False
    """Whether there is a gap above it."""


def draw(lines: Sequence[Line], series: Sequence[str], title: str, caption: str) -> Figure:
    """Draw `lines` from top to bottom."""
    each = 0.32 + 0.1 * max(len(series) - 2, 0)
    made = figure(_WIDTH, 1.3 + each * (len(lines) + sum(line.apart for line in lines)))
    axes = made.add_subplot()
    places = _places(lines)
    apart = min(_APART, _WIDEST / max(len(series) - 1, 1))
    for index in range(len(series)):
        shift = apart * (index - (len(series) - 1) / 2)
        known = [
            (place + shift, dot)
            for place, line in zip(places, lines, strict=True)
            if (dot := line.dots[index]) is not None
        ]
        axes.errorbar(
            [dot.value for _, dot in known],
            [place for place, _ in known],
            xerr=[
                [max(dot.value - dot.low, 0.0) for _, dot in known],
                [max(dot.high - dot.value, 0.0) for _, dot in known],
            ],
            fmt=MARKERS[index],
            color=COLOURS[index],
            markersize=5.5,
            elinewidth=1.8,
            label=f"series {index}",
        )
    axes.set_yticks(places, distinct([line.name for line in lines]))
    axes.set_ylim(places[-1] + 0.6, -0.6)
    axes.set_xlim(*_limits([dot for line in lines for dot in line.dots if dot is not None]))
    axes.set_xlabel("score")
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    for place, line in zip(places, lines, strict=True):
        if line.apart:
            axes.axhline(place - 0.85, color=INK, linewidth=0.8, alpha=0.6)
    headed(made, title, caption, series)
    legend(made, axes, series)
    return made


def _places(lines: Sequence[Line]) -> list[float]:
    places: list[float] = []
    for line in lines:
        before = places[-1] + 1 if places else 0.0
        places.append(before + 0.7 * line.apart)
    return places


def _limits(dots: Sequence[Dot]) -> tuple[float, float]:
    """Return the range of the axis: 20 points or more, with a margin."""
    low, high = min(dot.low for dot in dots), max(dot.high for dot in dots)
    room = max(20 - (high - low), 0.0) / 2 + 0.03 * (high - low)
    return max(low - room, -1.5), min(high + room, 101.5)

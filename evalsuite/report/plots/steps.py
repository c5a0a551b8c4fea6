"""Score against training step: the mean, and small plots of each benchmark."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from evalsuite.comparison.learning_curves import Curve, Curves, Point
from evalsuite.report.plots.intervals import Dot, mean_dot, named, score_dot
from evalsuite.report.plots.style import (
    COLOURS,
    DASHES,
    MARKERS,
    ROUND,
    SERIES,
    figure,
    headed,
    legend,
    mean_name,
    scores_up,
    shown,
)

_ACROSS = 3
_ABOUT = (
    "Bands: 95 % intervals of each score, clustered by image or video. Paired differences of "
    "checkpoints are more precise than the bands suggest: see evalsuite compare."
)


def draw_mean(found: Curves) -> Figure | None:
    """Draw the mean of every training run; None if there is none."""
    if not found.averaged:
        return None
    kept, note = _kept(found)
    made = figure(7.2, 4.4)
    axes = made.add_subplot()
    for index, curve in enumerate(kept):
        _line(axes, index, curve, partial(_mean, found.averaged))
    axes.set_xlabel("training step")
    axes.set_ylabel(mean_name(found.averaged))
    _steps(axes, 7)
    names = [curve.name for curve in kept]
    headed(made, "Score by training step", _ABOUT + note, names)
    legend(made, axes, names)
    return made


def draw_benchmarks(found: Curves) -> Figure | None:
    """Draw each benchmark on its own axes; None if there is only one."""
    if len(found.benchmarks) < 2:
        return None
    kept, note = _kept(found)
    across = 2 if len(found.benchmarks) in (2, 4) else _ACROSS
    down = math.ceil(len(found.benchmarks) / across)
    made = figure(7.2, 1.3 + 1.9 * down)
    cells = made.add_gridspec(down, across)
    first: Axes | None = None
    for position, name in enumerate(found.benchmarks):
        axes = made.add_subplot(cells[divmod(position, across)], sharex=first)
        first = first or axes
        for index, curve in enumerate(kept):
            _line(axes, index, curve, partial(_score, name))
        drawn = (point.scores.get(name) for curve in kept for point in curve.points)
        axes.set_title(shown(named(name, drawn), 28), loc="left")
        _steps(axes, 3)
        if position + across >= len(found.benchmarks):
            axes.set_xlabel("training step")
    assert first is not None
    names = [curve.name for curve in kept]
    headed(made, "Benchmarks by training step", _ABOUT + note, names)
    legend(made, first, names)
    return made


def _line(axes: Axes, index: int, curve: Curve, value: Callable[[Point], Dot | None]) -> None:
    """Draw one training run with its band; its label exists even without a score."""
    known = [(point.step, dot) for point in curve.points if (dot := value(point)) is not None]
    steps = [step for step, _ in known]
    colour = COLOURS[index]
    low, high = [d.low for _, d in known], [d.high for _, d in known]
    if len(known) == 1:  # a band over one step has no width
        axes.vlines(steps, low, high, color=colour, alpha=0.4, linewidth=5)
    else:
        axes.fill_between(steps, low, high, color=colour, alpha=0.2, linewidth=0)
    axes.plot(
        steps, [d.value for _, d in known],
        color=colour, marker=MARKERS[index], linestyle=DASHES[index], markersize=5, linewidth=1.8,
        label=f"series {index}",
    )  # fmt: skip


def _steps(axes: Axes, most: int) -> None:
    """Format the axes: whole steps without an offset, and a grid."""
    axes.xaxis.set_major_locator(MaxNLocator(most, integer=True, steps=ROUND))
    axes.xaxis.set_major_formatter(lambda step, _: f"{step:,.0f}")
    scores_up(axes, 6)


def _kept(found: Curves) -> tuple[Sequence[Curve], str]:
    """Return the training runs of a plot, and a note if some are left out."""
    if len(found.curves) <= SERIES:
        return found.curves, ""
    ranked = sorted(found.curves, key=lambda curve: -max(p.mean or 0.0 for p in curve.points))
    kept = {id(curve) for curve in ranked[:SERIES]}
    note = f" The {SERIES} of {len(found.curves)} training runs with the best checkpoints."
    return [curve for curve in found.curves if id(curve) in kept], note


def _mean(averaged: Sequence[str], point: Point) -> Dot | None:
    if point.mean is None:
        return None
    return mean_dot([point.scores[name] for name in averaged], point.mean)


def _score(name: str, point: Point) -> Dot | None:
    return score_dot(point.scores.get(name))

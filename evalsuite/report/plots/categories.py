"""A benchmark by category, with clustered intervals, for several checkpoints."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from evalsuite.report.plots import dots
from evalsuite.report.plots.intervals import ABOUT, dot
from evalsuite.runs.records import SampleScore
from evalsuite.stats import clustered_standard_error, mean

MOST = 40
"""Most categories of a plot."""


def draw(
    benchmark: str, series: Sequence[str], answers: Sequence[Sequence[SampleScore]], note: str = ""
) -> Figure | None:
    """Draw `benchmark` by category from each checkpoint's `answers`.

    Returns None if the samples have fewer than two categories.
    """
    tables = [_by_category(rows) for rows in answers]
    sizes: dict[str, int] = {}
    for table in tables:
        for name, rows in table.items():
            sizes[name] = max(sizes.get(name, 0), len(rows))
    if len(sizes) < 2:
        return None
    kept = sorted(sorted(sizes, key=lambda name: (-sizes[name], name))[:MOST])
    if len(sizes) > MOST:
        note = f" The {MOST} of {len(sizes)} categories with most samples." + note
    lines = [
        dots.Line(
            f"{name or 'none'} ({sizes[name]})", tuple(_dot(table.get(name)) for table in tables)
        )
        for name in kept
    ]
    caption = f"{ABOUT} In brackets: samples.{note}"
    return dots.draw(lines, series, f"{benchmark} by category", caption)


def _by_category(rows: Sequence[SampleScore]) -> dict[str, list[SampleScore]]:
    table: dict[str, list[SampleScore]] = {}
    for row in rows:
        if row.counts:
            table.setdefault(row.category, []).append(row)
    return table


def _dot(rows: Sequence[SampleScore] | None) -> dots.Dot | None:
    if not rows:
        return None
    values, clusters = [row.value for row in rows], [row.cluster for row in rows]
    error = clustered_standard_error(values, clusters)
    return dot(100 * mean(values), None if error is None else 100 * error, len(set(clusters)))

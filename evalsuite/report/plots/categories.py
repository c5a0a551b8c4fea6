"""Scores of several checkpoints by category, part and label, with clustered intervals."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from evalsuite.report.plots import dots
from evalsuite.report.plots.intervals import ABOUT, dot
from evalsuite.runs.records import SampleScore, by_group, group_name
from evalsuite.stats import clustered_standard_error, mean

MOST = 40
"""Maximum number of categories in a plot."""


def draw(
    benchmark: str, series: Sequence[str], answers: Sequence[Sequence[SampleScore]], note: str = ""
) -> Figure | None:
    """Draw `benchmark` by category from each checkpoint's `answers`.

    Returns None if all samples are of one category.
    """
    tables = [by_group([row for row in rows if row.counts], lambda row: row) for rows in answers]
    sizes: dict[tuple[str, str], int] = {}
    for table in tables:
        for group, rows in table.items():
            sizes[group] = max(sizes.get(group, 0), len(rows))
    if len(sizes) < 2:
        return None
    largest = set(sorted(sizes, key=lambda group: (-sizes[group], group))[:MOST])
    kept = [group for group in sizes if group in largest]
    if len(sizes) > MOST:
        note = f" The {MOST} of {len(sizes)} categories with most samples." + note
    lines = [
        dots.Line(
            f"{group_name(*group)} ({sizes[group]})",
            tuple(_dot(table.get(group)) for table in tables),
        )
        for group in kept
    ]
    caption = f"{ABOUT} In brackets: samples.{note}"
    return dots.draw(lines, series, f"{benchmark} by category", caption)


def _dot(rows: Sequence[SampleScore] | None) -> dots.Dot | None:
    if not rows:
        return None
    values, clusters = [row.value for row in rows], [row.cluster for row in rows]
    error = clustered_standard_error(values, clusters)
    return dot(100 * mean(values), None if error is None else 100 * error, len(set(clusters)))

"""Scores with 95 % intervals: a line a benchmark or category, a colour a checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from evalsuite.report.model.table import Row, Table
from evalsuite.report.plots.style import (
    COLOURS,
    INK,
    MARKERS,
    SERIES,
    distinct,
    figure,
    headed,
    legend,
)
from evalsuite.runs.records import SampleScore, Score, by_group, group_name
from evalsuite.stats import clustered_standard_error, mean, mean_standard_error
from evalsuite.stats.wilson import score_interval
from evalsuite.system.text import counted

ABOUT = "Bars: 95 % intervals, clustered by image or video."
MOST = 40
"""Maximum number of categories in a plot."""
_APART, _WIDEST = 0.2, 0.68
"""Distance between the dots of a line, and most between its first and last, in lines."""


@dataclass(frozen=True, slots=True)
class Dot:
    """A score and its interval, 0 to 100."""

    value: float
    low: float
    high: float


Line = tuple[str, Sequence[Dot | None]]
"""A name with a dot for each series; None without a score."""


def draw(table: Table) -> Figure | None:
    """Draw the benchmarks of `table` and their mean; None if no score has an interval."""
    rows, note = best_rows(table)
    lines: list[Line] = []
    for index, column in enumerate(table.columns):
        scores = [row.cells[index].score for row in rows]
        if any(scores):
            lines.append((named(column.benchmark, scores), list(map(score_dot, scores))))
    if not lines:
        return None
    with_mean = len(table.averaged) > 1
    if with_mean:
        lines.append(("mean", [row_dot(row, table) for row in rows]))
        if len(table.averaged) < len(table.columns):
            many = counted(len(table.averaged), "benchmark")
            note = f" Mean: over the {many} on which every checkpoint has a whole score.{note}"
    labels = [row.label for row in rows]
    return _drawn(lines, labels, "Scores by benchmark", ABOUT + note, with_mean=with_mean)


def draw_categories(
    benchmark: str, series: Sequence[str], answers: Sequence[Sequence[SampleScore]], note: str = ""
) -> Figure | None:
    """Draw `benchmark` by category, part and label from each checkpoint's `answers`.

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
    if len(sizes) > MOST:
        note = f" The {MOST} of {len(sizes)} categories with most samples.{note}"
    lines: list[Line] = [
        (f"{group_name(*group)} ({sizes[group]})",
         [_group_dot(table.get(group, ())) for table in tables])
        for group in sizes
        if group in largest
    ]  # fmt: skip
    return _drawn(lines, series, f"{benchmark} by category", f"{ABOUT} In brackets: samples.{note}")


def best_rows(table: Table) -> tuple[Sequence[Row], str]:
    """Return the rows of a plot, in order, and a note if some are left out."""
    if len(table.rows) <= SERIES:
        return table.rows, ""
    ranked = sorted(table.rows, key=lambda row: (row.average is None, -(row.average or 0.0)))
    kept = {id(row) for row in ranked[:SERIES]}
    note = f" The {SERIES} best of {len(table.rows)} checkpoints, by their mean."
    return [row for row in table.rows if id(row) in kept], note


def named(benchmark: str, scores: Iterable[Score | None]) -> str:
    """Return `benchmark`, marked if a score is partial."""
    partial = any(score is not None and score.partial for score in scores)
    return f"{benchmark} (partial)" if partial else benchmark


def score_dot(score: Score | None) -> Dot | None:
    """Return the dot of a score."""
    return None if score is None else _dot(score.value, score.stderr, score.clusters)


def mean_dot(scores: Sequence[Score], average: float) -> Dot:
    """Return the dot of the mean of `scores`, with the error that follows from theirs."""
    error = mean_standard_error([score.stderr for score in scores])
    return _dot(average, error, sum(score.clusters for score in scores))


def row_dot(row: Row, table: Table) -> Dot | None:
    """Return the dot of the average of `row`; None without an average."""
    if row.average is None:
        return None
    known = {cell.score.benchmark: cell.score for cell in row.cells if cell.score is not None}
    return mean_dot([known[name] for name in table.averaged], row.average)


def _group_dot(rows: Sequence[SampleScore]) -> Dot | None:
    if not rows:
        return None
    values, clusters = [row.value for row in rows], [row.cluster for row in rows]
    error = clustered_standard_error(values, clusters)
    return _dot(100 * mean(values), None if error is None else 100 * error, len(set(clusters)))


def _dot(value: float, error: float | None, clusters: int) -> Dot:
    """Return the dot of a score from 0 to 100, without an interval if none can be computed."""
    inside = score_interval(value / 100, None if error is None else error / 100, clusters)
    low, high = (value / 100, value / 100) if inside is None else inside
    return Dot(value, 100 * low, 100 * high)


def _drawn(
    lines: Sequence[Line], series: Sequence[str], title: str, caption: str, with_mean: bool = False
) -> Figure:
    """Draw `lines` from top to bottom; the mean is the last and has a rule above it."""
    each = 0.32 + 0.1 * max(len(series) - 2, 0)
    made = figure(7.2, 1.3 + each * (len(lines) + with_mean))
    axes = made.add_subplot()
    places = [float(index) for index in range(len(lines))]
    if with_mean:
        places[-1] += 0.7
    apart = min(_APART, _WIDEST / max(len(series) - 1, 1))
    for index in range(len(series)):
        shift = apart * (index - (len(series) - 1) / 2)
        known = [
            (place + shift, dot)
            for place, (_, dots) in zip(places, lines, strict=True)
            if (dot := dots[index]) is not None
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
    axes.set_yticks(places, distinct([name for name, _ in lines]))
    axes.set_ylim(places[-1] + 0.6, -0.6)
    all_dots = [dot for _, dots in lines for dot in dots if dot is not None]
    axes.set_xlim(*limits(all_dots, span=20, margin=0.03, beyond=1.5))
    axes.set_xlabel("score")
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    if with_mean:
        axes.axhline(places[-1] - 0.85, color=INK, linewidth=0.8, alpha=0.6)
    headed(made, title, caption, series)
    legend(made, axes, series)
    return made


def limits(
    dots: Sequence[Dot], *, span: float, margin: float, beyond: float
) -> tuple[float, float]:
    """Return the range of an axis of scores: at least `span` points, with a relative `margin`.

    It ends at most `beyond` points outside 0 to 100.
    """
    low, high = min(dot.low for dot in dots), max(dot.high for dot in dots)
    room = max(span - (high - low), 0.0) / 2 + margin * (high - low)
    return max(low - room, -beyond), min(high + room, 100 + beyond)

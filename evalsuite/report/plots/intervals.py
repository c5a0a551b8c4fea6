"""Every benchmark's score with its 95 % interval, for several checkpoints."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from matplotlib.figure import Figure

from evalsuite.report.format import counted
from evalsuite.report.model.table import Row, Table
from evalsuite.report.plots import dots
from evalsuite.report.plots.style import SERIES
from evalsuite.runs.records import Score
from evalsuite.stats import mean_standard_error
from evalsuite.stats.wilson import score_interval

ABOUT = "Bars: 95 % intervals, clustered by image or video."


def draw(table: Table) -> Figure | None:
    """Draw the benchmarks of `table` and their mean; None if no score has an interval."""
    rows, note = best_rows(table)
    lines = [
        _line(column.benchmark, [row.cells[index].score for row in rows])
        for index, column in enumerate(table.columns)
    ]
    lines = [line for line in lines if any(line.dots)]
    if not lines:
        return None
    over = ""
    if len(table.averaged) > 1:
        lines.append(dots.Line("mean", tuple(_mean(row, table) for row in rows), apart=True))
        if len(table.averaged) < len(table.columns):
            many = counted(len(table.averaged), "benchmark")
            over = f" Mean: over the {many} on which every checkpoint has a whole score."
    return dots.draw(lines, [row.label for row in rows], "Scores by benchmark", ABOUT + over + note)


def best_rows(table: Table) -> tuple[Sequence[Row], str]:
    """Return the rows of a plot, in order, and a note if some are left out."""
    if len(table.rows) <= SERIES:
        return table.rows, ""
    ranked = sorted(table.rows, key=lambda row: (row.average is None, -(row.average or 0.0)))
    kept = {id(row) for row in ranked[:SERIES]}
    note = f" The {SERIES} best of {len(table.rows)} checkpoints, by their mean."
    return [row for row in table.rows if id(row) in kept], note


def dot(value: float, error: float | None, clusters: int) -> dots.Dot:
    """Return the dot of a score from 0 to 100, without an interval if none can be computed."""
    inside = score_interval(value / 100, None if error is None else error / 100, clusters)
    low, high = (value / 100, value / 100) if inside is None else inside
    return dots.Dot(value, 100 * low, 100 * high)


def mean_dot(scores: Sequence[Score], average: float) -> dots.Dot:
    """Return the dot of the mean of `scores`, with the error that follows from theirs."""
    error = mean_standard_error([score.stderr for score in scores])
    return dot(average, error, sum(score.clusters for score in scores))


def named(benchmark: str, scores: Iterable[Score | None]) -> str:
    """Return `benchmark`, marked if a score is partial."""
    partial = any(score is not None and score.partial for score in scores)
    return f"{benchmark} (partial)" if partial else benchmark


def _line(benchmark: str, scores: Sequence[Score | None]) -> dots.Line:
    return dots.Line(named(benchmark, scores), tuple(map(_dot, scores)))


def _dot(score: Score | None) -> dots.Dot | None:
    return None if score is None else dot(score.value, score.stderr, score.clusters)


def _mean(row: Row, table: Table) -> dots.Dot | None:
    if row.average is None:
        return None
    return mean_dot(averaged_scores(row, table), row.average)


def averaged_scores(row: Row, table: Table) -> list[Score]:
    """Return the scores of `row` that are averaged."""
    known = {cell.score.benchmark: cell.score for cell in row.cells if cell.score is not None}
    return [known[name] for name in table.averaged]

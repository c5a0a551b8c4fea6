"""The plots of `evalsuite plot`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path

from matplotlib.figure import Figure

from evalsuite.comparison.learning_curves import Curves, LeftOut, alike, curves
from evalsuite.errors import UsageError, check_known
from evalsuite.report.model.table import Table, build
from evalsuite.report.plots import intervals, memory, steps
from evalsuite.report.plots.style import save, styled
from evalsuite.runs.records import FoundRun
from evalsuite.runs.storage import read_samples
from evalsuite.system.text import unique_slug

Say = Callable[[str], None]
Plots = Iterable[tuple[str, Figure | None]]
"""The end of the file's name, and the figure; None if there is nothing to draw."""
KINDS = ("memory", "steps", "intervals", "categories")


@styled()
def draw(runs: Sequence[FoundRun], directory: Path, only: Sequence[str], say: Say) -> list[Path]:
    """Draw pictures of `runs` into `directory`; returns the files.

    `say` is told which runs and pictures are left out. Raises `UsageError` for an unknown kind, for
    one in `only` that cannot be drawn, and if none can.
    """
    for kind in only:
        check_known("--only", kind, KINDS)
    made: list[Path] = []
    once = cache(say)  # each plot leaves out the same runs
    shared = cache(lambda: _table(runs, once))
    for kind in only or KINDS:
        try:
            if kind == "steps":
                found = curves(runs)
                _say_left_out(found.left_out, once)
                made += draw_curves(found, directory)
            elif kind == "memory":
                made += _saved(_memory(*shared()), directory)
            elif kind == "intervals":
                made += _saved([("intervals", intervals.draw(shared()[1]))], directory)
            else:
                made += _saved(_categories(*shared()), directory)
        except UsageError as error:
            if only or (kind == KINDS[-1] and not made):
                raise
            say(f"no plot of {kind}: {error}")
    return made


@styled()
def draw_curves(found: Curves, directory: Path) -> list[Path]:
    """Draw learning curves: their mean, and each benchmark."""
    return _saved(_steps(found), directory)


def _steps(found: Curves) -> Plots:
    yield "steps", steps.draw_mean(found)
    yield "steps-benchmarks", steps.draw_benchmarks(found)


def _memory(kept: Sequence[FoundRun], table: Table) -> Plots:
    made = memory.draw(memory.spots(table, kept), table.averaged)
    if made is None:
        raise UsageError(
            "no run has both a mean and its peak memory: runs need a common benchmark, and "
            "'evalsuite run' or 'evalsuite profile' on a device whose memory can be measured"
        )
    yield "memory", made


def _categories(kept: Sequence[FoundRun], table: Table) -> Plots:
    rows, note = intervals.best_rows(table)
    runs = [kept[[id(row) for row in table.rows].index(id(row))] for row in rows]
    none = True
    for column in table.columns:
        there = [
            (row.label, path)
            for row, found in zip(rows, runs, strict=True)
            if any(score.benchmark == column.benchmark for score in row.run.scores)
            if (path := found.samples(column.benchmark)).is_file()
        ]
        labels, samples = [label for label, _ in there], [read_samples(path) for _, path in there]
        made = intervals.draw_categories(column.benchmark, labels, samples, note)
        none = none and made is None
        yield f"categories-{unique_slug(column.benchmark)}", made
    if none:
        raise UsageError(
            "no run has a samples.jsonl with categories; name a run directory of 'evalsuite run'"
        )


def _table(runs: Sequence[FoundRun], say: Say) -> tuple[Sequence[FoundRun], Table]:
    """Return the comparable runs with scores, and their table."""
    left_out = [LeftOut(found, "no score yet") for found in runs if not found.run.scores]
    scored = [found for found in runs if found.run.scores]
    if not scored:
        raise UsageError("no run has a score yet; finish one with 'evalsuite run'")
    kept = alike(scored, left_out)
    _say_left_out(left_out, say)
    return kept, build([found.run for found in kept])


def _say_left_out(left_out: Sequence[LeftOut], say: Say) -> None:
    for item in left_out:
        say(f"left out: {item.run.run.checkpoint.name}: {item.why}")


def _saved(plots: Plots, directory: Path) -> list[Path]:
    return [
        path
        for name, made in plots
        if made is not None
        for path in save(made, directory, f"plot-{name}")
    ]

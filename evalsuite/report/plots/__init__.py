"""The plots of `evalsuite plot`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from matplotlib.figure import Figure

from evalsuite.comparison.learning_curves import Curves, LeftOut, alike, curves
from evalsuite.errors import UsageError, nearest
from evalsuite.report.model.table import Table, build
from evalsuite.report.plots import categories, intervals, memory, steps
from evalsuite.report.plots.style import save, styled
from evalsuite.runs.records import FoundRun
from evalsuite.runs.storage import read_samples
from evalsuite.system.text import unique_slug

Say = Callable[[str], None]
_Shared = tuple[Sequence[FoundRun], Table]
"""Comparable runs, and their table."""
KINDS = ("memory", "steps", "intervals", "categories")


def draw(runs: Sequence[FoundRun], directory: Path, only: Sequence[str], say: Say) -> list[Path]:
    """Draw pictures of `runs` into `directory`; returns the files.

    `say` is told which runs and pictures are left out. Raises `UsageError` for an unknown kind, for
    one in `only` that cannot be drawn, and if none can.
    """
    for kind in only:
        if kind not in KINDS:
            raise UsageError(
                f"--only {kind}: unknown{nearest(kind, KINDS)}; expected {', '.join(KINDS)}"
            )
    made: list[Path] = []
    told: set[str] = set()

    def once(line: str) -> None:  # each plot leaves out the same runs
        if line not in told:
            told.add(line)
            say(line)

    shared = cache(lambda: _table(runs, once))
    for kind in only or KINDS:
        try:
            if kind == "steps":
                found = curves(runs)
                _say_left_out(found.left_out, once)
                made += draw_curves(found, directory)
            else:
                made += _DRAWN[kind](shared(), directory)
        except UsageError as error:
            if only or (kind == KINDS[-1] and not made):
                raise
            say(f"no plot of {kind}: {error}")
    return made


def draw_curves(found: Curves, directory: Path) -> list[Path]:
    """Draw learning curves: their mean, and each benchmark."""
    with styled():
        made = _saved(steps.draw_mean(found), directory, "plot-steps")
        return made + _saved(steps.draw_benchmarks(found), directory, "plot-steps-benchmarks")


def _memory(shared: _Shared, directory: Path) -> list[Path]:
    kept, table = shared
    with styled():
        made = memory.draw(memory.spots(table, kept), table.averaged)
        if made is None:
            raise UsageError(
                "no run has both a mean and its peak memory: runs need a common benchmark, and "
                "'evalsuite run' or 'evalsuite profile' on a device whose memory can be measured"
            )
        return _saved(made, directory, "plot-memory")


def _intervals(shared: _Shared, directory: Path) -> list[Path]:
    _, table = shared
    with styled():
        return _saved(intervals.draw(table), directory, "plot-intervals")


def _categories(shared: _Shared, directory: Path) -> list[Path]:
    kept, table = shared
    rows, note = intervals.best_rows(table)
    places = [[id(row) for row in table.rows].index(id(row)) for row in rows]
    made: list[Path] = []
    with styled():
        for column in table.columns:
            having = [
                (row.label, kept[place].samples(column.benchmark))
                for row, place in zip(rows, places, strict=True)
                if any(s.benchmark == column.benchmark for s in row.run.scores)
            ]
            there = [(label, path) for label, path in having if path.is_file()]
            picture = categories.draw(
                column.benchmark,
                [label for label, _ in there],
                [read_samples(path) for _, path in there],
                note,
            )
            made += _saved(picture, directory, f"plot-categories-{unique_slug(column.benchmark)}")
    if not made:
        raise UsageError(
            "no run has a samples.jsonl with categories; name a run directory of 'evalsuite run'"
        )
    return made


_DRAWN = {
    "memory": _memory,
    "intervals": _intervals,
    "categories": _categories,
}


def _table(runs: Sequence[FoundRun], say: Say) -> _Shared:
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


def _saved(made: Figure | None, directory: Path, name: str) -> list[Path]:
    return [] if made is None else save(made, directory, name)

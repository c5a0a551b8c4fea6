"""Runs side by side as a table: a line a run, or a line a benchmark."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from evalsuite.report.format import ABSENT, FAILED, listed, plus_minus, points
from evalsuite.report.model import columns
from evalsuite.report.model.select import tables
from evalsuite.report.model.table import LEVEL, Average, BenchmarkColumn, Cell, PublishedRow, Table
from evalsuite.report.tables.grid import (
    STANDARD_ERROR,
    Entry,
    Grid,
    Heading,
    Line,
    entries,
    entry,
    heading,
)
from evalsuite.report.tables.run import detail
from evalsuite.runs.records import FoundRun
from evalsuite.system.text import counted


def report_grid(table: Table) -> Grid:
    """Lay out a single run with all its counts, or several runs side by side."""
    if len(table.rows) == 1 and table.published is None:
        return detail(table.rows[0].run, table.facts)
    return dataclasses.replace(across(table), transposed=down(table))


def summary(found: Sequence[FoundRun]) -> list[Grid]:
    """Lay out each run with all its counts, then several runs side by side."""
    together = [report_grid(table) for table in tables(found)] if len(found) > 1 else []
    return [*(detail(item.run) for item in found), *together]


def across(table: Table) -> Grid:
    """Lay out several runs: a line a run, a column a benchmark."""
    added = columns.run_columns(table.facts)
    return Grid(
        headings=(
            Heading("checkpoint", numeric=False, wraps=True),
            Heading("average"),
            *(Heading(s.title, group=s.modality, marks=s.marks) for s in slots(table)),
            *map(heading, added),
        ),
        lines=tuple(
            Line((
                Entry(row.label, row.marks),
                *scores(table, index),
                *(entry(column, columns.RunRecord(table, row)) for column in added),
            ))
            for index, row in enumerate(table.rows)
        ) + tuple(
            Line((Entry(row.label, row.marks), *_published(table, row),
                  *entries([ABSENT] * len(added))))
            for row in table.published or ()
        ),
        keys=2,
        best=about_best(table),
        remarks=(*remarks(table), f"prompts: {table.prompts}"),
        footnotes=table.footnotes,
    )  # fmt: skip


def down(table: Table) -> Grid:
    """Lay out several runs: a line a benchmark, a column a run."""
    published = table.published or ()
    cells = [scores(table, index) for index in range(len(table.rows))]
    cells += [_published(table, row) for row in published]
    added = columns.run_columns(table.facts)
    return Grid(
        headings=(
            Heading("benchmark", numeric=False, wraps=True),
            *(Heading(row.label, marks=row.marks) for row in table.rows),
            *(Heading(row.label, marks=row.marks) for row in published),
        ),
        lines=(
            *(
                Line((Entry(slot.title, slot.marks), *(c[index] for c in cells)), slot.modality)
                for index, slot in enumerate(slots(table), start=1)
            ),
            *(
                Line((
                    Entry(column.heading),
                    *(entry(column, columns.RunRecord(table, row)) for row in table.rows),
                    *entries([ABSENT] * len(published)),
                ), _RUN)
                for column in added
            ),
        ),
        summary=(Entry("average"), *(c[0] for c in cells)),
        best=about_best(table),
        remarks=(*remarks(table), f"prompts: {table.prompts}"),
        footnotes=table.footnotes,
    )  # fmt: skip


_RUN = "run"
"""Group of the rows about runs as a whole."""


def slots(table: Table) -> list[BenchmarkColumn | Average]:
    """Return the columns after the overall average; the average of a modality is first in it."""
    found: list[BenchmarkColumn | Average] = []
    for modality in dict.fromkeys(column.modality for column in table.columns):
        found += [each for each in table.averages if modality and each.modality == modality]
        found += [column for column in table.columns if column.modality == modality]
    return found


def scores(table: Table, index: int) -> tuple[Entry, ...]:
    """Return the fields of a run: the overall average and the `slots`."""
    row = table.rows[index]
    by_name = dict(zip((c.benchmark for c in table.columns), row.cells, strict=True))
    means = dict(zip(table.averages, row.averages, strict=True))
    numbers: list[BenchmarkColumn | Average] = [table.averages[0], *slots(table)]
    return tuple(
        of_average(means[slot], best=table.won(slot, index))
        if isinstance(slot, Average)
        else _cell(by_name[slot.benchmark], best=table.won(slot, index))
        for slot in numbers
    )


def _cell(cell: Cell, best: bool = False) -> Entry:
    return Entry(_shown(cell), cell.marks, cell.score.value if cell.score else None, best)


def _published(table: Table, row: PublishedRow) -> tuple[Entry, ...]:
    """Return the fields of a published model."""
    names = (column.benchmark for column in table.columns)
    by_name = dict(zip(names, zip(row.cells, row.cell_marks, strict=True), strict=True))
    means = dict(zip(table.averages, row.averages, strict=True))
    shown = []
    for slot in [table.averages[0], *slots(table)]:
        if isinstance(slot, Average):
            shown.append(of_average(means[slot]))
        else:
            reference, marks = by_name[slot.benchmark]
            value = None if reference is None else reference.score
            shown.append(Entry(points(value), marks, value))
    return tuple(shown)


def of_average(mean: float | None, best: bool = False) -> Entry:
    """Return the field of an average."""
    return Entry(points(mean), value=mean, best=best)


def about_best(table: Table) -> str:
    """Explain `Entry.best`, and list the columns that were not tested."""
    if table.contests is None:
        return ""
    tested = [contest for contest in table.contests if contest.p is not None]
    reasons: dict[str, list[str]] = {}
    for contest in table.contests:
        if contest.why_not:
            reasons.setdefault(contest.why_not, []).append(contest.slot.name)
    untested = [f"{listed(names)} ({why})" for why, names in reasons.items()]
    not_tested = f"; not tested: {'; '.join(untested)}" if untested else ""
    if not tested:
        return f"none{not_tested or ': no column has two scores to compare'}"
    return (
        "best of its column and significantly better than the second: paired test, clustered by "
        f"image or video (CR2), two-sided p below {LEVEL:g}, Holm-adjusted over "
        f"{counted(len(tested), 'column')}{not_tested}"
    )


def remarks(table: Table) -> tuple[str, ...]:
    """Return the remarks about the whole of `table`."""
    return (
        STANDARD_ERROR,
        table.about_average,
        *columns.remarks(table),
        *([] if table.published is None or table.published else
          ["published: no score of these benchmarks is in the benchmarks file"]),
    )  # fmt: skip


def _shown(cell: Cell) -> str:
    if cell.outcome is None:
        return ABSENT
    return FAILED if cell.score is None else plus_minus(cell.score)

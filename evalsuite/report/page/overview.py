"""index.html: runs side by side, a table a prompt profile."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from evalsuite.report.format import counted
from evalsuite.report.model.columns import RunRecord, run_columns
from evalsuite.report.model.table import BenchmarkColumn
from evalsuite.report.page.skeleton import Style, document
from evalsuite.report.page.subject import Group
from evalsuite.report.tables.grid import Grid, lay_out
from evalsuite.report.tables.runs import across, slots

TITLE = "Evaluation"
_RUN_COLUMNS = ("checkpoint", "parameters", "step", "digest", "dtype", "prompts", "limit", "date",
                "evalsuite")  # fmt: skip


def overview(style: Style, groups: Sequence[Group], notes: Sequence[str]) -> str:
    """Render the first page; `notes` are sentences about what is missing."""
    runs = sum(len(group.runs) for group in groups)
    benchmarks = {subject.name for group in groups for subject in group.subjects}
    return document(
        style,
        "overview.html.j2",
        TITLE,
        here="All runs",
        lead=f"{counted(runs, 'run')}, {counted(len(benchmarks), 'benchmark')}. "
        "Select a benchmark to see its categories and samples.",
        scores=[(group.table.prompts, _linked(group)) for group in groups],
        runs=lay_out(
            run_columns(_RUN_COLUMNS),
            [r for group in groups for r in _labelled(group)],
            name="Runs",
        ),
        notes=notes,
    )


def _linked(group: Group) -> Grid:
    """The runs side by side, each benchmark's heading leading to its page."""
    grid = across(group.table)
    slugs = {subject.name: subject.slug for subject in group.subjects}
    headings = list(grid.headings)
    for index, slot in enumerate(slots(group.table), start=grid.keys):
        if isinstance(slot, BenchmarkColumn):
            link = f"benchmarks/{slugs[slot.benchmark]}.html"
            headings[index] = dataclasses.replace(headings[index], link=link)
    return dataclasses.replace(grid, headings=tuple(headings))


def _labelled(group: Group) -> Iterator[RunRecord]:
    """Yield the runs of `group`, labelled as on the other pages."""
    for row, label in zip(group.table.rows, group.labels, strict=True):
        yield RunRecord(group.table, dataclasses.replace(row, label=label))

"""index.html: runs side by side, a table a prompt profile."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from evalsuite.report.format import counted, day, parameter_count, short
from evalsuite.report.model.column import Column as Spec
from evalsuite.report.model.table import Column
from evalsuite.report.page.skeleton import Style, document
from evalsuite.report.page.subject import Group
from evalsuite.report.tables.grid import Grid, lay_out
from evalsuite.report.tables.runs import across, slots
from evalsuite.runs.records import Run

TITLE = "Evaluation"


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
        runs=lay_out(_RUNS, [run for group in groups for run in _labelled(group)], name="Runs"),
        notes=notes,
    )


def _linked(group: Group) -> Grid:
    """The runs side by side, each benchmark's heading leading to its page."""
    grid = across(group.table)
    slugs = {subject.name: subject.slug for subject in group.subjects}
    headings = list(grid.headings)
    for index, slot in enumerate(slots(group.table), start=grid.keys):
        if isinstance(slot, Column):
            link = f"benchmarks/{slugs[slot.benchmark]}.html"
            headings[index] = dataclasses.replace(headings[index], link=link)
    return dataclasses.replace(grid, headings=tuple(headings))


def _labelled(group: Group) -> Iterator[_Run]:
    for found, label in zip(group.runs, group.labels, strict=True):
        yield _Run(label, group.table.prompts, found.run)


@dataclass(frozen=True, slots=True)
class _Run:
    label: str
    prompts: str
    run: Run


_RUNS: tuple[Spec[_Run], ...] = (
    Spec("checkpoint", "checkpoint", lambda r: r.label, numeric=False),
    Spec("parameters", "parameters", lambda r: r.run.checkpoint.parameters, parameter_count),
    Spec("step", "step", lambda r: r.run.checkpoint.step),
    Spec("digest", "digest", lambda r: short(r.run.checkpoint.digest), numeric=False),
    Spec("dtype", "dtype", lambda r: r.run.settings.get("dtype"), numeric=False),
    Spec("prompts", "prompts", lambda r: r.prompts, numeric=False),
    Spec("limit", "limit", lambda r: r.run.limit, numeric=False),
    Spec("finished", "finished", lambda r: day(r.run.finished), numeric=False),
    Spec("evalsuite", "evalsuite", lambda r: r.run.evalsuite, numeric=False),
)

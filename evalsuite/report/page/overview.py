"""index.html: runs side by side, a table a prompt profile."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from evalsuite.report.format import ABSENT, counted, day, parameter_count, short
from evalsuite.report.model.table import Column
from evalsuite.report.page.skeleton import Style, document
from evalsuite.report.page.subject import Group
from evalsuite.report.page.tables import number, table, words
from evalsuite.report.tables.grid import Grid, across, slots
from evalsuite.report.writers.html import grid_html

TITLE = "Evaluation"


def overview(style: Style, groups: Sequence[Group], told: str) -> str:
    """Draw the first page; `told` says what was left out or is large, if anything."""
    runs = sum(len(group.runs) for group in groups)
    benchmarks = {subject.name for group in groups for subject in group.subjects}
    parts = [
        f"<main>\n<h1>{TITLE}</h1>\n"
        f'<p class="lead">{counted(runs, "run")}, {counted(len(benchmarks), "benchmark")}. '
        "A benchmark’s name leads to its page.</p>\n",
        *(_section(group, alone=len(groups) == 1) for group in groups),
        f"<h2>Runs</h2>\n{_runs(groups)}",
        f'<p class="told">{told}</p>\n' if told else "",
        "</main>\n",
    ]
    return document(style, TITLE, "".join(parts), here="All runs")


def _section(group: Group, *, alone: bool) -> str:
    heading = "" if alone else f"<h2>Prompts: {words(group.table.prompts).markup}</h2>\n"
    return heading + grid_html(_linked(group))


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


def _runs(groups: Sequence[Group]) -> str:
    headings = [("checkpoint", False), ("parameters", True), ("step", True), ("digest", False),
                ("dtype", False), ("prompts", False), ("limit", False), ("finished", False),
                ("evalsuite", False)]  # fmt: skip
    rows = []
    for group in groups:
        for found, label in zip(group.runs, group.labels, strict=True):
            run = found.run
            checkpoint = run.checkpoint
            step = checkpoint.step
            rows.append([
                words(label),
                number(checkpoint.parameters, parameter_count(checkpoint.parameters)),
                number(step, str(step)),
                words(short(checkpoint.digest)),
                words(str(run.settings.get("dtype", ABSENT))),
                words(group.table.prompts),
                words(run.limit or ABSENT),
                words(day(run.finished)),
                words(run.evalsuite),
            ])  # fmt: skip
    return table("Runs", headings, rows)

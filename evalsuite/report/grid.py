"""What is shown, laid out as headings and lines; a renderer only has to draw it.

Texts in a grid are as they came from outside: how to make them safe is each renderer's business.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from evalsuite.report.table import (
    Cell,
    Column,
    Footnote,
    Notes,
    Row,
    Table,
    build,
    circumstances,
    outcome_marks,
)
from evalsuite.report.words import (
    ABSENT,
    FAILED,
    counted,
    listed,
    parameter_count,
    plus_minus,
    points,
    rate,
    short,
)
from evalsuite.results import Outcome, Run, Score

STANDARD_ERROR = "±: standard error, clustered by image or video"


@dataclass(frozen=True, slots=True)
class Entry:
    """One field of a grid."""

    text: str
    marks: tuple[str, ...] = ()
    value: float | None = None
    """What it is sorted by, where that is a number."""
    best: bool = False
    """Really better than the rest of its column, and shown so."""


@dataclass(frozen=True, slots=True)
class Heading:
    """What a column of the grid is about."""

    text: str
    numeric: bool = True
    """Set to the right, and never broken over lines."""
    wraps: bool = False
    """May be broken over lines where room is short."""
    group: str = ""
    """What several columns have in common."""
    marks: tuple[str, ...] = ()
    link: str = ""
    """Where a page leads from here: an address of ours, never one that came from outside."""


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the grid."""

    entries: tuple[Entry, ...]
    group: str = ""
    """What several rows, side by side, have in common."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A table ready to be drawn."""

    title: str = ""
    headings: tuple[Heading, ...]
    lines: tuple[Line, ...]
    summary: tuple[Entry, ...] | None = None
    """A last row, set apart from the others."""
    keys: int = 1
    """The leading columns, to be repeated where a grid is too wide for one piece."""
    remarks: tuple[str, ...] = ()
    footnotes: tuple[Footnote, ...] = ()

    @property
    def grouped_columns(self) -> bool:
        """Whether there are several groups of columns to tell apart."""
        return len({heading.group for heading in self.headings if heading.group}) > 1

    @property
    def grouped_lines(self) -> bool:
        """Whether there are several groups of lines to tell apart."""
        return len({line.group for line in self.lines if line.group}) > 1


def entries(texts: Iterable[str]) -> tuple[Entry, ...]:
    """Make a row of fields without marks."""
    return tuple(Entry(text) for text in texts)


def detail(run: Run) -> Grid:
    """Lay out one run: a line a benchmark, with all its counts."""
    notes = Notes()
    counts = [name for name in ("failed", "empty", "truncated", "unparsed")
              if any(getattr(score, name) for score in run.scores)]  # fmt: skip
    table = build([run])
    lines = tuple(
        Line(_detail_entries(cell.outcome, counts, notes), column.modality)
        for column, cell in zip(table.columns, table.rows[0].cells, strict=True)
        if cell.outcome is not None
    )
    mean = table.rows[0].average
    return Grid(
        title=_title(run),
        headings=(
            Heading("benchmark", numeric=False, wraps=True),
            *(Heading(text) for text in ("score", "±", "n", *counts, "samples/s")),
        ),
        lines=lines,
        summary=None if mean is None else entries(
            ["average", points(mean), *[""] * (3 + len(counts))]
        ),
        keys=3,
        remarks=(
            *(f"{meaning} {case}".strip() for meaning, case in circumstances(run)),
            *((STANDARD_ERROR, _about_average(run)) if run.scores else ()),
        ),
        footnotes=notes.footnotes(),
    )  # fmt: skip


def _about_average(run: Run) -> str:
    partial = [score.benchmark for score in run.scores if score.partial]
    said = counted(len(run.scores) - len(partial), "benchmark")
    without = f", without {listed(partial)}, of which a part is unscored" if partial else ""
    return f"average: mean over {said}, each counting the same{without}"


def _title(run: Run) -> str:
    checkpoint = run.checkpoint
    step = "" if checkpoint.step is None else f", step {checkpoint.step}"
    settings = ", ".join(f"{key} {run.settings[key]}" for key in ("dtype", "prompts")
                         if key in run.settings)  # fmt: skip
    return (
        f"{checkpoint.name} ({short(checkpoint.digest)}, "
        f"{parameter_count(checkpoint.parameters)} parameters{step}) {settings}"
    )


def _detail_entries(outcome: Outcome, counts: Sequence[str], notes: Notes) -> tuple[Entry, ...]:
    name = Entry(outcome.benchmark)
    marks = outcome_marks(outcome, notes, outcome.benchmark)
    if not isinstance(outcome, Score):
        return (name, Entry(FAILED, marks), *entries([ABSENT] * (3 + len(counts))))
    return (
        name,
        Entry(
            points(outcome.score) + (" partial" if outcome.partial else ""), marks, outcome.score
        ),
        Entry(points(outcome.stderr), value=outcome.stderr),
        *(_count(number) for number in (outcome.n, *(getattr(outcome, name) for name in counts))),
        Entry(rate(outcome.samples_per_second), value=outcome.samples_per_second),
    )


def _count(number: int) -> Entry:
    return Entry(str(number), value=number)


def across(table: Table) -> Grid:
    """Lay out several runs: a line a run, a column a benchmark."""
    return Grid(
        headings=(
            Heading("checkpoint", numeric=False, wraps=True),
            Heading("average"),
            *(Heading(c.benchmark, group=c.modality, marks=c.marks) for c in table.columns),
        ),
        lines=tuple(
            Line((Entry(row.label, row.marks), of_average(row), *cells(row))) for row in table.rows
        ),
        keys=2,
        remarks=(*remarks(table), f"prompts: {table.prompts}"),
        footnotes=table.footnotes,
    )


def down(table: Table) -> Grid:
    """Lay out several runs: a line a benchmark, a column a run."""
    rows = [cells(row) for row in table.rows]
    return Grid(
        headings=(
            Heading("benchmark", numeric=False, wraps=True),
            *(Heading(row.label, marks=row.marks) for row in table.rows),
        ),
        lines=tuple(
            Line((_benchmark(column), *(row[index] for row in rows)), column.modality)
            for index, column in enumerate(table.columns)
        ),
        summary=(Entry("average"), *map(of_average, table.rows)),
        remarks=(*remarks(table), f"prompts: {table.prompts}"),
        footnotes=table.footnotes,
    )


def cells(row: Row) -> tuple[Entry, ...]:
    """Return the scores of `row`, with their standard errors."""
    return tuple(
        Entry(_shown(cell), cell.marks, cell.score.score if cell.score else None)
        for cell in row.cells
    )


def of_average(row: Row) -> Entry:
    """Return the average of `row`."""
    return Entry(points(row.average), value=row.average)


def remarks(table: Table) -> tuple[str, ...]:
    """Say what holds for the whole of `table`."""
    return (STANDARD_ERROR, table.about_average)


def _benchmark(column: Column) -> Entry:
    return Entry(column.benchmark, column.marks)


def _shown(cell: Cell) -> str:
    if cell.outcome is None:
        return ABSENT
    return FAILED if cell.score is None else plus_minus(cell.score)

"""What is shown, laid out as headings and lines; a renderer only has to draw it.

Texts in a grid are as they came from outside: how to make them safe is each renderer's business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from evalsuite.report.format import ABSENT, FAILED, counted, listed, plus_minus, points
from evalsuite.report.model import columns as facts
from evalsuite.report.model.column import Column as Spec
from evalsuite.report.model.column import R
from evalsuite.report.model.notes import Footnote
from evalsuite.report.model.table import LEVEL, Average, Cell, Column, PublishedRow, Table

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
    link: str = ""
    """Address of a page of ours; only HTML has it."""
    interval: tuple[float, float] | None = None
    """Bounds around `value`, 0 to 100; HTML draws them."""


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
    name: str = "Scores"
    """What a screen reader calls it."""
    headings: tuple[Heading, ...]
    lines: tuple[Line, ...]
    summary: tuple[Entry, ...] | None = None
    """A last row, set apart from the others."""
    keys: int = 1
    """The leading columns, to be repeated where a grid is too wide for one piece."""
    best: str = ""
    """What it says of an entry that it is the best; empty if that is not looked into."""
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


def lay_out(
    columns: Sequence[Spec[R]],
    rows: Iterable[R],
    *,
    title: str = "",
    name: str = "Scores",
    group: Callable[[R], str] = lambda _: "",
    keys: int = 1,
    remarks: Sequence[str] = (),
    footnotes: Sequence[Footnote] = (),
) -> Grid:
    """Lay out `rows` as a table: a line a record, a column a `Column`.

    `group` names the group of a record. Notes of columns precede `remarks` below the table.
    """
    return Grid(
        title=title,
        name=name,
        headings=tuple(
            Heading(column.heading, column.numeric, column.wraps, column.group)
            for column in columns
        ),
        lines=tuple(Line(tuple(_entry(c, row) for c in columns), group(row)) for row in rows),
        keys=keys,
        remarks=(*(f"{c.heading}: {c.note}" for c in columns if c.note), *remarks),
        footnotes=tuple(footnotes),
    )


def _entry(column: Spec[R], row: R) -> Entry:
    value = column.value(row)
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return Entry(
        column.shown(row),
        column.marks(row),
        value if number else None,
        link=column.link(row),
        interval=column.interval(row),
    )


def entries(texts: Iterable[str]) -> tuple[Entry, ...]:
    """Make a row of fields without marks."""
    return tuple(Entry(text) for text in texts)


def across(table: Table) -> Grid:
    """Lay out several runs: a line a run, a column a benchmark."""
    said = [facts.FACTS[name] for name in table.facts]
    return Grid(
        headings=(
            Heading("checkpoint", numeric=False, wraps=True),
            Heading("average"),
            *(Heading(s.title, group=s.modality, marks=s.marks) for s in slots(table)),
            *(Heading(fact.heading, numeric=fact.numeric) for fact in said),
        ),
        lines=tuple(
            Line((
                Entry(row.label, row.marks),
                *scores(table, index),
                *(Entry(text, value=value) for text, value in (f.of(row, table) for f in said)),
            ))
            for index, row in enumerate(table.rows)
        ) + tuple(
            Line((Entry(row.label, row.marks), *_published(table, row),
                  *entries([ABSENT] * len(said))))
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
    columns = [scores(table, index) for index in range(len(table.rows))]
    columns += [_published(table, row) for row in published]
    said = [facts.FACTS[name] for name in table.facts]
    return Grid(
        headings=(
            Heading("benchmark", numeric=False, wraps=True),
            *(Heading(row.label, marks=row.marks) for row in table.rows),
            *(Heading(row.label, marks=row.marks) for row in published),
        ),
        lines=(
            *(
                Line((Entry(slot.title, slot.marks), *(c[index] for c in columns)), slot.modality)
                for index, slot in enumerate(slots(table), start=1)
            ),
            *(
                Line((
                    Entry(fact.heading),
                    *(Entry(text, value=value) for text, value in
                      (fact.of(row, table) for row in table.rows)),
                    *entries([ABSENT] * len(published)),
                ), _RUN)
                for fact in said
            ),
        ),
        summary=(Entry("average"), *(column[0] for column in columns)),
        best=about_best(table),
        remarks=(*remarks(table), f"prompts: {table.prompts}"),
        footnotes=table.footnotes,
    )  # fmt: skip


_RUN = "run"
"""Heads the lines about runs as a whole."""


def slots(table: Table) -> list[Column | Average]:
    """Return what has numbers besides the overall average; a modality's own average goes first."""
    found: list[Column | Average] = []
    for modality in dict.fromkeys(column.modality for column in table.columns):
        found += [each for each in table.averages if modality and each.modality == modality]
        found += [column for column in table.columns if column.modality == modality]
    return found


def scores(table: Table, index: int) -> tuple[Entry, ...]:
    """Return the average and the slots of a row of runs."""
    row = table.rows[index]
    by_name = dict(zip((c.benchmark for c in table.columns), row.cells, strict=True))
    means = dict(zip(table.averages, row.averages, strict=True))
    numbers: list[Column | Average] = [table.averages[0], *slots(table)]
    return tuple(
        of_average(means[slot], best=table.won(slot, index))
        if isinstance(slot, Average)
        else _cell(by_name[slot.benchmark], best=table.won(slot, index))
        for slot in numbers
    )


def _cell(cell: Cell, best: bool = False) -> Entry:
    return Entry(_shown(cell), cell.marks, cell.score.score if cell.score else None, best)


def _published(table: Table, row: PublishedRow) -> tuple[Entry, ...]:
    """The same of a row that somebody else published."""
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
    """Return an average as it is shown."""
    return Entry(points(mean), value=mean, best=best)


def about_best(table: Table) -> str:
    """Say what makes an entry the best of its column, and where that could not be told."""
    if table.contests is None:
        return ""
    tested = [contest for contest in table.contests if contest.p is not None]
    reasons: dict[str, list[str]] = {}
    for contest in table.contests:
        if contest.why_not:
            reasons.setdefault(contest.why_not, []).append(contest.slot.name)
    untold = [f"{listed(names)} ({why})" for why, names in reasons.items()]
    not_told = f"; not told of {'; '.join(untold)}" if untold else ""
    if not tested:
        return f"none{not_told or ', for no column has two scores to compare'}"
    return (
        "best of its column and better than the second in a paired test, clustered by image or "
        f"video (CR2), two-sided p below {LEVEL:g}, Holm-adjusted over "
        f"{counted(len(tested), 'column')}{not_told}"
    )


def remarks(table: Table) -> tuple[str, ...]:
    """Say what holds for the whole of `table`."""
    return (
        STANDARD_ERROR,
        table.about_average,
        *facts.remarks(table),
        *([] if table.published is None or table.published else
          ["published: no score of these benchmarks is in the benchmarks file"]),
    )  # fmt: skip


def _shown(cell: Cell) -> str:
    if cell.outcome is None:
        return ABSENT
    return FAILED if cell.score is None else plus_minus(cell.score)

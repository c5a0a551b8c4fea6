"""A table as headings and lines, before a writer draws it.

Texts in a grid are as they came from outside: each writer escapes them in its own way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from evalsuite.report.model.column import Column, R
from evalsuite.report.model.notes import Footnote

STANDARD_ERROR = "±: standard error, clustered by image or video"


@dataclass(frozen=True, slots=True)
class Entry:
    """One field of a grid."""

    text: str
    marks: tuple[str, ...] = ()
    value: float | None = None
    """The number behind the text, by which HTML sorts."""
    best: bool = False
    """Significantly better than the second of its column."""
    link: str = ""
    """Address of a page of ours; only HTML has it."""
    interval: tuple[float, float] | None = None
    """Bounds around `value`, 0 to 100; HTML draws them."""


@dataclass(frozen=True, slots=True)
class Heading:
    """The heading of a column."""

    text: str
    numeric: bool = True
    """Aligned right, and never broken over lines."""
    wraps: bool = False
    """May be broken over lines in a narrow terminal."""
    group: str = ""
    """Heading that several columns share."""
    marks: tuple[str, ...] = ()
    link: str = ""
    """Address of a page of ours; only HTML has it."""


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the grid."""

    entries: tuple[Entry, ...]
    group: str = ""
    """Heading that consecutive rows share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A table, its title, and what is written below it."""

    title: str = ""
    name: str = "Scores"
    """Name for screen readers."""
    headings: tuple[Heading, ...]
    lines: tuple[Line, ...]
    summary: tuple[Entry, ...] | None = None
    """A last row, separated by a rule."""
    keys: int = 1
    """The leading columns that each piece of a table repeats, if the table is too wide."""
    best: str = ""
    """The meaning of `Entry.best`; empty if the table has no tests."""
    remarks: tuple[str, ...] = ()
    footnotes: tuple[Footnote, ...] = ()
    transposed: Grid | None = None
    """The same with rows and columns exchanged, for a narrow terminal."""

    @property
    def grouped_columns(self) -> bool:
        """Whether there are several groups of columns."""
        return len({heading.group for heading in self.headings if heading.group}) > 1

    @property
    def grouped_lines(self) -> bool:
        """Whether there are several groups of lines."""
        return len({line.group for line in self.lines if line.group}) > 1


def lay_out(
    columns: Sequence[Column[R]],
    rows: Iterable[R],
    *,
    title: str = "",
    name: str = "Scores",
    group: Callable[[R], str] = lambda _: "",
    keys: int = 1,
    best: str = "",
    remarks: Sequence[str] = (),
    footnotes: Sequence[Footnote] = (),
    summary: R | None = None,
    more: Sequence[Line] = (),
) -> Grid:
    """Lay out `rows` as a table: a line a record, a column a `Column` that has a heading.

    `group` names the group of a record. `summary` is the record of the last row, below a rule;
    `more` are lines after those of `rows`. Notes of columns precede `remarks` below the table.
    """
    columns = [column for column in columns if column.heading]
    return Grid(
        title=title,
        name=name,
        headings=tuple(map(heading, columns)),
        lines=(
            *(Line(tuple(entry(c, row) for c in columns), group(row)) for row in rows),
            *more,
        ),
        summary=None if summary is None else tuple(entry(c, summary) for c in columns),
        keys=keys,
        best=best,
        remarks=(*(f"{c.heading}: {c.note}" for c in columns if c.note), *remarks),
        footnotes=tuple(footnotes),
    )


def heading(column: Column[R]) -> Heading:
    """Return the heading of a column."""
    return Heading(column.heading, column.numeric, column.wraps, column.group, column.heading_marks)


def entry(column: Column[R], row: R) -> Entry:
    """Return the field of a record in a column."""
    value = column.value(row)
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return Entry(
        column.shown(row),
        column.marks(row),
        value if number else None,
        column.best(row),
        link=column.link(row),
        interval=column.interval(row),
    )


def entries(texts: Iterable[str]) -> tuple[Entry, ...]:
    """Return fields without marks."""
    return tuple(Entry(text) for text in texts)

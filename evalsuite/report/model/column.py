"""Columns of a result: defined once, and written as a table, CSV, JSON or data frame."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from evalsuite.report.format import ABSENT

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Column(Generic[R]):
    """One column of a result whose records are of type `R`."""

    key: str
    """Name of the column in CSV, JSON and data frames; empty: only in tables."""
    heading: str
    """Name of the column in tables; empty: only in CSV, JSON and data frames."""
    value: Callable[[R], Any]
    """The value of a record: a number, a text, a truth value or None."""
    format: Callable[[Any], str] = str
    """The text of a value that is not None."""
    numeric: bool = True
    """Aligned right, and never broken over lines."""
    text: Callable[[R], str] | None = None
    """The text of a record, where it needs more than the value; replaces `format`."""
    marks: Callable[[R], tuple[str, ...]] = lambda _: ()
    """The footnote marks of a record."""
    best: Callable[[R], bool] = lambda _: False
    """Whether the field of a record is significantly the best of the column."""
    link: Callable[[R], str] = lambda _: ""
    """The address of a page of ours that a record's cell leads to in HTML."""
    interval: Callable[[R], tuple[float, float] | None] = lambda _: None
    """Bounds around the value, 0 to 100, that HTML draws."""
    wraps: bool = False
    """May be broken over lines in a narrow terminal."""
    group: str = ""
    """Heading that several columns share."""
    heading_marks: tuple[str, ...] = ()
    note: str = ""
    """Explanation of the column, written below a table."""

    def shown(self, record: R) -> str:
        """Return the text of `record` in a table."""
        if self.text is not None:
            return self.text(record)
        value = self.value(record)
        return ABSENT if value is None else self.format(value)


def to_records(columns: Sequence[Column[R]], rows: Iterable[R]) -> list[dict[str, Any]]:
    """Return the values of `rows`, one mapping a row, by the keys of `columns`."""
    keyed = [column for column in columns if column.key]
    return [{column.key: column.value(row) for column in keyed} for row in rows]

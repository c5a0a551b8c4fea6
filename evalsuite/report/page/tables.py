"""Tables of a page that hold more than a grid does: links, intervals drawn, remedies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evalsuite.report.format import ABSENT, points
from evalsuite.report.writers.html import escaped


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a table."""

    markup: str
    """Safe as it is: whoever makes it escapes what came from outside."""
    value: float | None = None
    """What it is sorted by, where that is a number."""
    number: bool = True
    """Set to the right."""


def words(text: str) -> Field:
    """A field of text, which is escaped here."""
    return Field(escaped(text), number=False)


def number(value: float | None, shown: str | None = None) -> Field:
    """A number in a field, as it is shown."""
    text = points(value) if shown is None else shown
    return Field(escaped(ABSENT if value is None else text), value)


def table(name: str, headings: Sequence[tuple[str, bool]], rows: Sequence[Sequence[Field]]) -> str:
    """Draw a table; a heading is its text and whether numbers stand below it.

    The first column says what a row is about. `name`, which is ours, is for screen readers.
    """
    head = "".join(
        f'<th scope="col"{_class(numeric)}>{escaped(text)}</th>' for text, numeric in headings
    )
    lines = "".join(f"<tr>{_line(row)}</tr>\n" for row in rows)
    return (
        f'<div class="grid"><div class="scroll" role="region" aria-label="{name}" tabindex="0">'
        "<table>\n"
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{lines}</tbody>\n</table></div></div>\n"
    )


def facts(pairs: Sequence[tuple[str, str]]) -> str:
    """Draw names and what they are, both texts, which are escaped here."""
    items = "".join(f"<div><dt>{escaped(k)}</dt><dd>{escaped(v)}</dd></div>" for k, v in pairs)
    return f'<dl class="facts">{items}</dl>\n'


def drawn(value: float, low: float, high: float) -> str:
    """Draw a score from 0 to 100 and its interval; the numbers stand beside it, as text."""
    # A point is two pixels, with room for the dot at both ends.
    x, left, right = (5 + 2 * at for at in (value, low, high))
    return (
        '<svg class="interval" width="210" height="14" viewBox="0 0 210 14" aria-hidden="true">'
        '<line class="scale" x1="5" x2="205" y1="7" y2="7"/>'
        f'<line class="reach" x1="{left:.1f}" x2="{right:.1f}" y1="7" y2="7"/>'
        f'<circle cx="{x:.1f}" cy="7" r="3"/></svg>'
    )


def _class(numeric: bool) -> str:
    return ' class="number"' if numeric else ""


def _line(row: Sequence[Field]) -> str:
    parts = []
    for index, field in enumerate(row):
        kind = 'th scope="row"' if index == 0 else "td"
        value = "" if field.value is None else f' data-sort="{field.value!r}"'
        parts.append(f"<{kind}{_class(field.number)}{value}>{field.markup}</{kind[:2]}>")
    return "".join(parts)

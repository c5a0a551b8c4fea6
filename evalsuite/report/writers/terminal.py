"""Tables for a terminal, and the same without colours for a pipe.

On a terminal a table fits the width: it is transposed, names are folded, or it is split into bands
of columns, but a number is never truncated. In a pipe it is as wide as its text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from evalsuite.report.format import FAILED, OTHER, visible
from evalsuite.report.tables.grid import Entry, Grid, Heading, Line

_GAP = 2
"""Spaces between columns."""
_FOLDED = 20
"""Smallest width of a folded column."""
_LONGEST = 30
"""Most characters of a heading on one line."""
_INDENT = "  "
BEST = "*"
"""Mark of the best of a column, which is also bold."""


def can_draw(console: Console) -> bool:
    """Whether progress bars can be drawn on `console`."""
    # rich takes FORCE_COLOR for a terminal; a log with colours is no terminal.
    return console.is_interactive and console.file.isatty()


def print_grids(grids: Sequence[Grid], console: Console | None = None) -> None:
    """Print `grids`, by default to standard output."""
    console = console or Console()
    for grid in grids:
        print_grid(grid, console)


def print_grid(grid: Grid, console: Console) -> None:
    """Print `grid` with its title, remarks and footnotes; transposed if only that fits."""
    other = grid.transposed
    room = console.width
    if other and console.is_terminal and _least_width(grid) > room >= _least_width(other):
        grid = other
    if grid.title:
        _print_line(grid.title, console, style="bold")
    if grid.lines or not grid.title:
        _print_table(grid, console)
    if grid.best:
        _print_line(f"{BEST}  {grid.best}", console, style="dim")
    for remark in grid.remarks:
        _print_line(remark, console, style="dim")
    for note in grid.footnotes:
        _print_line(f"{note.mark}  {note.text}", console)
    console.print()


def _print_table(grid: Grid, console: Console) -> None:
    if console.is_terminal:
        for position, band in enumerate(_bands(grid, console.width)):
            if position:
                console.print()
            # The group is shown even if all columns of a band have the same.
            console.print(_drawn(band, console.width, grouped=grid.grouped_columns))
    else:
        width = sum(_widths(grid)) + _GAP * (len(grid.headings) - 1)
        drawn = _drawn(grid, width, grouped=grid.grouped_columns)
        drawn.width = width
        console.print(drawn, crop=False)


def _print_line(line: str, console: Console, style: str = "") -> None:
    # In a pipe, for grep, lines are not wrapped.
    text = Text(visible(line), style=style)
    console.print(text, soft_wrap=not console.is_terminal)


def _drawn(grid: Grid, room: int, *, grouped: bool) -> RichTable:
    first, *others = _widths(grid)
    first = min(first, max(_FOLDED, room - sum(others) - _GAP * len(others)))
    table = RichTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    padding = [_mark_width(_column(grid, index)) for index in range(len(grid.headings))]
    for heading, width in zip(grid.headings, padding, strict=True):
        table.add_column(
            _heading(heading, width, grouped=grouped),
            justify="right" if heading.numeric else "left",
            no_wrap=not heading.wraps,
            overflow="fold",
        )
    group = None
    for line in grid.lines:
        if grid.grouped_lines and line.group != group:
            table.add_row(Text(line.group or OTHER, style="dim"))
        group = line.group
        table.add_row(*_fields(line.entries, padding, grid, first, indent=grid.grouped_lines))
    if grid.summary is not None:
        table.add_section()
        table.add_row(*_fields(grid.summary, padding, grid, first, indent=False), style="bold")
    return table


def _fields(
    entries: Sequence[Entry], padding: Sequence[int], grid: Grid, first: int, *, indent: bool
) -> Iterator[Text]:
    for position, (entry, width, heading) in enumerate(
        zip(entries, padding, grid.headings, strict=True)
    ):
        before = _INDENT if indent and position == 0 else ""
        text = visible(entry.text)
        if position == 0 and heading.wraps:
            text = broken(text, first - len(before)).replace("\n", f"\n{before}")
        yield Text.assemble(
            before,
            (text, _style(entry)),
            (_marks(marks(entry), width if heading.numeric else 0), "cyan"),
        )


def _style(entry: Entry) -> str:
    if entry.best:
        return "bold green"
    return "red" if entry.text == FAILED else ""


def marks(entry: Entry) -> tuple[str, ...]:
    """Return the marks of a field, `BEST` first."""
    return (BEST, *entry.marks) if entry.best else entry.marks


def _heading(heading: Heading, width: int, *, grouped: bool) -> Text:
    blank = " " * width if heading.numeric and not heading.marks else ""
    text = Text.assemble(_folded(visible(heading.text)), (_marks(heading.marks, 0), "cyan"), blank)
    if heading.group and grouped:
        text.append(f"\n{heading.group}{blank}", style="dim")
    return text


def _folded(name: str) -> str:
    """Return a long name on several lines."""
    return "\n".join(name[i : i + _LONGEST] for i in range(0, len(name), _LONGEST))


def broken(name: str, width: int) -> str:
    """Return a name on lines of `width`, broken between words if possible."""
    lines = [""]
    for word in re.findall(r"[^-_/.\s]*[-_/.\s]*", name):
        if lines[-1] and cell_len(lines[-1] + word.rstrip()) > width:
            lines.append("")
        lines[-1] += word
    return "\n".join(line.rstrip() for line in lines)


def _marks(marks: Sequence[str], width: int) -> str:
    return (" " + ",".join(marks) if marks else "").ljust(width)


def _mark_width(entries: Sequence[Entry]) -> int:
    """Return the width of the marks of a column, so that its numbers are aligned."""
    return max((len(_marks(marks(entry), 0)) for entry in entries), default=0)


def _column(grid: Grid, index: int) -> list[Entry]:
    rows = [line.entries for line in grid.lines] + ([grid.summary] if grid.summary else [])
    return [entries[index] for entries in rows]


def _widths(grid: Grid) -> list[int]:
    """Return the widths of the columns without folding."""
    widths = []
    for index, heading in enumerate(grid.headings):
        entries = _column(grid, index)
        padding = _mark_width(entries)
        texts = [visible(entry.text) + " " * padding for entry in entries]
        if index == 0 and grid.grouped_lines:
            texts = [_INDENT + text for text in texts] + [
                line.group or OTHER for line in grid.lines
            ]
        head = _heading(heading, padding, grouped=grid.grouped_columns).plain.splitlines()
        widths.append(max(map(cell_len, [*texts, *head]), default=0))
    return widths


def _least_width(grid: Grid) -> int:
    return sum(_least_widths(grid)) + _GAP * (len(grid.headings) - 1)


def _least_widths(grid: Grid) -> list[int]:
    """Return the widths of the columns with folding."""
    return [
        min(width, _FOLDED) if heading.wraps else width
        for heading, width in zip(grid.headings, _widths(grid), strict=True)
    ]


def _bands(grid: Grid, room: int) -> Iterator[Grid]:
    """Split the columns of `grid` into bands of width `room`, each with the key columns."""
    widths = [width + _GAP for width in _least_widths(grid)]
    keys = list(range(grid.keys))
    band: list[int] = []
    for index in range(grid.keys, len(widths)):
        taken = sum(widths[i] for i in [*keys, *band, index]) - _GAP
        if band and taken > room:
            yield _columns(grid, [*keys, *band])
            band = []
        band.append(index)
    yield _columns(grid, [*keys, *band])


def _columns(grid: Grid, kept: Sequence[int]) -> Grid:
    return Grid(
        headings=tuple(grid.headings[i] for i in kept),
        lines=tuple(Line(tuple(line.entries[i] for i in kept), line.group) for line in grid.lines),
        summary=None if grid.summary is None else tuple(grid.summary[i] for i in kept),
        keys=grid.keys,
    )

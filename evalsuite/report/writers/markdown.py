"""Tables as GitHub's markdown; texts are escaped, so that none is markup."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tabulate import tabulate

from evalsuite.report.format import visible
from evalsuite.report.tables.grid import Entry, Grid, Heading

_SPECIAL = re.compile(r"([\\`*_\[\]<>|~$&#]|(?<=:)/(?=/)|(?<=www)\.)", re.IGNORECASE)
"""What means something; also what makes GitHub take a name for an address."""


def grid_markdown(grid: Grid, *, compact: bool = False) -> str:
    """Render `grid` with its title above, its remarks and footnotes beneath.

    Columns are aligned in the source unless `compact`; an aligned column changes in every line
    when a name becomes longer.
    """
    beneath = [f"**bold**: {escaped(grid.best)}"] if grid.best else []
    beneath += [*map(escaped, grid.remarks)]
    beneath += [f"{_superscript([note.mark])} {escaped(note.text)}" for note in grid.footnotes]
    parts = [
        f"**{escaped(grid.title).strip()}**" if grid.title else "",
        _table(grid, compact),
        "\n".join(f"- {line}" for line in beneath),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def escaped(text: str) -> str:
    """Escape `text` so that markdown shows it as it is."""
    return _SPECIAL.sub(r"\\\1", visible(text))


def _table(grid: Grid, compact: bool) -> str:
    """Draw the rows; several groups of rows become a column."""
    rows = [[_field(entry) for entry in line.entries] for line in grid.lines]
    headings = [_heading(heading, grid) for heading in grid.headings]
    alignment = ["right" if heading.numeric else "left" for heading in grid.headings]
    if grid.summary is not None:
        rows.append([_field(entry) for entry in grid.summary])
    if grid.grouped_lines:
        groups = [*(line.group for line in grid.lines), ""]
        for row, group in zip(rows, groups, strict=False):
            row.insert(1, escaped(group))
        headings.insert(1, "modality")
        alignment.insert(1, "left")
    if compact:
        rules = ["--:" if side == "right" else ":--" for side in alignment]
        return "\n".join(f"| {' | '.join(row)} |" for row in (headings, rules, *rows))
    return tabulate(rows, headings, tablefmt="pipe", disable_numparse=True, colalign=alignment)


def _heading(heading: Heading, grid: Grid) -> str:
    group = f" ({escaped(heading.group)})" if heading.group and grid.grouped_columns else ""
    return escaped(heading.text) + group + _superscript(heading.marks)


def _field(entry: Entry) -> str:
    text = escaped(entry.text).strip()
    text = f"**{text}**" if entry.best and text else text
    return f"{text} {_superscript(entry.marks)}".strip()


def _superscript(marks: Sequence[str]) -> str:
    return f"<sup>{','.join(marks)}</sup>" if marks else ""

"""Reports as HTML: pages that need nothing else and run nothing.

Whatever came from outside is escaped, control characters and the like included; a content security
policy allows no script and no style but ours, should anything slip through.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Iterator, Sequence
from itertools import groupby

from evalsuite.report.format import OTHER, visible
from evalsuite.report.tables.grid import Entry, Grid, Heading, Line

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #ffffff; --faint: #59636e;
  --rule: #d1d9e0; --shade: #f3f5f8; --accent: #0757b8; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ed; --paper: #14171b; --faint: #9aa5b1;
  --rule: #363d46; --shade: #1e2329; --accent: #7ab7ff; --bad: #ff9d94; } }
body { margin: 2rem auto; max-width: 96rem; padding: 0 1.25rem; background: var(--paper);
  color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.4rem; }
a { color: var(--accent); }
.grid { margin: 0 0 2.5rem; }
.grid .scroll { overflow-x: auto; }
.grid table { width: max-content; border-collapse: separate; border-spacing: 0;
  font-variant-numeric: tabular-nums; }
.grid caption { padding-bottom: .5rem; text-align: start; font-weight: 600; }
.grid th, .grid td { padding: .3125rem .75rem; border-bottom: 1px solid var(--rule);
  max-width: min(26rem, 70vw); text-align: start; vertical-align: baseline; font-weight: 400;
  unicode-bidi: isolate; overflow-wrap: anywhere; }
.grid thead th { vertical-align: bottom; font-weight: 600; }
.grid th[scope="row"], .grid thead tr:first-child th:first-child { position: sticky;
  z-index: 1; inset-inline-start: 0; max-width: min(22rem, 40vw); background: var(--paper); }
.grid thead .group, .grid tbody .group { color: var(--faint); font-weight: 400; }
.grid .number { text-align: end; white-space: nowrap; overflow-wrap: normal; }
.grid thead .number { max-width: 12rem; white-space: normal; overflow-wrap: anywhere; }
.grid tbody tr:hover > * { background: var(--shade); }
.grid tfoot > tr > * { border-top: 2px solid var(--rule); font-weight: 600; }
.grid strong { font-weight: 700; }
.grid sup { margin-inline-start: .15em; color: var(--accent); line-height: 1; }
.grid ul { margin: .75rem 0 0; padding: 0; color: var(--faint); font-size: .875rem;
  list-style: none; }
.grid li { max-width: 75rem; overflow-wrap: anywhere; unicode-bidi: isolate; }
"""
POLICY = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    + "'"
)
"""What a page may load or run: `STYLE`, nothing else."""


def document(title: str, body: str, *, head: str = "", policy: str = POLICY) -> str:
    """Return a whole page about `title`, which is escaped here; `body` and `head` are markup.

    A `head` that brings styles or scripts of its own needs a `policy` that allows them.
    """
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{escaped(policy)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{escaped(title)}</title>
<style>{STYLE}</style>
{head}</head>
<body>
{body}</body>
</html>
"""


def escaped(text: str) -> str:
    """Escape `text` for element content and quoted attributes, on one line."""
    return html.escape(visible(text))


def grid_html(grid: Grid) -> str:
    """Draw `grid` as a table with its title, remarks and footnotes."""
    beneath = [f"<li><strong>bold</strong>: {escaped(grid.best)}</li>"] if grid.best else []
    beneath += [f"<li>{escaped(remark)}</li>" for remark in grid.remarks]
    beneath += [
        f"<li>{_superscript([note.mark])} {escaped(note.text)}</li>" for note in grid.footnotes
    ]
    caption = f"<caption>{escaped(grid.title)}</caption>\n" if grid.title else ""
    notes = "<ul>\n" + "\n".join(beneath) + "\n</ul>\n" if beneath else ""
    return (
        '<div class="grid">\n'
        # Whoever has no mouse scrolls it with the arrow keys, once it has the focus.
        '<div class="scroll" role="region" aria-label="Scores" tabindex="0">\n'
        f"<table>\n{caption}<thead>\n{_head(grid)}</thead>\n{_bodies(grid)}{_foot(grid)}</table>\n"
        f"</div>\n{notes}</div>\n"
    )


def _head(grid: Grid) -> str:
    """One row of headings, or two where columns have groups to tell apart."""
    if not grid.grouped_columns:
        return _row(_heading(heading) for heading in grid.headings)
    above: list[str] = []
    for group, members in groupby(grid.headings, key=lambda heading: heading.group):
        headings = list(members)
        if group:
            above.append(
                f'<th scope="colgroup" colspan="{len(headings)}" class="group">'
                f"{escaped(group)}</th>"
            )
        else:
            above += [_heading(heading, rows=2) for heading in headings]
    return _row(above) + _row(_heading(heading) for heading in grid.headings if heading.group)


def _heading(heading: Heading, rows: int = 1) -> str:
    span = f' rowspan="{rows}"' if rows > 1 else ""
    text = escaped(heading.text)
    if heading.link:
        text = f'<a href="{escaped(heading.link)}">{text}</a>'
    number = ' class="number"' if heading.numeric else ""
    return f'<th scope="col"{span}{number}>{text}{_superscript(heading.marks)}</th>'


def _bodies(grid: Grid) -> str:
    """The lines; those of one group are a body of their own, below its name."""
    if not grid.grouped_lines:
        return f"<tbody>\n{_rows(grid.lines, grid)}</tbody>\n"
    bodies = []
    for group, lines in groupby(grid.lines, key=lambda line: line.group):
        name = (
            f'<th scope="rowgroup" colspan="{len(grid.headings)}" class="group">'
            f"{escaped(group or OTHER)}</th>"
        )
        bodies.append(f"<tbody>\n{_row([name])}{_rows(list(lines), grid)}</tbody>\n")
    return "".join(bodies)


def _rows(lines: Sequence[Line], grid: Grid) -> str:
    return "".join(_row(_fields(line.entries, grid)) for line in lines)


def _foot(grid: Grid) -> str:
    if grid.summary is None:
        return ""
    return f"<tfoot>\n{_row(_fields(grid.summary, grid))}</tfoot>\n"


def _fields(entries: Sequence[Entry], grid: Grid) -> Iterator[str]:
    for index, (entry, heading) in enumerate(zip(entries, grid.headings, strict=True)):
        number = ' class="number"' if heading.numeric else ""
        value = "" if entry.value is None else f' data-sort="{entry.value!r}"'
        text = escaped(entry.text)
        text = f"<strong>{text}</strong>" if entry.best else text
        # The first says what the line is about.
        kind = 'th scope="row"' if index == 0 else "td"
        yield f"<{kind}{number}{value}>{text}{_superscript(entry.marks)}</{kind[:2]}>"


def _row(fields: Iterator[str] | Sequence[str]) -> str:
    return "<tr>" + "".join(fields) + "</tr>\n"


def _superscript(marks: Sequence[str]) -> str:
    return f"<sup>{escaped(','.join(marks))}</sup>" if marks else ""

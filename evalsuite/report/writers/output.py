"""A result in the format that was asked for, printed or written to a file."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from evalsuite.report.tables.grid import Grid
from evalsuite.system.files import write_output


def write_grids(
    grids: Sequence[Grid],
    form: str,
    output: Path | None,
    data: Mapping[str, Callable[[], str]],
) -> None:
    """Write `grids` as table, markdown or html to `output`, or to standard output if it is None.

    `data` has a function for each format for programs, such as csv and json.
    """
    if output is None and form == "table":
        from evalsuite.report.writers.terminal import print_grids

        print_grids(grids)
    else:
        put(_text(grids, form, data), output)


def put(text: str, output: Path | None) -> None:
    """Write `text` to `output`, or to standard output if it is None."""
    if output is None:
        sys.stdout.write(text)
    else:
        write_output(output, text)


def _text(grids: Sequence[Grid], form: str, data: Mapping[str, Callable[[], str]]) -> str:
    # Each writer is imported only if it is used: some take a tenth of a second.
    if form in data:
        return data[form]()
    if form == "markdown":
        from evalsuite.report.writers.markdown import grid_markdown

        return "\n".join(map(grid_markdown, grids))
    if form == "html":
        from evalsuite.report.writers.html import document

        return document("evalsuite report", grids)
    from rich.console import Console

    from evalsuite.report.writers.terminal import print_grids

    text = io.StringIO()
    # A file has no colours, whatever FORCE_COLOR says.
    print_grids(grids, Console(file=text, force_terminal=False, no_color=True))
    return text.getvalue()

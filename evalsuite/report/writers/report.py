"""A report in the form that was asked for, printed or into a file."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from evalsuite.report.model.select import NOTHING, Wanted, grid, tables
from evalsuite.report.model.table import Table
from evalsuite.report.writers.output import check_format, put
from evalsuite.runs.records import FoundRun

FORMATS = ("table", "markdown", "html", "csv", "json")


def write(
    found: Sequence[FoundRun], form: str, output: Path | None, wanted: Wanted = NOTHING
) -> None:
    """Write the runs `found` to `output`, or to standard output if it is None.

    Raises `UsageError` for an unknown form.
    """
    check_format(form, FORMATS)
    made = tables(found, wanted)
    if output is None and form == "table":
        _print(made, None)
    else:
        put(_rendered(made, form), output)


def _rendered(made: Sequence[Table], form: str) -> str:
    # Only the form that is asked for is paid for.
    if form == "markdown":
        from evalsuite.report.writers.markdown import markdown

        return markdown(made)
    if form == "html":
        from evalsuite.report.writers.html import document

        return document("evalsuite report", [grid(table) for table in made])
    if form == "csv":
        from evalsuite.report.writers.csv import to_csv

        return to_csv(made)
    if form == "json":
        from evalsuite.report.writers.json import to_json

        return to_json(made)
    text = io.StringIO()
    _print(made, text)
    return text.getvalue()


def _print(made: Sequence[Table], file: io.StringIO | None) -> None:
    from rich.console import Console

    from evalsuite.report.writers.terminal import print_reports

    # A file gets no colours, whatever FORCE_COLOR says.
    console = Console() if file is None else Console(file=file, force_terminal=False, no_color=True)
    print_reports(made, console)

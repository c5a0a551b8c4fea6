"""A report in the form that was asked for, printed or into a file."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from pathlib import Path

from evalsuite.errors import UsageError, nearest
from evalsuite.files import write_atomically
from evalsuite.results import Run

FORMATS = ("table", "markdown", "json")


def write(runs: Sequence[Run], form: str, output: Path | None) -> None:
    """Write `runs` to `output`, or to standard output if it is None.

    Raises `UsageError` for an unknown form.
    """
    if form not in FORMATS:
        raise UsageError(
            f"--format {form}: unknown{nearest(form, FORMATS)}; expected {', '.join(FORMATS)}"
        )
    if output is not None:
        write_atomically(output, _rendered(runs, form))
    elif form == "table":
        _print(runs, None)
    else:
        sys.stdout.write(_rendered(runs, form))


def _rendered(runs: Sequence[Run], form: str) -> str:
    # Only the form that is asked for is paid for.
    if form == "markdown":
        from evalsuite.report.markdown import markdown

        return markdown(runs)
    if form == "json":
        from evalsuite.report.plain import to_json

        return to_json(runs)
    text = io.StringIO()
    _print(runs, text)
    return text.getvalue()


def _print(runs: Sequence[Run], file: io.StringIO | None) -> None:
    from rich.console import Console

    from evalsuite.report.text import print_reports

    # A file gets no colours, whatever FORCE_COLOR says.
    console = Console() if file is None else Console(file=file, force_terminal=False, no_color=True)
    print_reports(runs, console)

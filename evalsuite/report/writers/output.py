"""The form a report is written in, and where it goes."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from evalsuite.errors import UsageError, nearest
from evalsuite.report.tables.grid import Grid
from evalsuite.system.files import write_atomically


def check_format(form: str, known: Sequence[str]) -> None:
    """Raise `UsageError` for a form that is not `known`."""
    if form not in known:
        raise UsageError(
            f"--format {form}: unknown{nearest(form, known)}; expected {', '.join(known)}"
        )


def write_grids(
    grids: Sequence[Grid], form: str, output: Path | None, plain: Mapping[str, Callable[[], str]]
) -> None:
    """Write `grids` as a table or markdown to `output`, or to standard output if it is None.

    In the forms of `plain`, those for programs, what these functions return is written instead.
    """
    # Only the form that is asked for is paid for.
    if form in plain:
        put(plain[form](), output)
    elif form == "markdown":
        from evalsuite.report.writers.markdown import grid_markdown

        put("\n".join(grid_markdown(grid) for grid in grids), output)
    else:
        from evalsuite.report.writers.terminal import print_grids

        if output is None:
            print_grids(grids)
        else:
            text = io.StringIO()
            print_grids(grids, text)
            put(text.getvalue(), output)


def put(text: str, output: Path | None) -> None:
    """Write `text` to `output`, or to standard output if it is None."""
    if output is None:
        sys.stdout.write(text)
    else:
        write_atomically(output, text)

"""The command `page`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evalsuite.cli.app import app, note
from evalsuite.cli.options import ResultsDir, Runs, to

LARGE_BYTES = 500_000_000
"""A larger page gets a note."""


@app.command(rich_help_panel="Show")
def page(
    runs: Runs = None,
    output: Annotated[
        Path | None, to("The folder of the page. \\[default: page in the results]", "DIR")
    ] = None,
    images: Annotated[
        str,
        typer.Option(
            help="thumbnails (small copies in the folder), reference (links to the original "
            "files) or none."
        ),
    ] = "thumbnails",
    output_dir: ResultsDir = Path("results"),
) -> None:
    """Write a folder of HTML pages with tables and every sample.

    The pages open from disk, without a server or a network (docs/reference/page.md). An existing
    page in the folder is replaced.
    """
    from rich.console import Console
    from rich.filesize import decimal as size

    from evalsuite.report.page.write import write
    from evalsuite.report.progress.steps import bar
    from evalsuite.runs.find import find
    from evalsuite.system.text import counted

    with bar(Console(stderr=True)) as steps:
        written = write(find(runs or [], output_dir), output or output_dir / "page", images, steps)
    if written.missing:
        lost = counted(written.missing, "image")
        note(f"{lost} cannot be shown: the files were removed or cannot be read")
    if written.bytes > LARGE_BYTES:
        note("the page is large; --images reference or --images none makes it smaller")
    print(f"{written.index}: {counted(written.samples, 'sample')}, {size(written.bytes)}")

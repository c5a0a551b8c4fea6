"""The command `list`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evalsuite.cli.app import app
from evalsuite.cli.options import BenchmarksFile, ResultsDir


@app.command(name="list", rich_help_panel="Show")
def list_(
    what: Annotated[
        str, typer.Argument(metavar="[benchmarks|suites|runs]", help="What to list.")
    ] = "benchmarks",
    output_dir: ResultsDir = Path("results"),
    benchmarks_file: BenchmarksFile = None,
) -> None:
    """List the benchmarks, the suites or the runs."""
    from evalsuite.report.tables import listing
    from evalsuite.report.writers.terminal import print_grids

    print_grids([listing.grid(what, output_dir, benchmarks_file)])

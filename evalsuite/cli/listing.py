"""The command `list`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evalsuite.cli.app import app
from evalsuite.cli.options import BenchmarksFile, Format, Output, ResultsDir


@app.command(name="list", rich_help_panel="Show")
def list_(
    what: Annotated[
        str, typer.Argument(metavar="[benchmarks|suites|runs]", help="What to list.")
    ] = "benchmarks",
    format_: Format = "table",
    output: Output = None,
    output_dir: ResultsDir = Path("results"),
    benchmarks_file: BenchmarksFile = None,
) -> None:
    """List the benchmarks, the suites or the runs."""
    from evalsuite.report.model.column import to_records
    from evalsuite.report.tables.listing import listing
    from evalsuite.report.writers.csv import to_csv
    from evalsuite.report.writers.output import write_grids
    from evalsuite.system.files import to_json_text

    found = listing(what, output_dir, benchmarks_file)
    data = {
        "csv": lambda: to_csv(found.columns, found.rows),
        "json": lambda: to_json_text(to_records(found.columns, found.rows)),
    }
    write_grids([found.grid], format_, output, data)

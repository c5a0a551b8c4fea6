"""The command `report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evalsuite.cli.app import app
from evalsuite.cli.options import BenchmarksFile, Output, ResultsDir, Runs

FORMATS = ("table", "markdown", "html", "csv", "json")


@app.command(rich_help_panel="Show")
def report(
    runs: Runs = None,
    format_: Annotated[
        str, typer.Option("--format", help="table, markdown, html, csv or json.")
    ] = "table",
    output: Output = None,
    columns: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Additional columns, separated by commas: memory, speed, parameters, step, "
            "digest, dtype, evalsuite, date.",
        ),
    ] = None,
    reference: Annotated[
        bool, typer.Option("--reference", help="Also show published reference scores.")
    ] = False,
    benchmarks_file: BenchmarksFile = None,
    output_dir: ResultsDir = Path("results"),
) -> None:
    """Show the scores of one run, or of several runs side by side.

    The best score of a column is bold (or has a *) only if a paired test shows that it is better
    than the second best (docs/reference/reports.md).
    """
    from evalsuite.report.model import columns as known
    from evalsuite.report.model import select
    from evalsuite.report.tables.runs import report_grid
    from evalsuite.report.writers.csv import to_csv
    from evalsuite.report.writers.json import to_json
    from evalsuite.report.writers.output import check_format, write_grids
    from evalsuite.runs.find import find

    check_format(format_, FORMATS)
    wanted = select.want(known.chosen(columns), reference=reference, file=benchmarks_file)
    tables = select.tables(find(runs or [], output_dir), wanted)
    write_grids(
        list(map(report_grid, tables)),
        format_,
        output,
        {"csv": lambda: to_csv(tables), "json": lambda: to_json(tables)},
    )

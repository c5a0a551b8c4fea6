"""The command `report`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalsuite.cli.app import app
from evalsuite.cli.options import BenchmarksFile, Format, Output, ResultsDir, Runs
from evalsuite.errors import UsageError

if TYPE_CHECKING:
    from evalsuite.benchmarks.catalogue import Catalogue
    from evalsuite.runs.records import FoundRun


@app.command(rich_help_panel="Show")
def report(
    runs: Runs = None,
    format_: Format = "table",
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
    from evalsuite.benchmarks.catalogue import load
    from evalsuite.report.model import columns as known
    from evalsuite.runs.find import find

    facts = known.chosen(columns)
    published = load(benchmarks_file) if reference else None
    if benchmarks_file is not None and not reference:
        raise UsageError("--benchmarks-file has no effect without --reference; add --reference")
    write(find(runs or [], output_dir), format_, output, facts, published)


def write(
    found: Sequence[FoundRun],
    form: str,
    output: Path | None,
    facts: tuple[str, ...] = (),
    published: Catalogue | None = None,
) -> None:
    """Write a report of the runs `found` to `output`, or to standard output if it is None."""
    from evalsuite.report.model.columns import RESULT, results
    from evalsuite.report.model.select import tables
    from evalsuite.report.tables.runs import report_grid
    from evalsuite.report.writers.csv import to_csv
    from evalsuite.report.writers.json import to_json
    from evalsuite.report.writers.output import write_grids

    made = tables(found, facts, published)
    data = {
        "csv": lambda: to_csv(list(RESULT.values()), results(made)),
        "json": lambda: to_json(made),
    }
    grids = [] if form in data else list(map(report_grid, made))
    write_grids(grids, form, output, data)

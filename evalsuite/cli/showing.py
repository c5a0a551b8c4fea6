"""Commands that show what runs left behind."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evalsuite.cli.app import app
from evalsuite.cli.options import BenchmarksFile, ResultsDir, Runs

PANEL = "Show"


@app.command(name="list", rich_help_panel=PANEL)
def list_(
    what: Annotated[str, typer.Argument(help="benchmarks, suites or runs.")] = "benchmarks",
    output_dir: ResultsDir = Path("results"),
    benchmarks_file: BenchmarksFile = None,
) -> None:
    """Name the benchmarks, suites or runs there are."""
    from evalsuite.report import catalogue

    catalogue.show(what, output_dir, benchmarks_file)


@app.command(rich_help_panel=PANEL)
def report(
    runs: Runs = None,
    format_: Annotated[str, typer.Option("--format", help="table, markdown or json.")] = "table",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write there instead of printing.")
    ] = None,
    output_dir: ResultsDir = Path("results"),
) -> None:
    """Show scores of one run, or of several side by side."""
    from evalsuite.report import find, render

    render.write(find.find_runs(runs or [], output_dir), format_, output)


@app.command(rich_help_panel=PANEL)
def leaderboard(
    runs: Runs = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="The markdown file; default LEADERBOARD.md there."),
    ] = None,
    output_dir: ResultsDir = Path("results"),
) -> None:
    """Write a markdown leaderboard of complete runs."""
    from evalsuite.report import find, leaderboard

    path = output or output_dir / "LEADERBOARD.md"
    leaderboard.write(find.find_runs(runs or [], output_dir), path)
    print(path)


@app.command(rich_help_panel=PANEL)
def page(
    runs: Runs = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="The folder; default 'page' among the results."),
    ] = None,
    images: Annotated[
        str,
        typer.Option(
            help="thumbnails (small copies in the folder), reference (from where they lie) or none."
        ),
    ] = "thumbnails",
    output_dir: ResultsDir = Path("results"),
) -> None:
    """Write a folder of pages that open from disk: tables, and every sample to browse.

    It needs no server and no network (docs/page.md). A page that is there is replaced.
    """
    from evalsuite.report import find
    from evalsuite.report.page import write

    write.show(find.find(runs or [], output_dir), output or output_dir / "page", images)

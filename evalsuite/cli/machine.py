"""Commands about data, caches and this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evalsuite.cli.app import app
from evalsuite.cli.options import BenchmarksFile, DataDir, Names, ResultsDir, Suite, names
from evalsuite.errors import INCOMPLETE

PANEL = "Data and machine"


@app.command(rich_help_panel=PANEL)
def fetch(
    suite: Suite = None,
    benchmarks: Names = None,
    yes: Annotated[bool, typer.Option("--yes", help="Allow downloads of more than 5 GB.")] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Hash the tables that are there already once more.")
    ] = False,
    benchmarks_file: BenchmarksFile = None,
) -> None:
    """Download benchmarks' data ahead of time; says how much and under which licence first.

    Interrupted, it continues where it was. What is there is never overwritten.
    """
    from evalsuite.cli import fetch as fetching

    if not fetching.run(suite, names(benchmarks), benchmarks_file, yes=yes, verify=verify):
        raise typer.Exit(INCOMPLETE)


@app.command(rich_help_panel=PANEL)
def doctor(
    suite: Suite = None,
    benchmarks: Names = None,
    data_dir: DataDir = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Hash every table, however large.")
    ] = False,
    output_dir: ResultsDir = Path("results"),
    benchmarks_file: BenchmarksFile = None,
) -> None:
    """Say for every benchmark whether its data is there, and how this machine is equipped.

    Exit code 4 unless the data of all that were asked for is ready.
    """
    from evalsuite.cli import doctor

    ready = doctor.show(
        suite, names(benchmarks), data_dir, output_dir, benchmarks_file, verify=verify
    )
    if not ready:
        raise typer.Exit(INCOMPLETE)


@app.command(rich_help_panel=PANEL)
def cache(
    kinds: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KIND]...", help="images, frames, data, judge or digests; or all."),
    ] = None,
    empty: Annotated[
        bool, typer.Option("--empty", help="Drop these kinds, but for what is in use.")
    ] = False,
    limit: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Drop images and frames until they take 50GB, say."),
    ] = None,
) -> None:
    """Show what is kept because it can be computed again; empty it, or make it smaller."""
    from evalsuite.cli import cache as cached

    cached.show(kinds or [], limit, empty=empty)

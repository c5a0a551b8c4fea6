"""The command `plot`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evalsuite.cli.app import app, note
from evalsuite.cli.options import ResultsDir, Runs, names, to


@app.command(rich_help_panel="Show")
def plot(
    runs: Runs = None,
    output: Annotated[
        Path | None, to("Directory of the plots. \\[default: plots in the results]", "DIR")
    ] = None,
    only: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Plots to draw, separated by commas: memory, steps, intervals, categories. "
            "\\[default: all]",
        ),
    ] = None,
    output_dir: ResultsDir = Path("results"),
) -> None:
    """Plot runs as SVG and PNG, for light and dark pages (docs/reference/plots.md).

    memory: score against peak memory. steps: learning curves. intervals: each benchmark with its
    95 % confidence interval. categories: each benchmark by category. Plots that cannot be drawn
    are listed with the reason.
    """
    from evalsuite.report import plots
    from evalsuite.runs.find import find

    found = find(runs or [], output_dir)
    for path in plots.draw(found, output or output_dir / "plots", names(only), note):
        print(path)

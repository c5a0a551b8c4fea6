"""The command `curve`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from evalsuite.cli.app import app
from evalsuite.cli.options import Format, Output, ResultsDir, Runs


@app.command(rich_help_panel="Show")
def curve(
    runs: Runs = None,
    format_: Format = "table",
    output: Output = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also plot the curves into this directory.")
    ] = None,
    output_dir: ResultsDir = Path("results"),
) -> None:
    """Show training runs as learning curves: their checkpoints by training step.

    The step is read from a directory name such as checkpoint-500, or from trainer_state.json. The
    best checkpoint is compared with the last one sample by sample, with an estimate of the
    selection bias (docs/reference/plots.md). Runs whose conditions differ from most others are
    listed and left out.
    """
    from evalsuite.comparison.learning_curves import curves
    from evalsuite.report.writers import curve as writers
    from evalsuite.runs.find import find

    found = curves(find(runs or [], output_dir))
    writers.write(found, format_, output)
    if plot is not None:
        from evalsuite.report import plots

        for path in plots.draw_curves(found, plot):
            print(path, file=sys.stderr)

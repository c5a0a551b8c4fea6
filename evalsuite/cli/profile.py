"""``evalsuite profile``."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Annotated

import typer

from evalsuite.cli.app import app
from evalsuite.cli.options import to, with_run_options
from evalsuite.errors import INCOMPLETE
from evalsuite.runner.config import RunConfig


@app.command(rich_help_panel="Evaluate")
@with_run_options("base", "processor", "device", "dtype", "output_dir")
def profile(
    ckpt: Annotated[str, typer.Option(help="Checkpoint, as for run.", metavar="PATH|HUB_ID")],
    config: RunConfig,
    batch_size: Annotated[
        str, typer.Option(help="Batch sizes, separated by commas.", metavar="N,N,…")
    ] = "1,64",
    image_size: Annotated[
        str, typer.Option(help="Image size in pixels.", metavar="WIDTHxHEIGHT")
    ] = "1024x768",
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Maximum number of new tokens.")] = 16,
    output: Annotated[
        Path | None,
        to(
            "Directory for profile.json and the plots \\[default: beside the checkpoint's runs].",
            "DIR",
        ),
    ] = None,
) -> None:
    """Measure memory and throughput by batch size, and compare them with the hardware's limits.

    One image per question, as in SmolVLM's paper. Run nothing else on the machine meanwhile.
    """
    from evalsuite.report.tables.profile import grids
    from evalsuite.report.writers.terminal import print_grids
    from evalsuite.runner.profile import ProfileConfig, profile

    asked = ProfileConfig(
        run=dataclasses.replace(config, ckpt=(ckpt,)),
        batch_sizes=batch_size,
        image_size=image_size,
        new_tokens=max_new_tokens,
    )
    made = profile(asked, lambda text: print(text, file=sys.stderr))
    print_grids(grids(made))
    # After the measurement: matplotlib would count as resident memory.
    from evalsuite.report.plots.profile import place, write

    for path in write(made, output or place(made, config.output_dir)):
        print(path)
    if not made.measured:
        raise typer.Exit(INCOMPLETE)

"""``evalsuite verify``."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from evalsuite.cli.app import app
from evalsuite.cli.options import with_run_options
from evalsuite.errors import INCOMPLETE
from evalsuite.runner.config import RunConfig


@app.command(rich_help_panel="Evaluate")
@with_run_options(
    "base", "suite", "benchmarks", "limit", "benchmarks_file", "max_new_tokens", "device", "dtype",
    "data_dir", "available", "allow_modified_data", limit="50",
)  # fmt: skip
def verify(
    ckpt: Annotated[str, typer.Option(help="Checkpoint, as for run.", metavar="PATH|HUB_ID")],
    config: RunConfig,
) -> None:
    """Run VLMEvalKit's SmolVLM class and this engine; compare predictions and speed.

    Exits with 4 if predictions differ in float32 or either implementation produced none.
    """
    from evalsuite.report.progress import runs
    from evalsuite.report.tables.verify import grid
    from evalsuite.report.writers.terminal import print_grids
    from evalsuite.runner.verify import verify

    with runs.make() as shown:
        found = verify(dataclasses.replace(config, ckpt=(ckpt,)), shown)
    print_grids([grid(found)])
    if not found.complete or (found.dtype == "float32" and not found.identical):
        raise typer.Exit(INCOMPLETE)

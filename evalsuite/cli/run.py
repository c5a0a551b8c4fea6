"""``evalsuite run``."""

from __future__ import annotations

import typer

from evalsuite.cli.app import app
from evalsuite.cli.options import Config, with_run_options
from evalsuite.errors import INCOMPLETE
from evalsuite.runner.config import RunConfig


@app.command(rich_help_panel="Evaluate")
@with_run_options()
def run(
    config: RunConfig,
    config_file: Config = None,  # noqa: ARG001 - read by its callback
) -> None:
    """Evaluate checkpoints. Rerun the same command to resume."""
    from evalsuite.report.progress import runs
    from evalsuite.report.tables.runs import summary
    from evalsuite.report.writers.terminal import print_grids
    from evalsuite.runner.session import run_all

    with runs.make() as shown:
        evaluated = run_all(config, shown)
    print_grids(summary(evaluated.found))
    if not evaluated.complete:
        raise typer.Exit(INCOMPLETE)

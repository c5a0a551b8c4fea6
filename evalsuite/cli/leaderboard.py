"""The command `leaderboard`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from evalsuite.cli.app import app
from evalsuite.cli.options import ResultsDir, Runs, to


@app.command(rich_help_panel="Show")
def leaderboard(
    runs: Runs = None,
    output: Annotated[
        Path | None, to("The markdown file. \\[default: LEADERBOARD.md in the results]")
    ] = None,
    output_dir: ResultsDir = Path("results"),
) -> None:
    """Write a markdown leaderboard of complete runs.

    An existing file must have the lines <!-- evalsuite:leaderboard:begin --> and
    <!-- evalsuite:leaderboard:end -->. Only the text between them is replaced.
    """
    from evalsuite.report.export.leaderboard import write
    from evalsuite.runs.find import find

    path = output or output_dir / "LEADERBOARD.md"
    write(find(runs or [], output_dir), path)
    print(path)

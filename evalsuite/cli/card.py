"""The command `card`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evalsuite.cli.app import app
from evalsuite.cli.options import ResultsDir, to


@app.command(rich_help_panel="Show")
def card(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run, as for 'report'.")],
    output: Annotated[
        Path | None, to("The model card, new or existing. \\[default: print it]", "README.md")
    ] = None,
    output_dir: ResultsDir = Path("results"),
) -> None:
    """Write the scores of a run into a Hugging Face model card (docs/reference/export.md).

    The scores go into model-index in the front matter. Earlier results of evalsuite are replaced;
    other results and the rest of the file do not change. A run with --limit is refused.
    """
    from evalsuite.report.export import model_card
    from evalsuite.runs.find import find_one

    model_card.write(find_one(run, output_dir).run, output)
    if output is not None:
        print(output)

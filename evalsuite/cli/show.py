"""The command `show`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evalsuite.cli.app import app
from evalsuite.cli.options import ResultsDir
from evalsuite.errors import UsageError


@app.command(rich_help_panel="Show")
def show(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run, as for 'report'.")],
    benchmark: Annotated[
        str | None, typer.Option("--benchmark", "--benchmarks", "-b", help="The benchmark.")
    ] = None,
    wrong: Annotated[
        bool, typer.Option("--wrong", help="Only samples with a value below 1.")
    ] = False,
    failed: Annotated[
        bool, typer.Option("--failed", help="Only samples without a prediction.")
    ] = False,
    unparsed: Annotated[
        bool, typer.Option("--unparsed", help="Only predictions in which no answer was found.")
    ] = False,
    flipped: Annotated[
        str | None,
        typer.Option(metavar="OTHER", help="Only samples whose value differs from the run OTHER."),
    ] = None,
    search: Annotated[
        str,
        typer.Option(
            metavar="TEXT", help="Only samples with TEXT in id, question, target or prediction."
        ),
    ] = "",
    count: Annotated[int, typer.Option("-n", min=1, help="Number of samples to show.")] = 10,
    id_: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="Only this sample, in full.")
    ] = None,
    output_dir: ResultsDir = Path("results"),
) -> None:
    """Show samples of one benchmark: question, target, prediction and value.

    'evalsuite page' shows the same in a browser, with images.
    """
    from evalsuite.cli import samples

    flags = {"wrong": wrong, "failed": failed, "unparsed": unparsed}
    kinds = [kind for kind, on in flags.items() if on]
    if len(kinds) + (flipped is not None) > 1:
        raise UsageError("--wrong, --failed, --unparsed and --flipped: give one of them")
    asked = samples.Asked(
        benchmark=benchmark,
        kind=kinds[0] if kinds else None,
        flipped=flipped,
        search=search,
        count=count,
        id=id_,
    )
    samples.show(run, asked, output_dir)

"""The command `promote`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalsuite.cli.app import app
from evalsuite.cli.options import ResultsDir

if TYPE_CHECKING:
    from evalsuite.runs.baseline import Pointer
    from evalsuite.runs.records import FoundRun


@app.command(rich_help_panel="Compare")
def promote(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A finished run (path or name).")],
    anchor: Annotated[
        bool,
        typer.Option("--anchor", help="Also set it as the anchor (fixed reference run)."),
    ] = False,
    output_dir: ResultsDir = Path("results"),
) -> None:
    """Make a run the baseline of 'evalsuite gate': write baseline.json to the results.

    Commit baseline.json and the run, so that everyone compares with the same baseline.
    """
    from evalsuite.runs.find import find_one

    for line in _promote(find_one(run, output_dir), output_dir, anchor=anchor):
        print(line)


def _promote(found: FoundRun, results: Path, *, anchor: bool) -> Iterator[str]:
    from evalsuite.runs import baseline

    now, before = baseline.promote(found, results, anchor=anchor)
    yield f"{results / baseline.NAME}: the baseline is {now.baseline}"
    yield f"  {_replaced(before.baseline if before else None, now.baseline)}"
    if anchor:
        yield f"the anchor is {now.anchor}"
        yield f"  {_replaced(before.anchor if before else None, now.baseline)}"
    elif now.anchor is not None:
        yield f"the anchor remains {now.anchor}"
    if found.run.limit is not None:
        yield f"note: the run has only a part of the samples (--limit {found.run.limit})"
    directory = os.path.relpath(found.path.parent)
    yield f"to share it: git add -f {results / baseline.NAME} {directory}"


def _replaced(before: Pointer | None, now: Pointer) -> str:
    if before is None:
        return "there was none before"
    if (before.run, before.digest) == (now.run, now.digest):
        return f"unchanged since {before.promoted}"
    return f"it replaces {before}, promoted {before.promoted}"

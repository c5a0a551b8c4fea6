"""The command `export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from evalsuite.cli.app import app, note
from evalsuite.cli.options import ResultsDir, Runs, formats, to


@app.command(rich_help_panel="Show")
def export(
    runs: Runs = None,
    format_: Annotated[str, formats("lm-eval")] = "lm-eval",  # noqa: ARG001 - the only one
    output: Annotated[
        Path | None, to("Directory of the files. \\[default: lm-eval in the results]", "DIR")
    ] = None,
    output_dir: ResultsDir = Path("results"),
) -> None:
    """Write runs in the format of another harness (docs/reference/export.md).

    lm-eval: results_DATE.json and samples_BENCHMARK_DATE.jsonl, one folder a checkpoint, as
    lm-evaluation-harness writes them, with scores from 0 to 1.
    """
    from evalsuite.report.export import lm_eval
    from evalsuite.runs.find import find

    found = find(runs or [], output_dir)
    for path in lm_eval.write(found, output or output_dir / "lm-eval", note):
        print(path)

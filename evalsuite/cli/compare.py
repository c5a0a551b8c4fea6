"""The command `compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evalsuite.cli.app import app
from evalsuite.cli.options import Format, Names, Output, ResultsDir, names
from evalsuite.errors import UsageError


@app.command(rich_help_panel="Compare")
def compare(
    baseline: Annotated[
        str, typer.Argument(metavar="BASELINE", help="Baseline run; with --group A1,A2,A3.")
    ],
    candidate: Annotated[
        str, typer.Argument(metavar="CANDIDATE", help="Candidate run; with --group B1,B2,B3.")
    ],
    group: Annotated[
        bool,
        typer.Option(
            "--group",
            help="Each side is a comma-separated list of training runs that differ in the seed; "
            "intervals include the variance between runs.",
        ),
    ] = False,
    benchmarks: Names = None,
    by_category: Annotated[
        bool, typer.Option("--by-category", help="Also show each benchmark by category.")
    ] = False,
    samples: Annotated[
        int, typer.Option(metavar="N", min=0, help="Show N changed predictions of each benchmark.")
    ] = 0,
    samples_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write every changed prediction to FILE as JSON lines."),
    ] = None,
    format_: Format = "table",
    output: Output = None,
    output_dir: ResultsDir = Path("results"),
) -> None:
    """Compare two runs sample by sample.

    Differences are CANDIDATE minus BASELINE in points, on the samples of both, with 95 %
    confidence intervals clustered by image or video, and p-values adjusted for the number of
    benchmarks (docs/explanation/statistics.md). Benchmarks with different prompts, data, metric or
    judge are not compared; exit code 4 if no benchmark can be compared.
    """
    from evalsuite.comparison.comparison import compare
    from evalsuite.comparison.selection import find_lead
    from evalsuite.report.tables import comparison as tables
    from evalsuite.report.writers import comparison as writers
    from evalsuite.report.writers.output import write_grids
    from evalsuite.runs.find import find_sides
    from evalsuite.system.files import write_output

    if group and (samples or samples_file):
        raise UsageError("--samples and --samples-file need one run per side, without --group")
    ours, theirs = find_sides(baseline, candidate, output_dir, group=group)
    comparison = compare(ours, theirs, names(benchmarks))
    if samples_file is not None:
        write_output(samples_file, writers.changed_answers(comparison))
    lead = find_lead(comparison, output_dir)
    plain = {
        "json": lambda: writers.to_json(comparison, lead),
        "csv": lambda: writers.to_csv(comparison),
    }
    grids = []
    if format_ not in plain:
        grids = [tables.table(comparison, lead)]
        grids += tables.by_category(comparison) if by_category else ()
        grids += [tables.changed(paired, samples) for paired in comparison.paired if samples]
    write_grids(grids, format_, output, plain)

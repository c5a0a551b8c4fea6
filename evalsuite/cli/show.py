"""Commands that show what runs left behind."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from evalsuite.cli.app import app
from evalsuite.cli.options import BenchmarksFile, Output, ResultsDir, Runs, names, to
from evalsuite.errors import UsageError
from evalsuite.report.format import visible

PANEL = "Show"


@app.command(name="list", rich_help_panel=PANEL)
def list_(
    what: Annotated[str, typer.Argument(help="benchmarks, suites or runs.")] = "benchmarks",
    output_dir: ResultsDir = Path("results"),
    benchmarks_file: BenchmarksFile = None,
) -> None:
    """Name the benchmarks, suites or runs there are."""
    from evalsuite.report.tables import listing

    listing.show(what, output_dir, benchmarks_file)


@app.command(rich_help_panel=PANEL)
def report(
    runs: Runs = None,
    format_: Annotated[
        str, typer.Option("--format", help="table, markdown, html, csv or json.")
    ] = "table",
    output: Output = None,
    columns: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Further columns, separated by commas: memory, speed, parameters, step, digest, "
            "dtype, evalsuite, date.",
        ),
    ] = None,
    reference: Annotated[
        bool,
        typer.Option("--reference", help="Published scores beside ours, with where they are from."),
    ] = False,
    benchmarks_file: BenchmarksFile = None,
    output_dir: ResultsDir = Path("results"),
) -> None:
    """Show scores of one run, or of several side by side.

    The best of a column is bold, or has a *, only where a paired test says that it is better than
    the second (docs/reference/reports.md).
    """
    from evalsuite.report.model import columns as facts
    from evalsuite.report.model import select
    from evalsuite.report.writers import output as forms
    from evalsuite.report.writers import report as render
    from evalsuite.runs import find

    forms.check_format(format_, render.FORMATS)
    wanted = select.want(facts.chosen(columns), reference=reference, file=benchmarks_file)
    render.write(find.find(runs or [], output_dir), format_, output, wanted)


@app.command(rich_help_panel=PANEL)
def show(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run, as 'report' takes it.")],
    benchmark: Annotated[
        str | None, typer.Option("--benchmark", "--benchmarks", "-b", help="Which one.")
    ] = None,
    wrong: Annotated[bool, typer.Option("--wrong", help="Worth less than a right answer.")] = False,
    failed: Annotated[bool, typer.Option("--failed", help="Without an answer.")] = False,
    unparsed: Annotated[
        bool, typer.Option("--unparsed", help="In whose text no answer was found.")
    ] = False,
    flipped: Annotated[
        str | None,
        typer.Option(metavar="OTHER", help="Worth more or less than in that run."),
    ] = None,
    search: Annotated[
        str, typer.Option(metavar="TEXT", help="With this in id, question, target or prediction.")
    ] = "",
    count: Annotated[int, typer.Option("-n", min=1, help="Show so many.")] = 10,
    id_: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="This one alone, in full.")
    ] = None,
    output_dir: ResultsDir = Path("results"),
) -> None:
    """Show samples of one benchmark: question, target, what was answered and what it is worth.

    'evalsuite page' has the same to browse, with images.
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


@app.command(rich_help_panel=PANEL)
def leaderboard(
    runs: Runs = None,
    output: Annotated[Path | None, to("The markdown file; default LEADERBOARD.md there.")] = None,
    output_dir: ResultsDir = Path("results"),
) -> None:
    """Write a markdown leaderboard of complete runs.

    A file that exists must have the lines <!-- evalsuite:leaderboard:begin --> and
    <!-- evalsuite:leaderboard:end -->; what stands around them is left as it is.
    """
    from evalsuite.report.export import leaderboard
    from evalsuite.runs import find

    path = output or output_dir / "LEADERBOARD.md"
    leaderboard.write(find.find(runs or [], output_dir), path)
    print(path)


@app.command(rich_help_panel=PANEL)
def page(
    runs: Runs = None,
    output: Annotated[Path | None, to("The folder; default 'page' among the results.")] = None,
    images: Annotated[
        str,
        typer.Option(
            help="thumbnails (small copies in the folder), reference (from where they lie) or none."
        ),
    ] = "thumbnails",
    output_dir: ResultsDir = Path("results"),
) -> None:
    """Write a folder of pages that open from disk: tables, and every sample to browse.

    It needs no server and no network (docs/reference/page.md). A page that is there is replaced.
    """
    from evalsuite.report.page import write
    from evalsuite.runs import find

    write.show(find.find(runs or [], output_dir), output or output_dir / "page", images)


@app.command(rich_help_panel=PANEL)
def curve(
    runs: Runs = None,
    format_: Annotated[
        str, typer.Option("--format", help="table, markdown, csv or json.")
    ] = "table",
    output: Output = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Draw the curves there, too.")
    ] = None,
    output_dir: ResultsDir = Path("results"),
) -> None:
    """Show training runs as learning curves: their checkpoints by step.

    A step is read from a directory named checkpoint-500 or from trainer_state.json. The best is
    held against the last answer by answer, with a warning of how much of its lead may be luck
    (docs/reference/plots.md). Runs that were asked or scored otherwise than most are named and
    left out.
    """
    from evalsuite.comparison.learning_curves import curves
    from evalsuite.report.tables import curve
    from evalsuite.report.writers import output as forms
    from evalsuite.runs import find

    forms.check_format(format_, curve.FORMATS)
    found = curves(find.find(runs or [], output_dir))
    curve.write(found, format_, output)
    if plot is not None:
        from evalsuite.report import plots

        for path in plots.draw_curves(found, plot):
            print(path, file=sys.stderr)


@app.command(rich_help_panel=PANEL)
def plot(
    runs: Runs = None,
    output: Annotated[
        Path | None, to("Where the pictures go; default plots under the results.", "DIR")
    ] = None,
    only: Annotated[
        str | None,
        typer.Option(help="Some of memory, steps, intervals, categories, separated by commas."),
    ] = None,
    output_dir: ResultsDir = Path("results"),
) -> None:
    """Draw runs as SVG and PNG, for light and dark pages (docs/reference/plots.md).

    memory: score against peak memory; steps: learning curves; intervals: every benchmark with its
    95 % interval; categories: each benchmark by category. Says what cannot be drawn, and why.
    """
    from evalsuite.report import plots
    from evalsuite.runs import find

    found = find.find(runs or [], output_dir)
    for path in plots.draw(found, output or output_dir / "plots", names(only), _tell):
        print(path)


@app.command(rich_help_panel=PANEL)
def card(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run, as for report.")],
    output: Annotated[
        Path | None, to("The card, new or already there; printed if not given.", "README.md")
    ] = None,
    output_dir: ResultsDir = Path("results"),
) -> None:
    """Write a run's scores into a Hugging Face model card (docs/reference/export.md).

    They go into the front matter's model-index: our earlier ones are replaced, others' results and
    the rest of the file stay as they are, byte for byte. A run with --limit is refused.
    """
    from evalsuite.report.export import model_card as card
    from evalsuite.runs import find

    card.write(find.find_one(run, output_dir).run, output)
    if output is not None:
        print(output)


@app.command(rich_help_panel=PANEL)
def export(
    runs: Runs = None,
    format_: Annotated[str, typer.Option("--format", help="lm-eval.")] = "lm-eval",
    output: Annotated[
        Path | None, to("Where the files go; default lm-eval under the results.", "DIR")
    ] = None,
    output_dir: ResultsDir = Path("results"),
) -> None:
    """Write runs as other harnesses do (docs/reference/export.md).

    lm-eval: results_DATE.json and samples_BENCHMARK_DATE.jsonl in a folder a checkpoint, as
    lm-evaluation-harness has them, with scores from 0 to 1.
    """
    from evalsuite.report.export import lm_eval
    from evalsuite.runs import find

    if format_ != "lm-eval":
        raise UsageError(f"--format {format_}: unknown; expected lm-eval")
    found = find.find(runs or [], output_dir)
    for path in lm_eval.write(found, output or output_dir / "lm-eval", _tell):
        print(path)


def _tell(line: str) -> None:
    print(f"evalsuite: {visible(line)}", file=sys.stderr)

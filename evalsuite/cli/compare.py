"""Commands that hold one run against another."""

from __future__ import annotations

import dataclasses
import os
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from evalsuite.cli.app import app, printing, say
from evalsuite.cli.options import (
    Alpha,
    BenchmarksFile,
    Cliff,
    Config,
    Margin,
    Names,
    Output,
    PolicyFile,
    Power,
    ResultsDir,
    names,
    with_run_options,
)
from evalsuite.errors import REGRESSION, DiskError, UsageError
from evalsuite.runner.config import OPTIONS, RunConfig

PANEL = "Compare"


@app.command(rich_help_panel=PANEL)
def compare(
    baseline: Annotated[
        str, typer.Argument(metavar="BASELINE", help="A run, as for report; of a group A1,A2,A3.")
    ],
    candidate: Annotated[
        str, typer.Argument(metavar="CANDIDATE", help="Another; of a group B1,B2,B3.")
    ],
    group: Annotated[
        bool,
        typer.Option(
            "--group",
            help="Each side is several training runs of one recipe, separated by commas: how much "
            "runs differ then counts too.",
        ),
    ] = False,
    benchmarks: Names = None,
    by_category: Annotated[
        bool, typer.Option("--by-category", help="Show each benchmark by category, too.")
    ] = False,
    samples: Annotated[
        int, typer.Option(metavar="N", min=0, help="Show N changed answers of each benchmark.")
    ] = 0,
    samples_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write every changed answer there, as JSON lines."),
    ] = None,
    format_: Annotated[
        str, typer.Option("--format", help="table, markdown, json or csv.")
    ] = "table",
    output: Output = None,
    output_dir: ResultsDir = Path("results"),
) -> None:
    """Show how a candidate differs from a baseline, sample by sample, and how sure that is.

    Differences are CANDIDATE minus BASELINE in points, on the samples both have, with 95 %
    intervals that mind shared images and p adjusted for the number of benchmarks
    (docs/explanation/statistics.md). Benchmarks with other prompts, data, metric or judge are not
    compared; exit code 4 if none can be.
    """
    from evalsuite.comparison.comparison import compare
    from evalsuite.report.tables import comparison as compared
    from evalsuite.report.writers import comparison_json
    from evalsuite.report.writers import output as forms
    from evalsuite.runs import find

    forms.check_format(format_, compared.FORMATS)
    if group and (samples or samples_file):
        raise UsageError("--samples is about two runs, not --group; name one run a side")
    ours, theirs = find.find_sides(baseline, candidate, output_dir, group=group)
    comparison = compare(ours, theirs, names(benchmarks))
    if samples_file is not None:
        comparison_json.write_changed(comparison, samples_file)
    compared.write(
        comparison,
        format_,
        output,
        leading=compared.find_lead(comparison, output_dir),
        categories=by_category,
        samples=samples,
    )


@app.command(rich_help_panel=PANEL)
@with_run_options(
    "limit", "device", "dtype", "batch_size", "workers", "processor", "base", "benchmarks_file",
    "output_dir", "data_dir", "allow_modified_data", "yes",
)  # fmt: skip
def gate(
    *,
    baseline: Annotated[
        str | None,
        typer.Option(
            metavar="RUN",
            help="The run to be held against, named as for report; the promoted one if not given.",
        ),
    ] = None,
    candidate: Annotated[
        str | None, typer.Option(metavar="RUN", help="The run that may take its place; or")
    ] = None,
    ckpt: Annotated[
        str | None,
        typer.Option(
            metavar="PATH|HUB_ID",
            help="a checkpoint, which is first run as the baseline was: same benchmarks, prompts, "
            "limit, dtype and judge.",
        ),
    ] = None,
    anchor: Annotated[
        str | None,
        typer.Option(
            metavar="RUN",
            help="A fixed older run to be held against as well, as small losses add up; the worst "
            "verdict counts.",
        ),
    ] = None,
    policy: PolicyFile = None,
    margin: Margin = None,
    cliff: Cliff = None,
    alpha: Alpha = None,
    power: Power = None,
    benchmarks: Names = None,
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the verdict there as JUnit XML.")
    ] = None,
    json: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write it there for programs: verdict, drops, bounds, p, what is allowed "
            "(docs/reference/gate.md).",
        ),
    ] = None,
    summary: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Append it there as markdown.")
    ] = None,
    github: Annotated[
        bool | None,
        typer.Option(
            "--github/--no-github",
            help="Append it to $GITHUB_STEP_SUMMARY and print ::error lines; on by itself where "
            "$GITHUB_ACTIONS is true.",
        ),
    ] = None,
    config: RunConfig,
    config_file: Config = None,  # noqa: ARG001 - read by its callback
) -> None:
    """Decide whether a candidate may take its baseline's place.

    Pass: the mean is shown to have dropped by less than its margin, and every benchmark by less
    than its cliff. Regression: a drop is real and larger than that. Inconclusive: neither.
    Incomplete: something cannot be compared, or failed samples would decide
    (docs/reference/gate.md).

    Exit codes: 0 pass, 1 regression, 3 inconclusive, 4 incomplete; 2 wrong arguments.
    """
    from evalsuite.benchmarks.catalogue import load
    from evalsuite.comparison import gate as gating
    from evalsuite.comparison import policy as policies
    from evalsuite.report import sides
    from evalsuite.report.tables import gate as gated
    from evalsuite.runs import find

    if (candidate is None) == (ckpt is None):
        raise UsageError(
            "which candidate? name a run with --candidate, or a checkpoint with --ckpt"
        )
    known = load(config.benchmarks_file).benchmarks
    allowed = policies.override(
        policies.read(policy, known), margin=margin, cliff=cliff, alpha=alpha, power=power,
        benchmarks=names(benchmarks),
    )  # fmt: skip
    against = sides.find(baseline, anchor, config.output_dir)
    if ckpt is None:
        for name in ("limit", "processor", "base", "data_dir"):
            if getattr(config, name) is not None:
                flag = OPTIONS[name].flag
                raise UsageError(f"{flag}: goes with --ckpt, which is run; a --candidate was run")
        found = find.find_one(str(candidate), config.output_dir)
    else:
        from evalsuite.report.progress import runs
        from evalsuite.runner import candidate as candidates

        asked = dataclasses.replace(config, ckpt=(ckpt,))
        with runs.make() as shown:
            found = candidates.run_like(against.baseline, asked, shown, allowed.benchmarks)
    made = gating.gate(against.baseline, found, allowed, known, against.anchor)
    if github is None:
        github = os.environ.get("GITHUB_ACTIONS") == "true"
    code = made.exit_code
    # Whoever read it may have gone; and what cannot be written hides no regression.
    for step in (
        partial(gated.show, made, github=github),
        partial(gated.write, made, junit=junit, json=json, summary=summary, github=github),
    ):
        try:
            with printing():
                step()
        except DiskError as error:
            code = say(str(error), error.exit_code)
    raise typer.Exit(made.exit_code if made.exit_code == REGRESSION else code)


@app.command(rich_help_panel=PANEL)
def power(
    run: Annotated[
        str | None,
        typer.Argument(metavar="[RUN]", help="Take the sizes of benchmarks from this run; or say"),
    ] = None,
    sizes: Annotated[
        str | None,
        typer.Option(
            metavar="BENCH=N[:IMAGES],…",
            help="how many questions a benchmark has, and about how many images if fewer.",
        ),
    ] = None,
    discordance: Annotated[
        str, typer.Option(metavar="SHARES", help="Shares of answers that differ by luck.")
    ] = "0.05,0.15,0.25",
    icc: Annotated[
        float,
        typer.Option(min=0, max=1, help="How differences about one image correlate."),
    ] = 0.1,
    policy: PolicyFile = None,
    margin: Margin = None,
    cliff: Cliff = None,
    alpha: Alpha = None,
    power: Power = None,
    benchmarks: Names = None,
    benchmarks_file: BenchmarksFile = None,
    output_dir: ResultsDir = Path("results"),
) -> None:
    """Say what a gate's policy can find and whom it lets pass, before any GPU is spent.

    For each share of answers that differ by luck: the smallest drop that would be found, the
    smallest margin and cliff that an equal checkpoint passes, the samples that takes, and how often
    it passes this policy; with a warning where that is rarely or never.
    """
    from evalsuite.benchmarks.catalogue import load
    from evalsuite.comparison import policy as policies
    from evalsuite.report.tables import power as planned
    from evalsuite.runs import find

    if (run is None) == (sizes is None):
        raise UsageError("sizes of what? name a run, or say --sizes BENCH=QUESTIONS")
    known = load(benchmarks_file).benchmarks
    allowed = policies.override(
        policies.read(policy, known), margin=margin, cliff=cliff, alpha=alpha, power=power,
        benchmarks=names(benchmarks),
    )  # fmt: skip
    shares = planned.read_shares(discordance, "--discordance")
    found = (
        planned.only_of(
            planned.read_sizes(str(sizes), list(known)), allowed.benchmarks, "--sizes has none"
        )
        if run is None
        else planned.sizes_of(find.find_one(run, output_dir).run, allowed.benchmarks)
    )
    planned.show(found, allowed.terms(list(found), known), shares, icc)


@app.command(rich_help_panel=PANEL)
def promote(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A finished run, named as for report.")],
    anchor: Annotated[
        bool,
        typer.Option(
            "--anchor", help="Make it the anchor as well: the fixed run that gate minds besides."
        ),
    ] = False,
    output_dir: ResultsDir = Path("results"),
) -> None:
    """Make a run the baseline of 'evalsuite gate', in baseline.json among the results.

    Commit that file and the run, and everybody's gate holds candidates against the same.
    """
    from evalsuite.report import sides
    from evalsuite.runs import find

    for line in sides.promote(find.find_one(run, output_dir), output_dir, anchor=anchor):
        print(line)

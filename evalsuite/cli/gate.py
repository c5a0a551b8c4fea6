"""The command `gate`."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalsuite.cli.app import app, printing, say
from evalsuite.cli.options import (
    Alpha,
    Cliff,
    Config,
    Margin,
    Names,
    PolicyFile,
    Power,
    names,
    with_run_options,
)
from evalsuite.errors import REGRESSION, DiskError, UsageError
from evalsuite.runner.config import OPTIONS, RunConfig
from evalsuite.system.files import write_output

if TYPE_CHECKING:
    from evalsuite.report.tables.gate import GateReport


Baseline = Annotated[
    str | None,
    typer.Option(
        metavar="RUN",
        help="Baseline run (path or name).",
        show_default="the promoted baseline",
    ),
]
Candidate = Annotated[str | None, typer.Option(metavar="RUN", help="Candidate run.")]
Ckpt = Annotated[
    str | None,
    typer.Option(
        metavar="PATH|HUB_ID",
        help="Instead of --candidate: evaluate this checkpoint with the baseline's settings "
        "(benchmarks, prompts, limit, dtype, judge), then gate it.",
    ),
]
Anchor = Annotated[
    str | None,
    typer.Option(
        metavar="RUN",
        help="Also compare with this fixed reference run; the worse verdict counts.",
    ),
]
Partial = Annotated[
    bool,
    typer.Option(
        "--partial",
        help="Gate on the samples that both runs have, if one run has others. Without it the "
        "verdict is then incomplete.",
    ),
]
Junit = Annotated[Path | None, typer.Option(metavar="FILE", help="Write the verdict as JUnit XML.")]
Json = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Write the verdict, differences and bounds as JSON (docs/reference/gate.md).",
    ),
]
Summary = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Append the verdict as Markdown.")
]
Github = Annotated[
    bool | None,
    typer.Option(
        "--github/--no-github",
        help="Append to $GITHUB_STEP_SUMMARY and print ::error lines.",
        show_default="on if $GITHUB_ACTIONS is true",
    ),
]


@app.command(rich_help_panel="Compare")
@with_run_options(
    "limit", "device", "dtype", "batch_size", "workers", "processor", "base", "benchmarks_file",
    "output_dir", "data_dir", "allow_modified_data", "yes",
)  # fmt: skip
def gate(
    *,
    baseline: Baseline = None,
    candidate: Candidate = None,
    ckpt: Ckpt = None,
    anchor: Anchor = None,
    policy: PolicyFile = None,
    margin: Margin = None,
    cliff: Cliff = None,
    alpha: Alpha = None,
    power: Power = None,
    benchmarks: Names = None,
    partial: Partial = False,
    junit: Junit = None,
    json: Json = None,
    summary: Summary = None,
    github: Github = None,
    config: RunConfig,
    config_file: Config = None,  # noqa: ARG001 - read by its callback
) -> None:
    """Decide whether a candidate may replace its baseline.

    Pass: the drop of the mean is shown to be smaller than the margin, and the drop of every
    benchmark smaller than its max drop (--cliff). Regression: a drop is significant and larger
    than allowed. Inconclusive: neither. Incomplete: a benchmark cannot be compared, or failed
    samples would decide (docs/reference/gate.md).

    Exit codes: 0 pass, 1 regression, 3 inconclusive, 4 incomplete; 2 wrong arguments.
    """
    from evalsuite.benchmarks.catalogue import load
    from evalsuite.comparison import gate as gating
    from evalsuite.comparison import policy as policies
    from evalsuite.report.tables.gate import explain
    from evalsuite.runs.baseline import find_baseline
    from evalsuite.runs.find import find_one

    if (candidate is None) == (ckpt is None):
        raise UsageError("expected either --candidate RUN or --ckpt PATH")
    known = load(config.benchmarks_file).benchmarks
    allowed = policies.load(
        policy, known, margin=margin, cliff=cliff, alpha=alpha, power=power,
        benchmarks=names(benchmarks),
    )  # fmt: skip
    against = find_baseline(baseline, anchor, config.output_dir)
    if ckpt is None:
        for name in ("limit", "processor", "base", "data_dir"):
            if getattr(config, name) is not None:
                raise UsageError(
                    f"{OPTIONS[name].flag}: needs --ckpt; a --candidate is evaluated already"
                )
        found = find_one(str(candidate), config.output_dir)
    else:
        from evalsuite.report.progress import runs
        from evalsuite.runner.session import run_like

        asked = dataclasses.replace(config, ckpt=(ckpt,))
        with runs.make() as shown:
            found = run_like(against.baseline, asked, shown, allowed.benchmarks)
    report = explain(
        gating.gate(against.baseline, found, allowed, known, against.anchor, partial=partial)
    )
    if github is None:
        github = os.environ.get("GITHUB_ACTIONS") == "true"
    raise typer.Exit(_publish(report, junit, json, summary, github=github))


def _publish(
    report: GateReport, junit: Path | None, json: Path | None, summary: Path | None, *, github: bool
) -> int:
    """Print and write `report`; returns the exit code.

    A closed output or a full disk does not hide a regression.
    """
    code = report.exit_code
    steps: tuple[Callable[[], None], ...] = (
        partial(_print, report, github=github),
        partial(_write, report, junit, json, summary, github=github),
    )
    for step in steps:
        try:
            with printing():
                step()
        except DiskError as error:
            code = say(str(error), error.exit_code)
    return report.exit_code if report.exit_code == REGRESSION else code


def _print(report: GateReport, *, github: bool) -> None:
    from rich.console import Console

    from evalsuite.report.export.github import annotation_lines, stop_commands
    from evalsuite.report.format import visible
    from evalsuite.report.writers.terminal import print_grid

    start, end = stop_commands()
    if github:
        print(start)
    console = Console()
    for each in report.assessments:
        print_grid(each.table, console)
    for line in (report.headline, *report.lines):
        print(visible(line))
    if github:
        print(end)
        for line in annotation_lines(report):
            print(line)


def _write(
    report: GateReport, junit: Path | None, json: Path | None, summary: Path | None, *, github: bool
) -> None:
    from evalsuite.report.export.github import LIMIT_BYTES, append, to_markdown

    if junit is not None:
        from evalsuite.report.export.junit import to_junit

        write_output(junit, to_junit(report))
    if json is not None:
        from evalsuite.report.writers.gate_json import to_json

        write_output(json, to_json(report))
    if summary is not None:
        append(summary, to_markdown(report))
    if github and (step_summary := os.environ.get("GITHUB_STEP_SUMMARY")):
        # The limit includes what the step wrote before.
        append(Path(step_summary), to_markdown(report), LIMIT_BYTES)

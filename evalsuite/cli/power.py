"""The command `power`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evalsuite.cli.app import app
from evalsuite.cli.options import (
    Alpha,
    BenchmarksFile,
    Cliff,
    Margin,
    Names,
    PolicyFile,
    Power,
    ResultsDir,
    names,
)
from evalsuite.errors import UsageError


@app.command(rich_help_panel="Compare")
def power(
    run: Annotated[
        str | None,
        typer.Argument(metavar="[RUN]", help="Take the sizes of the benchmarks from this run."),
    ] = None,
    sizes: Annotated[
        str | None,
        typer.Option(
            metavar="BENCH=N[:IMAGES],…",
            help="Instead of RUN: sizes of the benchmarks, questions[:images].",
        ),
    ] = None,
    discordance: Annotated[
        str,
        typer.Option(
            metavar="SHARES",
            help="Shares of predictions that differ between equally good checkpoints, 0 to 1.",
        ),
    ] = "0.05,0.15,0.25",
    icc: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Intraclass correlation of differences about the same image."
        ),
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
    """Power analysis: minimum detectable drop and pass probability of a gate policy.

    For each discordance: the smallest drop that is detected, the smallest margins that an equal
    checkpoint passes, the number of samples this needs, and the probability that an equal
    checkpoint passes the policy, with a warning if it is below the target power.
    """
    from rich.console import Console

    from evalsuite.benchmarks.catalogue import load
    from evalsuite.comparison import policy as policies
    from evalsuite.comparison.power import (
        analyse_power,
        read_shares,
        read_sizes,
        select_sizes,
        sizes_of,
    )
    from evalsuite.report.tables.power import summary, table
    from evalsuite.report.writers.terminal import print_grid
    from evalsuite.runs.find import find_one

    if (run is None) == (sizes is None):
        raise UsageError("expected either a RUN or --sizes BENCH=QUESTIONS,…")
    known = load(benchmarks_file).benchmarks
    allowed = policies.load(
        policy, known, margin=margin, cliff=cliff, alpha=alpha, power=power,
        benchmarks=names(benchmarks),
    )  # fmt: skip
    shares = read_shares(discordance, "--discordance")
    if run is None:
        given = read_sizes(str(sizes), list(known))
        found = select_sizes(given, allowed.benchmarks, "--sizes has no size")
    else:
        found = sizes_of(find_one(run, output_dir).run, allowed.benchmarks)
    terms = allowed.terms(list(found), known)
    console = Console()
    for share in shares:
        expected = {name: size.expected(share, icc) for name, size in found.items()}
        analysis = analyse_power(expected, terms)
        print_grid(table(analysis, terms, share), console)
        for line in summary(analysis, terms):
            print(line)
        print()

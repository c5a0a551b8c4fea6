"""``evalsuite fetch``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from evalsuite.cli.app import MACHINE_PANEL, app
from evalsuite.cli.options import BenchmarksFile, Names, Suite, names
from evalsuite.errors import INCOMPLETE

if TYPE_CHECKING:
    from rich.console import Console

    from evalsuite.benchmarks.benchmark import Benchmark
    from evalsuite.benchmarks.data.fetch import Missing


@app.command(rich_help_panel=MACHINE_PANEL)
def fetch(
    suite: Suite = None,
    benchmarks: Names = None,
    yes: Annotated[bool, typer.Option("--yes", help="Allow downloads of more than 5 GB.")] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Hash existing tables again.")] = False,
    benchmarks_file: BenchmarksFile = None,
) -> None:
    """Download the data of benchmarks. Prints sizes and licences first.

    An interrupted download continues on the next call. Existing files are never overwritten.
    """
    from rich.console import Console

    from evalsuite.benchmarks.catalogue import load
    from evalsuite.benchmarks.data.fetch import missing
    from evalsuite.report.tables.data import downloads
    from evalsuite.report.writers.terminal import print_grid
    from evalsuite.system.text import counted

    console = Console(stderr=True)
    known = load(benchmarks_file)
    asked = known.named(suite, names(benchmarks)) or known.suite("paper")  # as `run`
    wanted = missing(asked, None)
    if wanted:
        print_grid(downloads(wanted), console)
    errors = _fetch(asked, wanted, yes=yes, verify=verify)
    _print_errors(errors, console)
    ready = len(asked) - len({name for name, _ in errors})
    console.print(f"data of {ready} of {counted(len(asked), 'benchmark')} is ready", soft_wrap=True)
    if errors:
        raise typer.Exit(INCOMPLETE)


def _fetch(
    asked: list[Benchmark], wanted: list[Missing], *, yes: bool, verify: bool
) -> list[tuple[str, str]]:
    """Download and prepare data; returns benchmarks with their errors."""
    from evalsuite.benchmarks.data.fetch import fetch as download
    from evalsuite.benchmarks.data.locate import locate
    from evalsuite.report.progress import downloads
    from evalsuite.runs.records import Failure

    reachable = [item for item in wanted if item.unreachable is None]
    with downloads.make() as progress:
        failures = download(reachable, yes=yes, on_step=progress.say)
        # Other benchmarks with the same data need no second look.
        names_wanted = {item.benchmark.name for item in wanted}
        for benchmark in asked:
            if benchmark.name not in names_wanted:
                found = locate(benchmark, None, verify=verify, on_step=progress.say)
                failures += [found] if isinstance(found, Failure) else []
    unreachable = [item for item in wanted if item.unreachable is not None]
    return [
        *((failure.benchmark, f"{failure.message}; {failure.remedy}") for failure in failures),
        *((item.benchmark.name, f"{item.unreachable}; {item.remedy}") for item in unreachable),
    ]


def _print_errors(errors: list[tuple[str, str]], console: Console) -> None:
    """Print each error once, with all its benchmarks: without a network they have the same one."""
    from rich.text import Text

    from evalsuite.report.format import listed, sentence, visible

    for message in dict.fromkeys(message for _, message in errors):
        concerned = listed([name for name, other in errors if other == message])
        line = visible(f"{concerned}: {sentence(message)}")
        console.print(Text(line, style="red"), soft_wrap=True)

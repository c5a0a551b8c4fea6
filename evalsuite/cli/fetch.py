"""What `evalsuite fetch` shows: what will be loaded and from where, then how it goes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from evalsuite.benchmarks.catalogue import load
from evalsuite.benchmarks.data import Missing, fetch, locate, missing
from evalsuite.benchmarks.data.sizes import written
from evalsuite.report.format import counted, listed, sentence, visible
from evalsuite.report.progress import downloads
from evalsuite.report.tables.grid import Grid, Heading, Line, entries
from evalsuite.report.writers.terminal import print_grid
from evalsuite.runs.records import Failure


def run(
    suite: str | None,
    benchmarks: Sequence[str],
    benchmarks_file: Path | None,
    *,
    yes: bool,
    verify: bool,
    console: Console | None = None,
) -> bool:
    """Fetch what is missing; says whether all that was asked for is ready. Raises `UsageError`.

    What will be loaded is printed before anything is.
    """
    console = console or Console(stderr=True)
    known = load(benchmarks_file)
    asked = known.named(suite, benchmarks) or known.suite("paper")  # as `run` does
    wanted = missing(asked, None)
    if wanted:
        print_grid(plan(wanted), console)
    reachable = [item for item in wanted if item.unreachable is None]
    failures = []
    with downloads.make(console) as shown:
        failures += fetch(reachable, yes=yes, say=shown.say)
        # A repeat of a benchmark's data under another name was fetched with it.
        names = {item.benchmark.name for item in wanted}
        for benchmark in asked:
            if benchmark.name not in names:
                found = locate(benchmark, None, verify=verify, say=shown.say)
                failures += [found] if isinstance(found, Failure) else []
    troubles = [(f.benchmark, f"{f.message}; {f.remedy}") for f in failures]
    troubles += [(item.benchmark.name, f"{item.unreachable}; {item.remedy}")
                 for item in wanted if item.unreachable is not None]  # fmt: skip
    # Without a network all have one trouble, which is said once.
    for what in dict.fromkeys(what for _, what in troubles):
        line = f"{listed([name for name, why in troubles if why == what])}: {sentence(what)}"
        console.print(Text(visible(line), style="red"), soft_wrap=True)
    ready = len(asked) - len({name for name, _ in troubles})
    console.print(f"data of {ready} of {counted(len(asked), 'benchmark')} is ready", soft_wrap=True)
    return not troubles


def plan(wanted: Sequence[Missing]) -> Grid:
    """Lay out what will be loaded."""
    total = sum(item.bytes for item in wanted)
    return Grid(
        headings=(
            Heading("benchmark", numeric=False),
            Heading("to load"),
            *(Heading(name, numeric=False, wraps=True) for name in ("licence", "from", "to")),
        ),
        lines=tuple(
            Line(entries((
                item.benchmark.name,
                ("about " if item.about else "") + written(item.bytes),
                item.benchmark.published.licence if item.benchmark.published else "",
                item.source,
                str(item.target),
            )))
            for item in wanted
        ),
        remarks=(
            f"{written(total)} to load in all",
            "licences as recalled: the data's own page decides",
        ),
    )  # fmt: skip

"""What `evalsuite fetch` shows: what will be loaded and from where, then how it goes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from evalsuite.benchmarks import load
from evalsuite.data import Missing, fetch, locate, missing
from evalsuite.data.fetch import UNASKED_BYTES, check_room
from evalsuite.data.sizes import written
from evalsuite.data.steps import Step
from evalsuite.errors import UsageError
from evalsuite.report.grid import Grid, Heading, Line, entries
from evalsuite.report.text import can_draw, print_grid
from evalsuite.report.words import counted, duration, listed, sentence, visible
from evalsuite.results import Failure

APART_SECONDS = 10.0
"""Two plain lines about one step are at least so far apart."""


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
    confirm(reachable, yes=yes)
    with make(console) as shown:
        # A repeat of a benchmark's data under another name was fetched with it.
        names = {item.benchmark.name for item in wanted}
        for benchmark in asked:
            if benchmark.name not in names:
                found = locate(benchmark, None, verify=verify, say=shown.say)
                failures += [found] if isinstance(found, Failure) else []
        failures += fetch(reachable, shown.say)
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


def confirm(
    wanted: Sequence[Missing], *, yes: bool, ask: Callable[[str], str] | None = None
) -> None:
    """Make sure that a large download is meant, and that it fits; raises `UsageError` if not.

    On a terminal it asks; `ask` is what asks.
    """
    check_room(wanted)
    total = sum(item.bytes for item in wanted)
    if yes or total <= UNASKED_BYTES:
        return
    question = f"{written(total)} to load"
    if ask is None and sys.stdin.isatty():
        ask = input
    if ask is None:
        raise UsageError(
            f"{question}, and more than {written(UNASKED_BYTES)} needs --yes (or fewer benchmarks)"
        )
    try:
        answer = ask(f"{question}. Go on? [y/N] ")
    except EOFError:
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        raise UsageError("nothing was loaded: say y, or give --yes")


class Plain:
    """A line now and then, for logs and pipes."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._begun: dict[tuple[str, str], tuple[float, int]] = {}
        self._said: dict[tuple[str, str], float] = {}

    def __enter__(self) -> Plain:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def say(self, step: Step) -> None:
        """Say how far `step` is, unless that was said just now."""
        key, now = (step.benchmark, step.doing), self._clock()
        since, first = self._begun.setdefault(key, (now, step.done))
        finished = step.total is not None and step.done >= step.total
        if key in self._said and now - self._said[key] < APART_SECONDS and not finished:
            return
        if self._said.get(key) == float("inf"):
            return
        self._said[key] = float("inf") if finished else now
        line = f"{step.benchmark}: {step.doing} {written(step.done)}"
        line += f" of {written(step.total)}" if step.total is not None else ""
        if step.done > first and now > since and not finished:
            per_second = (step.done - first) / (now - since)
            line += f", {written(int(per_second))}/s"
            if step.total is not None:
                line += f", {duration((step.total - step.done) / per_second)} left"
        self._console.print(Text(visible(line)), soft_wrap=True)


class Live(Plain):
    """Bars at the bottom of a terminal."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._bars = Progress(
            TextColumn("{task.description}", markup=False), BarColumn(bar_width=24),
            DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn(), console=console,
        )  # fmt: skip
        self._tasks: dict[tuple[str, str], TaskID] = {}

    def __enter__(self) -> Live:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def say(self, step: Step) -> None:
        """Move the bar of `step`."""
        key = (step.benchmark, step.doing)
        if key not in self._tasks:
            name = visible(f"{step.benchmark} {step.doing}")
            self._tasks[key] = self._bars.add_task(name, total=step.total)
        self._bars.update(self._tasks[key], completed=step.done, total=step.total)


def make(console: Console | None = None) -> Plain:
    """Return the display that suits `console`, standard error if it is None."""
    console = console or Console(stderr=True)
    return Live(console) if can_draw(console) else Plain(console)

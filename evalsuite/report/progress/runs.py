"""How a run goes, while it goes: a live display on a terminal, plain lines elsewhere, or silence.

All of it goes to standard error: standard output is for results. The three classes are
`evalsuite.runner.events.Progress`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console, RenderableType
from rich.live import Live as RichLive
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table as RichTable
from rich.text import Text

from evalsuite.report.format import (
    FAILED,
    counted,
    duration,
    parameter_count,
    plus_minus,
    rate,
    sentence,
    short,
    visible,
)
from evalsuite.report.tables.grid import Grid, Heading, Line, entries
from evalsuite.report.writers.terminal import can_draw, print_grid
from evalsuite.runs.records import Failure, Outcome

if TYPE_CHECKING:
    # Both would bring in what only a run needs.
    from evalsuite.benchmarks.data.progress import Step
    from evalsuite.checkpoint.checkpoint import Checkpoint
    from evalsuite.report.progress import downloads
    from evalsuite.runner.events import Planned

APART_SECONDS = 5.0
"""Two plain lines about one benchmark are at least so far apart,"""
APART_SHARE = 0.1
"""and so much more of it is done,"""
SILENCE_SECONDS = 60.0
"""unless nothing was said for so long."""


class Silent:
    """Says nothing."""

    def loading(self, step: Step) -> None:
        """Say nothing."""

    def planned(self, checkpoint: Checkpoint, place: Path, plan: Sequence[Planned]) -> None:
        """Say nothing."""

    def advanced(self, benchmark: str, done: int) -> None:
        """Say nothing."""

    def scoring(self, benchmark: str) -> None:
        """Say nothing."""

    def finished(self, outcome: Outcome) -> None:
        """Say nothing."""

    def again(self, run: str, done: int, total: int) -> None:
        """Say nothing."""

    def note(self, text: str) -> None:
        """Say nothing."""


@dataclass(slots=True)
class _Work:
    """How far one benchmark is."""

    benchmark: str
    total: int
    done: int
    scoring: bool = False
    first: tuple[float, int] | None = None
    """When the first predictions came, and how many there were then."""
    latest: float = 0.0
    """When the last ones came."""
    said: tuple[float, int] = (0.0, 0)
    """When something was last said of it, and how many there were then."""

    def advance(self, done: int, now: float) -> None:
        self.done, self.latest = done, now
        if self.first is None:
            self.first = self.said = (now, done)

    @property
    def per_second(self) -> float | None:
        """Samples a second since the first predictions; None until there are more."""
        if self.first is None or self.latest <= self.first[0]:
            return None
        return (self.done - self.first[1]) / (self.latest - self.first[0])

    @property
    def pace(self) -> str:
        """Rate and time left, or nothing if there is nothing to tell them from."""
        if not self.per_second:
            return ""
        left = duration((self.total - self.done) / self.per_second)
        return f"{rate(self.per_second)} samples/s, {left} left"


class Plain:
    """A line now and then, for logs and pipes."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._works: dict[str, _Work] = {}
        self._loads: downloads.Plain | None = None

    def __enter__(self) -> Plain:
        return self

    def __exit__(self, *_: object) -> None:
        self._leave()

    def loading(self, step: Step) -> None:
        """Say how far it is, now and then."""
        from evalsuite.report.progress import (
            downloads,  # only a run whose data is not ready needs it
        )

        self._loads = self._loads or downloads.Plain(self._console, self._clock)
        self._loads.say(step)

    def planned(self, checkpoint: Checkpoint, place: Path, plan: Sequence[Planned]) -> None:
        """Say what will be done."""
        _print_plan(checkpoint, place, plan, self._console)
        self._works |= {p.name: _Work(p.name, p.total, p.done) for p in plan if not p.finished}

    def advanced(self, benchmark: str, done: int) -> None:
        """Say so, if enough has changed since something was said."""
        work = self._works[benchmark]
        now = self._clock()
        work.advance(done, now)
        since, before = now - work.said[0], work.said[1]
        further = done - before >= APART_SHARE * work.total and since >= APART_SECONDS
        if further or since >= SILENCE_SECONDS:
            work.said = (now, done)
            share = f"{done} of {work.total} ({done / work.total:.0%})"
            pace = f", {work.pace}" if work.pace else ""
            self._say(Text(visible(f"{benchmark}: {share}{pace}")))

    def scoring(self, benchmark: str) -> None:
        """Say nothing: the score follows."""

    def finished(self, outcome: Outcome) -> None:
        """Say the score, or why there is none; and why samples failed."""
        self._works.pop(outcome.benchmark, None)
        self._say(_closing(outcome))
        for reason in () if isinstance(outcome, Failure) else outcome.failure_reasons:
            self._say(Text(visible(f"  failed: {sentence(reason)}"), style="yellow"))

    def again(self, run: str, done: int, total: int) -> None:
        """Say so as of a benchmark."""
        name = f"{run} asked again, alone".strip()
        work = self._works.setdefault(name, _Work(name, total, done))
        work.total = total
        self.advanced(name, done)
        if done == total:
            del self._works[name]

    def note(self, text: str) -> None:
        """Say it."""
        self._say(Text(f"note: {visible(sentence(text))}", style="yellow"))

    def _leave(self) -> None:
        """Say how far the benchmarks are that have no score."""
        for work in self._works.values():
            if work.done:
                self._say(Text(visible(f"{work.benchmark}: {work.done} of {work.total} predicted")))
        self._works = {}

    def _say(self, line: Text) -> None:
        self._console.print(line, soft_wrap=True)


class Live(Plain):
    """Bars at the bottom of a terminal; what is finished scrolls away above them."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(console, clock)
        self._spinner = Spinner("dots")
        # Its thread calls _drawn four times a second, however often predictions come.
        self._live = RichLive(
            console=console, get_renderable=self._drawn, transient=True, redirect_stdout=False
        )

    def __enter__(self) -> Live:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()
        self._leave()

    def advanced(self, benchmark: str, done: int) -> None:
        """Keep the number for the next time the bars are drawn."""
        self._works[benchmark].advance(done, self._clock())

    def scoring(self, benchmark: str) -> None:
        """Turn the bar into a spinner."""
        self._works[benchmark].scoring = True

    def _drawn(self) -> RenderableType:
        works = list(self._works.values())  # a copy: the other thread may change it meanwhile
        begun = [work for work in works if work.scoring or work.first]
        waiting = [work for work in works if not (work.scoring or work.first)]
        if not any(work.first and not work.scoring for work in begun):
            begun, waiting = begun + waiting[:1], waiting[1:]
        table = RichTable.grid(padding=(0, 2))
        for work in begun:
            table.add_row(*self._fields(work))
        if waiting:
            table.add_row(Text(f"and {counted(len(waiting), 'more benchmark')}", style="dim"))
        return table

    def _fields(self, work: _Work) -> Iterator[RenderableType]:
        yield Text(visible(work.benchmark), no_wrap=True)
        if work.scoring:
            yield self._spinner
            yield Text("scoring")
            return
        yield ProgressBar(total=max(work.total, 1), completed=work.done, width=24)
        yield Text(f"{work.done}/{work.total}", no_wrap=True)
        yield Text(work.pace if work.first else "starting", style="dim", no_wrap=True)


def make(console: Console | None = None) -> Plain:
    """Return the display that suits `console`, standard error if it is None.

    It is a context manager: leaving it, however that comes about, leaves the terminal as it was.
    """
    console = console or Console(stderr=True)
    return Live(console) if can_draw(console) else Plain(console)


def _print_plan(
    checkpoint: Checkpoint, place: Path, plan: Sequence[Planned], console: Console
) -> None:
    facts = (
        ("checkpoint", f"{checkpoint.name} ({checkpoint.source})"),
        ("model", f"{checkpoint.family}, {parameter_count(checkpoint.parameters)} parameters, "
                  f"digest {short(checkpoint.digest)}"),
        *(() if checkpoint.base is None else (("base", checkpoint.base),)),
        *(("warning", sentence(warning)) for warning in checkpoint.warnings),
        ("results", str(place)),
    )  # fmt: skip
    for name, fact in facts:
        style = "yellow" if name == "warning" else ""
        console.print(Text(f"{name:<11} {visible(fact)}", style=style), soft_wrap=True)
    print_grid(_plan_grid(plan), console)


def _plan_grid(plan: Sequence[Planned]) -> Grid:
    left = sum(p.total - p.done for p in plan)
    return Grid(
        headings=(
            Heading("benchmark", numeric=False),
            *(Heading(name) for name in ("samples", "done", "left")),
            Heading("", numeric=False),
        ),
        lines=tuple(
            Line(entries((p.benchmark.name, str(p.total), str(p.done), str(p.total - p.done),
                          "scored" if p.finished else "")))
            for p in plan
        ),
        remarks=() if left else ("every sample has its prediction",),
    )  # fmt: skip


def _closing(outcome: Outcome) -> Text:
    """Write the line that stays of a benchmark."""
    name = visible(outcome.benchmark)
    if isinstance(outcome, Failure):
        why = visible(f"{sentence(outcome.message)}; {sentence(outcome.remedy)}")
        return Text.assemble(f"{name}: ", (FAILED, "red"), f" ({outcome.stage}): {why}")
    samples = counted(outcome.n, "sample")
    counts = [f"{getattr(outcome.counts, key)} {key}" for key in ("failed", "empty", "truncated",
              "unparsed") if getattr(outcome.counts, key)]  # fmt: skip
    rest = ", ".join([samples, *counts])
    return Text.assemble(f"{name}: ", (plus_minus(outcome), "bold green"), f" ({rest})")

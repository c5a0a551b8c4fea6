"""Progress of a run: a live display on a terminal, plain lines elsewhere.

It goes to standard error: standard output is for results.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console, RenderableType
from rich.live import Live as RichLive
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table as RichTable
from rich.text import Text

from evalsuite.benchmarks.data.progress import Step
from evalsuite.report.format import (
    FAILED,
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
from evalsuite.runner.events import (
    BenchmarkFinished,
    BenchmarkPlan,
    Event,
    Note,
    RunPlanned,
    SamplesPredicted,
    SamplesRerun,
    ScoringStarted,
)
from evalsuite.runs.records import COUNTS, Failure, Outcome
from evalsuite.system.text import counted

if TYPE_CHECKING:
    from evalsuite.report.progress import downloads

APART_SECONDS = 5.0
"""Minimum time between two plain lines about one benchmark."""
APART_SHARE = 0.1
"""Minimum share of the benchmark between two plain lines."""
SILENCE_SECONDS = 60.0
"""A plain line is printed after this time in any case."""


@dataclass(slots=True)
class _Work:
    """Progress of one benchmark."""

    benchmark: str
    total: int
    done: int
    scoring: bool = False
    first: tuple[float, int] | None = None
    """Time and number of the first predictions."""
    latest: float = 0.0
    """Time of the last predictions."""
    printed: tuple[float, int] = (0.0, 0)
    """Time and number of predictions of the last line."""

    def advance(self, done: int, now: float) -> None:
        self.done, self.latest = done, now
        if self.first is None:
            self.first = self.printed = (now, done)

    @property
    def per_second(self) -> float | None:
        """Samples per second since the first predictions; None before the second ones."""
        if self.first is None or self.latest <= self.first[0]:
            return None
        return (self.done - self.first[1]) / (self.latest - self.first[0])

    @property
    def pace(self) -> str:
        """Rate and time left, or an empty text if they are unknown."""
        if not self.per_second:
            return ""
        left = duration((self.total - self.done) / self.per_second)
        return f"{rate(self.per_second)} samples/s, {left} left"


class Plain:
    """Occasional lines, for logs and pipes."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._works: dict[str, _Work] = {}
        """By checkpoint, if there are several, and benchmark."""
        self._loads: downloads.Plain | None = None

    def __enter__(self) -> Plain:
        return self

    def __exit__(self, *_: object) -> None:
        self._finish_all()

    def __call__(self, event: Event) -> None:
        """Show `event`."""
        match event:
            case Step():
                self._load(event)
            case RunPlanned(run, _, _, plan):
                _print_plan(event, self._console)
                for item in plan:
                    if not item.scored:
                        name = _label(run, item.benchmark.name)
                        self._works[name] = _Work(name, item.total, item.done)
            case SamplesPredicted(run, benchmark, done):
                self._advance(_label(run, benchmark), done)
            case ScoringStarted(run, benchmark):
                self._start_scoring(_label(run, benchmark))
            case BenchmarkFinished(run, outcome):
                self._finish(_label(run, outcome.benchmark), outcome)
            case SamplesRerun(run, done, total):
                self._rerun(_label(run, "reruns at batch size 1"), done, total)
            case Note(text):
                self._print(Text(f"note: {visible(sentence(text))}", style="yellow"))

    def _load(self, step: Step) -> None:
        # Imported here: only a run whose data is not ready needs it.
        from evalsuite.report.progress import downloads

        self._loads = self._loads or downloads.Plain(self._console, self._clock)
        self._loads.say(step)

    def _advance(self, name: str, done: int) -> None:
        """Print a line if enough has changed since the last one."""
        work = self._works[name]
        now = self._clock()
        work.advance(done, now)
        since, before = now - work.printed[0], work.printed[1]
        further = done - before >= APART_SHARE * work.total and since >= APART_SECONDS
        if further or since >= SILENCE_SECONDS:
            work.printed = (now, done)
            share = f"{done} of {work.total} ({done / work.total:.0%})"
            pace = f", {work.pace}" if work.pace else ""
            self._print(Text(visible(f"{name}: {share}{pace}")))

    def _start_scoring(self, name: str) -> None:
        """Print nothing: the score follows."""

    def _finish(self, name: str, outcome: Outcome) -> None:
        """Print the score or the failure, and why samples failed."""
        self._works.pop(name, None)
        self._print(_closing(name, outcome))
        for reason in () if isinstance(outcome, Failure) else outcome.failure_reasons:
            self._print(Text(visible(f"  failed: {sentence(reason)}"), style="yellow"))

    def _rerun(self, name: str, done: int, total: int) -> None:
        """Show reruns as a benchmark of their own."""
        work = self._works.setdefault(name, _Work(name, total, done))
        work.total = total
        self._advance(name, done)
        if done == total:
            del self._works[name]

    def _finish_all(self) -> None:
        """Print the progress of the benchmarks without a score."""
        for work in self._works.values():
            if work.done:
                self._print(
                    Text(visible(f"{work.benchmark}: {work.done} of {work.total} predicted"))
                )
        self._works = {}

    def _print(self, line: Text) -> None:
        self._console.print(line, soft_wrap=True)


class Live(Plain):
    """Bars at the bottom of a terminal; finished benchmarks are printed above them."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(console, clock)
        self._spinner = Spinner("dots")
        # Its thread calls _drawn four times a second, at any rate of predictions.
        self._live = RichLive(
            console=console, get_renderable=self._drawn, transient=True, redirect_stdout=False
        )

    def __enter__(self) -> Live:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()
        self._finish_all()

    def _advance(self, name: str, done: int) -> None:
        """Keep the number for the next time the bars are drawn."""
        self._works[name].advance(done, self._clock())

    def _start_scoring(self, name: str) -> None:
        """Turn the bar into a spinner."""
        self._works[name].scoring = True

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


def _label(run: str, benchmark: str) -> str:
    return f"{run} {benchmark}".strip()


def _print_plan(planned: RunPlanned, console: Console) -> None:
    checkpoint = planned.checkpoint
    facts = (
        ("checkpoint", f"{checkpoint.name} ({checkpoint.source})"),
        ("model", f"{checkpoint.family}, {parameter_count(checkpoint.parameters)} parameters, "
                  f"digest {short(checkpoint.digest)}"),
        *(() if checkpoint.base is None else (("base", checkpoint.base),)),
        *(("warning", sentence(warning)) for warning in checkpoint.warnings),
        ("results", str(planned.directory)),
    )  # fmt: skip
    for name, fact in facts:
        style = "yellow" if name == "warning" else ""
        console.print(Text(f"{name:<11} {visible(fact)}", style=style), soft_wrap=True)
    print_grid(_plan_grid(planned.benchmarks), console)


def _plan_grid(plan: Sequence[BenchmarkPlan]) -> Grid:
    left = sum(p.total - p.done for p in plan)
    return Grid(
        headings=(
            Heading("benchmark", numeric=False),
            *(Heading(name) for name in ("samples", "done", "left")),
            Heading("", numeric=False),
        ),
        lines=tuple(
            Line(entries((p.benchmark.name, str(p.total), str(p.done), str(p.total - p.done),
                          "scored" if p.scored else "")))
            for p in plan
        ),
        remarks=() if left else ("every sample has its prediction",),
    )  # fmt: skip


def _closing(name: str, outcome: Outcome) -> Text:
    """Write the line that stays of a benchmark."""
    name = visible(name)
    if isinstance(outcome, Failure):
        why = visible(f"{sentence(outcome.message)}; {sentence(outcome.remedy)}")
        return Text.assemble(f"{name}: ", (FAILED, "red"), f" ({outcome.stage}): {why}")
    samples = counted(outcome.n, "sample")
    counts = [f"{n} {key}" for key in COUNTS if (n := getattr(outcome.counts, key))]
    rest = ", ".join([samples, *counts])
    return Text.assemble(f"{name}: ", (plus_minus(outcome), "bold green"), f" ({rest})")

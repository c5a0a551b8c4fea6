"""Progress of downloads: bars on a terminal, a line every ten seconds in a log."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.console import Console
from rich.filesize import decimal
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

from evalsuite.benchmarks.data.progress import Step
from evalsuite.report.format import duration, visible
from evalsuite.report.writers.terminal import can_draw

APART_SECONDS = 10.0
"""Seconds between two lines about one step."""


class Plain:
    """Lines at intervals, for logs and pipes."""

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
        """Print the progress of `step`, unless a line about it was printed recently."""
        key, now = (step.benchmark, step.doing), self._clock()
        since, first = self._begun.setdefault(key, (now, step.done))
        finished = step.total is not None and step.done >= step.total
        if key in self._said and now - self._said[key] < APART_SECONDS and not finished:
            return
        if self._said.get(key) == float("inf"):
            return
        self._said[key] = float("inf") if finished else now
        line = f"{step.benchmark}: {step.doing} {decimal(step.done)}"
        line += f" of {decimal(step.total)}" if step.total is not None else ""
        if step.done > first and now > since and not finished:
            per_second = (step.done - first) / (now - since)
            line += f", {decimal(int(per_second))}/s"
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
        """Update the bar of `step`."""
        key = (step.benchmark, step.doing)
        if key not in self._tasks:
            name = visible(f"{step.benchmark} {step.doing}")
            self._tasks[key] = self._bars.add_task(name, total=step.total)
        self._bars.update(self._tasks[key], completed=step.done, total=step.total)


def make(console: Console | None = None) -> Plain:
    """Return the display for `console`, by default standard error."""
    console = console or Console(stderr=True)
    return Live(console) if can_draw(console) else Plain(console)

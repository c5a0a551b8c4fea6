"""A progress bar of the images of a page."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from evalsuite.report.format import visible
from evalsuite.report.writers.terminal import can_draw


class Bar:
    """The bar of one benchmark after the other; without `progress` it does nothing."""

    def __init__(self, progress: Progress | None) -> None:
        """Add a bar to `progress`."""
        self._progress = progress
        self._task = None if progress is None else progress.add_task("", total=0, visible=False)

    def begin(self, what: str, total: int) -> None:
        """Show `total` steps of `what`."""
        if self._progress is not None and self._task is not None:
            shown = escape(visible(what))
            self._progress.reset(self._task, total=total, description=shown, visible=total > 0)

    def advance(self) -> None:
        """Finish one step."""
        if self._progress is not None and self._task is not None:
            self._progress.advance(self._task)


@contextmanager
def bar(console: Console) -> Iterator[Bar]:
    """Show a bar on `console` if it is a terminal."""
    if not can_draw(console):
        yield Bar(None)
        return
    columns = (TextColumn("images of {task.description}"), BarColumn(24), MofNCompleteColumn(),
               TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=console, transient=True, redirect_stdout=False) as progress:
        yield Bar(progress)

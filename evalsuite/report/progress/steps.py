"""A progress bar of the images of a page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from evalsuite.report.format import visible
from evalsuite.report.writers.terminal import can_draw


@contextmanager
def bar(console: Console) -> Iterator[Callable[[str, int], Callable[[], None]]]:
    """Show one benchmark after the other on `console` if it is a terminal.

    Yields `evalsuite.report.page.write.Steps`.
    """
    columns = (TextColumn("images of {task.description}"), BarColumn(24), MofNCompleteColumn(),
               TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=console, transient=True, redirect_stdout=False,
                  disable=not can_draw(console)) as progress:  # fmt: skip
        task = progress.add_task("", total=0, visible=False)

        def begin(what: str, total: int) -> Callable[[], None]:
            shown = escape(visible(what))
            progress.reset(task, total=total, description=shown, visible=total > 0)
            return lambda: progress.advance(task)

        yield begin

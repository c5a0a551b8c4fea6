"""``evalsuite cache``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from evalsuite.cli.app import MACHINE_PANEL, app
from evalsuite.errors import UsageError, check_known

if TYPE_CHECKING:
    from evalsuite.benchmarks.data.cache import Deleted


@app.command(rich_help_panel=MACHINE_PANEL)
def cache(
    kinds: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KIND]...",
            help="images, frames, data, judge or digests  \\[default: all]",
            show_default=False,
        ),
    ] = None,
    empty: Annotated[
        bool,
        typer.Option("--empty", help="Delete entries of these kinds (entries in use are kept)."),
    ] = False,
    limit: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="Delete images and frames until they take at most SIZE (50GB).",
        ),
    ] = None,
) -> None:
    """Show, delete or prune cached data, all of which can be computed again."""
    from rich.console import Console

    from evalsuite.benchmarks.data import cache as store
    from evalsuite.report.tables.data import cache as cache_table
    from evalsuite.report.writers.terminal import print_grid

    console = Console()
    for name in kinds or ():
        check_known("cache", name, store.KINDS)
    if empty and limit is not None:
        raise UsageError("--empty and --limit cannot be combined")
    if limit is not None and kinds:
        raise UsageError("--limit applies to images and frames together; omit the kind")
    if empty:
        console.print(_summary(store.empty(kinds or list(store.KINDS))), soft_wrap=True)
    if limit is not None:
        console.print(_summary(store.prune(store.read_size(limit, "--limit"))), soft_wrap=True)
    chosen = [kind for kind in store.kinds() if not kinds or kind.name in kinds]
    print_grid(cache_table(chosen), console)


def _summary(deleted: Deleted) -> str:
    from rich.filesize import decimal

    kept = f"; {deleted.kept} kept because they may be in use" if deleted.kept else ""
    count = "1 entry" if deleted.entries == 1 else f"{deleted.entries} entries"
    return f"deleted {count}, {decimal(deleted.bytes)}{kept}"

"""What `evalsuite cache` shows: how much is kept, how old it is, and what was dropped."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.console import Console

from evalsuite.benchmarks.data import cache
from evalsuite.benchmarks.data.cache import KINDS, Dropped, Kind
from evalsuite.benchmarks.data.sizes import read_size, written
from evalsuite.errors import UsageError, nearest
from evalsuite.report.format import ABSENT, listed
from evalsuite.report.tables.grid import Grid, Heading, Line, entries
from evalsuite.report.writers.terminal import print_grid
from evalsuite.system.hashing import cache_directory


def show(
    names: Sequence[str], limit: str | None, *, empty: bool, console: Console | None = None
) -> None:
    """Print the cache's kinds, after emptying or pruning it if asked. Raises `UsageError`."""
    console = console or Console()
    for name in names:
        if name not in KINDS:
            raise UsageError(
                f"cache {name}: unknown{nearest(name, KINDS)}; expected {listed(list(KINDS))}"
            )
    if empty and limit is not None:
        raise UsageError("--empty and --limit exclude each other; give one of them")
    if limit is not None and names:
        raise UsageError("--limit is about images and frames together; name no kind with it")
    if empty:
        _say(cache.empty(names or list(KINDS)), console)
    if limit is not None:
        _say(cache.prune(read_size(limit, "--limit")), console)
    print_grid(grid([kind for kind in cache.kinds() if not names or kind.name in names]), console)


def _say(dropped: Dropped, console: Console) -> None:
    spared = f"; {dropped.spared} kept, a running session may use them" if dropped.spared else ""
    count = "1 entry" if dropped.entries == 1 else f"{dropped.entries} entries"
    console.print(f"dropped {count}, {written(dropped.bytes)}{spared}", soft_wrap=True)


def grid(kinds: Sequence[Kind]) -> Grid:
    """Lay out what is kept."""
    return Grid(
        headings=(
            Heading("kind", numeric=False),
            *(Heading(name) for name in ("size", "entries", "longest unused")),
            Heading("what it is", numeric=False, wraps=True),
        ),
        lines=tuple(
            Line(entries((
                kind.name, written(kind.bytes), str(len(kind.entries)), _age(kind.oldest),
                kind.about,
            )))
            for kind in kinds
        ),
        remarks=(
            f"in {cache_directory()} ($EVALSUITE_CACHE)",
            f"images and frames are kept up to {written(cache.limit_bytes())} "
            "($EVALSUITE_CACHE_LIMIT), least recently used dropped first",
        ),
    )  # fmt: skip


def _age(since: float | None) -> str:
    if since is None:
        return ABSENT
    hours = max(time.time() - since, 0) / 3600
    return f"{hours:.0f} hours" if hours < 48 else f"{hours / 24:.0f} days"

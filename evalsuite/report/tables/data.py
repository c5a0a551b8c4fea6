"""Tables of `evalsuite fetch`, `doctor` and `cache`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.filesize import decimal

from evalsuite.benchmarks.data.cache import Kind, limit_bytes
from evalsuite.benchmarks.data.fetch import Missing
from evalsuite.benchmarks.data.status import DataStatus
from evalsuite.report.model.column import Column
from evalsuite.report.tables.grid import Grid, lay_out
from evalsuite.system.hashing import cache_directory
from evalsuite.system.text import counted

_DOWNLOADS: tuple[Column[Missing], ...] = (
    Column("benchmark", "benchmark", lambda m: m.benchmark.name, numeric=False),
    Column(
        "bytes", "download", lambda m: m.bytes,
        text=lambda m: ("about " if m.about else "") + decimal(m.bytes),
    ),
    Column(
        "licence", "licence", lambda m: m.benchmark.published and m.benchmark.published.licence,
        numeric=False, wraps=True, note="unverified; see the dataset's own page",
    ),
    Column("source", "from", lambda m: m.source, numeric=False, wraps=True),
    Column("target", "to", lambda m: str(m.target), numeric=False, wraps=True),
)  # fmt: skip


def downloads(wanted: Sequence[Missing]) -> Grid:
    """The downloads of `fetch`."""
    total = decimal(sum(item.bytes for item in wanted))
    return lay_out(_DOWNLOADS, wanted, remarks=(f"total download: {total}",))


_STATUS: tuple[Column[DataStatus], ...] = (
    Column("benchmark", "benchmark", lambda s: s.benchmark, numeric=False),
    Column("status", "data", lambda s: s.status, numeric=False),
    Column("bytes", "size", lambda s: s.bytes, decimal),
    Column(
        "checked", "MD5", lambda s: "differs" if s.status == "modified" else s.checked,
        lambda checked: {True: "as published", False: "not compared"}.get(checked, checked),
        numeric=False,
    ),
    Column("path", "path", lambda s: short_path(s.path), numeric=False, wraps=True),
    Column(
        "advice", "remedy", lambda s: _advice(s), numeric=False, wraps=True
    ),
)  # fmt: skip


def data_status(found: Sequence[DataStatus]) -> Grid:
    """The state of each benchmark's data."""
    ready = sum(status.ready for status in found)
    remarks = [f"data of {ready} of {counted(len(found), 'benchmark')} is ready"]
    if any(status.checked is False for status in found):
        remarks.append("large tables are not compared; --verify hashes every table")
    return lay_out(_STATUS, found, remarks=remarks)


def _advice(status: DataStatus) -> str:
    if status.ready:
        return status.message
    if status.status == "missing":
        return status.remedy
    return f"{status.message}: {status.remedy}"


def short_path(path: Path) -> str:
    """`path`, with ``~`` for the home directory."""
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


_MACHINE: tuple[Column[tuple[str, str]], ...] = (
    Column("name", "this machine", lambda fact: fact[0], numeric=False),
    Column("value", "value", lambda fact: fact[1], numeric=False, wraps=True),
)


def machine(facts: Iterable[tuple[str, str]]) -> Grid:
    """Names and values about this machine."""
    return lay_out(_MACHINE, facts)


_CACHE: tuple[Column[Kind], ...] = (
    Column("kind", "kind", lambda k: k.name, numeric=False),
    Column("bytes", "size", lambda k: k.bytes, decimal),
    Column("entries", "entries", lambda k: len(k.entries)),
    Column("unused_seconds", "longest unused", lambda k: _age(k), lambda s: _hours(s)),
    Column("about", "content", lambda k: k.about, numeric=False, wraps=True),
)


def cache(kinds: Sequence[Kind]) -> Grid:
    """The content of the cache, by kind."""
    return lay_out(
        _CACHE,
        kinds,
        remarks=(
            f"in {cache_directory()} ($EVALSUITE_CACHE)",
            f"limit for images and frames: {decimal(limit_bytes())} ($EVALSUITE_CACHE_LIMIT); "
            "the least recently used are deleted first",
        ),
    )


def _age(kind: Kind) -> float | None:
    return None if kind.oldest is None else max(time.time() - kind.oldest, 0)


def _hours(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours:.0f} hours" if hours < 48 else f"{hours / 24:.0f} days"

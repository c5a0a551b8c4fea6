"""Whether a benchmark's data is there, found out in moments: nothing is prepared or downloaded."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from evalsuite.benchmarks.catalogue import Benchmark
from evalsuite.benchmarks.data import prepare
from evalsuite.benchmarks.data.errors import DataError
from evalsuite.benchmarks.data.inspect_tree import Lying
from evalsuite.benchmarks.data.locate import absent, differing, incomplete, look
from evalsuite.benchmarks.data.search_paths import is_video_tree, place_of
from evalsuite.errors import EvalsuiteError
from evalsuite.system.hashing import file_digest, remembered_digest

QUICK_BYTES = 32_000_000
"""Smaller tables are hashed although nobody asked: it takes no time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """How it stands with the data of one benchmark."""

    benchmark: str
    status: Literal["ready", "missing", "incomplete", "modified", "unusable"]
    path: Path
    bytes: int | None = None
    """What is there, or None if nothing is."""
    checked: bool | None = None
    """Whether the tables' MD5s were compared; None where none is published."""
    message: str = ""
    remedy: str = ""

    @property
    def ready(self) -> bool:
        """Whether it can be run as it is."""
        return self.status == "ready"


def state(benchmark: Benchmark, data_dir: Path | None, *, verify: bool = False) -> State:
    """Look at the data of `benchmark`: by size and stamp, with `verify` by hashing its tables."""
    path = place_of(benchmark, data_dir)
    size: int | None = None
    try:
        if not path.exists():
            raise absent(benchmark, data_dir, path)
        if is_video_tree(benchmark):
            return _video_state(benchmark, path, verify)
        size = path.stat().st_size if path.is_file() else _directory_bytes(path)
        if path.suffix in (".tsv", ".csv", ".jsonl") and (path.is_dir() or not size):
            what = "is a directory" if path.is_dir() else "is empty"
            raise DataError(f"{path}: {what}", "put the table there")
        tables = {benchmark.dataset: path} if benchmark.data is None else {}
        checked, wrong = _compared(benchmark, path.parent, tables, verify)
    except DataError as error:
        status: Literal["missing", "unusable"] = "unusable" if path.exists() else "missing"
        return _trouble(benchmark, status, path, size, error)
    except (EvalsuiteError, OSError) as error:
        trouble = DataError(str(error), "mend that and look again")
        return _trouble(benchmark, "unusable", path, size, trouble)
    if wrong is not None:
        return _trouble(benchmark, "modified", path, size, wrong, checked=True)
    return State(
        benchmark=benchmark.name, status="ready", path=path, bytes=size, checked=checked
    )  # fmt: skip


def _video_state(benchmark: Benchmark, root: Path, verify: bool) -> State:
    prepared = prepare.prepared_path(benchmark.dataset, root)
    with tempfile.TemporaryDirectory(prefix="evalsuite-tables-") as scratch:
        lying = look(benchmark.dataset, root, prepared, Path(scratch))
        size = _lying_bytes(lying)
        checked, wrong = _compared(benchmark, root, lying.tables, verify)
    if lying.lacking:  # first: allowing modified data would not bring them
        return _trouble(benchmark, "incomplete", root, size, incomplete(benchmark, lying))
    if wrong is not None:
        return _trouble(benchmark, "modified", root, size, wrong, checked=True)
    return State(
        benchmark=benchmark.name, status="ready", path=root, bytes=size, checked=checked,
        message="" if lying.ready else "unpacked when first used",
    )  # fmt: skip


def _trouble(
    benchmark: Benchmark,
    status: Literal["missing", "incomplete", "modified", "unusable"],
    path: Path,
    size: int | None,
    error: DataError,
    checked: bool | None = None,
) -> State:
    return State(
        benchmark=benchmark.name, status=status, path=path, bytes=size, checked=checked,
        message=error.message, remedy=error.remedy,
    )  # fmt: skip


def _compared(
    benchmark: Benchmark, root: Path, tables: Mapping[str, Path], verify: bool
) -> tuple[bool | None, DataError | None]:
    """Whether all tables' MD5s are known, and what is wrong with the first wrong one."""
    published = benchmark.published.md5 if benchmark.published is not None else {}
    compared = {table: path for table, path in tables.items() if table in published}
    if not compared:
        return None, None
    checked = True
    for table, path in compared.items():
        if verify or path.stat().st_size < QUICK_BYTES:
            found: str | None = file_digest(path, algorithm="md5", fresh=verify)
        else:
            found = remembered_digest(path, algorithm="md5")
        if found is not None and found != published[table].lower():
            return True, differing(benchmark, root / path.name, found, published[table])
        checked = checked and found is not None
    return checked, None


def _lying_bytes(lying: Lying) -> int:
    total = sum(path.stat().st_size for path in lying.tables.values())
    total += sum(member.bytes for member in lying.members.values())
    for name in (*lying.videos, *lying.subtitles):
        path = lying.root / name
        if path.is_file():
            total += path.stat().st_size
    return total


def _directory_bytes(root: Path) -> int:
    return sum(path.stat().st_size for path in root.rglob("*") if path.is_file())

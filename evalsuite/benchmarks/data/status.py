"""The state of a benchmark's data, found quickly: nothing is prepared or downloaded."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from evalsuite.benchmarks.benchmark import Benchmark
from evalsuite.benchmarks.data import prepare
from evalsuite.benchmarks.data.checks import absent, compare_with_published, incomplete
from evalsuite.benchmarks.data.errors import DataError
from evalsuite.benchmarks.data.inspect_tree import TreeContents
from evalsuite.benchmarks.data.locate import inspect_data
from evalsuite.benchmarks.data.search_paths import data_path, is_video_tree
from evalsuite.errors import EvalsuiteError
from evalsuite.system.hashing import file_digest, remembered_digest

QUICK_BYTES = 32_000_000
"""Smaller tables are always hashed, because this takes little time."""
Problem = Literal["missing", "incomplete", "modified", "unusable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataStatus:
    """The state of the data of one benchmark."""

    benchmark: str
    status: Literal["ready"] | Problem
    path: Path
    bytes: int | None = None
    """Size of the existing files; None if there are none."""
    checked: bool | None = None
    """Whether the tables' MD5s were compared; None if none is published."""
    message: str = ""
    remedy: str = ""

    @property
    def ready(self) -> bool:
        """Whether a run can use the data."""
        return self.status == "ready"


def data_status(benchmark: Benchmark, data_dir: Path | None, *, verify: bool = False) -> DataStatus:
    """Inspect the data of `benchmark`. Tables are hashed if they are small or `verify` is true."""
    path = data_path(benchmark, data_dir)
    size: int | None = None
    try:
        if not path.exists():
            raise absent(benchmark, data_dir, path)
        if is_video_tree(benchmark):
            return _video_status(benchmark, path, verify)
        size = path.stat().st_size if path.is_file() else _directory_bytes(path)
        if path.suffix in (".tsv", ".csv", ".jsonl") and (path.is_dir() or not size):
            what = "is a directory" if path.is_dir() else "is empty"
            raise DataError(f"{path}: {what}", "replace it by the table")
        tables = {benchmark.dataset: path} if benchmark.data is None else {}
        checked, error = compare_with_published(benchmark, path.parent, tables, _hasher(verify))
    except DataError as error:
        problem: Problem = "unusable" if path.exists() else "missing"
        return _failed(benchmark, problem, path, size, error)
    except (EvalsuiteError, OSError) as error:
        return _failed(benchmark, "unusable", path, size, DataError(str(error), "fix this"))
    if error is not None:
        return _failed(benchmark, "modified", path, size, error, checked=True)
    return DataStatus(
        benchmark=benchmark.name, status="ready", path=path, bytes=size, checked=checked
    )


def _video_status(benchmark: Benchmark, root: Path, verify: bool) -> DataStatus:
    prepared = prepare.prepared_path(benchmark.dataset, root)
    with tempfile.TemporaryDirectory(prefix="evalsuite-tables-") as scratch:
        contents = inspect_data(benchmark.dataset, root, prepared, Path(scratch))
        size = _contents_bytes(contents)
        checked, error = compare_with_published(benchmark, root, contents.tables, _hasher(verify))
    if contents.lacking:  # reported first: --allow-modified-data does not add videos
        return _failed(benchmark, "incomplete", root, size, incomplete(benchmark, contents))
    if error is not None:
        return _failed(benchmark, "modified", root, size, error, checked=True)
    return DataStatus(
        benchmark=benchmark.name, status="ready", path=root, bytes=size, checked=checked,
        message="" if contents.ready else "unpacked by the first run",
    )  # fmt: skip


def _failed(
    benchmark: Benchmark,
    problem: Problem,
    path: Path,
    size: int | None,
    error: DataError,
    checked: bool | None = None,
) -> DataStatus:
    return DataStatus(
        benchmark=benchmark.name, status=problem, path=path, bytes=size, checked=checked,
        message=error.message, remedy=error.remedy,
    )  # fmt: skip


def _hasher(verify: bool) -> Callable[[Path], str | None]:
    """A function that hashes a table, or returns a remembered hash, or None for a large one."""

    def md5(path: Path) -> str | None:
        if verify or path.stat().st_size < QUICK_BYTES:
            return file_digest(path, algorithm="md5", fresh=verify)
        return remembered_digest(path, algorithm="md5")

    return md5


def _contents_bytes(contents: TreeContents) -> int:
    total = sum(path.stat().st_size for path in contents.tables.values())
    total += sum(member.bytes for member in contents.members.values())
    for name in (*contents.videos, *contents.subtitles):
        path = contents.root / name
        if path.is_file():
            total += path.stat().st_size
    return total


def _directory_bytes(root: Path) -> int:
    return sum(path.stat().st_size for path in root.rglob("*") if path.is_file())

"""The state of a benchmark's data, found quickly: nothing is prepared or downloaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from evalsuite.benchmarks.benchmark import Benchmark
from evalsuite.benchmarks.data.errors import DataError
from evalsuite.benchmarks.data.locate import Checked, checked
from evalsuite.benchmarks.data.search_paths import data_path
from evalsuite.errors import EvalsuiteError
from evalsuite.system.hashing import file_digest, remembered_digest

QUICK_BYTES = 32_000_000
"""Smaller tables are always hashed, because this takes little time."""
Status = Literal["ready", "missing", "incomplete", "modified", "unusable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataStatus:
    """The state of the data of one benchmark."""

    benchmark: str
    status: Status
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

    def md5(path: Path) -> str | None:
        if verify or path.stat().st_size < QUICK_BYTES:
            return file_digest(path, algorithm="md5", fresh=verify)
        return remembered_digest(path, algorithm="md5")

    path = data_path(benchmark, data_dir)
    status: Status = "ready"
    size = compared = problem = None
    message = ""
    try:
        table = path.suffix in (".tsv", ".csv", ".jsonl") and path.exists()
        if table and (path.is_dir() or not path.stat().st_size):
            what = "is a directory" if path.is_dir() else "is empty"
            raise DataError(f"{path}: {what}", "replace it by the table")
        with checked(benchmark, data_dir, md5) as found:
            size = _size(found)
            if found.contents is not None and not found.contents.ready:
                message = "unpacked by the first run"
            # Missing videos are reported first: --allow-modified-data does not add them.
            if found.incomplete is not None:
                status, problem = "incomplete", found.incomplete
            else:
                compared, problem = found.compared, found.modified
                status = "ready" if problem is None else "modified"
    except DataError as error:
        status, problem = "unusable" if path.exists() else "missing", error
    except (EvalsuiteError, OSError) as error:
        status, problem = "unusable", DataError(str(error), "fix this")
    return DataStatus(
        benchmark=benchmark.name,
        status=status,
        path=path,
        bytes=size,
        checked=compared,
        message=message if problem is None else problem.message,
        remedy="" if problem is None else problem.remedy,
    )


def _size(found: Checked) -> int:
    if (contents := found.contents) is None:
        files = found.path.rglob("*") if found.path.is_dir() else [found.path]
    else:
        names = (*contents.videos, *contents.subtitles)
        files = [*contents.tables.values(), *(contents.root / name for name in names)]
    packed = contents.members.values() if contents is not None else ()
    return sum(path.stat().st_size for path in files if path.is_file()) + sum(
        member.bytes for member in packed
    )

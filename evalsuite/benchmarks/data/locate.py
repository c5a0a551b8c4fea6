"""From a benchmark to data that is ready for use, or to the reason why there is none."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from evalsuite.benchmarks.benchmark import Benchmark
from evalsuite.benchmarks.data import prepare
from evalsuite.benchmarks.data.checks import absent, compare_with_published, incomplete
from evalsuite.benchmarks.data.errors import DataError
from evalsuite.benchmarks.data.inspect_tree import TreeContents, inspect_tree
from evalsuite.benchmarks.data.progress import OnStep, no_progress
from evalsuite.benchmarks.data.search_paths import data_path, is_video_tree
from evalsuite.errors import UsageError
from evalsuite.runs.records import Failure
from evalsuite.system.files import disk_errors
from evalsuite.system.hashing import file_digest


def locate(
    benchmark: Benchmark,
    data_dir: Path | None,
    *,
    allow_modified: bool = False,
    verify: bool = False,
    on_step: OnStep = no_progress,
) -> Benchmark | Failure:
    """`benchmark` with ``data`` an absolute path ready for use, or the reason why there is none.

    The path is the one in the benchmarks file, else it is in `data_dir`, else where `evalsuite
    fetch` and VLMEvalKit store data: ``$LMUData``, or the Hub cache for videos. A repository's
    files are prepared in evalsuite's cache. Tables must have their published MD5, unless
    `allow_modified` is true; then the returned benchmark is marked as modified. `verify` ignores
    remembered hashes. Raises `DiskError` if the cache cannot be written.
    """
    try:
        path = data_path(benchmark, data_dir)
        if not path.exists():
            raise absent(benchmark, data_dir, path)
        if is_video_tree(benchmark):
            return _videos(benchmark, path, allow_modified, verify, on_step)
        modified = False
        if benchmark.data is None:
            tables = {benchmark.dataset: path}
            modified = _is_modified(benchmark, path.parent, tables, allow_modified, verify)
    except DataError as error:
        return error.of(benchmark.name)
    return dataclasses.replace(benchmark, data=str(path.resolve()), modified=modified)


def _videos(
    benchmark: Benchmark, root: Path, allow_modified: bool, verify: bool, on_step: OnStep
) -> Benchmark:
    """The directory at `root`, or one prepared from it."""
    dataset = benchmark.dataset
    prepared = prepare.prepared_path(dataset, root)
    with disk_errors(prepared.parent):
        prepared.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".tables-", dir=prepared.parent) as scratch:
        contents = inspect_data(dataset, root, prepared, Path(scratch))
        modified = _is_modified(benchmark, root, contents.tables, allow_modified, verify)
        if contents.lacking:
            if not allow_modified:
                raise incomplete(benchmark, contents)
            modified = True
        if contents.ready:
            ready = contents.root
        else:
            prepare.prepare(contents, prepared, benchmark.name, on_step)
            ready = prepared
    if ready == prepared:
        with contextlib.suppress(OSError):
            os.utime(ready)  # the cache drops the least recently used entries first
    return dataclasses.replace(benchmark, data=str(ready.resolve()), modified=modified)


def inspect_data(dataset: str, root: Path, prepared: Path, scratch: Path) -> TreeContents:
    """Inspect the prepared directory if it is complete, else `root`."""
    if prepared.is_dir():
        contents = inspect_tree(dataset, prepared, scratch)
        if not contents.lacking:
            return contents
        # Videos may have been added to the repository's files since.
        prepare.link(dataclasses.replace(contents, root=root), prepared)
        return inspect_tree(dataset, prepared, scratch)
    return inspect_tree(dataset, root, scratch)


def _is_modified(
    benchmark: Benchmark, root: Path, tables: Mapping[str, Path], allowed: bool, verify: bool
) -> bool:
    """Whether a table differs from the published one; raises `DataError` unless `allowed`."""
    try:
        _, error = compare_with_published(
            benchmark, root, tables, lambda path: file_digest(path, algorithm="md5", fresh=verify)
        )
    except UsageError as unreadable:
        raise DataError(str(unreadable), "fix this and rerun") from unreadable
    if error is not None and not allowed:
        raise error
    return error is not None

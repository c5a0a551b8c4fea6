"""From a benchmark to data that is checked and ready for use, or to the reason why not."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.filesize import decimal

from evalsuite.benchmarks.benchmark import Benchmark
from evalsuite.benchmarks.data import prepare
from evalsuite.benchmarks.data.errors import DataError
from evalsuite.benchmarks.data.inspect_tree import TreeContents
from evalsuite.benchmarks.data.progress import OnStep, no_progress
from evalsuite.benchmarks.data.search_paths import data_path, is_video_tree
from evalsuite.errors import UsageError
from evalsuite.runs.records import Failure
from evalsuite.system.hashing import file_digest

HashTable = Callable[[Path], str | None]
"""Returns the MD5 of a table in hex, or None if it does not hash the table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """Data that exists."""

    path: Path
    contents: TreeContents | None
    """None unless it is the directory tree of a video dataset."""
    compared: bool | None
    """Whether the MD5s of all tables were compared; None if none is published."""
    modified: DataError | None
    incomplete: DataError | None


@contextmanager
def checked(benchmark: Benchmark, data_dir: Path | None, md5: HashTable) -> Iterator[Checked]:
    """Check the data of `benchmark`. Raises `DataError` if it is absent or unreadable."""
    path = data_path(benchmark, data_dir)
    if not path.exists():
        raise _absent(benchmark, data_dir, path)
    with ExitStack() as stack:
        contents = None
        tables, root = {benchmark.dataset: path} if benchmark.data is None else {}, path.parent
        if is_video_tree(benchmark):
            contents = stack.enter_context(prepare.inspected(benchmark.dataset, path))
            tables, root = dict(contents.tables), path
        try:
            compared, modified = _compare_with_published(benchmark, root, tables, md5)
        except UsageError as unreadable:
            raise DataError(str(unreadable), "fix this and rerun") from unreadable
        yield Checked(
            path=path,
            contents=contents,
            compared=compared,
            modified=modified,
            incomplete=_incomplete(benchmark, contents) if contents and contents.lacking else None,
        )


def _compare_with_published(
    benchmark: Benchmark, root: Path, tables: Mapping[str, Path], md5: HashTable
) -> tuple[bool | None, DataError | None]:
    """Whether all `tables` were compared, and the error of the first that differs, below `root`."""
    published = benchmark.published.md5 if benchmark.published is not None else {}
    compared = {table: path for table, path in tables.items() if table in published}
    if not compared:
        return None, None
    complete = True
    for table, path in compared.items():
        found = md5(path)
        if found is not None and found != published[table].lower():
            return True, _modified(benchmark, root / path.name, found, published[table])
        complete = complete and found is not None
    return complete, None


def _modified(benchmark: Benchmark, path: Path, found: str, expected: str) -> DataError:
    if not path.exists():
        return DataError(
            f"{path}, made from the repository's files, has MD5 {found} instead of the published "
            f"{expected}",
            "the repository has changed; to use it, set --allow-modified-data",
        )
    return DataError(
        f"{path}: MD5 {found} differs from the published {expected}",
        "to use it, set --allow-modified-data; else replace it by the published file "
        f"(to download that, move this file away, then run `evalsuite fetch -b {benchmark.name}`)",
    )


def _incomplete(benchmark: Benchmark, contents: TreeContents) -> DataError:
    n, m = len(contents.lacking), len(contents.videos)
    return DataError(
        f"{contents.root}: {n} of {m} videos missing, such as {contents.lacking[0]}",
        f"add them, or run `evalsuite fetch -b {benchmark.name}` and omit --data-dir; "
        "with --allow-modified-data questions about them fail and count as wrong",
    )


def _absent(benchmark: Benchmark, data_dir: Path | None, path: Path) -> DataError:
    published = benchmark.published
    if benchmark.data is not None:
        remedy = "add it, or correct 'data' in the benchmarks file"
    elif published is None:
        remedy = "add it, or set --data-dir to its directory"
    elif data_dir is None:
        remedy = (
            f"run `evalsuite fetch -b {benchmark.name}` (about {decimal(published.about_bytes)}), "
            "or set --data-dir to its directory"
        )
    else:
        origin = published.url or f"the files of the Hub's dataset {published.repository}"
        if published.url is None and published.revision != "main":
            origin += f", revision {published.revision}"
        remedy = f"add {origin} (about {decimal(published.about_bytes)})"
    return DataError(f"no data at {path}", remedy)


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
    md5 = partial(file_digest, algorithm="md5", fresh=verify)
    try:
        with checked(benchmark, data_dir, md5) as found:
            error = found.modified or found.incomplete
            if error is not None and not allow_modified:
                raise error
            path, contents = found.path, found.contents
            if contents is not None and contents.ready:
                path = contents.root
            elif contents is not None:
                path = prepare.prepared_path(benchmark.dataset, path)
                prepare.prepare(contents, path, benchmark.name, on_step)
    except DataError as failure:
        return failure.of(benchmark.name)
    if path.parent == prepare.prepared_root():
        with contextlib.suppress(OSError):
            os.utime(path)  # the cache drops the least recently used entries first
    return dataclasses.replace(benchmark, data=str(path.resolve()), modified=error is not None)

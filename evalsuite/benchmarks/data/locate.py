"""From a benchmark to data that is ready for use, or to why there is none."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from evalsuite.benchmarks.catalogue import Benchmark
from evalsuite.benchmarks.data import prepare
from evalsuite.benchmarks.data.errors import DataError
from evalsuite.benchmarks.data.inspect_tree import Lying, examine
from evalsuite.benchmarks.data.progress import Say, silent
from evalsuite.benchmarks.data.search_paths import is_video_tree, place_of
from evalsuite.benchmarks.data.sizes import written
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
    say: Say = silent,
) -> Benchmark | Failure:
    """`benchmark` with ``data`` an absolute path ready for use, or why there is none.

    Data the benchmarks file names is taken as it is. Other data is in ``--data-dir``, or without
    it where `evalsuite fetch` and VLMEvalKit put it: ``$LMUData``, videos in the Hub's cache. A
    repository's own tree is prepared beside it, in the cache. Tables must have their published
    MD5; with `allow_modified` they need not, and the benchmark says so. `verify` hashes them
    whatever is remembered. Raises `DiskError` where the cache cannot be written.
    """
    try:
        path = place_of(benchmark, data_dir)
        if not path.exists():
            raise absent(benchmark, data_dir, path)
        if is_video_tree(benchmark):
            return _videos(benchmark, path, allow_modified, verify, say)
        modified = False
        if benchmark.data is None:
            table = {benchmark.dataset: path}
            modified = _modified(benchmark, path.parent, table, allow_modified, verify)
    except DataError as error:
        return error.of(benchmark.name)
    return dataclasses.replace(benchmark, data=str(path.resolve()), modified=modified)


def _videos(
    benchmark: Benchmark, root: Path, allow_modified: bool, verify: bool, say: Say
) -> Benchmark:
    """The directory at `root`, or one prepared from it."""
    dataset = benchmark.dataset
    prepared = prepare.prepared_path(dataset, root)
    with disk_errors(prepared.parent):
        prepared.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".tables-", dir=prepared.parent) as scratch:
        lying = look(dataset, root, prepared, Path(scratch))
        modified = _modified(benchmark, root, lying.tables, allow_modified, verify)
        if lying.lacking:
            if not allow_modified:
                raise incomplete(benchmark, lying)
            modified = True
        if lying.ready:
            ready = lying.root
        else:
            prepare.prepare(lying, prepared, benchmark.name, say)
            ready = prepared
    if ready == prepared:
        with contextlib.suppress(OSError):
            os.utime(ready)  # for who drops what was not used for longest
    return dataclasses.replace(benchmark, data=str(ready.resolve()), modified=modified)


def look(dataset: str, root: Path, prepared: Path, scratch: Path) -> Lying:
    """What there is: in the prepared directory if it is whole, else below `root`."""
    if prepared.is_dir():
        lying = examine(dataset, prepared, scratch)
        if not lying.lacking:
            return lying
        # The tree may have got since what was lacking then.
        prepare.link(dataclasses.replace(lying, root=root), prepared)
        return examine(dataset, prepared, scratch)
    return examine(dataset, root, scratch)


def _modified(
    benchmark: Benchmark, root: Path, tables: Mapping[str, Path], allowed: bool, verify: bool
) -> bool:
    """Whether a table is not the published one; raises `DataError` unless that is allowed."""
    published = benchmark.published.md5 if benchmark.published is not None else {}
    modified = False
    for table, path in tables.items():
        expected = published.get(table)
        if expected is None:
            continue
        try:
            found = file_digest(path, algorithm="md5", fresh=verify)
        except UsageError as error:
            raise DataError(str(error), "mend that and run again") from error
        if found != expected.lower():
            modified = True
            if not allowed:
                raise differing(benchmark, root / path.name, found, expected)
    return modified


def differing(benchmark: Benchmark, path: Path, found: str, expected: str) -> DataError:
    """Say that a table is not the published one; `path` is where the user may have put one."""
    if not path.exists():
        return DataError(
            f"{path}, made of what the repository holds, has MD5 {found}, published is {expected}",
            "the repository has changed since; take it as it is with --allow-modified-data",
        )
    return DataError(
        f"{path}: MD5 {found}, published is {expected}",
        "take it as it is with --allow-modified-data, or put the published one there "
        f"(without --data-dir `evalsuite fetch -b {benchmark.name}` gets it, once this is moved "
        "away)",
    )


def incomplete(benchmark: Benchmark, lying: Lying) -> DataError:
    """Say that videos are missing."""
    n, m = len(lying.lacking), len(lying.videos)
    return DataError(
        f"{lying.root}: {n} of {m} videos missing, such as {lying.lacking[0]}",
        f"put them there, or without --data-dir `evalsuite fetch -b {benchmark.name}` gets them; "
        "with --allow-modified-data questions about them fail and count as wrong",
    )


def absent(benchmark: Benchmark, data_dir: Path | None, path: Path) -> DataError:
    """Say that there is nothing, what should be there, and how to get it."""
    published = benchmark.published
    if benchmark.data is not None or published is None:
        remedy = "put it there, or name its directory with --data-dir"
        if benchmark.data is not None:
            remedy = "put it there, or correct 'data' in the benchmarks file"
        return DataError(f"no data at {path}", remedy)
    size = f"about {written(published.about_bytes)}"
    if data_dir is None:
        remedy = (
            f"`evalsuite fetch -b {benchmark.name}` gets it ({size}), or name its directory with "
            "--data-dir"
        )
    else:
        origin = published.url or f"the tree of the Hub's dataset {published.repository}"
        if published.url is None and published.revision != "main":
            origin += f", revision {published.revision}"
        remedy = f"put {origin} there ({size})"
    return DataError(f"no data at {path}", remedy)

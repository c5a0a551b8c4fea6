"""Checks of a benchmark's data, used by `locate` before a run and by `status` for the doctor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from rich.filesize import decimal

from evalsuite.benchmarks.benchmark import Benchmark
from evalsuite.benchmarks.data.errors import DataError
from evalsuite.benchmarks.data.inspect_tree import TreeContents


def compare_with_published(
    benchmark: Benchmark,
    root: Path,
    tables: Mapping[str, Path],
    md5: Callable[[Path], str | None],
) -> tuple[bool | None, DataError | None]:
    """Compare the MD5 of `tables` with the published ones.

    Returns whether all were compared (None if none is published), and the error of the first table
    that differs. `md5` returns None for a table that it does not hash. `root` is the directory that
    the error names.
    """
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


def incomplete(benchmark: Benchmark, contents: TreeContents) -> DataError:
    """The error for missing videos."""
    n, m = len(contents.lacking), len(contents.videos)
    return DataError(
        f"{contents.root}: {n} of {m} videos missing, such as {contents.lacking[0]}",
        f"add them, or run `evalsuite fetch -b {benchmark.name}` and omit --data-dir; "
        "with --allow-modified-data questions about them fail and count as wrong",
    )


def absent(benchmark: Benchmark, data_dir: Path | None, path: Path) -> DataError:
    """The error for data that does not exist."""
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

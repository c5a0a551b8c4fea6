"""Missing data: its size, and its download."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rich.filesize import decimal

from evalsuite.benchmarks.benchmark import Benchmark
from evalsuite.benchmarks.data import download, hub_download, prepare
from evalsuite.benchmarks.data.errors import DataError
from evalsuite.benchmarks.data.inspect_tree import has_dataset
from evalsuite.benchmarks.data.locate import locate
from evalsuite.benchmarks.data.progress import OnStep, no_progress
from evalsuite.benchmarks.data.search_paths import (
    data_path,
    hub_directory,
    is_video_tree,
    lmu_directory,
)
from evalsuite.benchmarks.video_layouts import TREES
from evalsuite.errors import EvalsuiteError, IncompleteError, UsageError
from evalsuite.runs.records import Failure
from evalsuite.system.packages import require

UNASKED_BYTES = 5 * 10**9
"""A larger download requires ``--yes``."""
SIZE_TIMEOUT_SECONDS = 5.0
"""Time limit for a server to answer how large a download is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """Data to download."""

    benchmark: Benchmark
    source: str
    """A web address, or ``organisation/name@revision`` on the Hub."""
    target: Path
    """A file, or the repository's directory in the Hub cache."""
    bytes: int
    about: bool
    """Whether `bytes` is the approximate size from the benchmarks file."""
    unpacked_bytes: int = 0
    """Additional size of the prepared data."""
    unreachable: str | None = None
    """Why the server could not be reached; None if it answered."""
    remedy: str = ""


def missing(
    benchmarks: Sequence[Benchmark], data_dir: Path | None, timeout: float = SIZE_TIMEOUT_SECONDS
) -> list[Missing]:
    """The downloads that `benchmarks` need, with sizes from the servers.

    There are none with `data_dir`. A user's own data and a table that differs from the published
    one are not downloaded: `locate` reports them.
    """
    if data_dir is not None:
        return []
    absent = {
        (b.dataset, b.modality): b for b in benchmarks if b.published and _is_missing(b)
    }.values()
    with ThreadPoolExecutor(max_workers=8) as asking:
        return list(asking.map(lambda benchmark: _sized(benchmark, timeout), absent))


def _is_missing(benchmark: Benchmark) -> bool:
    published = benchmark.published
    if benchmark.data is not None or published is None:
        return False
    if published.url is None and published.repository is None:
        return False
    path = data_path(benchmark, None)
    if not is_video_tree(benchmark):
        return not path.exists()
    if not has_dataset(benchmark.dataset, path):
        return True
    try:
        with prepare.inspected(benchmark.dataset, path) as contents:
            return bool(contents.lacking)
    except DataError:  # a file is missing or damaged: the Hub's client repairs it
        return True


def _sized(benchmark: Benchmark, timeout: float) -> Missing:
    published = benchmark.published
    assert published is not None
    size = trouble = None
    loaded = unpacked = 0
    try:
        if published.url is not None:
            source, target = published.url, lmu_directory() / f"{benchmark.dataset}.tsv"
            part = download.partial_path(target, _table_md5(benchmark))
            loaded = part.stat().st_size if part.exists() else 0
            size = download.remote_size(source, timeout)
        else:
            assert published.repository is not None
            source = f"{published.repository}@{published.revision}"
            target = hub_directory(published.repository)
            loaded = hub_download.loaded_bytes(published.repository)
            size = hub_download.repository_size(published, _patterns(benchmark), timeout)
    except DataError as error:
        trouble = error
    if benchmark.dataset in TREES and TREES[benchmark.dataset].archives:
        unpacked = published.about_bytes if size is None else size
    left = max((published.about_bytes if size is None else size) - loaded, 0)
    return Missing(
        benchmark=benchmark,
        source=source,
        target=target,
        bytes=left,
        about=size is None,
        unpacked_bytes=unpacked,
        unreachable=trouble.message if trouble else None,
        remedy=trouble.remedy if trouble else "",
    )


def _table_md5(benchmark: Benchmark) -> str:
    published = benchmark.published
    assert published is not None
    if benchmark.dataset not in published.md5:
        raise DataError(
            f"{benchmark.name}: 'published' has no md5 of the table {benchmark.dataset}",
            "add it in the benchmarks file: downloads are checked against it",
        )
    return published.md5[benchmark.dataset]


def _patterns(benchmark: Benchmark) -> tuple[str, ...]:
    return TREES[benchmark.dataset].patterns if benchmark.dataset in TREES else ("*",)


def fetch(
    wanted: Sequence[Missing],
    *,
    yes: bool = False,
    on_step: OnStep = no_progress,
    retries: download.RetryPolicy | None = None,
) -> list[Failure]:
    """Download `wanted` and prepare it; returns the failures.

    Ctrl-C keeps what was downloaded; the next call continues. Raises `IncompleteError` if a disk
    is too small, and `UsageError` if `wanted` is more than `UNASKED_BYTES` and `yes` is false, or
    what makes a video benchmark's table is not installed.
    """
    for item in wanted:
        if item.benchmark.dataset in TREES:
            require("pandas", f"making the table of {item.benchmark.dataset}")
    _check_room(wanted)
    _check_consent(wanted, yes)
    failures = []
    for item in wanted:
        try:
            _fetch(item, on_step, retries)
        except DataError as error:
            failures.append(error.of(item.benchmark.name))
            continue
        except EvalsuiteError as error:
            failures.append(
                DataError(str(error), "then rerun the same command").of(item.benchmark.name)
            )
            continue
        ready = locate(item.benchmark, None, on_step=on_step)
        if isinstance(ready, Failure):
            failures.append(ready)
    return failures


def _check_room(wanted: Sequence[Missing]) -> None:
    needed: dict[int, tuple[Path, int]] = {}
    for item in wanted:
        parts = [(item.target.parent, item.bytes)]
        if item.unpacked_bytes:
            parts.append((prepare.prepared_root(), item.unpacked_bytes))
        for place, count in parts:
            there = next(path for path in (place, *place.absolute().parents) if path.exists())
            device = there.stat().st_dev
            known = needed.get(device, (there, 0))
            needed[device] = (known[0], known[1] + count)
    for place, count in needed.values():
        free = shutil.disk_usage(place).free
        if count > free:
            raise IncompleteError(
                f"{place}: {decimal(count)} to download and unpack, but only {decimal(free)} "
                "free; free some space, or choose other directories with $LMUData, $HF_HOME and "
                "$EVALSUITE_CACHE"
            )


def _check_consent(wanted: Sequence[Missing], yes: bool) -> None:
    total = sum(item.bytes for item in wanted)
    if total <= UNASKED_BYTES or yes:
        return
    names = ", ".join(item.benchmark.name for item in wanted)
    raise UsageError(
        f"{decimal(total)} to download for {names}: more than {decimal(UNASKED_BYTES)} requires "
        "--yes; choose fewer benchmarks, or skip missing data with `evalsuite run --available`"
    )


def _fetch(item: Missing, on_step: OnStep, retries: download.RetryPolicy | None) -> None:
    benchmark, published = item.benchmark, item.benchmark.published
    assert published is not None
    if item.unreachable is not None:
        raise DataError(f"{item.source}: {item.unreachable}", item.remedy)
    if published.url is not None:
        md5 = _table_md5(benchmark)
        download.download(published.url, item.target, md5, benchmark.name, on_step, retries)
    else:
        hub_download.download_repository(
            published, _patterns(benchmark), benchmark.name, item.bytes, on_step
        )  # fmt: skip


def ensure_data(
    benchmarks: Sequence[Benchmark],
    data_dir: Path | None,
    *,
    allow_modified: bool,
    available: bool,
    fetching: bool,
    yes: bool,
    note: Callable[[str], None],
    on_step: OnStep,
) -> list[Benchmark]:
    """The benchmarks with their data. Missing data is downloaded unless `fetching` is false.

    With `available`, nothing is downloaded and benchmarks without data are omitted. Raises the
    errors of `fetch`, and `IncompleteError` if data cannot be used.
    """
    if fetching and not available:
        _fetch_noted(missing(benchmarks, data_dir), yes, note, on_step)
    found = [
        locate(benchmark, data_dir, allow_modified=allow_modified, on_step=on_step)
        for benchmark in benchmarks
    ]
    failures = [item for item in found if isinstance(item, Failure)]
    present = [item for item in found if isinstance(item, Benchmark)]
    if failures and not (available and present):
        raise _missing_data(failures, len(benchmarks), note)
    for failure in failures:
        note(f"omitted: {failure.benchmark}: {failure.message}")
    return present


def _fetch_noted(
    wanted: Sequence[Missing], yes: bool, note: Callable[[str], None], on_step: OnStep
) -> None:
    reachable = [item for item in wanted if item.unreachable is None]
    for item in reachable:
        licence = item.benchmark.published.licence if item.benchmark.published else ""
        note(
            f"{item.benchmark.name}: {decimal(item.bytes)} to download from {item.source} "
            f"(licence, unverified: {licence})"
        )
    for failure in fetch(reachable, yes=yes, on_step=on_step):
        note(f"not downloaded: {failure.benchmark}: {failure.message}")


def _missing_data(
    failures: Sequence[Failure], asked: int, note: Callable[[str], None]
) -> IncompleteError:
    omit = "; or omit benchmarks without data by --available" if len(failures) < asked else ""
    if len(failures) == 1:
        (failure,) = failures
        return IncompleteError(
            f"no usable data: {failure.benchmark}: {failure.message}: {failure.remedy}{omit}"
        )
    for failure in failures:
        note(f"{failure.benchmark}: {failure.message}: {failure.remedy}")
    return IncompleteError(
        f"the data of {len(failures)} of {asked} benchmarks is not usable, see the notes above"
        f"{omit} (`evalsuite doctor` shows the state of all data)"
    )

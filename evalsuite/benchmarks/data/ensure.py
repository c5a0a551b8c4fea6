"""The data of a run: download what is missing, locate the rest, report what is not available."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from rich.filesize import decimal

from evalsuite.benchmarks.benchmark import Benchmark
from evalsuite.benchmarks.data.fetch import Missing, fetch, missing
from evalsuite.benchmarks.data.locate import locate
from evalsuite.benchmarks.data.progress import OnStep
from evalsuite.errors import IncompleteError
from evalsuite.runs.records import Failure


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
    errors of `fetch`, and `IncompleteError` if data is missing.
    """
    if fetching and not available:
        _fetch(missing(benchmarks, data_dir), yes, note, on_step)
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


def _fetch(
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
            f"data is missing: {failure.benchmark}: {failure.message}: {failure.remedy}{omit}"
        )
    for failure in failures:
        note(f"{failure.benchmark}: {failure.message}: {failure.remedy}")
    return IncompleteError(
        f"the data of {len(failures)} of {asked} benchmarks is not usable, see the notes above"
        f"{omit} (`evalsuite doctor` shows the state of all data)"
    )

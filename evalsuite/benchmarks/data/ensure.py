"""Before a run: fetch what may be fetched, find the rest, and say what cannot be had."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from evalsuite.benchmarks.catalogue import Benchmark
from evalsuite.benchmarks.data.fetch import Missing, fetch, missing
from evalsuite.benchmarks.data.locate import locate
from evalsuite.benchmarks.data.progress import Say
from evalsuite.benchmarks.data.sizes import written
from evalsuite.errors import IncompleteError
from evalsuite.runs.records import Failure


def gather(
    benchmarks: Sequence[Benchmark],
    data_dir: Path | None,
    *,
    allow_modified: bool,
    available: bool,
    fetching: bool,
    yes: bool,
    note: Callable[[str], None],
    say: Say,
) -> list[Benchmark]:
    """The benchmarks with their data, what was missing fetched unless `fetching` is false.

    With `available`, nothing is fetched and benchmarks without data are left out. Raises what
    `fetch` raises, and `IncompleteError` if data is missing.
    """
    if fetching and not available:
        _fetch(missing(benchmarks, data_dir), yes, note, say)
    found = [locate(b, data_dir, allow_modified=allow_modified, say=say) for b in benchmarks]
    failures = [item for item in found if isinstance(item, Failure)]
    present = [item for item in found if isinstance(item, Benchmark)]
    if failures and not (available and present):
        raise _refusal(failures, len(benchmarks), note)
    for failure in failures:
        note(f"left out: {failure.benchmark}: {failure.message}")
    return present


def _fetch(wanted: Sequence[Missing], yes: bool, note: Callable[[str], None], say: Say) -> None:
    reachable = [item for item in wanted if item.unreachable is None]
    for item in reachable:
        licence = item.benchmark.published.licence if item.benchmark.published else ""
        note(
            f"{item.benchmark.name}: {written(item.bytes)} to load from {item.source} "
            f"(licence, as recalled: {licence})"
        )
    for failure in fetch(reachable, yes=yes, say=say):
        note(f"not fetched: {failure.benchmark}: {failure.message}")


def _refusal(
    failures: Sequence[Failure], asked: int, note: Callable[[str], None]
) -> IncompleteError:
    first = failures[0]
    leave_out = ", or leave those out with --available" if len(failures) < asked else ""
    if len(failures) == 1:
        return IncompleteError(
            f"data is missing: {first.benchmark}: {first.message}: {first.remedy}{leave_out}"
        )
    for failure in failures:
        note(f"{failure.benchmark}: {failure.message}: {failure.remedy}")
    return IncompleteError(
        f"the data of {len(failures)} of {asked} benchmarks cannot be used, as listed above; "
        f"mend that{leave_out} (`evalsuite doctor` shows what is where)"
    )

"""The result of `evalsuite list`: benchmarks, suites or runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import Any, Generic

from evalsuite.benchmarks.benchmark import Benchmark
from evalsuite.benchmarks.catalogue import Catalogue, load
from evalsuite.errors import check_known
from evalsuite.report.format import day, listed, points
from evalsuite.report.model.column import Column, R
from evalsuite.report.model.notes import is_blind
from evalsuite.report.model.table import average
from evalsuite.report.tables.grid import Grid, lay_out
from evalsuite.runs.find import find_all
from evalsuite.runs.records import FoundRun

SUBJECTS = ("benchmarks", "suites", "runs")


@dataclass(frozen=True, slots=True)
class Listing(Generic[R]):
    """What is listed, with its columns."""

    columns: Sequence[Column[R]]
    rows: Sequence[R]
    remarks: Sequence[str] = ()
    group: Callable[[R], str] = lambda _: ""

    @property
    def grid(self) -> Grid:
        """The listing as a table."""
        return lay_out(self.columns, self.rows, group=self.group, remarks=self.remarks)


def listing(what: str, results: Path, benchmarks_file: Path | None) -> Listing[Any]:
    """List benchmarks, suites or runs; raises `UsageError` for another `what` or without runs."""
    check_known("list", what, SUBJECTS)
    if what == "runs":
        return _runs(find_all(results), results)
    known = load(benchmarks_file)
    if what == "suites":
        return Listing(_SUITE, list(known.suites.items()))
    return _benchmarks(known)


_BENCHMARK: tuple[Column[Benchmark], ...] = (
    Column("benchmark", "benchmark", attrgetter("name"), numeric=False),
    Column("modality", "", attrgetter("modality")),
    Column("metric", "metric", attrgetter("metric"), numeric=False),
    Column("prompt", "prompt", attrgetter("prompt"), numeric=False),
    Column("max_new_tokens", "tokens", attrgetter("max_new_tokens")),
    Column("frames", "frames", lambda b: None if b.frames is None else str(b.frames)),
    Column("description", "description", attrgetter("description"), numeric=False, wraps=True),
)


def _benchmarks(known: Catalogue) -> Listing[Benchmark]:
    """List the benchmarks, image before video."""
    return Listing(
        _BENCHMARK,
        sorted(known.benchmarks.values(), key=attrgetter("modality")),
        remarks=["tokens: the token limit of a prediction"],
        group=attrgetter("modality"),
    )


Suite = tuple[str, tuple[str, ...]]
"""Name and benchmarks."""
_SUITE: tuple[Column[Suite], ...] = (
    Column("suite", "suite", itemgetter(0), numeric=False),
    Column("benchmarks", "benchmarks", lambda suite: listed(suite[1]), numeric=False, wraps=True),
)


def _runs(found: Sequence[FoundRun], results: Path) -> Listing[FoundRun]:
    """List runs, named as other commands take them."""
    columns: list[Column[FoundRun]] = [
        Column("run", "run", lambda item: item.path.parent.relative_to(results).as_posix(),
               numeric=False),
        Column("scores", "scores", lambda item: len(item.run.scores),
               text=lambda item: f"{len(item.run.scores)} of {len(item.run.outcomes)}"),
        Column("average", "average", lambda item: average(item.run.outcomes), text=_average),
        Column("limit", "limit", attrgetter("run.limit")),
        Column("dtype", "dtype", lambda item: item.run.settings.get("dtype"), numeric=False),
        Column("finished", "finished", attrgetter("run.finished"),
               text=lambda item: day(item.run.finished), numeric=False),
    ]  # fmt: skip
    remarks = [
        "scores: benchmarks with a score, of the benchmarks of the run",
        "average: mean over the run's own benchmarks, each with the same weight",
    ]
    if any(is_blind(item.run) for item in found):
        remarks.append("blind: text-only baseline, without the images or videos")
    return Listing(columns, found, remarks)


def _average(found: FoundRun) -> str:
    return points(average(found.run.outcomes)) + (" blind" if is_blind(found.run) else "")

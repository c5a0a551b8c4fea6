"""Columns about runs, and about runs on benchmarks, for tables, CSV and data frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from evalsuite.errors import check_known
from evalsuite.report.format import (
    FAILED,
    day,
    gigabytes,
    listed,
    parameter_count,
    points,
    rate,
    short,
)
from evalsuite.report.model.column import Column
from evalsuite.report.model.table import BenchmarkColumn, Cell, PublishedRow, Row, Table
from evalsuite.runs.records import COUNTS, Failure, Outcome, Run, Score


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run of a table."""

    table: Table
    row: Row

    @property
    def run(self) -> Run:
        """The run itself."""
        return self.row.run


@dataclass(frozen=True, slots=True)
class Result:
    """A run, or a published model, on one benchmark."""

    table: Table
    row: Row | PublishedRow
    column: BenchmarkColumn
    cell: Cell

    @property
    def outcome(self) -> Outcome:
        """The outcome of a run's result."""
        assert self.cell.outcome is not None
        return self.cell.outcome

    @property
    def run(self) -> Run:
        """The run of a run's result."""
        assert isinstance(self.row, Row)
        return self.row.run

    @property
    def score(self) -> Score | None:
        """The score of the run; None after a failure and of a published model."""
        return self.cell.score


def results(tables: Sequence[Table]) -> list[Result]:
    """Return the results of all runs, then the published ones, each once."""
    ours = [
        Result(table, row, column, cell)
        for table in tables
        for row in table.rows
        for column, cell in zip(table.columns, row.cells, strict=True)
        if cell.outcome is not None
    ]
    # Tables of several prompt styles have the same published scores.
    published = {
        (row.model, column, cell.reference): Result(table, row, column, cell)
        for table in reversed(tables)
        for row in table.published or ()
        for column, cell in zip(table.columns, row.cells, strict=True)
        if cell.reference is not None
    }
    return [*ours, *published.values()]


def run_columns(names: Sequence[str]) -> list[Column[RunRecord]]:
    """Return columns about runs by their keys."""
    return [_RUN[name] for name in names]


def chosen(text: str | None) -> tuple[str, ...]:
    """Read ``memory,speed``; raises `UsageError` for a column that is not in `CHOICES`."""
    names = tuple(name.strip() for name in (text or "").split(",") if name.strip())
    for name in names:
        check_known("--columns", name, CHOICES)
    return tuple(dict.fromkeys(names))


def remarks(table: Table) -> Iterator[str]:
    """Explain the measured columns of `table`, and where they were measured."""
    measured = [column for column in run_columns(table.facts) if column.note]
    for column in measured:
        yield f"{column.heading}: {column.note}"
    if measured:
        places: dict[str, list[str]] = {}
        for row in table.rows:
            places.setdefault(_device(row), []).append(row.label)
        alike = f"on {next(iter(places))}"
        unlike = "; ".join(f"{listed(labels)} on {place}" for place, labels in places.items())
        yield f"measured {alike if len(places) == 1 else f'in different places: {unlike}'}"


def _device(row: Row) -> str:
    """Name the device of a run, and the number of workers if there are several."""
    known = row.run.environment
    workers = known.get("workers", 1)
    several = f", {workers} workers" if workers != 1 else ""
    return f"{known.get('device', 'an unknown device')}{several}"


def _averaged(record: RunRecord) -> Sequence[Score]:
    """Return the scores that the average is over, or none if one is missing."""
    over = record.table.averaged
    scores = [cell.score for cell in record.row.cells if cell.score]
    found = [score for score in scores if score.benchmark in over]
    return found if len(found) == len(over) else ()


def _memory(record: RunRecord) -> int | None:
    """Return the largest peak over the benchmarks of the average."""
    peaks = [score.cost.peak_memory_bytes for score in _averaged(record)]
    known = [peak for peak in peaks if peak is not None]
    return max(known) if known and len(known) == len(peaks) else None


def _speed(record: RunRecord) -> float | None:
    """Return samples a second over the benchmarks of the average."""
    scores = _averaged(record)
    rates = [score.cost.samples_per_second for score in scores]
    seconds = [score.n / each for score, each in zip(scores, rates, strict=True) if each]
    if len(seconds) < len(scores) or not sum(seconds):
        return None
    return sum(score.n for score in scores) / sum(seconds)


def _of_run(key: str, value: Callable[[Run], Any], **more: Any) -> Column[RunRecord]:
    return Column(key, key, lambda record: value(record.run), **more)


def _setting(key: str) -> Callable[[Run], Any]:
    return lambda run: run.settings.get(key)


_RUN: Mapping[str, Column[RunRecord]] = {
    column.key: column
    for column in (
        Column(
            "memory",
            "peak memory, GB",
            _memory,
            gigabytes,
            note="the most a worker took on any benchmark of the average, on the device or, on a "
            "CPU, resident",
        ),
        Column(
            "speed",
            "samples/s",
            _speed,
            rate,
            note="over all benchmarks of the average, each in its last session",
        ),
        _of_run("parameters", attrgetter("checkpoint.parameters"), format=parameter_count),
        _of_run("step", attrgetter("checkpoint.step")),
        _of_run("digest", attrgetter("checkpoint.digest"), format=short, numeric=False),
        _of_run("dtype", _setting("dtype"), numeric=False),
        _of_run("evalsuite", attrgetter("evalsuite"), numeric=False),
        _of_run(
            "date",
            attrgetter("finished"),
            text=lambda record: day(record.run.finished),
            numeric=False,
        ),
        Column("checkpoint", "checkpoint", attrgetter("row.label"), numeric=False),
        _of_run("prompts", _setting("prompts"), numeric=False),
        _of_run("limit", attrgetter("limit"), numeric=False),
    )
}
CHOICES = ("memory", "speed", "parameters", "step", "digest", "dtype", "evalsuite", "date")
"""The columns that ``--columns`` can add."""


def _kind(result: Result) -> str:
    if isinstance(result.row, PublishedRow):
        return "published"
    if isinstance(result.cell.outcome, Failure):
        return "failure"
    return "blind" if result.row.blind else "run"


def _checkpoint(result: Result) -> str:
    row = result.row
    return row.model if isinstance(row, PublishedRow) else row.run.checkpoint.name


def _score_text(result: Result) -> str:
    value = result.cell.value
    if value is None:
        return FAILED
    return points(value) + (" partial" if result.score and result.score.partial else "")


def _modality(result: Result) -> str | None:
    if result.score:
        return result.score.modality
    return result.column.modality if isinstance(result.row, PublishedRow) else None


def _best(result: Result) -> bool | None:
    """Return whether the score is the best of its column; None without tests."""
    if result.table.contests is None or not isinstance(result.row, Row):
        return None
    return result.table.won(result.column, result.row)


def _notes(result: Result) -> str:
    if reference := result.cell.reference:
        return f"{reference.source} ({'verified' if reference.verified else 'unverified'})"
    assert isinstance(result.row, Row)
    notes = (*result.row.notes, *result.column.notes, *result.cell.notes)
    return "; ".join(note.text for note in notes)


def _run_field(key: str) -> Column[Result]:
    """A column about runs, as one about results."""
    column = _RUN[key]

    def value(result: Result) -> Any:
        row = result.row
        return column.value(RunRecord(result.table, row)) if isinstance(row, Row) else None

    return Column(key, key, value, numeric=column.numeric)


def _field(path: str, heading: str = "", key: str = "", **more: Any) -> Column[Result]:
    """A column of a field of `Score`, whose key is by default the last part of `path`."""
    key = key or path.rpartition(".")[2]
    get = attrgetter(path)

    def value(result: Result) -> Any:
        return get(result.score) if result.score else None

    return Column(key, heading or key, value, **more)


RESULT: Mapping[str, Column[Result]] = {
    column.key: column
    for column in (
        Column("kind", "kind", _kind, numeric=False),
        Column("checkpoint", "checkpoint", _checkpoint, numeric=False),
        *map(_run_field, ("digest", "parameters", "step", "prompts", "dtype", "limit")),
        Column("benchmark", "benchmark", attrgetter("column.benchmark"), numeric=False, wraps=True),
        _field("conditions.dataset", numeric=False),
        Column("modality", "modality", _modality, numeric=False),
        _field("conditions.metric", numeric=False),
        Column("score", "score", attrgetter("cell.value"), points, text=_score_text),
        _field("stderr", "±", format=points),
        Column("best", "best", _best, numeric=False),
        _field("n"),
        _field("clusters"),
        *(_field(f"counts.{name}") for name in COUNTS),
        _field("partial"),
        _field("counts.unscored"),
        _field("modified_data"),
        _field("conditions.judge_name", "judge", key="judge", numeric=False),
        _field("conditions.frames"),
        _field("conditions.max_new_tokens"),
        _field("vlmevalkit_score", format=points),
        Column(
            "deviations",
            "deviations",
            lambda r: " + ".join(r.score.deviations) if r.score else None,
            numeric=False,
        ),
        _field("cost.samples_per_second", "samples/s", format=rate),
        _field("cost.peak_memory_bytes", "peak memory, GB", format=gigabytes),
        *map(_run_field, ("evalsuite", "date")),
        Column("notes", "notes", _notes, numeric=False),
    )
}
"""Columns about results by their keys, in the order of CSV files and data frames."""

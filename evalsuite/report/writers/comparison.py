"""A comparison as JSON, CSV and JSON lines of the changed answers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from evalsuite.comparison.comparison import Comparison, Difference, category_differences
from evalsuite.comparison.selection import Lead
from evalsuite.report.model.column import Column, to_records
from evalsuite.report.tables.comparison import Row, columns, warnings
from evalsuite.report.writers import csv
from evalsuite.runs.records import FoundRun
from evalsuite.system.files import to_json_line, to_json_text

LEVEL = 0.95
"""Confidence level of the intervals."""


def to_json(comparison: Comparison, lead: Lead | None = None) -> str:
    """Render the comparison; differences are candidate minus baseline, in points."""
    benchmarks = [
        {
            **record,
            "left_out": paired.left_out,
            "different_prompts": paired.different_prompts,
            "breakdown": records(category_differences(paired)),
        }
        for record, paired in zip(records(comparison.differences), comparison.paired, strict=True)
    ]
    plain = {
        "baseline": [_run(found) for found in comparison.baseline],
        "candidate": [_run(found) for found in comparison.candidate],
        "level": LEVEL,
        "benchmarks": benchmarks,
        "mean": None if comparison.mean is None else records([comparison.mean])[0],
        "incomparable": [dataclasses.asdict(item) for item in comparison.incomparable],
        "notes": [*comparison.notes, *warnings(lead)],
    }
    return to_json_text(plain, allow_nan=False)


def records(differences: Sequence[Difference]) -> list[dict[str, Any]]:
    """Return one record per difference."""
    return to_records(columns("benchmark"), map(Row, differences))


def to_csv(comparison: Comparison) -> str:
    """Render one line per benchmark, category and mean, and per incomparable benchmark."""
    return csv.to_csv(COLUMNS, rows(comparison))


@dataclass(frozen=True, slots=True)
class Record:
    """A benchmark, a category of one, or the mean: one line of CSV or of a data frame."""

    benchmark: str
    row: Row | None
    """None for a benchmark that cannot be compared."""
    category: str | None = None
    incomparable: str | None = None


def rows(comparison: Comparison) -> Iterator[Record]:
    """Return the records of the benchmarks, their categories, the mean and the incomparable."""
    for difference, paired in zip(comparison.differences, comparison.paired, strict=True):
        yield Record(paired.benchmark, Row(difference))
        for category in category_differences(paired):
            yield Record(paired.benchmark, Row(category), category.name)
    if comparison.mean is not None:
        yield Record(comparison.mean.name, Row(comparison.mean))
    for item in comparison.incomparable:
        yield Record(item.benchmark, None, incomparable="; ".join(item.why))


def _of_difference(column: Column[Row]) -> Column[Record]:
    return Column(column.key, "", lambda r: None if r.row is None else column.value(r.row))


COLUMNS: tuple[Column[Record], ...] = (
    Column("benchmark", "", lambda r: r.benchmark),
    Column("category", "", lambda r: r.category),
    *(_of_difference(c) for c in columns("benchmark") if c.key not in ("", "name")),
    Column("incomparable", "", lambda r: r.incomparable),
)


def _run(found: FoundRun) -> dict[str, Any]:
    record = found.run.checkpoint
    return {
        "run": str(found.path),
        "name": record.name,
        "digest": record.digest,
        "step": record.step,
        "settings": dict(found.run.settings),
        "limit": found.run.limit,
    }


def changed_answers(comparison: Comparison) -> str:
    """Render every changed answer, one line of JSON each."""
    lines = [
        to_json_line({
            "benchmark": paired.benchmark,
            "id": sample.known.id,
            "change": sample.change,
            "category": sample.known.category,
            "question": sample.known.question,
            "target": sample.known.target,
            **{
                f"{side}_{key}": getattr(row, key)
                for side, row in (("baseline", sample.baseline[0]),
                                  ("candidate", sample.candidate[0]))
                for key in ("value", "prediction", "ended", "error")
            },
        })
        for paired in comparison.paired
        for sample in paired.changed
    ]  # fmt: skip
    return "".join(lines)

"""A comparison as JSON, CSV and JSON lines of the changed answers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import Any

from evalsuite.comparison.comparison import Comparison, Difference, category_differences
from evalsuite.comparison.selection import Lead
from evalsuite.report.model.column import Column, to_records
from evalsuite.report.tables.comparison import columns, warnings
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
    return to_records(columns("benchmark"), differences)


def to_csv(comparison: Comparison) -> str:
    """Render one line per benchmark, category and mean, and per incomparable benchmark."""
    return csv.to_csv(COLUMNS, rows(comparison))


Record = tuple[str, Difference | None, str | None, str | None]
"""A line of CSV or of a data frame: the benchmark, the difference, the category, and why the
benchmark cannot be compared. The mean is a benchmark of its own."""


def rows(comparison: Comparison) -> Iterator[Record]:
    """Return the records of the benchmarks, their categories, the mean and the incomparable."""
    for difference, paired in zip(comparison.differences, comparison.paired, strict=True):
        yield paired.benchmark, difference, None, None
        for category in category_differences(paired):
            yield paired.benchmark, category, category.name, None
    if comparison.mean is not None:
        yield comparison.mean.name, comparison.mean, None, None
    for item in comparison.incomparable:
        yield item.benchmark, None, None, "; ".join(item.why)


def _of_difference(column: Column[Difference]) -> Column[Record]:
    return Column(column.key, "", lambda r: None if r[1] is None else column.value(r[1]))


COLUMNS: tuple[Column[Record], ...] = (
    Column("benchmark", "", itemgetter(0)),
    Column("category", "", itemgetter(2)),
    *(_of_difference(c) for c in columns("benchmark") if c.key not in ("", "name")),
    Column("incomparable", "", itemgetter(3)),
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

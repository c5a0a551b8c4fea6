"""A comparison as JSON, CSV and JSON lines of the changed answers."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Sequence
from typing import Any

from evalsuite.comparison.comparison import Comparison, Difference, category_differences
from evalsuite.comparison.selection import Lead
from evalsuite.report.model.column import to_records
from evalsuite.report.tables.comparison import Row, columns, warnings
from evalsuite.report.writers.csv import field
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
            "different_prompts": paired.asked_otherwise,
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
    rows: list[dict[str, Any]] = []
    for record, paired in zip(records(comparison.differences), comparison.paired, strict=True):
        rows.append({"benchmark": paired.benchmark, **record})
        rows += [
            {"benchmark": paired.benchmark, "category": category["name"], **category}
            for category in records(category_differences(paired))
        ]
    if comparison.mean is not None:
        rows.append({"benchmark": comparison.mean.name, **records([comparison.mean])[0]})
    for item in comparison.incomparable:
        rows.append({"benchmark": item.benchmark, "incomparable": "; ".join(item.why)})
    keys = [column.key for column in columns("benchmark") if column.key not in ("", "name")]
    text = io.StringIO()
    writer = csv.DictWriter(
        text, ["benchmark", "category", *keys, "incomparable"], extrasaction="ignore",
        lineterminator="\n",
    )  # fmt: skip
    writer.writeheader()
    writer.writerows({name: field(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


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

"""Reports as JSON, with the numbers of run.json."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from evalsuite.report.model.table import Table
from evalsuite.runs.storage import run_to_plain
from evalsuite.system.files import to_json_text


def to_json(tables: Sequence[Table]) -> str:
    """Render runs as a list: the keys of run.json and, as `report`, those of the table."""
    plain = [
        {**run_to_plain(row.run), "report": _added(table, number)}
        for table in tables
        for number, row in enumerate(table.rows)
    ]
    return to_json_text(plain)


def _added(table: Table, number: int) -> dict[str, Any]:
    row = table.rows[number]
    named = list(zip(table.columns, row.cells, strict=True))
    added: dict[str, Any] = {
        "label": row.label,
        "blind": row.blind,
        "averages": [
            {"name": each.name, "score": score, "over": list(each.over)}
            for each, score in zip(table.averages, row.averages, strict=True)
        ],
        "leads": [
            {
                "of": contest.slot.name,
                "before": table.rows[contest.second].label,
                "p_adjusted": None if contest.p is None else float(f"{contest.p:.6g}"),
                "best": contest.won,
                "why_not": contest.why_not or None,
            }
            for contest in table.contests or ()
            if contest.best == number
        ],
        "notes": [note.text for note in row.notes],
        "benchmark_notes": {
            column.benchmark: [note.text for note in (*column.notes, *cell.notes)]
            for column, cell in named
            if column.notes or cell.notes
        },
    }
    if table.published is not None:
        added["published"] = {
            column.benchmark: [
                dataclasses.asdict(score)
                for other in table.published
                if (score := other.cells[i].reference)
            ]
            for i, (column, _) in enumerate(named)
        }
    return added

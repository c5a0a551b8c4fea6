"""Reports for spreadsheets: a line a run and benchmark, so that it can be filtered and pivoted."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Iterator, Sequence
from typing import Any

from evalsuite.report.format import visible
from evalsuite.report.model.table import Cell, Row, Table
from evalsuite.runs.records import Failure, Run, Score

COLUMNS = (
    *("kind", "checkpoint", "digest", "parameters", "step", "prompts", "dtype", "limit"),
    *("benchmark", "dataset", "modality", "metric", "score", "stderr", "best", "n", "clusters"),
    *("failed", "empty", "truncated", "unparsed", "partial", "unscored", "modified_data", "judge"),
    *("frames", "max_new_tokens", "vlmevalkit_score", "deviations", "samples_per_second"),
    *("peak_memory_bytes", "evalsuite", "date", "notes"),
)
_FORMULA = "=+-@\uff1d\uff0b\uff0d\uff20"
"""With these, narrow or wide, a spreadsheet takes a text for something to be computed."""


def to_csv(tables: Sequence[Table]) -> str:
    """Render a line a run and benchmark; averages are left to the reader, who would count them in.

    `kind` is ``run``, ``blind``, ``failure`` (no score; `notes` say why) or ``published``.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    lines = [line for table in tables for line in _lines(table)]
    # Tables of several prompt profiles have the same published scores beside them.
    others = [line for table in tables for line in _published(table)]
    lines += [line for index, line in enumerate(others) if line not in others[:index]]
    writer.writerows({name: field(value) for name, value in line.items()} for line in lines)
    return text.getvalue()


def field(value: Any) -> Any:
    """Make a text safe: on one line, and never a formula."""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str):
        return value
    shown = visible(value)
    return f"'{shown}" if shown.lstrip()[:1] in tuple(_FORMULA) else shown


def _lines(table: Table) -> Iterator[dict[str, Any]]:
    for number, row in enumerate(table.rows):
        for column, cell in zip(table.columns, row.cells, strict=True):
            if cell.outcome is not None:
                notes = [note.text for note in (*row.notes, *column.notes, *cell.notes)]
                yield {
                    **_of_run(row),
                    **_of_cell(cell),
                    "best": table.won(column, number) if table.contests is not None else None,
                    "notes": "; ".join(notes),
                }


def _of_run(row: Row) -> dict[str, Any]:
    run: Run = row.run
    return {
        "kind": "blind" if row.blind else "run",
        "checkpoint": run.checkpoint.name,
        "digest": run.checkpoint.digest,
        "parameters": run.checkpoint.parameters,
        "step": run.checkpoint.step,
        "prompts": run.settings.get("prompts"),
        "dtype": run.settings.get("dtype"),
        "limit": run.limit,
        "evalsuite": run.evalsuite,
        "date": run.finished,
    }


def _of_cell(cell: Cell) -> dict[str, Any]:
    if isinstance(cell.outcome, Failure):
        return {"kind": "failure", "benchmark": cell.outcome.benchmark}
    return {} if cell.outcome is None else _of_score(cell.outcome)


def _of_score(score: Score) -> dict[str, Any]:
    asked, counts, cost = score.conditions, score.counts, score.cost
    return {
        "benchmark": score.benchmark,
        "dataset": asked.dataset,
        "modality": score.modality,
        "metric": asked.metric,
        "score": score.value,
        "stderr": score.stderr,
        "n": score.n,
        "clusters": score.clusters,
        **dataclasses.asdict(counts),
        "partial": score.partial,
        "modified_data": score.modified_data,
        "judge": asked.judge_name,
        "frames": asked.frames,
        "max_new_tokens": asked.max_new_tokens,
        "vlmevalkit_score": score.vlmevalkit_score,
        "deviations": " + ".join(score.deviations),
        "samples_per_second": cost.samples_per_second,
        "peak_memory_bytes": cost.peak_memory_bytes,
    }


def _published(table: Table) -> Iterator[dict[str, Any]]:
    for row in table.published or ():
        for column, cell in zip(table.columns, row.cells, strict=True):
            if cell is not None:
                how = "read" if cell.read else "recalled, check it"
                yield {
                    "kind": "published",
                    "checkpoint": row.model,
                    "benchmark": column.benchmark,
                    "modality": column.modality,
                    "score": cell.score,
                    "notes": f"{cell.source} ({how})",
                }

"""One run laid out: a line a benchmark, with all its counts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from evalsuite.report.format import (
    batch_sensitivity,
    counted,
    listed,
    parameter_count,
    points,
    short,
)
from evalsuite.report.model.column import Column
from evalsuite.report.model.columns import RESULT, Result, RunRecord, results, run_columns
from evalsuite.report.model.notes import Notes, failed_note, is_blind, outcome_notes, run_notes
from evalsuite.report.model.table import Table, build
from evalsuite.report.tables.grid import STANDARD_ERROR, Entry, Grid, entries, lay_out
from evalsuite.runs.records import COUNTS, Run


def detail(run: Run, also: Sequence[str] = ()) -> Grid:
    """Lay out one run: a line a benchmark, with its counts.

    `also` has keys of `evalsuite.report.model.columns`; memory is a column, others are remarks.
    """
    notes = Notes()
    table = dataclasses.replace(build([run]), facts=tuple(also))
    columns = _columns(run, notes, with_memory="memory" in also)
    grid = lay_out(
        columns,
        results([table]),
        title=_title(run),
        group=lambda result: result.column.modality,
        keys=3,
        remarks=(
            *(() if run.outcomes else ("no benchmark has a score yet; run with --mode all",)),
            *(f"{note.meaning} {note.detail}".strip() for note in run_notes(run)),
            *((STANDARD_ERROR, _about_average(table)) if run.scores else ()),
            *_added(table),
            *(
                (f"batch-size sensitivity: {batch_sensitivity(run.batch_sensitivity)}",)
                if run.batch_sensitivity
                else ()
            ),
        ),
    )
    mean = table.rows[0].average
    blanks = entries([""] * (len(columns) - 2))
    return dataclasses.replace(
        grid,
        footnotes=notes.footnotes(),  # known after the fields are laid out
        summary=None if mean is None else
        (Entry("average"), Entry(points(mean), value=mean), *blanks),
    )  # fmt: skip


def _columns(run: Run, notes: Notes, *, with_memory: bool) -> list[Column[Result]]:
    """Return the columns of a run's results; their fields add footnotes to `notes`."""

    def outcome_marks(result: Result) -> tuple[str, ...]:
        outcome = result.outcome
        return tuple(notes.mark(note, outcome.benchmark) for note in outcome_notes(outcome))

    def failed_marks(result: Result) -> tuple[str, ...]:
        score = result.score
        if score is None or not score.counts.failed:
            return ()
        return (notes.mark(failed_note(score), score.benchmark),)

    added: dict[str, dict[str, Any]] = {
        "score": {"marks": outcome_marks},
        "failed": {"marks": failed_marks},
    }
    counts = [name for name in COUNTS if any(getattr(s.counts, name) for s in run.scores)]
    memory = ["peak_memory_bytes"] if with_memory else []
    names = ["benchmark", "score", "stderr", "n", *counts, "samples_per_second", *memory]
    return [dataclasses.replace(RESULT[name], **added.get(name, {})) for name in names]


def _about_average(table: Table) -> str:
    [row] = table.rows
    partial = [score.benchmark for score in row.run.scores if score.partial]
    said = counted(len(table.averaged), "benchmark")
    without = f", without {listed(partial)} (partial)" if partial else ""
    parts = [
        f"{each.modality} {points(mean)} over {len(each.over)}"
        for each, mean in zip(table.averages, row.averages, strict=True)
        if each.modality
    ]
    return f"average: mean over {said} with equal weight{without}" + (
        f"; {listed(parts)}" if parts else ""
    )


def _added(table: Table) -> Iterator[str]:
    """Write the additional columns of a run as remarks."""
    [row] = table.rows
    for column in run_columns(table.facts):
        about = f", {column.note}" if column.note else ""
        yield f"{column.heading}: {column.shown(RunRecord(table, row))}{about}"


def _title(run: Run) -> str:
    checkpoint = run.checkpoint
    step = "" if checkpoint.step is None else f", step {checkpoint.step}"
    settings = ", ".join(f"{key} {run.settings[key]}" for key in ("dtype", "prompts")
                         if key in run.settings)  # fmt: skip
    return (
        f"{checkpoint.name} ({short(checkpoint.digest)}, "
        f"{parameter_count(checkpoint.parameters)} parameters{step}) {settings}"
        + (", blind" if is_blind(run) else "")
    )

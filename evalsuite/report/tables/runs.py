"""Runs as a table: one run with a line a benchmark, or several side by side."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from evalsuite.report.format import (
    ABSENT,
    batch_sensitivity,
    counted,
    listed,
    parameter_count,
    points,
    short,
)
from evalsuite.report.model import columns
from evalsuite.report.model.column import Column
from evalsuite.report.model.columns import RESULT, Result, RunRecord, results, run_columns
from evalsuite.report.model.notes import Notes, failed_note, is_blind, outcome_notes, run_notes
from evalsuite.report.model.select import tables
from evalsuite.report.model.table import (
    LEVEL,
    Average,
    PublishedRow,
    Row,
    Slot,
    Table,
    build,
)
from evalsuite.report.tables.grid import (
    STANDARD_ERROR,
    Entry,
    Grid,
    Heading,
    Line,
    entries,
    lay_out,
)
from evalsuite.runs.records import COUNTS, FoundRun, Run

_RUN = "run"
"""Group of the lines about runs as a whole."""


def report_grid(table: Table) -> Grid:
    """Lay out a single run with all its counts, or several runs side by side."""
    if len(table.rows) == 1 and table.published is None:
        return detail(table.rows[0].run, table.facts)
    return dataclasses.replace(across(table), transposed=down(table))


def summary(found: Sequence[FoundRun]) -> list[Grid]:
    """Lay out each run with all its counts, then several runs side by side."""
    together = [report_grid(table) for table in tables(found)] if len(found) > 1 else []
    return [*(detail(item.run) for item in found), *together]


def across(table: Table) -> Grid:
    """Lay out several runs: a line a run, a column a benchmark."""
    checkpoint: Column[Row | PublishedRow] = Column(
        "", "checkpoint", lambda row: row.label, numeric=False, wraps=True,
        marks=lambda row: row.marks,
    )  # fmt: skip
    return lay_out(
        [checkpoint, *score_columns(table), *fact_columns(table, table.facts)],
        [*table.rows, *(table.published or ())],
        keys=2,
        best=about_best(table),
        remarks=(*remarks(table), f"prompts: {table.prompts}"),
        footnotes=table.footnotes,
    )


def down(table: Table) -> Grid:
    """Lay out several runs: a line a benchmark, a column a run."""
    grid = across(table)
    (_, *headings), (names, average, *fields) = (
        grid.headings[1:],
        zip(*(line.entries for line in grid.lines), strict=True),
    )
    groups = [*(heading.group for heading in headings[: len(slots(table))]),
              *(_RUN for _ in table.facts)]  # fmt: skip
    return dataclasses.replace(
        grid,
        headings=(
            Heading("benchmark", numeric=False, wraps=True),
            *(Heading(name.text, marks=name.marks) for name in names),
        ),
        lines=tuple(
            Line((Entry(heading.text, heading.marks), *line), group)
            for heading, line, group in zip(headings, fields, groups, strict=True)
        ),
        summary=(Entry("average"), *average),
        keys=1,
    )


def slots(table: Table) -> list[Slot]:
    """Return the columns after the overall average; the average of a modality is first in it."""
    found: list[Slot] = []
    for modality in dict.fromkeys(column.modality for column in table.columns):
        found += [each for each in table.averages if modality and each.modality == modality]
        found += [column for column in table.columns if column.modality == modality]
    return found


def score_columns(table: Table) -> list[Column[Any]]:
    """Return the columns of the overall average and the `slots`; records are rows of `table`."""
    return [_score_column(table, slot) for slot in (table.averages[0], *slots(table))]


def _score_column(table: Table, slot: Slot) -> Column[Row | PublishedRow]:
    def best(row: Row | PublishedRow) -> bool:
        return table.won(slot, row)

    if isinstance(slot, Average):
        place = table.averages.index(slot)
        return Column("", "average", lambda row: row.averages[place], points, best=best,
                      group=slot.modality)  # fmt: skip
    place = table.columns.index(slot)
    return Column(
        "", slot.benchmark,
        value=lambda row: row.cells[place].value, text=lambda row: row.cells[place].text,
        marks=lambda row: row.cells[place].marks, best=best, group=slot.modality,
        heading_marks=slot.marks,
    )  # fmt: skip


def fact_columns(table: Table, names: Sequence[str]) -> list[Column[Any]]:
    """Return columns about runs, whose records are rows of `table`; a published model has none."""

    def of(column: Column[RunRecord]) -> Column[Row | PublishedRow]:
        return Column(
            "", column.heading, numeric=column.numeric,
            value=lambda r: column.value(RunRecord(table, r)) if isinstance(r, Row) else None,
            text=lambda r: column.shown(RunRecord(table, r)) if isinstance(r, Row) else ABSENT,
        )  # fmt: skip

    return list(map(of, run_columns(names)))


def about_best(table: Table) -> str:
    """Explain `Entry.best`, and list the columns that were not tested."""
    if table.contests is None:
        return ""
    tested = [contest for contest in table.contests if contest.p is not None]
    reasons: dict[str, list[str]] = {}
    for contest in table.contests:
        if contest.why_not:
            reasons.setdefault(contest.why_not, []).append(contest.slot.name)
    untested = [f"{listed(names)} ({why})" for why, names in reasons.items()]
    not_tested = f"; not tested: {'; '.join(untested)}" if untested else ""
    if not tested:
        return f"none{not_tested or ': no column has two scores to compare'}"
    return (
        "best of its column and significantly better than the second: paired test, clustered by "
        f"image or video (CR2), two-sided p below {LEVEL:g}, Holm-adjusted over "
        f"{counted(len(tested), 'column')}{not_tested}"
    )


def remarks(table: Table) -> tuple[str, ...]:
    """Return the remarks about the whole of `table`."""
    return (
        STANDARD_ERROR,
        table.about_average,
        *columns.remarks(table),
        *([] if table.published is None or table.published else
          ["published: no score of these benchmarks is in the benchmarks file"]),
    )  # fmt: skip


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

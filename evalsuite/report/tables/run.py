"""One run laid out: a line a benchmark, with all its counts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from evalsuite.report.format import (
    ABSENT,
    FAILED,
    batch_sensitivity,
    counted,
    gigabytes,
    listed,
    parameter_count,
    points,
    rate,
    short,
)
from evalsuite.report.model.columns import FACTS
from evalsuite.report.model.notes import Notes, failed_note, is_blind, outcome_notes, run_notes
from evalsuite.report.model.table import Table, build
from evalsuite.report.tables.grid import (
    STANDARD_ERROR,
    Entry,
    Grid,
    Heading,
    Line,
    entries,
)
from evalsuite.runs.records import Outcome, Run, Score


def detail(run: Run, also: Sequence[str] = ()) -> Grid:
    """Lay out one run: a line a benchmark, with all its counts; `also` names facts."""
    notes = Notes()
    counts = [name for name in ("failed", "empty", "truncated", "unparsed")
              if any(getattr(score.counts, name) for score in run.scores)]  # fmt: skip
    table = dataclasses.replace(build([run]), facts=tuple(also))
    with_memory = "memory" in also
    lines = tuple(
        Line(_detail_entries(cell.outcome, counts, notes, with_memory), column.modality)
        for column, cell in zip(table.columns, table.rows[0].cells, strict=True)
        if cell.outcome is not None
    )
    more = ("samples/s", *(["peak memory, GB"] if with_memory else []))
    mean = table.rows[0].average
    return Grid(
        title=_title(run),
        headings=(
            Heading("benchmark", numeric=False, wraps=True),
            *(Heading(text) for text in ("score", "±", "n", *counts, *more)),
        ),
        lines=lines,
        summary=None if mean is None else (
            Entry("average"),
            Entry(points(mean), value=mean),
            *entries([""] * (2 + len(counts) + len(more))),
        ),
        keys=3,
        remarks=(
            *(() if run.outcomes else ("no benchmark has a score yet; run with --mode all",)),
            *(f"{note.meaning} {note.detail}".strip() for note in run_notes(run)),
            *((STANDARD_ERROR, _about_average(table)) if run.scores else ()),
            *_own_facts(table),
            *((f"noise: {batch_sensitivity(noise)}",) if (noise := run.batch_sensitivity) else ()),
        ),
        footnotes=notes.footnotes(),
    )  # fmt: skip


def _about_average(table: Table) -> str:
    [row] = table.rows
    partial = [score.benchmark for score in row.run.scores if score.partial]
    said = counted(len(table.averaged), "benchmark")
    without = f", without {listed(partial)}, of which a part is unscored" if partial else ""
    parts = [
        f"{each.modality} {points(mean)} over {len(each.over)}"
        for each, mean in zip(table.averages, row.averages, strict=True)
        if each.modality
    ]
    return f"average: mean over {said}, each counting the same{without}" + (
        f"; {listed(parts)}" if parts else ""
    )


def _own_facts(table: Table) -> Iterator[str]:
    """What of the facts is not in a column of its own, nor in the title."""
    [row] = table.rows
    for name in table.facts:
        fact = FACTS[name]
        about = f", {fact.measured}" if fact.measured else ""
        yield f"{fact.heading}: {fact.of(row, table)[0]}{about}"


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


def _detail_entries(
    outcome: Outcome, counts: Sequence[str], notes: Notes, with_memory: bool
) -> tuple[Entry, ...]:
    name = Entry(outcome.benchmark)
    marks = tuple(notes.mark(note, outcome.benchmark) for note in outcome_notes(outcome))
    if not isinstance(outcome, Score):
        blanks = entries([ABSENT] * (3 + len(counts) + with_memory))
        return (name, Entry(FAILED, marks), *blanks)
    peak = outcome.cost.peak_memory_bytes
    return (
        name,
        Entry(points(outcome.value) + (" partial" if outcome.partial else ""), marks,
              outcome.value),
        Entry(points(outcome.stderr), value=outcome.stderr),
        Entry(str(outcome.n), value=outcome.n),
        *(_count(outcome, name, notes) for name in counts),
        Entry(rate(outcome.cost.samples_per_second), value=outcome.cost.samples_per_second),
        *([Entry(gigabytes(peak), value=peak)] if with_memory else []),
    )  # fmt: skip


def _count(score: Score, name: str, notes: Notes) -> Entry:
    number = getattr(score.counts, name)
    why = name == "failed" and number
    marks = (notes.mark(failed_note(score), score.benchmark),) if why else ()
    return Entry(str(number), marks, number)

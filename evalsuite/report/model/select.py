"""The tables of a report, by the options of `evalsuite report`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from evalsuite.report.model.notes import Note, Notes, is_blind
from evalsuite.report.model.table import Average, Cell, PublishedRow, Table, build, prompts_of
from evalsuite.runs.records import FoundRun
from evalsuite.stats import mean

if TYPE_CHECKING:
    from evalsuite.benchmarks.benchmark import Benchmark, Reference
    from evalsuite.benchmarks.catalogue import Catalogue


_RECALLED = "recalled, not read where it was published: check it before use"


def tables(
    found: Sequence[FoundRun], facts: tuple[str, ...] = (), published: Catalogue | None = None
) -> list[Table]:
    """Put runs side by side: a table for each prompt style, in the order of the runs.

    `facts` are additional columns, by their keys in `evalsuite.report.model.columns`; `published`
    has the published scores to show, if any.
    """
    made = []
    for part in by_prompts(found):
        table = dataclasses.replace(build([item.run for item in part]), facts=facts)
        if len(part) > 1:
            # numpy and scipy, which a single run does not need
            from evalsuite.report.model.significance import contested

            table = contested(table, part)
        made.append(table if published is None else _with_published(table, published))
    return made


def by_prompts(found: Sequence[FoundRun]) -> list[list[FoundRun]]:
    """Group runs by prompt style, blind runs last."""
    parts: dict[str, list[FoundRun]] = {}
    for item in found:
        parts.setdefault(prompts_of(item.run), []).append(item)
    return [sorted(part, key=lambda item: is_blind(item.run)) for part in parts.values()]


def _with_published(table: Table, known: Catalogue) -> Table:
    """Add a row for each model with published scores; they are not tested for significance."""
    names = [column.benchmark for column in table.columns]
    references = [
        _references(table, index, known.benchmarks.get(n)) for index, n in enumerate(names)
    ]
    notes = Notes(table.footnotes)
    models = dict.fromkeys(each.model for scores in references for each in scores)
    rows = []
    for model in models:
        found = [next((r for r in scores if r.model == model), None) for scores in references]
        rows.append(_row(model, found, names, table.averages, notes))
    return dataclasses.replace(table, published=tuple(rows), footnotes=notes.footnotes())


def _references(table: Table, index: int, benchmark: Benchmark | None) -> Sequence[Reference]:
    """Return the published scores of a column; none if the dataset of the runs differs."""
    if benchmark is None:
        return ()
    scores = [row.cells[index].score for row in table.rows]
    alike = all(score.conditions.dataset == benchmark.dataset for score in scores if score)
    return benchmark.references if alike else ()


def _row(
    model: str,
    found: Sequence[Reference | None],
    names: Sequence[str],
    averages: Sequence[Average],
    notes: Notes,
) -> PublishedRow:
    sources = dict.fromkeys(each.source for each in found if each)
    scores = {name: each.score for name, each in zip(names, found, strict=True) if each}
    return PublishedRow(
        model=model,
        averages=tuple(
            mean([scores[name] for name in each.over])
            if each.over and all(name in scores for name in each.over)
            else None
            for each in averages
        ),
        marks=tuple(
            notes.mark(
                Note(f"published in {source}, not run here: prompts, data and metrics may differ"),
                model,
            )
            for source in sources
        ),
        cells=tuple(
            Cell(
                None,
                (notes.mark(Note(_RECALLED), model, name),) if each and not each.verified else (),
                reference=each,
            )
            for name, each in zip(names, found, strict=True)
        ),
    )

"""LEADERBOARD.md: complete runs, best first; the same runs give the same text.

Only the text between the two markers is replaced. The text is made for version control: a new run
adds lines and changes no others, unless their content changes. So columns are not aligned, and the
notes of a run are a line of their own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from evalsuite.errors import UsageError
from evalsuite.report.export.markers import read_document, renewed
from evalsuite.report.format import counted, listed, short
from evalsuite.report.model.column import Column
from evalsuite.report.model.notes import is_blind
from evalsuite.report.model.select import tables
from evalsuite.report.model.table import Row, Table, prompts_of
from evalsuite.report.tables.grid import lay_out
from evalsuite.report.tables.runs import about_best, fact_columns, remarks, score_columns
from evalsuite.report.writers.markdown import escaped, grid_markdown
from evalsuite.runs.comparable import facts
from evalsuite.runs.layout import settings_digest
from evalsuite.runs.records import FoundRun, Run, Score
from evalsuite.system.files import write_output

BEGIN = "<!-- evalsuite:leaderboard:begin -->"
END = "<!-- evalsuite:leaderboard:end -->"
_TITLE = "# Leaderboard"
_RUN_COLUMNS = ("parameters", "step", "digest", "dtype")
_DATED = ("evalsuite", "date")
_NOTED = "†"
"""Mark of a score that has a note below the table."""
_LEFT_OUT = ("blind runs", "unfinished runs", "runs with --limit", "runs without a score")


def write(found: Sequence[FoundRun], path: Path) -> None:
    """Write the leaderboard of the runs `found` into `path`, between the markers if it exists.

    A symbolic link is followed. Raises `UsageError` if no run is complete or the file has no
    markers, `DiskError`.
    """
    path = path.resolve()
    known = read_document(path)
    write_output(path, _placed(leaderboard(found), known, path))


def leaderboard(found: Sequence[FoundRun]) -> str:
    """Return the text between the markers; raises `UsageError` if no run is complete."""
    whole = _once([item for item in found if _why_not(item.run) is None])
    if not whole:
        raise UsageError(
            f"no complete run among {counted(len(found), 'run')}: a leaderboard leaves out "
            "blind and unfinished runs, those with --limit and those without a score; finish one "
            "with 'evalsuite run'"
        )
    whole.sort(key=lambda item: (prompts_of(item.run), _identity(item.run)))
    sections = map(_section, tables([_ordered(item) for item in whole]))
    parts = ["Written by `evalsuite leaderboard`.\n", *sections]
    return "\n".join([*parts, *_left_out([item.run for item in found])])


def _why_not(run: Run) -> str | None:
    """Return one of `_LEFT_OUT`; None for a complete run."""
    if is_blind(run):
        return "blind runs"
    if run.finished is None:
        return "unfinished runs"
    if run.limit is not None:
        return "runs with --limit"
    return None if run.scores else "runs without a score"


def _once(found: Sequence[FoundRun]) -> list[FoundRun]:
    """Keep one run of each checkpoint and settings: the one with most scores, or the latest."""
    kept: dict[tuple[str, str, str], FoundRun] = {}
    for item in found:
        key = _identity(item.run)
        if key not in kept or _weight(item) > _weight(kept[key]):
            kept[key] = item
    return list(kept.values())


def _ordered(item: FoundRun) -> FoundRun:
    """Sort benchmarks by name, so that a new run does not move columns."""
    outcomes = tuple(sorted(item.run.outcomes, key=lambda outcome: outcome.benchmark))
    return dataclasses.replace(item, run=dataclasses.replace(item.run, outcomes=outcomes))


def _identity(run: Run) -> tuple[str, str, str]:
    return (run.checkpoint.name, run.checkpoint.digest, settings_digest(run.settings))


def _weight(item: FoundRun) -> tuple[int, str, str]:
    return (len(item.run.scores), item.run.finished or "", str(item.path))


def _section(table: Table) -> str:
    noted = [
        dataclasses.replace(c, marks=partial(_noted, c), heading_marks=())
        for c in score_columns(table)
    ]
    grid = lay_out(
        [
            Column("", "checkpoint", lambda row: row.run.checkpoint.name, numeric=False),
            *noted,
            *fact_columns(table, _RUN_COLUMNS),
            Column("", "settings", lambda row: _settings_of(row.run), numeric=False),
            *fact_columns(table, _DATED),
        ],
        sorted(table.rows, key=lambda row: -(row.average or 0)),
        best=about_best(table),
        remarks=(*remarks(table), *_settings(table), *_benchmarks(table), *_notes(table)),
    )
    return f"## Prompts: {escaped(table.prompts)}\n\n{grid_markdown(grid, compact=True)}"


def _noted(column: Column[Any], row: Row) -> tuple[str, ...]:
    return (_NOTED,) if column.marks(row) else ()


def _settings_of(run: Run) -> str:
    return short(settings_digest(run.settings))


def _settings(table: Table) -> Iterator[str]:
    """Yield the settings behind each digest in the table."""
    known = {_settings_of(row.run): row.run.settings for row in table.rows}
    for digest, settings in sorted(known.items()):
        yield f"settings {digest}: {listed([f'{key} {settings[key]}' for key in sorted(settings)])}"


def _benchmarks(table: Table) -> Iterator[str]:
    """Yield the conditions of each benchmark, and where rows differ."""
    for index, column in enumerate(table.columns):
        known = [score for row in table.rows if (score := row.cells[index].score)]
        for how in sorted({_how(score) for score in known}):
            yield f"{column.benchmark}: {how}"
        yield from (note.text for note in column.notes)


def _how(score: Score) -> str:
    known = [
        f"{name} {value}"
        for name, values in facts([score.conditions])
        for value in values
        if value not in ("none", "False")
    ]
    return listed([*known, counted(score.n, "sample")])


def _notes(table: Table) -> Iterator[str]:
    """Yield the notes about scores, a line a run."""
    for row in table.rows:
        cases: dict[str, list[str]] = {}
        for column, cell in zip(table.columns, row.cells, strict=True):
            for note in cell.notes:
                head, case = note.meaning, f"{column.benchmark} {note.detail}".strip()
                if note.alone:
                    head, case = column.benchmark, note.text
                cases.setdefault(head, []).append(case)
        if cases:
            said = [f"{head}: {listed(known)}" for head, known in cases.items()]
            checkpoint = row.run.checkpoint
            called = f"{checkpoint.name} {short(checkpoint.digest)} {_settings_of(row.run)}"
            yield f"{_NOTED} {called}: {'; '.join(said)}"


def _left_out(runs: Sequence[Run]) -> list[str]:
    names = {
        why: sorted({run.checkpoint.name for run in runs if _why_not(run) == why})
        for why in _LEFT_OUT
    }
    return [
        f"Not ranked: {why} of {escaped(listed(those))}.\n" for why, those in names.items() if those
    ]


def _placed(board: str, known: str, path: Path) -> str:
    """Return `known` with `board` between its markers; a new file if it is empty."""
    if not known.strip():
        return f"{_TITLE}\n\n{BEGIN}\n{board}{END}\n"
    try:
        placed = renewed(known, BEGIN, END, board)
    except UsageError:
        placed = None
    if placed is None:
        raise UsageError(
            f"{path}: expected one line '{BEGIN}' and one line '{END}'; add them where the "
            "leaderboard belongs (the rest of the file does not change), or choose another file "
            "with -o"
        )
    return placed

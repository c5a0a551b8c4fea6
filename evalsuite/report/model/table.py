"""Runs side by side, independent of any format.

Pure. Every report (text, markdown, HTML, CSV, JSON, leaderboard) is made from a `Table`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evalsuite.errors import UsageError
from evalsuite.report.format import FAILED, counted, listed, plus_minus, points, short
from evalsuite.report.model.notes import (
    Footnote,
    Note,
    Notes,
    count_notes,
    is_blind,
    outcome_notes,
    run_notes,
)
from evalsuite.runs.comparable import differing
from evalsuite.runs.records import Outcome, Run, Score
from evalsuite.stats import mean

if TYPE_CHECKING:
    from evalsuite.benchmarks.benchmark import Reference

MODALITIES = ("image", "video")
LEVEL = 0.05
"""Significance level: the best of a column is marked if its `Contest.p` is below this."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One run on one benchmark."""

    outcome: Outcome | None
    """None if the run does not have this benchmark."""
    marks: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()
    """The notes behind the marks."""
    reference: Reference | None = None
    """The published score, in a row of a published model."""

    @property
    def score(self) -> Score | None:
        """The score; None after a failure."""
        return self.outcome if isinstance(self.outcome, Score) else None

    @property
    def value(self) -> float | None:
        """The score or the published score, 0 to 100."""
        if self.reference is not None:
            return self.reference.score
        return None if self.score is None else self.score.value

    @property
    def text(self) -> str:
        """The score with its standard error, or what is there instead."""
        if self.outcome is None:
            return points(self.value)
        return FAILED if self.score is None else plus_minus(self.score)


@dataclass(frozen=True, slots=True)
class BenchmarkColumn:
    """A benchmark of at least one run."""

    benchmark: str
    modality: str
    """``image`` or ``video``; empty if no run has a score."""
    marks: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()
    """Why its scores cannot be compared; empty if they can."""

    @property
    def name(self) -> str:
        """Name in a sentence."""
        return self.benchmark

    @property
    def over(self) -> tuple[str, ...]:
        """The benchmarks that it is about."""
        return (self.benchmark,)


@dataclass(frozen=True, slots=True)
class Average:
    """A mean over benchmarks that every row has, each with the same weight."""

    modality: str
    """The modality of its benchmarks; empty for all."""
    over: tuple[str, ...]

    @property
    def name(self) -> str:
        """Name in a sentence."""
        return f"{self.modality} average".strip()


Slot = BenchmarkColumn | Average


@dataclass(frozen=True, slots=True)
class Row:
    """A run, and its cells in the order of the columns."""

    run: Run
    label: str
    """The checkpoint's name, extended where rows would have the same name."""
    cells: tuple[Cell, ...]
    averages: tuple[float | None, ...]
    """The means of `Table.averages`; None where a score is missing."""
    marks: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()
    """Notes about the run that do not depend on other rows."""

    @property
    def average(self) -> float | None:
        """The mean over `Table.averaged`."""
        return self.averages[0]

    @property
    def blind(self) -> bool:
        """Whether it is a text-only baseline, which is not compared with the others."""
        return is_blind(self.run)


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """Published scores of a model, in the order of the columns."""

    model: str
    cells: tuple[Cell, ...]
    averages: tuple[float | None, ...]
    marks: tuple[str, ...]

    @property
    def label(self) -> str:
        """The model's name, marked as published."""
        return f"{self.model} (published)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """The test of the best of a column against the second best."""

    slot: Slot
    best: int
    """Index of the row."""
    second: int
    p: float | None = None
    """Two-sided p-value, adjusted for all contests of the table; None without a test."""
    why_not: str = ""
    """Why there is no test."""
    won: bool = False
    """Whether the best is significantly better."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Runs under one prompt style."""

    prompts: str
    columns: tuple[BenchmarkColumn, ...]
    """Image benchmarks, then video, then those without a score."""
    rows: tuple[Row, ...]
    averages: tuple[Average, ...]
    """Over all benchmarks with a comparable score in every row; then over those of each modality,
    if both have two or more."""
    footnotes: tuple[Footnote, ...]
    contests: tuple[Contest, ...] | None = None
    """None if significance was not requested."""
    published: tuple[PublishedRow, ...] | None = None
    """None if published scores were not requested."""
    facts: tuple[str, ...] = ()
    """Additional columns, by their keys in `evalsuite.report.model.columns`."""

    @property
    def averaged(self) -> tuple[str, ...]:
        """The benchmarks of which every row has a comparable score."""
        return self.averages[0].over

    @property
    def about_average(self) -> str:
        """The benchmarks of the average, and those that it leaves out."""
        if not self.averaged:
            return "average: none; no benchmark has a comparable score in every row"
        parts = [f"{each.modality}: {len(each.over)} of them" for each in self.averages[1:]]
        out = [c.benchmark for c in self.columns if c.benchmark not in self.averaged]
        scores = [cell.score for row in self.rows for cell in row.cells if cell.score]
        partial = {score.benchmark for score in scores if score.partial}
        unlike = [c.benchmark for c in self.columns if c.notes]
        missing = [name for name in out if name not in partial and name not in unlike]
        return (
            f"average: mean over {counted(len(self.averaged), 'benchmark')} with equal "
            f"weight: {listed(self.averaged)}"
            + "".join(f"; {part}" for part in parts)
            + (f"; not every row has {listed(missing)}" if missing else "")
            + (
                f"; left out as partial: {listed([n for n in out if n in partial])}"
                if partial
                else ""
            )
            + (f"; left out as not comparable: {listed(unlike)}" if unlike else "")
        )

    def won(self, slot: Slot, row: Row | PublishedRow) -> bool:
        """Whether that row is significantly the best of a column."""
        contests = self.contests or ()
        return any(c.won and c.slot == slot and self.rows[c.best] is row for c in contests)


def build(runs: Sequence[Run]) -> Table:
    """Put one or more `runs` in a table; raises `UsageError` if their prompt styles differ."""
    prompts = _prompts(runs)
    notes = Notes()
    names = dict.fromkeys(outcome.benchmark for run in runs for outcome in run.outcomes)
    columns = tuple(_column(name, runs, notes) for name in names)
    columns = tuple(sorted(columns, key=lambda column: _rank(column.modality)))
    averages = _averages(columns, runs)
    differing = _differing([run.settings for run in runs])
    rows = tuple(
        _row(run, label, columns, averages, [key for key in differing if key != "blind"], notes)
        for run, label in zip(runs, row_labels(runs), strict=True)
    )
    return Table(prompts=prompts, columns=columns, rows=rows, averages=averages,
                 footnotes=notes.footnotes())  # fmt: skip


def row_labels(runs: Sequence[Run]) -> list[str]:
    """Return the checkpoints' names, extended where they are equal."""
    more: tuple[Callable[[Run], str], ...] = (
        lambda run: short(run.checkpoint.digest),
        lambda run: str(run.settings.get("dtype")),
        lambda run: f"@{run.limit}" if run.limit else "",
        lambda run: run.started,
    )
    found = [run.checkpoint.name + (" (blind)" if is_blind(run) else "") for run in runs]
    for part in more:
        parts = [part(run) for run in runs]
        extras: dict[str, set[str]] = {}
        for label, extra in zip(found, parts, strict=True):
            extras.setdefault(label, set()).add(extra)
        found = [
            f"{label} {extra}".strip() if len(extras[label]) > 1 else label
            for label, extra in zip(found, parts, strict=True)
        ]
    return found


def prompts_of(run: Run) -> str:
    """Return the prompt style of `run`."""
    return str(run.settings.get("prompts", "unknown"))


def average(outcomes: Sequence[Outcome]) -> float | None:
    """Return the mean of the scores among `outcomes` that are not partial; None without any."""
    scores = [o.value for o in outcomes if isinstance(o, Score) and not o.partial]
    return mean(scores) if scores else None


def _row(
    run: Run,
    label: str,
    columns: Sequence[BenchmarkColumn],
    averages: Sequence[Average],
    differing: Sequence[str],
    notes: Notes,
) -> Row:
    outcomes = {outcome.benchmark: outcome for outcome in run.outcomes}
    said = tuple(run_notes(run))
    other = [
        Note(f"the rows differ in {key.replace('_', ' ')}", str(run.settings.get(key, "not set")))
        for key in differing
    ]
    return Row(
        run=run,
        label=label,
        marks=tuple(notes.mark(note, label) for note in (*said, *other)),
        notes=said,
        cells=tuple(_cell(outcomes.get(c.benchmark), notes, label) for c in columns),
        averages=tuple(_average(outcomes, each.over) for each in averages),
    )


def _cell(outcome: Outcome | None, notes: Notes, label: str) -> Cell:
    if outcome is None:
        return Cell(None)
    said = tuple(outcome_notes(outcome))
    if isinstance(outcome, Score):
        said += tuple(count_notes(outcome))
    return Cell(outcome, tuple(notes.mark(note, label, outcome.benchmark) for note in said), said)


def _averages(columns: Sequence[BenchmarkColumn], runs: Sequence[Run]) -> tuple[Average, ...]:
    # Blind runs, and runs without a score, do not decide which benchmarks the average is over.
    scored = [run for run in runs if any(map(_whole, run.outcomes))] or runs
    deciding = [run for run in scored if not is_blind(run)] or scored
    outcomes = [{o.benchmark: o for o in run.outcomes} for run in deciding]
    everywhere = [
        c
        for c in columns
        if not c.notes and all(_whole(known.get(c.benchmark)) for known in outcomes)
    ]
    parts = [
        Average(m, tuple(c.benchmark for c in everywhere if c.modality == m)) for m in MODALITIES
    ]
    whole = Average("", tuple(column.benchmark for column in everywhere))
    # The average of a single benchmark is that benchmark.
    return (whole, *parts) if all(len(part.over) > 1 for part in parts) else (whole,)


def _average(outcomes: Mapping[str, Outcome], over: Sequence[str]) -> float | None:
    chosen = [outcomes.get(name) for name in over]
    return average([o for o in chosen if o]) if all(map(_whole, chosen)) else None


def _whole(outcome: Outcome | None) -> bool:
    """Whether it is a score of the whole benchmark; others are not averaged."""
    return isinstance(outcome, Score) and not outcome.partial


def _column(name: str, runs: Sequence[Run], notes: Notes) -> BenchmarkColumn:
    scores = [score for run in runs for score in run.scores if score.benchmark == name]
    # The row of a blind run is marked as blind.
    conditions = [dataclasses.replace(score.conditions, blind=False) for score in scores]
    said = tuple(
        Note(f"not comparable: {name} was run with different {each.name}", listed(each.values))
        for each in differing(conditions)
    )
    marks = tuple(notes.mark(note, "") for note in said)
    return BenchmarkColumn(name, scores[0].modality if scores else "", marks, said)


def _rank(modality: str) -> int:
    return MODALITIES.index(modality) if modality in MODALITIES else len(MODALITIES)


def _differing(facts: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the keys whose values differ."""
    keys = dict.fromkeys(key for known in facts for key in known)
    return [key for key in keys if any(k.get(key) != facts[0].get(key) for k in facts)]


def _prompts(runs: Sequence[Run]) -> str:
    first = runs[0]
    for run in runs:
        if prompts_of(run) != prompts_of(first):
            raise UsageError(
                f"runs with different prompts cannot share a table: {first.checkpoint.name} has "
                f"'{prompts_of(first)}', {run.checkpoint.name} '{prompts_of(run)}'; "
                "report them separately"
            )
    return prompts_of(first)

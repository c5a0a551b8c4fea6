"""Runs side by side: what is shown, before anything says how it looks.

Pure. Every form of report (text, markdown, leaderboard) is drawn from a `Table` by way of
`evalsuite.report.grid`, so that what one form says, all say.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evalsuite.errors import UsageError
from evalsuite.report.words import counted, listed, points, sentence, short
from evalsuite.results import Failure, Outcome, Run, Score
from evalsuite.stats import mean

COMPARABLE = ("dataset", "metric", "prompt", "data_digest", "frames", "max_new_tokens", "judge")
"""What two scores of one benchmark must share to be comparable."""
MODALITIES = ("image", "video")
_STAGES = {
    "data": "its data could not be used",
    "predict": "predicting failed",
    "score": "scoring failed",
}


@dataclass(frozen=True, slots=True)
class Footnote:
    """What a mark means, and where it applies."""

    mark: str
    meaning: str
    cases: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Meaning and cases in one line."""
        return f"{self.meaning}: {'; '.join(self.cases)}" if self.cases else self.meaning


class Notes:
    """Footnotes as they are met: each meaning gets one mark, its cases gather behind it."""

    def __init__(self) -> None:
        self._cases: dict[str, list[str]] = {}

    def add(self, meaning: str, case: str = "") -> str:
        """Note that `meaning` applies to `case`; returns the mark."""
        cases = self._cases.setdefault(meaning, [])
        if case:
            cases.append(case)
        return _letters(list(self._cases).index(meaning))

    def footnotes(self) -> tuple[Footnote, ...]:
        """All of them, in the order of their marks."""
        return tuple(
            Footnote(_letters(index), meaning, tuple(cases))
            for index, (meaning, cases) in enumerate(self._cases.items())
        )


@dataclass(frozen=True, slots=True)
class Cell:
    """One run on one benchmark."""

    outcome: Outcome | None
    """None: the run does not have this benchmark."""
    marks: tuple[str, ...] = ()

    @property
    def score(self) -> Score | None:
        """The outcome, if it is a score."""
        return self.outcome if isinstance(self.outcome, Score) else None


@dataclass(frozen=True, slots=True)
class Column:
    """A benchmark that at least one of the runs has."""

    benchmark: str
    modality: str
    """``image`` or ``video``; empty if no run has a score of it."""
    marks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """A run, and its cells in the order of the columns."""

    run: Run
    label: str
    """The checkpoint's name, with as much more as tells the rows of this table apart."""
    cells: tuple[Cell, ...]
    average: float | None
    """The mean over `Table.averaged`; None if that is empty."""
    marks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Runs under one prompt profile."""

    prompts: str
    columns: tuple[Column, ...]
    """Image benchmarks, then video, then those nobody has a score of."""
    rows: tuple[Row, ...]
    averaged: tuple[str, ...]
    """The benchmarks that every row has a score of."""
    footnotes: tuple[Footnote, ...]

    @property
    def about_average(self) -> str:
        """What the average is over, and what it leaves out."""
        if not self.averaged:
            return "average: none, for there is no benchmark of which every row has a score"
        out = [c.benchmark for c in self.columns if c.benchmark not in self.averaged]
        scores = [cell.score for row in self.rows for cell in row.cells if cell.score]
        partial = {score.benchmark for score in scores if score.partial}
        missing = [name for name in out if name not in partial]
        return (
            f"average: mean over {counted(len(self.averaged), 'benchmark')}, each counting the "
            f"same: {listed(self.averaged)}"
            + (f"; not every row has {listed(missing)}" if missing else "")
            + (f"; partial: {listed([n for n in out if n in partial])}" if partial else "")
        )


def build(runs: Sequence[Run]) -> Table:
    """Put `runs`, at least one, in one table; raises `UsageError` if their prompts differ."""
    prompts = _prompts(runs)
    notes = Notes()
    columns = tuple(_column(name, runs, notes) for name in _benchmarks(runs))
    columns = tuple(sorted(columns, key=lambda column: _rank(column.modality)))
    outcomes = [{o.benchmark: o for o in run.outcomes} for run in runs]
    averaged = tuple(
        c.benchmark for c in columns if all(_whole(known.get(c.benchmark)) for known in outcomes)
    )
    labels = _labels(runs)
    differing = _differing([run.settings for run in runs])
    rows = tuple(
        Row(
            run=run,
            label=label,
            marks=tuple(_run_marks(run, notes, label, differing)),
            cells=tuple(
                _cell(known.get(c.benchmark), notes, label if len(runs) > 1 else "")
                for c in columns
            ),
            average=average([known[name] for name in averaged]),
        )
        for run, label, known in zip(runs, labels, outcomes, strict=True)
    )
    return Table(prompts=prompts, columns=columns, rows=rows, averaged=averaged,
                 footnotes=notes.footnotes())  # fmt: skip


def by_prompts(runs: Sequence[Run]) -> list[list[Run]]:
    """Part `runs` into those that may share a table, in the order they first come."""
    parts: dict[str, list[Run]] = {}
    for run in runs:
        parts.setdefault(prompts_of(run), []).append(run)
    return list(parts.values())


def _whole(outcome: Outcome | None) -> bool:
    """Whether it is a score of the whole benchmark: a part of one is no part of an average."""
    return isinstance(outcome, Score) and not outcome.partial


def prompts_of(run: Run) -> str:
    """Return the prompt profile of `run`."""
    return str(run.settings.get("prompts", "unknown"))


def average(outcomes: Sequence[Outcome]) -> float | None:
    """Return the mean of the whole scores among `outcomes`, each benchmark counting the same."""
    scores = [o.score for o in outcomes if isinstance(o, Score) and not o.partial]
    return mean(scores) if scores else None


def circumstances(run: Run) -> Iterator[tuple[str, str]]:
    """Say what keeps `run` from being whole: in general, and in this case."""
    if run.finished is None:
        yield "unfinished, so benchmarks may be missing", ""
    if run.limit is not None:
        yield "only a part of the samples, by --limit", run.limit


def outcome_marks(outcome: Outcome, notes: Notes, where: str) -> tuple[str, ...]:
    """Note why `outcome` is not a plain score of the whole benchmark."""
    if isinstance(outcome, Failure):
        why = f"{_STAGES[outcome.stage]}: {sentence(outcome.message)}; {sentence(outcome.remedy)}"
        return (notes.add(f"{where}: no score: {why}"),)
    marks = []
    if outcome.partial:
        left = f" {outcome.unscored} samples" if outcome.unscored else ""
        marks.append(notes.add("partial: without what only a judge can score", where + left))
    if outcome.modified_data:
        marks.append(notes.add("on data that is not what was published", where))
    for name, value in outcome.extra.items():
        marks.append(notes.add(f"{name} of VLMEvalKit", f"{where} {value:g}"))
    if outcome.macro is not None:
        meaning = "mean over its tasks, each counting the same"
        marks.append(notes.add(meaning, f"{where} {points(outcome.macro)}"))
    if outcome.agreement != "agrees":
        theirs = points(outcome.vlmevalkit_score)
        marks.append(
            notes.add(f"not VLMEvalKit's own number ({outcome.agreement})", f"{where} {theirs}")
        )
    return tuple(marks)


def _run_marks(run: Run, notes: Notes, label: str, differing: Sequence[str]) -> Iterator[str]:
    for meaning, detail in circumstances(run):
        yield notes.add(meaning, f"{label} {detail}".strip())
    for key in differing:
        value = run.settings.get(key, "not set")
        yield notes.add(f"the rows differ in {key.replace('_', ' ')}", f"{label} {value}")


def _count_marks(score: Score, notes: Notes, where: str) -> Iterator[str]:
    for count, meaning, reasons in (
        (score.failed, "samples without a prediction, which count as wrong", score.reasons),
        (score.empty, "empty answers", ()),
        (score.truncated, "answers cut at the token limit", ()),
        (score.unparsed, "answers in which no option was found", ()),
    ):
        if count:
            why = f" ({'; '.join(map(sentence, reasons))})" if reasons else ""
            yield notes.add(meaning, f"{where} {count} of {score.n}{why}")


def _cell(outcome: Outcome | None, notes: Notes, label: str) -> Cell:
    if outcome is None:
        return Cell(None)
    where = f"{label} {outcome.benchmark}".strip()
    marks = outcome_marks(outcome, notes, where)
    if isinstance(outcome, Score):
        marks += tuple(_count_marks(outcome, notes, where))
    return Cell(outcome, marks)


def _benchmarks(runs: Sequence[Run]) -> list[str]:
    return list(dict.fromkeys(o.benchmark for run in runs for o in run.outcomes))


def _column(name: str, runs: Sequence[Run], notes: Notes) -> Column:
    scores = [score for run in runs for score in run.scores if score.benchmark == name]
    facts = [{key: getattr(score, key) for key in COMPARABLE} for score in scores]
    marks = tuple(
        notes.add(f"not comparable: {name} was run with different {key.replace('_', ' ')}",
                  listed(list(dict.fromkeys(_fact(key, fact[key]) for fact in facts))))
        for key in _differing(facts)
    )  # fmt: skip
    return Column(name, scores[0].modality if scores else "", marks)


def _fact(key: str, value: object) -> str:
    return short(str(value)) if key == "data_digest" else str(value)


def _rank(modality: str) -> int:
    return MODALITIES.index(modality) if modality in MODALITIES else len(MODALITIES)


def _differing(facts: Sequence[Mapping[str, Any]]) -> list[str]:
    """List the keys whose values are not the same everywhere."""
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


def _labels(runs: Sequence[Run]) -> list[str]:
    """Name the rows: at length only where the checkpoint's name alone is not enough."""
    more: tuple[Callable[[Run], str], ...] = (
        lambda run: short(run.checkpoint.digest),
        lambda run: str(run.settings.get("dtype")),
        lambda run: f"@{run.limit}" if run.limit else "",
        lambda run: run.started,
    )
    labels = [run.checkpoint.name for run in runs]
    for part in more:
        shared = [labels.count(label) > 1 for label in labels]
        parts = [part(run) for run in runs]
        labels = [
            f"{label} {extra}".strip() if same and _tells_apart(label, labels, parts) else label
            for label, same, extra in zip(labels, shared, parts, strict=True)
        ]
    return labels


def _tells_apart(label: str, labels: Sequence[str], parts: Sequence[str]) -> bool:
    return len({part for known, part in zip(labels, parts, strict=True) if known == label}) > 1


def _letters(index: int) -> str:
    """Name the marks in order: a, b … z, aa, ab …."""
    before, last = divmod(index, len(string.ascii_lowercase))
    return (_letters(before - 1) if before else "") + string.ascii_lowercase[last]

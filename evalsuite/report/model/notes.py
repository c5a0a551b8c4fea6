"""Notes about runs and scores, and the footnotes that collect them."""

from __future__ import annotations

import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from evalsuite.report.format import listed, points, sentence
from evalsuite.runs.records import Failure, Run, Score
from evalsuite.system.text import counted

_STAGES = {
    "data": "its data could not be used",
    "predict": "predicting failed",
    "score": "scoring failed",
}
UNANSWERED = "samples without a prediction, which count as wrong"
PARTIAL = "partial: without what only a judge can score"
MODIFIED = "on data that is not what was published"
THINKING = "predictions with tags like </think> or <answer>, which are scored as a whole"
_MOST = 20
"""Most cases that a footnote lists."""


@dataclass(frozen=True, slots=True)
class Note:
    """A note about a run, or about its score on a benchmark."""

    meaning: str
    """The general part, which is the text of the footnote."""
    detail: str = ""
    """The part of this case: a count or a number."""
    share: float | None = None
    """Share of the samples that it is about, 0 to 1; None if it is not about samples."""
    alone: bool = False
    """Whether it is a footnote of its own, not collected with others of its meaning."""

    @property
    def text(self) -> str:
        """Meaning and detail on one line."""
        return f"{self.meaning}: {self.detail}" if self.detail else self.meaning


@dataclass(frozen=True, slots=True)
class Footnote:
    """The meaning of a mark, and its cases."""

    mark: str
    meaning: str
    cases: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Meaning and the first cases on one line."""
        if not self.cases:
            return self.meaning
        more = len(self.cases) - _MOST
        rest = f"; and {more} more" if more > 0 else ""
        return f"{self.meaning}: {'; '.join(self.cases[:_MOST])}{rest}"


@dataclass(frozen=True, slots=True)
class _Case:
    """A case of a note."""

    row: str
    """The row of the table; empty if `what` is complete."""
    what: str
    share: float | None = None


class Notes:
    """Collects footnotes: each meaning has one mark and a list of cases."""

    def __init__(self, known: Sequence[Footnote] = ()) -> None:
        """Continue after the footnotes `known`."""
        self._cases: dict[str, list[_Case]] = {
            note.meaning: [_Case("", case) for case in note.cases] for note in known
        }

    def add(self, meaning: str, case: str = "") -> str:
        """Add a case of `meaning`; returns the mark."""
        return self._add(meaning, _Case("", case))

    def mark(self, note: Note, row: str, benchmark: str = "") -> str:
        """Add a note about `row`, or its `benchmark`; returns the mark."""
        if note.alone:
            return self.add(f"{row} {benchmark}".strip() + f": {note.text}")
        return self._add(note.meaning, _Case(row, f"{benchmark} {note.detail}".strip(), note.share))

    def footnotes(self) -> tuple[Footnote, ...]:
        """Return all footnotes, in the order of their marks."""
        return tuple(
            Footnote(_letters(index), meaning, tuple(_gathered(cases)))
            for index, (meaning, cases) in enumerate(self._cases.items())
        )

    def _add(self, meaning: str, case: _Case) -> str:
        cases = self._cases.setdefault(meaning, [])
        if case.row or case.what:
            cases.append(case)
        return _letters(list(self._cases).index(meaning))


def _gathered(cases: Sequence[_Case]) -> Iterator[str]:
    """Yield the cases, with rows of the same text together."""
    shares = [case.share for case in cases if case.share is not None]
    if len(shares) == len(cases) > _MOST:
        # The marks show where they are, and the report of a single run has each number.
        yield f"in {len(cases)} scores, of at most {100 * max(shares):.1f} % of the samples"
        return
    by_row: dict[str, list[str]] = {}
    for case in cases:
        by_row.setdefault(case.row, []).append(case.what)
    yield from by_row.pop("", [])
    rows: dict[str, list[str]] = {}
    for row, known in by_row.items():
        rows.setdefault(listed(known), []).append(row)
    for said, names in rows.items():
        if not said:
            yield from names
        elif len(names) > 1 or len(by_row[names[0]]) > 1:
            yield f"{listed(names)}: {said}"
        else:
            yield f"{names[0]} {said}"


def run_notes(run: Run) -> Iterator[Note]:
    """Yield notes about a run that is blind, unfinished or limited."""
    if is_blind(run):
        yield Note("blind: text-only baseline, without the images or videos")
    if run.finished is None:
        yield Note("unfinished, so benchmarks may be missing")
    if run.limit is not None:
        yield Note("only part of the samples, with --limit", run.limit)


def is_blind(run: Run) -> bool:
    """Whether the run is a text-only baseline."""
    return bool(run.settings.get("blind"))


def outcome_notes(outcome: Score | Failure) -> Iterator[Note]:
    """Yield notes about a failure or an unusual score."""
    if isinstance(outcome, Failure):
        why = f"{_STAGES[outcome.stage]}: {sentence(outcome.message)}; {sentence(outcome.remedy)}"
        yield Note(f"no score: {why}", alone=True)
        return
    if outcome.partial:
        left = counted(outcome.counts.unscored, "sample") if outcome.counts.unscored else ""
        yield Note(PARTIAL, left)
    if outcome.modified_data:
        yield Note(MODIFIED)
    if thinking := outcome.counts.thinking:
        share = f"{thinking} of {outcome.n}, such as '{outcome.thinking_example}'"
        yield Note(THINKING, share, thinking / outcome.n)
    for name, value in outcome.extra.items():
        yield Note(f"{name} of VLMEvalKit", f"{value:g}")
    if outcome.macro_average is not None:
        yield Note("mean over its tasks with equal weight", points(outcome.macro_average))
    if outcome.deviations:
        yield Note(
            f"not VLMEvalKit's own number ({' + '.join(outcome.deviations)})",
            points(outcome.vlmevalkit_score),
        )


def count_notes(score: Score) -> Iterator[Note]:
    """Yield notes about failed, empty, truncated and unparsed predictions."""
    if score.counts.failed:
        yield failed_note(score)
    for count, meaning in (
        (score.counts.empty, "empty predictions"),
        (score.counts.truncated, "predictions truncated at the token limit"),
        (score.counts.unparsed, "predictions in which no answer was found"),
    ):
        if count:
            yield Note(meaning, f"{count} of {score.n}", count / score.n)


def failed_note(score: Score) -> Note:
    """Return the note about failed samples, with the reasons."""
    why = f" ({'; '.join(map(sentence, score.failure_reasons))})" if score.failure_reasons else ""
    return Note(UNANSWERED, f"{score.counts.failed} of {score.n}{why}")


def _letters(index: int) -> str:
    """Return the mark at `index`: a, b … z, aa, ab …."""
    before, last = divmod(index, len(string.ascii_lowercase))
    return (_letters(before - 1) if before else "") + string.ascii_lowercase[last]

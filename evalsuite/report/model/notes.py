"""Why a score is not a plain one: said once for all cases, marked where it holds."""

from __future__ import annotations

import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from evalsuite.report.format import listed, points, sentence
from evalsuite.runs.records import Failure, Run, Score

_STAGES = {
    "data": "its data could not be used",
    "predict": "predicting failed",
    "score": "scoring failed",
}
UNANSWERED = "samples without a prediction, which count as wrong"
PARTIAL = "partial: without what only a judge can score"
MODIFIED = "on data that is not what was published"
_MOST = 20
"""So many cases of a footnote are named; of more, how many there are."""


@dataclass(frozen=True, slots=True)
class Note:
    """What there is to be known of a run, or of its score on a benchmark."""

    meaning: str
    """In general: what a footnote is about."""
    detail: str = ""
    """In this case: a count, a number."""
    share: float | None = None
    """Of how many of the samples it is true, 0..1, where it is about samples."""
    alone: bool = False
    """A footnote of its own, rather than one with all cases of that meaning."""

    @property
    def text(self) -> str:
        """Meaning and detail in one line."""
        return f"{self.meaning}: {self.detail}" if self.detail else self.meaning


@dataclass(frozen=True, slots=True)
class Footnote:
    """What a mark means, and where it applies."""

    mark: str
    meaning: str
    cases: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Meaning and cases in one line, of very many the first."""
        if not self.cases:
            return self.meaning
        more = len(self.cases) - _MOST
        rest = f"; and {more} more" if more > 0 else ""
        return f"{self.meaning}: {'; '.join(self.cases[:_MOST])}{rest}"


@dataclass(frozen=True, slots=True)
class _Case:
    """Where a note applies."""

    row: str
    """The line of the table; empty if `what` says it all."""
    what: str
    share: float | None = None


class Notes:
    """Footnotes as they are met: each meaning gets one mark, its cases gather behind it."""

    def __init__(self, known: Sequence[Footnote] = ()) -> None:
        """Go on from those `known`."""
        self._cases: dict[str, list[_Case]] = {
            note.meaning: [_Case("", case) for case in note.cases] for note in known
        }

    def add(self, meaning: str, case: str = "") -> str:
        """Note that `meaning` applies to `case`; returns the mark."""
        return self._add(meaning, _Case("", case))

    def mark(self, note: Note, row: str, benchmark: str = "") -> str:
        """Note that `note` applies to `row`, to its `benchmark` maybe; returns the mark."""
        if note.alone:
            return self.add(f"{row} {benchmark}".strip() + f": {note.text}")
        return self._add(note.meaning, _Case(row, f"{benchmark} {note.detail}".strip(), note.share))

    def footnotes(self) -> tuple[Footnote, ...]:
        """All of them, in the order of their marks."""
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
    """Say each row, and what several rows have in common, once."""
    shares = [case.share for case in cases if case.share is not None]
    if len(shares) == len(cases) > _MOST:
        # Where they are the marks tell, and each number stands in its run's own report.
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
    """Say what keeps `run` from being a whole and ordinary one."""
    if is_blind(run):
        yield Note("blind: asked without the images or videos, to see what can be guessed")
    if run.finished is None:
        yield Note("unfinished, so benchmarks may be missing")
    if run.limit is not None:
        yield Note("only a part of the samples, by --limit", run.limit)


def is_blind(run: Run) -> bool:
    """Whether images and videos were withheld: what is then right was guessed."""
    return bool(run.settings.get("blind"))


def outcome_notes(outcome: Score | Failure) -> Iterator[Note]:
    """Say why `outcome` is not a plain score of the whole benchmark."""
    if isinstance(outcome, Failure):
        why = f"{_STAGES[outcome.stage]}: {sentence(outcome.message)}; {sentence(outcome.remedy)}"
        yield Note(f"no score: {why}", alone=True)
        return
    if outcome.partial:
        left = f"{outcome.counts.unscored} samples" if outcome.counts.unscored else ""
        yield Note(PARTIAL, left)
    if outcome.modified_data:
        yield Note(MODIFIED)
    for name, value in outcome.extra.items():
        yield Note(f"{name} of VLMEvalKit", f"{value:g}")
    if outcome.macro_average is not None:
        yield Note("mean over its tasks, each counting the same", points(outcome.macro_average))
    if outcome.deviations:
        yield Note(
            f"not VLMEvalKit's own number ({' + '.join(outcome.deviations)})",
            points(outcome.vlmevalkit_score),
        )


def count_notes(score: Score) -> Iterator[Note]:
    """Say how many answers are missing, empty, cut or not understood."""
    if score.counts.failed:
        yield failed_note(score)
    for count, meaning in (
        (score.counts.empty, "empty answers"),
        (score.counts.truncated, "answers cut at the token limit"),
        (score.counts.unparsed, "answers in which no option was found"),
    ):
        if count:
            yield Note(meaning, f"{count} of {score.n}", count / score.n)


def failed_note(score: Score) -> Note:
    """Say how many samples failed, and why."""
    why = f" ({'; '.join(map(sentence, score.failure_reasons))})" if score.failure_reasons else ""
    return Note(UNANSWERED, f"{score.counts.failed} of {score.n}{why}")


def _letters(index: int) -> str:
    """Name the marks in order: a, b … z, aa, ab …."""
    before, last = divmod(index, len(string.ascii_lowercase))
    return (_letters(before - 1) if before else "") + string.ascii_lowercase[last]

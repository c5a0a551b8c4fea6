"""Samples of one benchmark as several runs answered them, side by side; what is said of an answer.

Pure. `evalsuite.comparison.pairing` keeps only samples that all runs share. Nothing is left out
here: a sample that only one run has is a row with gaps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from evalsuite.runs.records import SampleScore

Row = tuple[SampleScore | None, ...]
"""One sample as each run answered it; None: that run does not have it."""


def join(tables: Sequence[Sequence[SampleScore]], blind: Sequence[bool] = ()) -> list[Row]:
    """Bring together what is the same sample, asked the same, in the order of the first run.

    Samples of one id that were asked otherwise are rows of their own. A blind run's questions are
    other prompts by intent, so that they join the row of their id.
    """
    places: dict[str, list[int]] = {}
    rows: list[list[SampleScore | None]] = []
    digests: list[str] = []
    unseeing = list(blind) or [False] * len(tables)
    # Who sees decides what a row was asked; the blind are put beside it.
    order = sorted(range(len(tables)), key=lambda index: unseeing[index])
    for index in order:
        for sample in tables[index]:
            digest = "" if unseeing[index] else sample.prompt_digest
            known = places.setdefault(sample.id, [])
            for place in known:
                fits = not digest or not digests[place] or digests[place] == digest
                if fits and rows[place][index] is None:
                    break
            else:
                place = len(rows)
                known.append(place)
                rows.append([None] * len(tables))
                digests.append("")
            rows[place][index] = sample
            digests[place] = digests[place] or digest
    return [tuple(row) for row in rows]


def known(row: Row) -> SampleScore:
    """Any of `row` for what all share; one that was asked, if there is one."""
    there = [sample for sample in row if sample is not None]
    return next((sample for sample in there if sample.prompt_digest), there[0])


def is_wrong(sample: SampleScore) -> bool:
    """Whether it is worth less than a right answer; one that failed is."""
    return sample.counts and sample.value < 1


def is_failed(sample: SampleScore) -> bool:
    """Whether there is no answer."""
    return sample.ended == "error"


def is_empty(sample: SampleScore) -> bool:
    """Whether the answer has nothing in it."""
    return not is_failed(sample) and not sample.prediction.strip()


def is_unparsed(sample: SampleScore) -> bool:
    """Whether the benchmark's rule found no answer in the text."""
    return not is_failed(sample) and not is_empty(sample) and not sample.parsed


def is_truncated(sample: SampleScore) -> bool:
    """Whether the answer was cut at the token limit."""
    return sample.ended == "length"


KINDS: Mapping[str, Callable[[SampleScore], bool]] = {
    "wrong": is_wrong,
    "failed": is_failed,
    "unparsed": is_unparsed,
}
"""What answers can be picked by."""


def change(before: SampleScore | None, after: SampleScore | None) -> float:
    """How much more `after` is worth than `before`; 0 unless both were asked and count."""
    if before is None or after is None or not (before.counts and after.counts):
        return 0.0
    return after.value - before.value

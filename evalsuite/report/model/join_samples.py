"""Samples of one benchmark in several runs side by side, and kinds of predictions.

Pure. Unlike `evalsuite.comparison.pairing` it keeps samples that only some runs have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from evalsuite.runs.records import SampleScore

Row = tuple[SampleScore | None, ...]
"""One sample in each run; None if the run does not have it."""


def join(tables: Sequence[Sequence[SampleScore]], blind: Sequence[bool] = ()) -> list[Row]:
    """Join samples with the same id and prompt, in the order of the first run.

    Samples with the same id and different prompts are different rows. The prompts of a blind run
    always differ, so its samples join the row of their id.
    """
    places: dict[str, list[int]] = {}
    rows: list[list[SampleScore | None]] = []
    digests: list[str] = []
    unseeing = list(blind) or [False] * len(tables)
    # Rows take their prompts from runs with images; blind runs are joined after them.
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
    """Return any sample of `row` for the fields that all share, if possible one with a prompt."""
    there = [sample for sample in row if sample is not None]
    return next((sample for sample in there if sample.prompt_digest), there[0])


def is_wrong(sample: SampleScore) -> bool:
    """Whether its value is below 1; failed samples are wrong."""
    return sample.counts and sample.value < 1


def is_failed(sample: SampleScore) -> bool:
    """Whether there is no prediction."""
    return sample.ended == "error"


def is_empty(sample: SampleScore) -> bool:
    """Whether the prediction is empty."""
    return not is_failed(sample) and not sample.prediction.strip()


def is_unparsed(sample: SampleScore) -> bool:
    """Whether the benchmark's rule found no answer in the prediction."""
    return not is_failed(sample) and not is_empty(sample) and not sample.parsed


def is_truncated(sample: SampleScore) -> bool:
    """Whether the prediction was truncated at the token limit."""
    return sample.ended == "length"


KINDS: Mapping[str, Callable[[SampleScore], bool]] = {
    "wrong": is_wrong,
    "failed": is_failed,
    "unparsed": is_unparsed,
}
"""Kinds of predictions that can be selected."""


def change(before: SampleScore | None, after: SampleScore | None) -> float:
    """Return the value of `after` minus that of `before`; 0 unless both count."""
    if before is None or after is None or not (before.counts and after.counts):
        return 0.0
    return after.value - before.value

"""Which scores of a table are significantly the best: one paired test a column.

The two highest scores of a column are compared sample by sample by
`evalsuite.stats.paired_difference`. The highest is the best if the difference is significant at
`LEVEL` after Holm's adjustment for the columns of the table, both with failed samples counted as
wrong and without them. The test is two-sided, because the data decide which of the two leads.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evalsuite.comparison.comparison import over_questions
from evalsuite.comparison.pairing import Incomparable, Read, pair
from evalsuite.errors import UsageError
from evalsuite.report.model.table import LEVEL, Contest, Slot, Table
from evalsuite.runs.records import FoundRun
from evalsuite.runs.storage import read_samples
from evalsuite.stats.mean_difference import mean_drop
from evalsuite.stats.multiplicity import holm
from evalsuite.stats.paired_difference import FEW_CLUSTERS, Drop


@dataclass(frozen=True, slots=True)
class _Lead:
    """Difference of the best and the second on a benchmark."""

    drop: Drop
    """Failed samples count as wrong."""
    answered: Drop
    """Failed samples are left out."""


Leads = Mapping[tuple[int, int, str], "_Lead | str"]
"""By the rows of the best and the second, and the benchmark: the lead, or why it is unknown."""


def contested(table: Table, found: Sequence[FoundRun]) -> Table:
    """Return `table`, whose rows are the runs `found` in that order, with its contests."""
    pairs = rivals(table)
    known: dict[tuple[int, int, str], _Lead | str] = {}
    for column in table.columns:
        known.update(leads(pairs, found, column.benchmark))
    return decided(table, pairs, known)


def leads(
    pairs: Sequence[Contest], found: Sequence[FoundRun], benchmark: str, read: Read = read_samples
) -> Leads:
    """Compute the leads on `benchmark` that the contests of `pairs` need.

    `read` reads a samples.jsonl: pass one that caches to use the samples for something else, too.
    """
    needed = dict.fromkeys(
        (two.best, two.second) for two in pairs if benchmark in two.slot.over and two.p is None
    )
    return {
        (best, second, benchmark): _lead(found[best], found[second], benchmark, read)
        for best, second in needed
    }


def decided(table: Table, pairs: Sequence[Contest], known: Leads) -> Table:
    """Return `table` with its contests, given the leads on all of its benchmarks."""
    contests = []
    for two in pairs:
        p, why = two.p, ""
        if p is None:
            p, why = _judged([known[two.best, two.second, name] for name in two.slot.over])
        contests.append(dataclasses.replace(two, p=p, why_not=why))
    return dataclasses.replace(table, contests=_adjusted(contests))


def rivals(table: Table) -> list[Contest]:
    """Return the contest of each column, not yet decided, between its two highest rows.

    Blind rows do not take part. With a tie, p is 1.
    """
    found = []
    slots: list[tuple[Slot, list[float | None]]] = [
        (each, [row.averages[index] for row in table.rows])
        for index, each in enumerate(table.averages)
    ]
    for index, column in enumerate(table.columns):
        scores = [row.cells[index].score for row in table.rows]
        slots.append((column, [score.value if score else None for score in scores]))
    for slot, values in slots:
        ranked = sorted(
            (-value, index)
            for index, (row, value) in enumerate(zip(table.rows, values, strict=True))
            if value is not None and not row.blind
        )
        if len(ranked) > 1:
            (high, best), (low, second) = ranked[:2]
            p = 1.0 if high == low else None
            found.append(Contest(slot=slot, best=best, second=second, p=p))
    return found


def _lead(best: FoundRun, second: FoundRun, name: str, read: Read) -> _Lead | str:
    """Compute by how much `best` leads, or say why that is unknown."""
    if not all(found.samples(name).is_file() for found in (best, second)):
        return "samples.jsonl is missing"
    try:
        [paired] = pair([best], [second], [name], read)
    except UsageError:
        return "samples.jsonl is damaged or does not match the score"
    if isinstance(paired, Incomparable):
        return f"not comparable: {'; '.join(paired.why)}"
    if paired.left_out or paired.different_prompts:
        return "not on the same samples"
    drop = over_questions(paired.samples)
    answered = [sample for sample in paired.samples if not sample.failed]
    some = 0 < len(answered) < len(paired.samples)
    return _Lead(drop, over_questions(answered) if some else drop)


def _judged(leads: Sequence[_Lead | str]) -> tuple[float | None, str]:
    """Return the p-value of a benchmark, or of the mean over several; or why there is none."""
    told = [lead for lead in leads if isinstance(lead, _Lead)]
    if len(told) < len(leads):
        return None, next(lead for lead in leads if isinstance(lead, str))
    drops = (mean_drop([lead.drop for lead in told]), mean_drop([lead.answered for lead in told]))
    if any(drop.too_few_clusters for drop in drops):
        return None, f"fewer than {FEW_CLUSTERS} clusters"
    return max(drop.p if drop.estimate > 0 else 1.0 for drop in drops), ""


def _adjusted(contests: Sequence[Contest]) -> tuple[Contest, ...]:
    adjusted = iter(holm([contest.p for contest in contests if contest.p is not None]))
    ps = [None if contest.p is None else next(adjusted) for contest in contests]
    return tuple(
        dataclasses.replace(contest, p=p, won=p is not None and p < LEVEL)
        for contest, p in zip(contests, ps, strict=True)
    )

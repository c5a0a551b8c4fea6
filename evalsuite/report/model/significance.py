"""Which scores of a table are really the best: one paired test a column.

The two highest scores of a column are compared sample by sample, by
`evalsuite.stats.paired_difference` as everywhere. The best is called so if it is better at
`LEVEL`, two-sided, for which of the two leads was not known before, after Holm's adjustment for the
columns of the table; with samples that failed counted as wrong, and without them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from evalsuite.comparison.comparison import over_questions
from evalsuite.comparison.pairing import Incomparable, pair
from evalsuite.errors import UsageError
from evalsuite.report.model.table import LEVEL, Average, Column, Contest, Table
from evalsuite.runs.records import FoundRun
from evalsuite.stats.multiplicity import holm
from evalsuite.stats.paired_difference import FEW_CLUSTERS, Drop, mean_drop


@dataclass(frozen=True, slots=True)
class _Lead:
    """By how much the one is better than the other on a benchmark."""

    drop: Drop
    """Failed samples are wrong."""
    answered: Drop
    """Failed samples are left out."""


def contested(table: Table, found: Sequence[FoundRun]) -> Table:
    """Hold the contests of `table`, whose rows are the runs `found`, in that order."""
    known: dict[tuple[int, int, str], _Lead | str] = {}

    def lead(best: int, second: int, benchmark: str) -> _Lead | str:
        key = (best, second, benchmark)
        if key not in known:
            known[key] = _lead(found[best], found[second], benchmark)
        return known[key]

    contests = []
    for slot, best, second, tied in _rivals(table):
        names = slot.over if isinstance(slot, Average) else (slot.benchmark,)
        contest = Contest(slot=slot, best=best, second=second)
        if tied:
            contests.append(dataclasses.replace(contest, p=1.0))
            continue
        leads = [lead(best, second, name) for name in names]
        p, why = _judged(leads)
        contests.append(dataclasses.replace(contest, p=p, why_not=why))
    return dataclasses.replace(table, contests=_adjusted(contests))


def _rivals(table: Table) -> Iterator[tuple[Column | Average, int, int, bool]]:
    """The two highest of each column, blind rows aside, and whether they are equal."""
    slots: list[tuple[Column | Average, list[float | None]]] = [
        (each, [row.averages[index] for row in table.rows])
        for index, each in enumerate(table.averages)
    ]
    for index, column in enumerate(table.columns):
        scores = [row.cells[index].score for row in table.rows]
        slots.append((column, [score.score if score else None for score in scores]))
    for slot, values in slots:
        ranked = sorted(
            (-value, index)
            for index, (row, value) in enumerate(zip(table.rows, values, strict=True))
            if value is not None and not row.blind
        )
        if len(ranked) > 1:
            (high, best), (low, second) = ranked[:2]
            yield slot, best, second, high == low


def _lead(best: FoundRun, second: FoundRun, name: str) -> _Lead | str:
    """How far `best` leads, or why that cannot be told."""
    if not all(found.samples(name).is_file() for found in (best, second)):
        return "samples.jsonl is missing"
    try:
        [paired] = pair([best], [second], [name])
    except UsageError:
        return "samples.jsonl is damaged or not what was scored"
    if isinstance(paired, Incomparable):
        return f"not comparable: {'; '.join(paired.why)}"
    if paired.left_out or paired.asked_otherwise:
        return "not on the same samples"
    drop = over_questions(paired.samples)
    answered = [sample for sample in paired.samples if not sample.failed]
    some = 0 < len(answered) < len(paired.samples)
    return _Lead(drop, over_questions(answered) if some else drop)


def _judged(leads: Sequence[_Lead | str]) -> tuple[float | None, str]:
    """The p of a benchmark, or of the mean over several; or why there is none."""
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

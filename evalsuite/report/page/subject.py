"""One benchmark of a page: its runs, their outcomes and their samples."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evalsuite.comparison.pairing import Read
from evalsuite.errors import UsageError
from evalsuite.report.model.columns import Result
from evalsuite.report.model.join_samples import Row, join
from evalsuite.report.model.notes import is_blind
from evalsuite.report.model.select import by_prompts
from evalsuite.report.model.table import Table, build
from evalsuite.runs.records import FoundRun
from evalsuite.system.text import slug


@dataclass(frozen=True, slots=True)
class Part(Result):
    """One run on one benchmark."""

    found: FoundRun
    trouble: str
    """Why its samples cannot be shown; empty if they can."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A benchmark under one prompt style."""

    name: str
    slug: str
    """Name of its files."""
    parts: tuple[Part, ...]

    @property
    def video(self) -> bool:
        """Whether the benchmark has videos."""
        return any(part.score and part.score.modality == "video" for part in self.parts)

    @property
    def browsed(self) -> tuple[Part, ...]:
        """The runs whose samples can be shown."""
        return tuple(part for part in self.parts if part.score and not part.trouble)

    @property
    def flipped(self) -> tuple[int, int]:
        """The indices in `browsed` of the two runs that are compared by default."""
        seeing = [i for i, part in enumerate(self.browsed) if not is_blind(part.run)]
        return (seeing[0], seeing[-1]) if len(seeing) > 1 else (0, max(len(self.browsed) - 1, 0))


@dataclass(frozen=True, slots=True)
class Group:
    """Runs under one prompt style, which share a table."""

    table: Table
    """Without contests, which need the samples."""
    runs: Sequence[FoundRun]
    subjects: tuple[Subject, ...]


def groups(found: Sequence[FoundRun]) -> list[Group]:
    """Group `found` by prompt style, and each group by benchmark, in the order of its table."""
    taken: set[str] = set()
    made = []
    for number, runs in enumerate(by_prompts(found)):
        table = build([item.run for item in runs])
        suffix = f"-{table.prompts}" if number else ""
        subjects = []
        for index, column in enumerate(table.columns):
            name = column.benchmark
            parts = tuple(
                Part(table, row, column, row.cells[index], item, _missing(item, name))
                for item, row in zip(runs, table.rows, strict=True)
                if row.cells[index].outcome is not None
            )
            subjects.append(Subject(name, _slug(name + suffix, taken), parts))
        made.append(Group(table, runs, tuple(subjects)))
    return made


def rows_of(subject: Subject, read: Read) -> tuple[Subject, list[Row]]:
    """Read and join the samples of `subject`; returns it with the runs that cannot be read."""
    parts, tables, blind = [], [], []
    for part in subject.parts:
        trouble = part.trouble
        if part.score and not trouble:
            try:
                tables.append(read(part.found.samples(subject.name)))
                blind.append(is_blind(part.run))
            except UsageError as error:
                trouble = str(error)
        parts.append(dataclasses.replace(part, trouble=trouble))
    return dataclasses.replace(subject, parts=tuple(parts)), join(tables, blind)


def _missing(found: FoundRun, name: str) -> str:
    samples: Path = found.samples(name)
    if os.path.isfile(samples):  # noqa: PTH113 - accepts invalid paths
        return ""
    return f"{samples.name} is missing; score again with --mode eval"


def _slug(name: str, taken: set[str]) -> str:
    """Return a file name for `name` that is not in `taken`, ignoring case."""
    safe = slug(name) or "benchmark"
    unique, number = safe, 1
    while unique.lower() in taken:
        number += 1
        unique = f"{safe}-{number}"
    taken.add(unique.lower())
    return unique

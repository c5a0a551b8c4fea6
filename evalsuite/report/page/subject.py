"""One benchmark of a page: which runs have it, what came of it, and the samples they share."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evalsuite.errors import UsageError
from evalsuite.report.model.join_samples import Row, join
from evalsuite.report.model.notes import is_blind
from evalsuite.report.model.select import tables
from evalsuite.report.model.table import Table
from evalsuite.runs.records import FoundRun, Outcome, Score, read_samples

_LONGEST = 80


@dataclass(frozen=True, slots=True)
class Part:
    """A run as far as one benchmark is concerned."""

    found: FoundRun
    label: str
    outcome: Outcome
    trouble: str = ""
    """Why there are no samples of it; empty if there are."""

    @property
    def score(self) -> Score | None:
        """The outcome, if it is a score."""
        return self.outcome if isinstance(self.outcome, Score) else None


@dataclass(frozen=True, slots=True)
class Subject:
    """A benchmark under one prompt profile."""

    name: str
    slug: str
    """Names its files."""
    prompts: str
    parts: tuple[Part, ...]

    @property
    def video(self) -> bool:
        """Whether frames of videos are shown."""
        return any(part.score and part.score.modality == "video" for part in self.parts)

    @property
    def browsed(self) -> tuple[Part, ...]:
        """The runs whose samples can be shown."""
        return tuple(part for part in self.parts if part.score and not part.trouble)

    @property
    def flipped(self) -> tuple[int, int]:
        """Between which of `browsed` changes are shown unless others are chosen."""
        seeing = [i for i, part in enumerate(self.browsed) if not is_blind(part.found.run)]
        return (seeing[0], seeing[-1]) if len(seeing) > 1 else (0, max(len(self.browsed) - 1, 0))


@dataclass(frozen=True, slots=True)
class Group:
    """Runs under one prompt profile, which may share a table."""

    table: Table
    runs: tuple[FoundRun, ...]
    labels: tuple[str, ...]
    subjects: tuple[Subject, ...]


def groups(found: Sequence[FoundRun]) -> list[Group]:
    """Part `found` by prompt profile, and each part by benchmark, in the order of its table."""
    taken: set[str] = set()
    by_run = {id(item.run): item for item in found}
    made = []
    for number, table in enumerate(tables(found)):
        items = tuple(by_run[id(row.run)] for row in table.rows)
        labels = tuple(_label(item, row.label) for item, row in zip(items, table.rows, strict=True))
        suffix = f"-{table.prompts}" if number else ""
        subjects = []
        for column in table.columns:
            slug = _slug(column.benchmark + suffix, taken)
            parts = _parts(column.benchmark, items, labels)
            subjects.append(Subject(column.benchmark, slug, table.prompts, parts))
        made.append(Group(table, items, labels, tuple(subjects)))
    return made


def rows_of(subject: Subject) -> tuple[Subject, list[Row]]:
    """Read and join the samples of `subject`; it comes back knowing which cannot be read."""
    parts, tables, blind = [], [], []
    for part in subject.parts:
        trouble = part.trouble
        if part.score and not trouble:
            try:
                tables.append(read_samples(part.found.samples(subject.name)))
                blind.append(is_blind(part.found.run))
            except UsageError as error:
                trouble = str(error)
        parts.append(Part(part.found, part.label, part.outcome, trouble))
    whole = Subject(subject.name, subject.slug, subject.prompts, tuple(parts))
    return whole, join(tables, blind)


def _label(found: FoundRun, label: str) -> str:
    return f"{label} (blind)" if is_blind(found.run) and "blind" not in label else label


def _parts(name: str, items: Sequence[FoundRun], labels: Sequence[str]) -> tuple[Part, ...]:
    return tuple(
        Part(item, label, outcome, _missing(item.samples(name)))
        for item, label in zip(items, labels, strict=True)
        for outcome in item.run.outcomes
        if outcome.benchmark == name
    )


def _missing(samples: Path) -> str:
    if os.path.isfile(samples):  # noqa: PTH113 - also takes what can be no path
        return ""
    return f"{samples.name} is not there; score again with --mode eval"


def _slug(name: str, taken: set[str]) -> str:
    """Make a file's name of `name` that no other has, on disks that ignore case as well."""
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:_LONGEST] or "benchmark"
    slug, number = safe, 1
    while slug.lower() in taken:
        number += 1
        slug = f"{safe}-{number}"
    taken.add(slug.lower())
    return slug

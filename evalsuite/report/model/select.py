"""What `evalsuite report` shows: runs, and what was asked for beside their scores."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evalsuite.errors import UsageError
from evalsuite.report.model.notes import is_blind
from evalsuite.report.model.table import Table, build, prompts_of
from evalsuite.runs.records import FoundRun

if TYPE_CHECKING:
    from evalsuite.benchmarks.catalogue import Catalogue


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to show beside the scores."""

    facts: tuple[str, ...] = ()
    """Further columns, by their names in `evalsuite.report.model.columns`."""
    published: Catalogue | None = None
    """Where published scores are, if they are to be shown."""


NOTHING = Wanted()


def want(facts: tuple[str, ...], *, reference: bool, file: Path | None) -> Wanted:
    """Return what was asked for, with the published scores of the benchmarks file `file`.

    Raises `UsageError` if it cannot be read, or is named for nothing.
    """
    if not reference:
        if file is not None:
            raise UsageError("--benchmarks-file: is where --reference finds its scores; add that")
        return Wanted(facts=facts)
    from evalsuite.benchmarks.catalogue import load

    return Wanted(facts=facts, published=load(file))


def tables(found: Sequence[FoundRun], wanted: Wanted = NOTHING) -> list[Table]:
    """Put runs side by side: a table a prompt profile, in the order profiles first come."""
    return [_table(part, wanted) for part in by_prompts(found)]


def by_prompts(found: Sequence[FoundRun]) -> list[list[FoundRun]]:
    """Return the runs of each table, blind runs last, in the order profiles first come."""
    parts: dict[str, list[FoundRun]] = {}
    for item in found:
        parts.setdefault(prompts_of(item.run), []).append(item)
    return [sorted(part, key=lambda item: is_blind(item.run)) for part in parts.values()]


def _table(found: Sequence[FoundRun], wanted: Wanted) -> Table:
    table = dataclasses.replace(build([item.run for item in found]), facts=wanted.facts)
    if len(found) > 1:
        from evalsuite.report.model.significance import (
            contested,  # numpy and scipy: a single run needs neither
        )

        table = contested(table, found)
    if wanted.published is not None:
        from evalsuite.report.model.published import with_published

        table = with_published(table, wanted.published)
    return table

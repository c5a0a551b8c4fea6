"""The tables of a report, by the options of `evalsuite report`."""

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
    """Additions to the scores."""

    facts: tuple[str, ...] = ()
    """Additional columns, by their keys in `evalsuite.report.model.columns`."""
    published: Catalogue | None = None
    """The source of published scores; None to show none."""


NOTHING = Wanted()


def want(facts: tuple[str, ...], *, reference: bool, file: Path | None) -> Wanted:
    """Return the additions, with the published scores of the benchmarks file `file`.

    Raises `UsageError` if the file cannot be read, or is given without `reference`.
    """
    if not reference:
        if file is not None:
            raise UsageError("--benchmarks-file has no effect without --reference; add --reference")
        return Wanted(facts=facts)
    from evalsuite.benchmarks.catalogue import load

    return Wanted(facts=facts, published=load(file))


def tables(found: Sequence[FoundRun], wanted: Wanted = NOTHING) -> list[Table]:
    """Put runs side by side: a table for each prompt style, in the order of the runs."""
    return [_table(part, wanted) for part in by_prompts(found)]


def by_prompts(found: Sequence[FoundRun]) -> list[list[FoundRun]]:
    """Group runs by prompt style, blind runs last."""
    parts: dict[str, list[FoundRun]] = {}
    for item in found:
        parts.setdefault(prompts_of(item.run), []).append(item)
    return [sorted(part, key=lambda item: is_blind(item.run)) for part in parts.values()]


def _table(found: Sequence[FoundRun], wanted: Wanted) -> Table:
    table = dataclasses.replace(build([item.run for item in found]), facts=wanted.facts)
    if len(found) > 1:
        from evalsuite.report.model.significance import (
            contested,  # numpy and scipy, which a single run does not need
        )

        table = contested(table, found)
    if wanted.published is not None:
        from evalsuite.report.model.published import with_published

        table = with_published(table, wanted.published)
    return table

"""The runs a gate is about: named, or promoted before."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from evalsuite.errors import UsageError
from evalsuite.runs import baseline as promoted
from evalsuite.runs.baseline import Pointer
from evalsuite.runs.find import find_one
from evalsuite.runs.records import FoundRun


@dataclass(frozen=True, slots=True)
class Against:
    """What a candidate is held against."""

    baseline: FoundRun
    anchor: FoundRun | None


def find(baseline: str | None, anchor: str | None, results: Path) -> Against:
    """Find baseline and anchor: those named, or without a baseline those promoted.

    A promoted anchor belongs to the promoted baseline, so it does not count beside a named one.
    Raises `UsageError`.
    """
    named = None if anchor is None else find_one(anchor, results)
    if baseline is not None:
        return Against(find_one(baseline, results), named)
    pointers = promoted.read(results)
    if pointers is None:
        raise UsageError(
            f"which baseline? name one with --baseline, or promote one: {results} has no "
            f"{promoted.NAME}"
        )
    if named is None and pointers.anchor is not None and pointers.anchor != pointers.baseline:
        named = promoted.follow(pointers.anchor, results)
    return Against(promoted.follow(pointers.baseline, results), named)


def promote(found: FoundRun, results: Path, *, anchor: bool) -> Iterator[str]:
    """Make `found` the baseline, and say so in a line or more; raises as `promoted.promote`."""
    now, before = promoted.promote(found, results, anchor=anchor)
    yield f"{results / promoted.NAME}: the baseline is {now.baseline}"
    yield f"  {_replaced(before.baseline if before else None, now.baseline)}"
    if anchor:
        yield f"the anchor is {now.anchor}"
        yield f"  {_replaced(before.anchor if before else None, now.baseline)}"
    elif now.anchor is not None:
        yield f"the anchor stays {now.anchor}"
    if found.run.limit is not None:
        yield f"note: it is a part of the samples only, by --limit {found.run.limit}"
    directory = os.path.relpath(found.path.parent)
    yield f"to share it: git add -f {results / promoted.NAME} {directory}"


def _replaced(before: Pointer | None, now: Pointer) -> str:
    if before is None:
        return "there was none before"
    if (before.run, before.digest) == (now.run, now.digest):
        return f"as it was since {before.promoted}"
    return f"it replaces {before}, promoted {before.promoted}"

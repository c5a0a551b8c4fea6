"""The run that others are held against: results/baseline.json, made to be committed.

The file names a run by its path under the results directory and by its checkpoint's digest, so that
a run that was overwritten in the meantime is noticed.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evalsuite.errors import IncompleteError, UsageError
from evalsuite.runs.find import find_one
from evalsuite.runs.records import FoundRun, now
from evalsuite.runs.storage import read_run
from evalsuite.system.files import read_json, to_json_text, write_atomically

NAME = "baseline.json"
SCHEMA = 1
# Promoting does not replace it unread: it may name an anchor, which would be lost in silence.
_REMEDY = "bring it back, or delete it and promote a run again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointer:
    """One run, as the file names it."""

    run: str
    """Its run.json, from the directory of the file."""
    checkpoint: str
    digest: str
    """The checkpoint's."""
    promoted: str
    """When, in UTC."""

    def __str__(self) -> str:
        return f"{self.checkpoint} ({self.digest[:8]}, {self.run})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Promoted:
    """What the file says."""

    baseline: Pointer
    anchor: Pointer | None = None
    """A fixed run to be held against as well: many small losses add up."""


@dataclass(frozen=True, slots=True)
class References:
    """The runs that a candidate is compared with."""

    baseline: FoundRun
    anchor: FoundRun | None


def find_baseline(baseline: str | None, anchor: str | None, results: Path) -> References:
    """Find baseline and anchor: the named runs, or the promoted ones if no baseline is named.

    A promoted anchor belongs to the promoted baseline; it is not used with a named baseline.
    Raises `UsageError`.
    """
    named = None if anchor is None else find_one(anchor, results)
    if baseline is not None:
        return References(find_one(baseline, results), named)
    pointers = read(results)
    if pointers is None:
        raise UsageError(
            f"{results} has no {NAME}: name a baseline with --baseline, or promote a run"
        )
    if named is None and pointers.anchor is not None and pointers.anchor != pointers.baseline:
        named = follow(pointers.anchor, results)
    return References(follow(pointers.baseline, results), named)


def promote(
    found: FoundRun, results: Path, *, anchor: bool = False
) -> tuple[Promoted, Promoted | None]:
    """Make `found` the baseline of `results`, and with `anchor` its anchor as well.

    Returns what holds now and what did before. Raises `IncompleteError` for a run that is not
    whole, `UsageError` if the file is none of ours, `DiskError`.
    """
    _check_whole(found)
    before = read(results)
    pointer = Pointer(
        run=Path(os.path.relpath(found.path.resolve(), results.resolve())).as_posix(),
        checkpoint=found.run.checkpoint.name,
        digest=found.run.checkpoint.digest,
        promoted=now(),
    )
    kept = before.anchor if before else None
    after = Promoted(baseline=pointer, anchor=pointer if anchor else kept)
    plain = {"schema": SCHEMA, **asdict(after)}
    write_atomically(results / NAME, to_json_text(plain))
    return after, before


def _check_whole(found: FoundRun) -> None:
    """Refuse what no candidate could be held against."""
    run = found.run
    if run.finished is None or not run.scores:
        raise IncompleteError(
            f"{found.path}: is unfinished, so no baseline; run its command again: {run.command}"
        )
    if run.failures:
        first = run.failures[0]
        raise IncompleteError(
            f"{found.path}: is no baseline, as {first.benchmark} has no score: {first.message}; "
            "mend that and run it again"
        )
    for score in run.scores:
        path = found.samples(score.benchmark)
        if not path.is_file():
            raise IncompleteError(
                f"{path}: is missing, and a gate compares samples; score again with --mode eval"
            )


def read(results: Path) -> Promoted | None:
    """What was promoted in `results`; None if nothing was. Raises `UsageError`."""
    path = results / NAME
    if not path.exists():
        return None
    plain = read_json(path, _REMEDY)
    if not isinstance(plain, dict) or plain.get("schema") != SCHEMA:
        raise UsageError(f"{path}: expected schema {SCHEMA}; made by another evalsuite? {_REMEDY}")
    try:
        anchor = plain["anchor"]
        return Promoted(
            baseline=_pointer(plain["baseline"]),
            anchor=None if anchor is None else _pointer(anchor),
        )
    except (KeyError, TypeError):
        raise UsageError(f"{path}: was changed by hand? {_REMEDY}") from None


def _pointer(plain: Any) -> Pointer:
    if not isinstance(plain, dict) or not all(isinstance(value, str) for value in plain.values()):
        raise TypeError
    return Pointer(**plain)


def follow(pointer: Pointer, results: Path) -> FoundRun:
    """Read the run that `pointer` names. Raises `UsageError` if it is not the one promoted."""
    path = results / pointer.run
    if not os.path.isfile(path):  # noqa: PTH113 - also takes what can be no path
        raise UsageError(
            f"{results / NAME}: names {path}, which is gone; bring it back or promote another run"
        )
    run = read_run(path)
    if run.checkpoint.digest != pointer.digest:
        raise UsageError(
            f"{results / NAME}: {path} is now of other weights ({run.checkpoint.digest[:8]}, "
            f"promoted was {pointer.digest[:8]}); promote a run again"
        )
    return FoundRun(path, run)

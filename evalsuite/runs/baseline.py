"""The promoted baseline: results/baseline.json, a file to commit.

The file names a run by its path in the results directory and by its checkpoint's digest, so that
a run that was overwritten later is detected.
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
# A damaged file is not replaced: it may name an anchor, which would be lost silently.
_REMEDY = "restore it, or delete it and promote a run again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointer:
    """A run in the file."""

    run: str
    """Its run.json, relative to the directory of the file."""
    checkpoint: str
    digest: str
    promoted: str
    """Time in UTC."""

    def __str__(self) -> str:
        return f"{self.checkpoint} ({self.digest[:8]}, {self.run})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Promoted:
    """The content of the file."""

    baseline: Pointer
    anchor: Pointer | None = None
    """A fixed reference run, which reveals many small losses that add up."""


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

    Returns the new and the previous content. Raises `IncompleteError` for an incomplete run,
    `UsageError` if the file cannot be read, `DiskError`.
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
    run = found.run
    if run.finished is None or not run.scores:
        raise IncompleteError(
            f"{found.path}: is unfinished; to make it a baseline, run its command again: "
            f"{run.command}"
        )
    if run.failures:
        first = run.failures[0]
        raise IncompleteError(
            f"{found.path}: {first.benchmark} has no score: {first.message}; "
            "fix it and run again to make this a baseline"
        )
    for score in run.scores:
        path = found.samples(score.benchmark)
        if not path.is_file():
            raise IncompleteError(
                f"{path}: is missing, but a gate compares samples; score again with --mode eval"
            )


def read(results: Path) -> Promoted | None:
    """The promoted runs of `results`; None without a file. Raises `UsageError`."""
    path = results / NAME
    if not path.exists():
        return None
    plain = read_json(path, _REMEDY)
    if not isinstance(plain, dict) or plain.get("schema") != SCHEMA:
        raise UsageError(f"{path}: schema is not {SCHEMA}; {_REMEDY}")
    try:
        anchor = plain["anchor"]
        return Promoted(
            baseline=_pointer(plain["baseline"]),
            anchor=None if anchor is None else _pointer(anchor),
        )
    except (KeyError, TypeError):
        raise UsageError(f"{path}: has wrong or missing keys; {_REMEDY}") from None


def _pointer(plain: Any) -> Pointer:
    if not isinstance(plain, dict) or not all(isinstance(value, str) for value in plain.values()):
        raise TypeError
    return Pointer(**plain)


def follow(pointer: Pointer, results: Path) -> FoundRun:
    """Read the run that `pointer` names. Raises `UsageError` if it is not the one promoted."""
    path = results / pointer.run
    if not os.path.isfile(path):  # noqa: PTH113 - also accepts an invalid path
        raise UsageError(
            f"{results / NAME}: names {path}, which does not exist; restore it or promote another "
            "run"
        )
    run = read_run(path)
    if run.checkpoint.digest != pointer.digest:
        raise UsageError(
            f"{results / NAME}: {path} now has other weights ({run.checkpoint.digest[:8]}, "
            f"promoted: {pointer.digest[:8]}); promote a run again"
        )
    return FoundRun(path, run)

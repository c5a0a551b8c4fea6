"""Find runs by RUN arguments, or all runs of a results directory."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from evalsuite.errors import UsageError
from evalsuite.runs.layout import checkpoint_directories, run_directories, run_records
from evalsuite.runs.records import FoundRun
from evalsuite.runs.storage import read_run
from evalsuite.system.text import first_few


def find(arguments: Sequence[str], results: Path) -> list[FoundRun]:
    """Find the runs that `arguments` name, in order and each once; all of `results` if none.

    An argument is a run directory, its run.json or run@N.json, or a checkpoint directory under
    `results` with one run in it, by its name there with or without the digest. Raises
    `UsageError` for anything else, and if there are no runs at all.
    """
    if not arguments:
        return find_all(results)
    paths = dict.fromkeys(_named(argument, results) for argument in arguments)
    return [FoundRun(path, read_run(path)) for path in paths]


def find_one(argument: str, results: Path) -> FoundRun:
    """Find the run that `argument` names, as `find` does."""
    return find([argument], results)[0]


def find_sides(
    baseline: str, candidate: str, results: Path, *, group: bool
) -> tuple[list[FoundRun], list[FoundRun]]:
    """Find the runs on both sides of a comparison; raises `UsageError`.

    With `group` each side names two runs or more, separated by commas, all of them different.
    """
    if not group:
        return [find_one(baseline, results)], [find_one(candidate, results)]
    sides = [[name for name in text.split(",") if name] for text in (baseline, candidate)]
    for text, names in zip((baseline, candidate), sides, strict=True):
        if len(names) < 2:
            raise UsageError(
                f"--group: '{text}' names fewer than two runs; give each side as A1,A2,A3, or omit "
                "--group"
            )
    found = [[find_one(name, results) for name in names] for names in sides]
    seen: set[Path] = set()
    for item in itertools.chain(*found):
        if item.path.resolve() in seen:
            raise UsageError(f"--group: {item.path} is named twice; name each run once")
        seen.add(item.path.resolve())
    return found[0], found[1]


def find_all(results: Path, say: Callable[[str], None] | None = None) -> list[FoundRun]:
    """Find every run under `results`, checkpoint-500 before checkpoint-1000.

    A directory counts once: its run.json if there is one, otherwise the run@N.json with the most
    samples. Files that cannot be read are left out and reported to `say` (default: standard
    error). Raises `UsageError` if no run is left.
    """
    found = []
    for directory in run_directories(results, 2):
        try:
            records = [FoundRun(path, read_run(path)) for path in run_records(directory)]
            found.append(max(records, key=lambda each: sum(s.n for s in each.run.scores)))
        except UsageError as error:
            (say or _to_standard_error)(f"left out: {error}")
    if not found:
        raise UsageError(
            f"{results}: contains no runs; make one with 'evalsuite run', or name another "
            "directory with --output-dir"
        )
    return found


def _named(argument: str, results: Path) -> Path:
    path = _existing(argument, results)
    if path.is_file():
        return path
    records = run_records(path)
    if records:
        return _only(argument, records, "records")
    runs = run_directories(path, 1)
    if not runs:
        raise UsageError(f"{argument}: {_why_no_run(path, results)}")
    return _named(str(_only(argument, runs, "runs")), results)


def _existing(argument: str, results: Path) -> Path:
    for path in (Path(argument), results / argument):
        if path.exists():
            return path
    if named := checkpoint_directories(results, argument):
        return _only(argument, named, "checkpoints of this name")
    raise UsageError(
        f"{argument}: no such run, here or in {results}; 'evalsuite list runs' shows all runs"
    )


def _why_no_run(path: Path, results: Path) -> str:
    if path.resolve() == results.resolve() or run_directories(path, 2):
        return "is a results directory, not a run; name a run in it, or omit the argument for all"
    if (path / "config.json").exists():
        return (
            f"is a checkpoint, not a run; name its directory under {results} "
            "('evalsuite list runs' shows them)"
        )
    return "contains no run.json; name a run directory ('evalsuite list runs' shows them)"


def _only(argument: str, candidates: Sequence[Path], what: str) -> Path:
    if len(candidates) == 1:
        return candidates[0]
    named = first_few([str(path) for path in candidates])
    raise UsageError(f"{argument}: {len(candidates)} {what}; name one of {named}")


def _to_standard_error(line: str) -> None:
    print(f"evalsuite: {line}", file=sys.stderr)

"""LEADERBOARD.md: complete runs, best first, the same text for the same runs.

Only what stands between the two markers is ours; the rest of the file is left as it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from evalsuite.errors import UsageError
from evalsuite.files import write_atomically
from evalsuite.report.grid import Entry, Grid, Heading, Line, cells, entries, remarks
from evalsuite.report.markdown import escaped, grid_markdown
from evalsuite.report.table import Row, Table, build, prompts_of
from evalsuite.report.words import ABSENT, counted, listed, parameter_count, points, short
from evalsuite.results import Run, Score

BEGIN = "<!-- evalsuite:leaderboard:begin -->"
END = "<!-- evalsuite:leaderboard:end -->"
_TITLE = "# Leaderboard"


def write(runs: Sequence[Run], path: Path) -> None:
    """Put the leaderboard of `runs` into `path`, between the markers if the file has them.

    Raises `UsageError` if no run is complete or the file is somebody else's, `DiskError`.
    """
    known = _read(path)
    write_atomically(path, _placed(leaderboard(runs), known, path))


def leaderboard(runs: Sequence[Run]) -> str:
    """Return what goes between the markers; raises `UsageError` if no run is complete."""
    whole = sorted((run for run in runs if run.finished and run.limit is None), key=_identity)
    if not whole:
        raise UsageError(
            f"no complete run among {counted(len(runs), 'run')}: a leaderboard leaves out "
            "unfinished runs and those with --limit; finish one with 'evalsuite run'"
        )
    profiles = sorted({prompts_of(run) for run in whole})
    sections = [_section(build([r for r in whole if prompts_of(r) == p])) for p in profiles]
    left_out = _left_out([run for run in runs if run not in whole])
    return "\n".join(["Written by `evalsuite leaderboard`.\n", *sections, *left_out])


def _section(table: Table) -> str:
    rows = sorted(table.rows, key=lambda row: (row.average is None, -(row.average or 0)))
    grid = Grid(
        headings=(
            Heading("checkpoint", numeric=False),
            Heading("average"),
            *(Heading(c.benchmark, group=c.modality, marks=c.marks) for c in table.columns),
            *(Heading(name) for name in ("parameters", "step")),
            *(Heading(name, numeric=False) for name in ("digest", "dtype", "evalsuite", "date")),
        ),
        lines=tuple(Line(_entries(row)) for row in rows),
        remarks=(*remarks(table), _settings(table), *_benchmarks(table)),
        footnotes=table.footnotes,
    )
    return f"## Prompts: {escaped(table.prompts)}\n\n{grid_markdown(grid)}"


def _entries(row: Row) -> tuple[Entry, ...]:
    run, checkpoint = row.run, row.run.checkpoint
    return (
        Entry(checkpoint.name, row.marks),
        Entry(points(row.average)),
        *cells(row),
        *entries((
            parameter_count(checkpoint.parameters),
            ABSENT if checkpoint.step is None else str(checkpoint.step),
            short(checkpoint.digest),
            str(run.settings.get("dtype", ABSENT)),
            run.evalsuite,
            (run.finished or "")[: len("2026-01-31")],
        )),
    )  # fmt: skip


def _settings(table: Table) -> str:
    """Name the settings all rows share; a footnote names the others."""
    first, *others = (row.run.settings for row in table.rows)
    shared = [key for key in sorted(first)
              if all(key in other and other[key] == first[key] for other in others)]  # fmt: skip
    return f"settings: {listed([f'{key} {first[key]}' for key in shared])}"


def _benchmarks(table: Table) -> list[str]:
    """Say how each benchmark was asked and scored; a footnote says where rows differ in that."""
    lines = []
    for index, column in enumerate(table.columns):
        scores = [score for row in table.rows if (score := row.cells[index].score)]
        if scores:
            lines.append(f"{column.benchmark}: {_how(scores[0])}")
    return lines


def _how(score: Score) -> str:
    frames = "" if score.frames is None else f"frames {score.frames}, "
    return (
        f"{score.dataset}, prompt {score.prompt}, {frames}at most {score.max_new_tokens} tokens, "
        f"metric {score.metric}, judge {score.judge}, {score.n} samples"
    )


def _left_out(runs: Sequence[Run]) -> list[str]:
    limited = sorted(run.checkpoint.name for run in runs if run.limit is not None)
    unfinished = sorted(run.checkpoint.name for run in runs if run.limit is None)
    return [
        f"Left out, for being {why}: {escaped(listed(names))}.\n"
        for why, names in (("unfinished", unfinished), ("run with --limit", limited))
        if names
    ]


def _identity(run: Run) -> tuple[str, str, str, str]:
    """Order runs of the same average, and footnotes."""
    return (run.checkpoint.name, run.checkpoint.digest, str(run.settings), run.started)


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8") if path.exists() else ""
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}; choose another -o") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path}: is not UTF-8 text; choose another file with -o") from None


def _placed(board: str, known: str, path: Path) -> str:
    """`known` with `board` between its markers; a new file if it is empty."""
    if not known.strip():
        return f"{_TITLE}\n\n{BEGIN}\n{board}{END}\n"
    # A marker is a line of its own, so that no checkpoint's name can be one.
    begins, ends = (list(re.finditer(rf"^{re.escape(marker)}\r?$", known, re.MULTILINE))
                    for marker in (BEGIN, END))  # fmt: skip
    if len(begins) != 1 or len(ends) != 1 or ends[0].start() < begins[0].end():
        raise UsageError(
            f"{path}: has no single pair of lines '{BEGIN}' and '{END}', and nothing else of it "
            "is overwritten; add them where the leaderboard belongs, or choose another file with -o"
        )
    return f"{known[: begins[0].end()]}\n{board}{known[ends[0].start() :]}"

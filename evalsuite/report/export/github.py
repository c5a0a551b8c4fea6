"""The report of the gate for GitHub Actions: a job summary, and annotations of the log."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

from evalsuite.report.format import sentence, visible
from evalsuite.report.tables.gate import GateReport
from evalsuite.report.writers.markdown import escaped, grid_markdown
from evalsuite.system.files import disk_errors

LIMIT_BYTES = 900_000
"""GitHub drops the summary of a step that is larger than 1 MiB; other commands may add to it."""
ANNOTATIONS = 10
"""GitHub shows this number of errors per step."""
_CUT = "\n\n… cut here: GitHub shows at most 1 MiB.\n"


def to_markdown(report: GateReport) -> str:
    """Render the verdict, its reasons, the next steps, and a table per assessment."""
    lines = [f"## evalsuite gate: {report.headline.removeprefix('verdict: ')}", ""]
    lines += [f"- {escaped(line)}" for line in report.lines]
    tables = "\n".join(grid_markdown(each.table) for each in report.assessments)
    return "\n".join(lines) + "\n\n" + tables


def append(path: Path, text: str, most_bytes: int | None = None) -> None:
    """Append `text` to a file of at most `most_bytes`; it is cut if needed. Raises `DiskError`."""
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8", newline="\n") as file:
            whole = text + "\n"
            file.write(whole if most_bytes is None else fit(whole, most_bytes - file.tell()))


def fit(text: str, room: int) -> str:
    """Return the leading lines of `text` that take at most `room` bytes, with a note if cut."""
    if len(text.encode()) <= room:
        return text
    left = room - len(_CUT.encode())
    if left < 0:
        return ""
    kept = text.encode()[:left].decode(errors="ignore")
    return kept[: kept.rfind("\n") + 1].rstrip("\n") + _CUT


def annotation_lines(report: GateReport) -> Iterator[str]:
    """Return the reasons of the verdict as annotations of the log; none for a pass.

    An inconclusive verdict is a warning, as no regression was found.
    """
    if report.verdict == "pass":
        return
    level = "warning" if report.verdict == "inconclusive" else "error"
    lines = [report.headline, *report.because]
    if len(lines) > ANNOTATIONS:
        more = len(lines) - ANNOTATIONS + 1
        lines = [*lines[: ANNOTATIONS - 1], f"and {more} more, in the log"]
    for line in lines:
        yield annotation(level, line)


def stop_commands() -> tuple[str, str]:
    """Return lines between which GitHub ignores workflow commands.

    A name in a table may look like a command. The second line has a random token, so that no name
    can end the section.
    """
    token = secrets.token_hex(16)
    return f"::stop-commands::{token}", f"::{token}::"


def annotation(level: str, message: str) -> str:
    """Return a workflow command; `message` is escaped so that it cannot start another command."""
    # The message is one line; the percent sign is what else GitHub unescapes.
    return f"::{level} title=evalsuite gate::{visible(sentence(message)).replace('%', '%25')}"

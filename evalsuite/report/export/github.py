"""A gate's verdict for GitHub Actions: a summary of the job, and annotations of its log."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evalsuite.comparison.gate import Gated
from evalsuite.report.format import sentence, visible
from evalsuite.report.tables import gate_noise
from evalsuite.report.tables.gate import headline, table
from evalsuite.report.tables.gate_reasons import advice, because
from evalsuite.report.writers.markdown import escaped, grid_markdown
from evalsuite.system.files import disk_errors

LIMIT_BYTES = 900_000
"""GitHub drops a step's whole summary if it is larger than 1 MiB; others may write there, too."""
ANNOTATIONS = 10
"""GitHub shows so many errors of a step."""
_CUT = "\n\n… cut here, as GitHub shows at most 1 MiB.\n"


def to_markdown(gated: Gated) -> str:
    """Render the verdict, what made it so, what to do, and a table for each run held against."""
    lines = [f"## evalsuite gate: {gated.verdict}", ""]
    said = (*because(gated), *gate_noise.warnings(gated), *advice(gated))
    lines += [f"- {escaped(line)}" for line in said]
    return "\n".join(lines) + "\n\n" + "\n".join(grid_markdown(table(j)) for j in gated.judged)


def append(path: Path, text: str, most_bytes: int | None = None) -> None:
    """Append `text` to a file, cut so that this has at most so many bytes. Raises `DiskError`."""
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8", newline="\n") as file:
            whole = text + "\n"
            file.write(whole if most_bytes is None else fit(whole, most_bytes - file.tell()))


def fit(text: str, room: int) -> str:
    """As many whole lines of `text` as take at most `room` bytes, and a word if it was cut."""
    if len(text.encode()) <= room:
        return text
    left = room - len(_CUT.encode())
    if left < 0:
        return ""
    kept = text.encode()[:left].decode(errors="ignore")
    return kept[: kept.rfind("\n") + 1].rstrip("\n") + _CUT


def marked_lines(gated: Gated) -> Iterator[str]:
    """Say what keeps the candidate from passing as lines that GitHub marks; none for a pass.

    An inconclusive verdict is a warning: nothing was found to be worse.
    """
    if gated.verdict == "pass":
        return
    level = "warning" if gated.verdict == "inconclusive" else "error"
    lines = [headline(gated), *because(gated)]
    if len(lines) > ANNOTATIONS:
        more = len(lines) - ANNOTATIONS + 1
        lines = [*lines[: ANNOTATIONS - 1], f"and {more} more, in the log"]
    for line in lines:
        yield annotation(level, "evalsuite gate", line)


@contextmanager
def unheeded() -> Iterator[None]:
    """Print within what GitHub is not to obey: a name may look like a workflow command.

    Commands are off until a token comes back that nobody could guess.
    """
    token = secrets.token_hex(16)
    print(f"::stop-commands::{token}")
    yield
    print(f"::{token}::")


def annotation(level: str, title: str, message: str) -> str:
    """A workflow command. What it says comes from the outside and must not begin another."""
    return f"::{level} title={_property(title)}::{_data(visible(sentence(message)))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")

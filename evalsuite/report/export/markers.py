"""Replace the text between two marker lines of a file; the rest of the file does not change."""

from __future__ import annotations

import re
from pathlib import Path

from evalsuite.errors import UsageError

_FENCED = re.compile(
    r"^ {0,3}(`{3,}(?=[^`\n]*$)|~{3,}(?!~)).*?(?:^ {0,3}\1[`~]*[ \t]*\r?$|\Z)",
    re.MULTILINE | re.DOTALL,
)
"""A code block, in which markers are ignored."""


def read_document(path: Path) -> str:
    """Read the text of `path`, empty if it is missing; raises `UsageError` if it is not text."""
    try:
        return path.read_bytes().decode("utf-8") if path.exists() else ""
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}; choose another -o") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path}: is not UTF-8 text; choose another file with -o") from None


def renewed(text: str, begin: str, end: str, content: str) -> str | None:
    """Return `text` with `content` between its lines `begin` and `end`; None if it has neither.

    Raises `UsageError` unless there is one of each.
    """
    begins, ends = _marks(text, begin), _marks(text, end)
    if not begins and not ends:
        return None
    if len(begins) != 1 or len(ends) != 1 or ends[0].start() < begins[0].end():
        raise UsageError(f"expected one line '{begin}' and one line '{end}'; fix or remove them")
    # Keep the line ends of the file.
    newline = "\r\n" if begins[0].group().endswith("\r") else "\n"
    between = f"{begin}\n{content}".replace("\n", newline)
    return text[: begins[0].start()] + between + text[ends[0].start() :]


def _marks(text: str, marker: str) -> list[re.Match[str]]:
    """Find `marker` on a line of its own, so that no checkpoint's name can be one.

    A marker in a fenced code block is ignored.
    """
    fenced = [match.span() for match in _FENCED.finditer(text)]
    found = re.finditer(rf"^{re.escape(marker)}\r?$", text, re.MULTILINE)
    return [m for m in found if not any(start < m.start() < end for start, end in fenced)]

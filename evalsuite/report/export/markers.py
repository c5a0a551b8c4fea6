"""What stands between two lines of somebody's file is ours; all else in it stays as it is."""

from __future__ import annotations

import re
from pathlib import Path

from evalsuite.errors import UsageError

_FENCED = re.compile(
    r"^ {0,3}(`{3,}(?=[^`\n]*$)|~{3,}(?!~)).*?(?:^ {0,3}\1[`~]*[ \t]*\r?$|\Z)",
    re.MULTILINE | re.DOTALL,
)
"""A block of code: what stands in it is shown, not meant."""


def read_document(path: Path) -> str:
    """Read the text of `path`, empty if there is none; raises `UsageError` if it is no text."""
    try:
        return path.read_bytes().decode("utf-8") if path.exists() else ""
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}; choose another -o") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path}: is not UTF-8 text; choose another file with -o") from None


def renewed(text: str, begin: str, end: str, content: str) -> str | None:
    """`text` with `content` between its lines `begin` and `end`; None if it has neither.

    Raises `UsageError` if they are no single pair.
    """
    begins, ends = _marks(text, begin), _marks(text, end)
    if not begins and not ends:
        return None
    if len(begins) != 1 or len(ends) != 1 or ends[0].start() < begins[0].end():
        raise UsageError(
            f"has no single pair of lines '{begin}' and '{end}'; mend them, or remove them"
        )
    # The lines of a file made on Windows end as the marker does.
    newline = "\r\n" if begins[0].group().endswith("\r") else "\n"
    between = f"{begin}\n{content}".replace("\n", newline)
    return text[: begins[0].start()] + between + text[ends[0].start() :]


def _marks(text: str, marker: str) -> list[re.Match[str]]:
    """Where `marker` stands: on a line of its own, so that no checkpoint's name can be one.

    In a fenced block it is an example, not a marker.
    """
    fenced = [match.span() for match in _FENCED.finditer(text)]
    found = re.finditer(rf"^{re.escape(marker)}\r?$", text, re.MULTILINE)
    return [m for m in found if not any(start < m.start() < end for start, end in fenced)]

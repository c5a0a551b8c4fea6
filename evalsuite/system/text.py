"""Short texts for messages and names for files."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

LONGEST_SLUG = 100
"""Characters; most file systems allow 255 bytes."""


def one_line(error: BaseException, *, with_type: bool = False) -> str:
    r"""The first line of the error's message, or its class if it has no message.

    >>> one_line(ValueError("bad value\nmore")), one_line(KeyError("a"), with_type=True)
    ('bad value', "KeyError: 'a'")
    """
    kind = type(error).__name__
    lines = [line for line in str(error).splitlines() if line.strip()]
    if not lines:
        return kind
    text = " ".join(lines[0].split())
    return f"{kind}: {text}" if with_type else text


def first_few(names: Sequence[str], count: int = 5) -> str:
    """The first `count` names, and the number of the others.

    >>> first_few(["a", "b", "c", "d"], 2)
    'a, b and 2 more'
    """
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more


def counted(count: int, noun: str) -> str:
    """``1 run``, ``2 runs``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def slug(name: str) -> str:
    """`name` as a file name of letters, digits, ``.``, ``_`` and ``-``; empty if none is left.

    Different names can give the same slug: see `unique_slug`.
    """
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:LONGEST_SLUG]


def unique_slug(name: str) -> str:
    """`name` if it is a file name already, else its slug with a digest of `name`."""
    safe = slug(name)
    if safe and safe == name:
        return name
    digest = hashlib.sha256(name.encode("utf-8", "backslashreplace")).hexdigest()[:8]
    return f"{safe}-{digest}".lstrip("-")


def natural_key(text: object) -> list[tuple[int, int, str]]:
    """Sort key that orders numbers in texts by value: ``step-9`` before ``step-10``."""
    parts = re.split(r"(\d+)", str(text))
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in parts]

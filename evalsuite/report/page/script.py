"""Data as scripts, because a page opened from disk may fetch nothing else.

Each file is one call, ``evalsuite.take(name, json)``, with the JSON as a string: parsed as JSON and
never run, a text in it cannot become code and a key in it cannot become ``__proto__``.
"""

from __future__ import annotations

import json
import re
from typing import Any

_UNSAFE = re.compile("['<>&\u2028\u2029\u007f-\u009f\ud800-\udfff]")
"""Ends a string or a line in some reader, begins markup in another, or is no text at all."""


def to_script(name: str, value: Any) -> str:
    """Return the script that hands `value` to the page as the file `name`.

    `name` is an address of ours: letters, digits and ``._/-``.
    """
    plain = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return f"evalsuite.take('{name}','{_quoted(plain)}');\n"


def _quoted(text: str) -> str:
    # JSON itself has no raw control character below U+0020 left.
    escaped = text.replace("\\", "\\\\")
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", escaped)

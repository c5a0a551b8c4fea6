"""Data as scripts: a page that was opened from disk can load no other files.

Each file is one call, ``evalsuite.take(name, json)``, with the JSON as a string. It is parsed and
not run, so that no text in it becomes code and no key becomes ``__proto__``.
"""

from __future__ import annotations

import json
import re
from typing import Any

_UNSAFE = re.compile("['<>&\u2028\u2029\u007f-\u009f\ud800-\udfff]")
"""Characters that end a string or a line, begin markup, or cannot be encoded."""


def to_script(name: str, value: Any) -> str:
    """Return the script that passes `value` to the page as the file `name`.

    `name` has only letters, digits and ``._/-``.
    """
    plain = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return f"evalsuite.take('{name}','{_quoted(plain)}');\n"


def _quoted(text: str) -> str:
    # JSON has no raw control characters below U+0020.
    escaped = text.replace("\\", "\\\\")
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", escaped)

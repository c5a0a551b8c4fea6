"""Numbers of bytes as people write them."""

from __future__ import annotations

import math
import re

from evalsuite.errors import UsageError

GB = 1_000_000_000
_UNITS = {"": 1, "K": 1000, "M": 1000**2, "G": GB, "T": 1000**4}
_BINARY = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40}
_KNOWN = {unit.lower(): factor for unit, factor in (_UNITS | _BINARY).items()}


def written(count: int) -> str:
    """``850 kB``, ``1.2 GB``: to about two digits, in powers of a thousand."""
    number = float(count)
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if number < 999.5 or unit == "TB":
            break
        number /= 1000
    return f"{number:.1f} {unit}" if unit != "bytes" and number < 9.95 else f"{number:.0f} {unit}"


def read_size(text: str, where: str) -> int:
    """``50GB``, ``1.5 TB``, ``500MiB`` or plain bytes; raises `UsageError` that begins `where`."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]i?)?(?:b|bytes)?\s*", text, re.I)
    if match is None or not math.isfinite(number := float(match[1])):
        raise UsageError(f"{where}: expected a size like 50GB, not '{text}'")
    return int(number * _KNOWN[(match[2] or "").lower()])

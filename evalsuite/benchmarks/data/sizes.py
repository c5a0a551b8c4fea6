"""Sizes in bytes, as users write them."""

from __future__ import annotations

import math
import re

from evalsuite.errors import UsageError

_UNITS = {"": 1, "K": 1000, "M": 1000**2, "G": 1000**3, "T": 1000**4}
_BINARY = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40}
_KNOWN = {unit.lower(): factor for unit, factor in (_UNITS | _BINARY).items()}


def read_size(text: str, where: str) -> int:
    """Bytes of ``50GB``, ``1.5 TB``, ``500MiB`` or ``1000``; raises `UsageError` with `where`."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]i?)?(?:b|bytes)?\s*", text, re.I)
    if match is None or not math.isfinite(number := float(match[1])):
        raise UsageError(f"{where}: expected a size like 50GB, not '{text}'")
    return int(number * _KNOWN[(match[2] or "").lower()])

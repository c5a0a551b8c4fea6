"""How tables name images and videos: as a path, a ``file://`` address, base64 or a data URI."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

_DATA_URI = re.compile(r"data:[^,]*;base64,", re.I)
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.I)
_MAX_PATH_LENGTH = 64
"""A text up to this length is a path: no base64 image is that short."""
_SHOWN = 80


class MediaReferenceError(ValueError):
    """A reference that names no local file and holds no image. The message is one line."""


def is_path(text: str) -> bool:
    """Return whether `text` is a path. Otherwise it is a base64 image, which has no dots."""
    return "." in text or len(text) <= _MAX_PATH_LENGTH


def embedded(text: str) -> str | None:
    """Return the base64 of an image that `text` holds; None if `text` names a file."""
    if (uri := _DATA_URI.match(text)) is not None:
        return text[uri.end() :]
    return None if is_path(text) or _ADDRESS.match(text) else text


def local_path(text: str, folder: Path) -> Path:
    """Return the path that `text` names, relative to `folder`; raises `MediaReferenceError`."""
    shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
    if text.lower().startswith("data:"):
        raise MediaReferenceError(f"{shown}: a data URI that is not base64; encode it as base64")
    if _ADDRESS.match(text):
        parts = urlsplit(text)
        if parts.scheme.lower() != "file" or parts.netloc not in ("", "localhost"):
            raise MediaReferenceError(f"{shown}: a web address; download it, and name the file")
        return Path(unquote(parts.path))
    path = folder / text
    # False for a name that no file can have.
    if "\\" in text and not os.path.exists(path):  # noqa: PTH110
        raise MediaReferenceError(f"{shown}: a path with backslashes; write / instead")
    return path

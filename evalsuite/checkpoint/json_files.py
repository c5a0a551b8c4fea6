"""JSON files of a checkpoint."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

from evalsuite.errors import UsageError
from evalsuite.system.files import open_regular, read_json

LFS_POINTER = b"version https://git-lfs"


def read_json_object(path: Path) -> dict[str, Any]:
    """Read the JSON object in `path`; raises `UsageError` for any other content."""
    with os.fdopen(open_regular(path), "rb") as file:
        refuse_lfs_pointer(path, file.read(len(LFS_POINTER)))
    value = read_json(path, "copy or download it again")
    if not isinstance(value, dict):
        raise UsageError(f"{path}: expected a JSON object, found a {type(value).__name__}")
    return value


def read_optional_object(path: Path) -> dict[str, Any]:
    """The JSON object in `path`; empty if there is no such file."""
    return read_json_object(path) if path.exists() else {}


def refuse_lfs_pointer(path: Path, start: bytes) -> None:
    """Raise `UsageError` if a file that begins with `start` is a Git LFS pointer."""
    if start.startswith(LFS_POINTER):
        raise UsageError(
            f"{path}: a Git LFS pointer, not the file itself; "
            f"run `git lfs pull` in {shlex.quote(str(path.parent))}"
        )

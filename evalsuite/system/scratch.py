"""Temporary directories that are removed, at the latest by the next process of the user."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from evalsuite.errors import DiskError
from evalsuite.system.locks import LockHeld, exclusive

_PREFIX = "evalsuite-scratch-"


@contextlib.contextmanager
def scratch_directory() -> Iterator[Path]:
    """A new temporary directory, removed at the end.

    Also removes those that killed processes of this user left behind. A directory is locked while
    its process lives.
    """
    _remove_abandoned(Path(tempfile.gettempdir()))
    with (
        tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True) as name,
        contextlib.ExitStack() as stack,
    ):
        with contextlib.suppress(DiskError):  # a file system without locks
            stack.enter_context(exclusive(Path(name)))
        yield Path(name)


def _remove_abandoned(parent: Path) -> None:
    for path in parent.glob(f"{_PREFIX}*"):
        # Another process may have created it and not locked it yet: its file system has no
        # locks, or it needs some microseconds more. Such a directory is empty.
        with contextlib.suppress(OSError, DiskError, LockHeld):
            if path.is_symlink() or path.lstat().st_uid != os.getuid() or not any(path.iterdir()):
                continue
            with exclusive(path, wait=False):
                shutil.rmtree(path, ignore_errors=True)

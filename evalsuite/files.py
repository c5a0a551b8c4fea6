"""Writing files so that a reader, or a run that continues, never meets half of one."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evalsuite.errors import DiskError, UsageError

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn a full or read-only disk into a `DiskError` that says how to go on."""
    try:
        yield
    except OSError as error:
        if error.errno in _DISK_FULL:
            raise DiskError(
                f"{path}: the disk is full; what was written before is whole. "
                "Free some space and run the same command again to continue"
            ) from error
        raise DiskError(
            f"{path}: cannot be written: {error.strerror}; "
            "mend that and run the same command again to continue"
        ) from error


def write_atomically(path: Path, text: str) -> None:
    """Replace `path` by `text`: at every moment it holds the old text or the new one, whole."""
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with scratch.open("w", encoding="utf-8", newline="\n") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            scratch.replace(path)
        finally:
            scratch.unlink(missing_ok=True)
        sync_directory(path.parent)


def remove_scratch(directory: Path) -> None:
    """Delete what a killed `write_atomically` left in or below `directory`.

    Only for one who holds the directory's lock: to another the file may be at work.
    """
    with disk_errors(directory):
        for path in directory.rglob(".*"):
            if path.is_file() and path.suffix[1:].isdecimal():
                path.unlink()


def sync_directory(directory: Path) -> None:
    """Make renames in `directory` survive a power cut."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def to_json_line(value: Any) -> str:
    """`value` as one line of JSON. ASCII only, so lone surrogates survive the way to disk."""
    return json.dumps(value, ensure_ascii=True, separators=(",", ":")) + "\n"


class RunLock:
    """At most one process works in a run directory. Freed by the system however a process ends."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "lock"
        with disk_errors(self.path):
            directory.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a+", encoding="utf-8")

    def __enter__(self) -> RunLock:
        with disk_errors(self.path):
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._file.seek(0)
                holder = self._file.read().strip() or "another process"
                self._file.close()
                raise UsageError(
                    f"{self.path.parent}: {holder} is running there; "
                    "wait for it, stop it, or choose another --output-dir"
                ) from None
            self._file.truncate(0)
            self._file.write(f"pid {os.getpid()} on {socket.gethostname()}")
            self._file.flush()
        return self

    def __exit__(self, *_: object) -> None:
        # The file stays: removing it would let two processes hold two locks of one name.
        self._file.truncate(0)
        self._file.close()

"""Read regular files, and write atomically. A reader never finds a partly written file."""

from __future__ import annotations

import errno
import json
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evalsuite.errors import DiskError, PathError, UsageError
from evalsuite.system.text import one_line

MAX_READ_BYTES = 1 << 32
"""A file that is read into memory may have this size."""
MAX_JSON_BYTES = 1 << 28
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_STANDARD = {"/dev/stdout": 1, "/dev/stderr": 2}


def open_regular(path: Path, flags: int = os.O_RDONLY) -> int:
    """Open a regular file; returns its descriptor. Raises `OSError` for anything else.

    A pipe, device or socket is refused without waiting for it: reading it could block, or never
    end. `flags` are those of `os.open`.
    """
    if path.exists():
        _check_kind(path.stat().st_mode)  # opening a device can have an effect
    handle = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    try:
        _check_kind(os.fstat(handle).st_mode)
    except OSError:
        os.close(handle)
        raise
    return handle


def open_for_append(path: Path) -> int:
    """Open or create a regular file to append to it. A link is refused, not followed."""
    return open_regular(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW)


_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def _check_kind(mode: int) -> None:
    kind = stat.S_IFMT(mode)
    if kind == stat.S_IFDIR:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if kind != stat.S_IFREG:
        raise OSError(errno.EINVAL, f"it is {_KINDS.get(kind, 'of an unknown kind')}, not a file")


def read_bytes(path: Path, limit: int = MAX_READ_BYTES) -> bytes:
    """Read a regular file of at most `limit` bytes; raises `OSError` for anything else."""
    with os.fdopen(open_regular(path), "rb") as file:
        raw = file.read(limit + 1)
    if len(raw) > limit:
        raise OSError(errno.EFBIG, f"it is larger than {limit:,} bytes")
    return raw


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Convert `OSError`: to `PathError` if `path` has the wrong type, else to `DiskError`."""
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL:
            raise DiskError(
                f"{path}: the disk is full; earlier files are intact. "
                "Free some space, then rerun the same command to continue"
            ) from error
        if error.errno == errno.EISDIR:
            raise PathError(f"{path}: cannot be written: is a directory; name a file") from error
        if error.errno == errno.ELOOP:
            raise PathError(
                f"{path}: is a symbolic link, which evalsuite does not write through; remove the "
                "link, then rerun"
            ) from error
        if error.errno in (errno.ENOTDIR, errno.EEXIST):
            raise PathError(
                f"{path}: cannot be written: a part of the path is a file, not a directory; "
                "choose another path"
            ) from error
        raise DiskError(
            f"{path}: cannot be written: {error.strerror}; "
            "fix this, then rerun the same command to continue"
        ) from error


def write_atomically(path: Path, text: str) -> None:
    """Replace the file `path`: at any moment it has the old text or the new one.

    A link is replaced, and its target is not changed. Raises `DiskError`.
    """
    with disk_errors(path):
        if path.is_dir() and not path.is_symlink():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f".{path.name}.{os.getpid()}")
        scratch.unlink(missing_ok=True)
        try:
            # "x": a link of this name is not followed.
            with scratch.open("x", encoding="utf-8", newline="\n") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            if path.is_file() and not path.is_symlink():
                scratch.chmod(stat.S_IMODE(path.stat().st_mode))
            scratch.replace(path)
        finally:
            scratch.unlink(missing_ok=True)
        sync_directory(path.parent)


def write_output(path: Path, text: str) -> None:
    """Write a file that the user named, atomically.

    If `path` is a link, its target is replaced. A pipe or device, like ``/dev/stdout`` or
    ``/dev/null``, is written to and never replaced. Raises `DiskError`.
    """
    with disk_errors(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not _is_device(path):
            write_atomically(path.resolve(), text)
            return
        # An open file has its own position: a second one would overwrite earlier output.
        standard = _STANDARD.get(str(path))
        where = path if standard is None else os.dup(standard)
        with open(where, "w", encoding="utf-8", newline="\n") as file:  # noqa: PTH123 - or a number
            file.write(text)


def _is_device(path: Path) -> bool:
    """Whether `path` exists and is not a regular file. True for /dev/stdout, even as a file."""
    return str(path) in _STANDARD or (path.exists() and not path.is_file())


def remove_scratch(directory: Path) -> None:
    """Delete temporary files of a killed `write_atomically` in and below `directory`.

    The caller must hold the lock of `directory`: another process may be writing these files.
    """
    with disk_errors(directory):
        for path in directory.rglob(".*"):
            if path.is_file() and path.suffix[1:].isdecimal():
                path.unlink()


def sync_directory(directory: Path) -> None:
    """Write renames in `directory` to disk, so that they survive a power failure."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_bytes_atomically(path: Path, raw: bytes) -> None:
    """Replace the content of `path`; threads and processes may write the same path at once.

    A power failure can lose the file: use it for content that can be computed again.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f".{secrets.token_hex(8)}")
        try:
            scratch.write_bytes(raw)
            scratch.replace(path)
        finally:
            scratch.unlink(missing_ok=True)


def read_json(path: Path, remedy: str) -> Any:
    """Read a JSON file; raises `UsageError` that ends with `remedy` if that fails."""
    try:
        return json.loads(read_bytes(path, MAX_JSON_BYTES))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}; {remedy}") from None
    except (ValueError, RecursionError) as error:  # not UTF-8, not JSON, or nested too deeply
        raise UsageError(f"{path}: is not valid JSON ({one_line(error)}); {remedy}") from None


def to_json_text(value: Any, *, allow_nan: bool = True) -> str:
    """`value` as indented JSON; ASCII only, so that any terminal and locale can show it."""
    return json.dumps(value, indent=2, ensure_ascii=True, allow_nan=allow_nan) + "\n"


def to_json_line(value: Any) -> str:
    """`value` as one line of JSON; ASCII only, because UTF-8 cannot encode lone surrogates."""
    return json.dumps(value, ensure_ascii=True, separators=(",", ":")) + "\n"

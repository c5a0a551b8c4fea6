"""Digests of files. They are remembered, so that a file of many gigabytes is hashed once.

An entry is valid while the file's path, inode, size and both times are unchanged. Without a valid
entry the file is hashed again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from evalsuite.errors import DiskError, UsageError
from evalsuite.system.files import open_regular, write_atomically
from evalsuite.system.startup import user_temporary

Algorithm = Literal["sha256", "md5"]
"""MD5 is used only to compare with published digests."""
REMEMBERED_FROM_BYTES = 1 << 20
"""Smaller files are always hashed: this is faster than reading an entry."""
_SETTLED_NS = 50_000_000
"""A file that changes again within a tick of the file system's clock keeps its times."""


def cache_directory() -> Path:
    """The directory of cached data: ``$EVALSUITE_CACHE`` or ``~/.cache/evalsuite``.

    Where the home directory is unknown or cannot be written, as in containers, it is a directory of
    this user below that of temporary files.
    """
    try:
        path = Path(os.environ.get("EVALSUITE_CACHE") or "~/.cache/evalsuite").expanduser()
    except RuntimeError:
        return user_temporary()
    if os.environ.get("EVALSUITE_CACHE") or os.access(path, os.F_OK):
        return path
    parent = next(parent for parent in path.absolute().parents if parent.exists())
    return path if os.access(parent, os.W_OK | os.X_OK) else user_temporary()


def file_digest(
    path: Path, *, cache: Path | None = None, algorithm: Algorithm = "sha256", fresh: bool = False
) -> str:
    """The digest of the content of `path`, in hex; remembered in `cache`.

    `cache` is `cache_directory()` by default; `fresh` ignores remembered digests. Raises
    `UsageError` if the file cannot be read or changes meanwhile.
    """
    named = path
    try:
        path = path.resolve(strict=True)
        before = _identity(path)
        if before["size"] < REMEMBERED_FROM_BYTES:
            return _hash(path, algorithm)
        entry = _entry_path(path, cache or cache_directory(), algorithm)
        remembered = None if fresh else _remembered(entry, before, algorithm)
        if remembered is not None:
            return remembered
        begun = time.time_ns()
        digest = _hash(path, algorithm)
        if _identity(path) != before:
            raise _changed(path)
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of symbolic links
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"{named}: cannot be read: {reason}; check that it exists and that you may read it"
        ) from error
    if begun - max(before["mtime_ns"], before["ctime_ns"]) > _SETTLED_NS:
        # An unwritable cache costs time but never changes a result.
        with contextlib.suppress(DiskError):
            write_atomically(entry, json.dumps({**before, "path": str(path), algorithm: digest}))
    return digest


class Stamp(NamedTuple):
    """Properties of a file that change when it changes."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """A file as it was when its digest was computed."""

    path: Path
    stamp: Stamp
    digest: str
    settled: bool
    """Whether a later change must give another stamp: the file was not new."""


def read_stamp(path: Path) -> Stamp:
    """The stamp of `path`, or of its target; raises `OSError`."""
    stat = path.stat()
    return Stamp(stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


def identify(path: Path, *, cache: Path | None = None) -> FileIdentity:
    """Digest `path`; raises `UsageError` if it cannot be read or changes meanwhile."""
    try:
        stamp, begun = read_stamp(path), time.time_ns()
        digest = file_digest(path, cache=cache)
        if read_stamp(path) != stamp:
            raise _changed(path)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}; copy it again") from error
    return FileIdentity(path, stamp, digest, begun - stamp.ctime_ns > _SETTLED_NS)


def has_changed(file: FileIdentity) -> bool:
    """Whether the content of `file` is another one now; true if it cannot be read.

    It is read again if its stamp differs, as in a copy on another machine, or is too new.
    """
    try:
        if file.settled and read_stamp(file.path) == file.stamp:
            return False
        return file_digest(file.path) != file.digest
    except (OSError, UsageError):
        return True


def remembered_digest(
    path: Path, *, cache: Path | None = None, algorithm: Algorithm = "sha256"
) -> str | None:
    """The remembered digest of `path`; None if `file_digest` would have to read the file."""
    try:
        path = path.resolve(strict=True)
        identity = _identity(path)
    except (OSError, RuntimeError):
        return None
    return _remembered(
        _entry_path(path, cache or cache_directory(), algorithm), identity, algorithm
    )


def _changed(path: Path) -> UsageError:
    return UsageError(f"{path}: changed while it was read; wait until it is complete, then rerun")


def _hash(path: Path, algorithm: Algorithm) -> str:
    with os.fdopen(open_regular(path), "rb") as file:
        return hashlib.file_digest(file, lambda: _hasher(algorithm)).hexdigest()


def _hasher(algorithm: Algorithm) -> hashlib._Hash:
    # Hardened systems provide MD5 only for uses other than security.
    return hashlib.new(algorithm, usedforsecurity=False)


def _identity(path: Path) -> dict[str, int]:
    """The stamp without the device, whose number can change when it is mounted again."""
    return {name: n for name, n in read_stamp(path)._asdict().items() if name != "device"}


def _entry_path(path: Path, cache: Path, algorithm: Algorithm) -> Path:
    """The file of one path's digest: one file each, so that processes never overwrite others."""
    # A path contains no NUL, so that entries of different algorithms never collide.
    salt = b"" if algorithm == "sha256" else f"\0{algorithm}".encode()
    key = hashlib.sha256(os.fsencode(path) + salt).hexdigest()
    return cache / "digests" / key[:2] / f"{key[:32]}.json"


def _remembered(entry: Path, identity: dict[str, int], algorithm: Algorithm) -> str | None:
    try:
        known = json.loads(entry.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(known, dict) or any(known.get(k) != v for k, v in identity.items()):
        return None
    digest = known.get(algorithm)
    length = 2 * _hasher(algorithm).digest_size
    return digest if isinstance(digest, str) and len(digest) == length else None

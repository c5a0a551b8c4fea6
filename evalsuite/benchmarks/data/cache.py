"""The cache of data that can be computed again: its size, deleting it, keeping it small.

When images and frames exceed a limit, the least recently used are deleted. Entries that a running
session may use are never deleted. Other kinds are deleted only on request.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISDIR

from evalsuite.errors import DiskError, UsageError
from evalsuite.system.hashing import cache_directory
from evalsuite.system.locks import exclusive, is_held

LIMIT_BYTES = 100 * 10**9
"""Limit of images and frames, unless ``$EVALSUITE_CACHE_LIMIT`` is set."""
_TOUCH_SECONDS = 2 * 3600
"""A used entry is touched at most once an hour. So entries touched this long before a session began
may be in use by it."""
_DRAFT_SECONDS = 24 * 3600
"""No process works on a draft that is older."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or directory that is kept or deleted as a whole."""

    path: Path
    bytes: int
    used: float
    """Time of the last use, in seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Kind:
    """The entries of one kind."""

    name: str
    about: str
    entries: Sequence[Entry]

    @property
    def bytes(self) -> int:
        """Total size."""
        return sum(entry.bytes for entry in self.entries)

    @property
    def oldest(self) -> float | None:
        """Time of the last use of the least recently used entry; None without entries."""
        return min((entry.used for entry in self.entries), default=None)


@dataclass(frozen=True, slots=True)
class Deleted:
    """The result of `empty` or `prune`."""

    entries: int
    bytes: int
    kept: int
    """Entries that were not deleted because they may be in use."""


def kinds() -> list[Kind]:
    """Everything in the cache, by kind."""
    return [Kind(name, about, list(_entries(name))) for name, (about, _) in KINDS.items()]


KINDS: Mapping[str, tuple[str, str]] = {
    "images": ("images in the form the engine reads", "media/??/*"),
    "frames": ("decoded frames of videos", "media/frames/*/*"),
    "data": ("prepared video repositories", "data/*"),
    "judge": ("answers of judges", "judge/*/*"),
    "digests": ("hashes of large files", "digests/*/*"),
}
"""What the entries of each kind are, and where they are in the cache directory."""


def limit_bytes() -> int:
    """The limit of images and frames; raises `UsageError` if the variable is not a valid size."""
    text = os.environ.get("EVALSUITE_CACHE_LIMIT")
    return read_size(text, "$EVALSUITE_CACHE_LIMIT") if text else LIMIT_BYTES


def prune(limit: int) -> Deleted:
    """Delete images and frames, least recently used first, until they take at most `limit`."""
    entries = sorted((*_entries("images"), *_entries("frames")), key=lambda entry: entry.used)
    _remove_drafts()
    return _delete(entries, sum(entry.bytes for entry in entries) - limit)


def empty(names: Sequence[str]) -> Deleted:
    """Delete all entries of these kinds, except those that running sessions may use."""
    entries = [entry for name in names for entry in _entries(name)]
    return _delete(entries, sum(entry.bytes for entry in entries) + 1)


def _delete(entries: Sequence[Entry], excess: int) -> Deleted:
    """Delete `entries` in their order until `excess` bytes are freed."""
    protected = _protected_since()
    deleted = freed = kept = 0
    for entry in entries:
        if excess <= freed:
            break
        if entry.used >= protected:
            kept += 1
        elif _remove(entry.path):
            deleted, freed = deleted + 1, freed + entry.bytes
    return Deleted(deleted, freed, kept)


def _remove(path: Path) -> bool:
    """Remove an entry atomically; false if it cannot be removed."""
    try:
        if path.is_dir():
            gone = Path(tempfile.mkdtemp(prefix=".gone-", dir=path.parent))
            path.rename(gone / path.name)
            shutil.rmtree(gone, ignore_errors=True)
        else:
            path.unlink()
    except OSError:
        return False
    return True


def _entries(kind: str) -> Iterator[Entry]:
    for path in cache_directory().glob(KINDS[kind][1]):
        # The lock of a draft is held while the draft is made.
        draft = path.suffix == ".draft"
        busy = is_held(path.with_suffix(".lock")) if draft else path.name.startswith(".")
        # Links lead out of the cache.
        if not busy and not path.is_symlink() and not path.parent.is_symlink():
            yield _entry(path)


def _entry(path: Path) -> Entry:
    """A file or directory; the targets of links are not in the cache and do not count."""
    size, used = 0, 0.0
    files = (Path(at) / name for at, _, names in os.walk(path) for name in names)
    for found in (path, *files):
        with contextlib.suppress(OSError):
            stat = found.lstat()
            used = max(used, stat.st_mtime)
            size += 0 if S_ISDIR(stat.st_mode) else stat.st_size
    return Entry(path, size, used)


def _remove_drafts() -> None:
    long_ago = time.time() - _DRAFT_SECONDS
    for path in (cache_directory() / "media" / "frames").glob("*/.*"):
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < long_ago:
                shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def session() -> Iterator[None]:
    """Protect the entries that are used meanwhile; the cache is pruned before and after.

    Raises `UsageError` if the limit is not a valid size. A cache that cannot be written is not
    pruned, which never changes a result.
    """
    limit = limit_bytes()
    with _registered():
        prune(limit)
        yield
    prune(limit)


@contextlib.contextmanager
def _registered() -> Iterator[None]:
    """Hold a lock on a file of this session, so that other processes know that it is running."""
    path = _sessions() / f"{socket.gethostname()}-{os.getpid()}-{time.time_ns()}"
    with contextlib.ExitStack() as stack:
        # Without locks, or with a read-only cache, there is no session.
        with contextlib.suppress(DiskError):
            stack.enter_context(exclusive(path))
        yield


def _protected_since() -> float:
    """Entries used since this time may be in use; infinity if no session is running."""
    begun = [start for path in _sessions().glob("*") if (start := _began(path)) is not None]
    return min(begun, default=float("inf")) - _TOUCH_SECONDS


def _began(path: Path) -> float | None:
    """When the session at `path` began; None if it is over, and its file is removed."""
    with contextlib.suppress(OSError):
        begun = path.stat().st_mtime
        if is_held(path):
            return begun
        path.unlink()
    return None


def _sessions() -> Path:
    return cache_directory() / "sessions"


_UNITS = {"": 1, "K": 1000, "M": 1000**2, "G": 1000**3, "T": 1000**4}
_BINARY = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40}
_KNOWN = {unit.lower(): factor for unit, factor in (_UNITS | _BINARY).items()}


def read_size(text: str, where: str) -> int:
    """Bytes of ``50GB``, ``1.5 TB``, ``500MiB`` or ``1000``; raises `UsageError` with `where`."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]i?)?(?:b|bytes)?\s*", text, re.I)
    if match is None or not math.isfinite(number := float(match[1])):
        raise UsageError(f"{where}: expected a size like 50GB, not '{text}'")
    return int(number * _KNOWN[(match[2] or "").lower()])

"""The cache of data that can be computed again: its size, deleting it, keeping it small.

When images and frames exceed a limit, the least recently used are deleted. Entries that a running
session may use are never deleted. Other kinds are deleted only on request.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evalsuite.benchmarks.data.prepare import prepared_root
from evalsuite.benchmarks.data.sizes import read_size
from evalsuite.errors import DiskError
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
    return [Kind(name, about, list(_LISTED[name]())) for name, about in KINDS.items()]


KINDS: Mapping[str, str] = {
    "images": "images in the form the engine reads",
    "frames": "decoded frames of videos",
    "data": "prepared video repositories",
    "judge": "answers of judges",
    "digests": "hashes of large files",
}


def limit_bytes() -> int:
    """The limit of images and frames; raises `UsageError` if the variable is not a valid size."""
    text = os.environ.get("EVALSUITE_CACHE_LIMIT")
    return read_size(text, "$EVALSUITE_CACHE_LIMIT") if text else LIMIT_BYTES


def prune(limit: int) -> Deleted:
    """Delete images and frames, least recently used first, until they take at most `limit`."""
    entries = sorted((*_images(), *_frames()), key=lambda entry: entry.used)
    _remove_drafts()
    return _delete(entries, sum(entry.bytes for entry in entries) - limit)


def empty(names: Sequence[str]) -> Deleted:
    """Delete all entries of these kinds, except those that running sessions may use."""
    entries = [entry for name in names for entry in _LISTED[name]()]
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


def _images() -> Iterator[Entry]:
    for folder in _folders(cache_directory() / "media"):
        if len(folder.name) == 2:
            yield from _files(folder)


def _frames() -> Iterator[Entry]:
    for folder in _folders(cache_directory() / "media" / "frames"):
        yield from (_whole(path) for path in _folders(folder))


def _data() -> Iterator[Entry]:
    """Prepared directories, and incomplete ones of processes that were stopped."""
    for entry in _scan(prepared_root()):
        name = entry.name.removesuffix(".draft")
        busy = name != entry.name and is_held(prepared_root() / f"{name}.lock")
        if entry.is_dir(follow_symlinks=False) and not busy:
            yield _whole(Path(entry.path))


def _json_files(kind: str) -> Callable[[], Iterator[Entry]]:
    def listed() -> Iterator[Entry]:
        for folder in _folders(cache_directory() / kind):
            yield from _files(folder)

    return listed


_LISTED: Mapping[str, Callable[[], Iterator[Entry]]] = {
    "images": _images,
    "frames": _frames,
    "data": _data,
    "judge": _json_files("judge"),
    "digests": _json_files("digests"),
}


def _scan(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except OSError:  # does not exist, or was removed meanwhile
        return


def _folders(folder: Path) -> Iterator[Path]:
    for entry in _scan(folder):
        if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
            yield Path(entry.path)


def _files(folder: Path) -> Iterator[Entry]:
    for entry in _scan(folder):
        with contextlib.suppress(OSError):
            if entry.is_file(follow_symlinks=False) and not entry.name.startswith("."):
                stat = entry.stat(follow_symlinks=False)
                yield Entry(Path(entry.path), stat.st_size, stat.st_mtime)


def _whole(folder: Path) -> Entry:
    """A directory as one entry; the targets of links are not in the cache and do not count."""
    size, used = 0, 0.0
    with contextlib.suppress(OSError):
        used = folder.stat().st_mtime
    for path, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                stat = (Path(path) / name).lstat()
                size, used = size + stat.st_size, max(used, stat.st_mtime)
    return Entry(folder, size, used)


def _remove_drafts() -> None:
    """Remove incomplete frames of killed processes."""
    long_ago = time.time() - _DRAFT_SECONDS
    for folder in _folders(cache_directory() / "media" / "frames"):
        for entry in _scan(folder):
            with contextlib.suppress(OSError):
                if entry.name.startswith(".") and entry.stat().st_mtime < long_ago:
                    shutil.rmtree(entry.path, ignore_errors=True)


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
    begun = [
        start
        for entry in list(_scan(_sessions()))
        if (start := _began(Path(entry.path))) is not None
    ]
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

"""Zips of videos: what is in them, and unpacking it so that a stop at any moment does no harm."""

from __future__ import annotations

import shutil
import stat
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from evalsuite.benchmarks.data.errors import DataError
from evalsuite.benchmarks.data.media_references import is_safe
from evalsuite.benchmarks.data.progress import Say, Step
from evalsuite.benchmarks.data.sizes import written
from evalsuite.benchmarks.data.upstream_trees import Archives
from evalsuite.system.files import disk_errors

_CHUNK = 1 << 20
_JUNK = ("__MACOSX", ".DS_Store")


@dataclass(frozen=True, slots=True)
class Member:
    """One file in a zip."""

    archive: Path
    name: str
    bytes: int


Members = Mapping[str, Member]
"""By where they go, relative to the dataset's directory."""


def find(root: Path, kinds: Collection[Archives]) -> list[tuple[Path, Archives]]:
    """The zips below `root`, in the order VLMEvalKit unpacks them."""
    found = []
    for kind in kinds:
        folder, _, pattern = kind.pattern.rpartition("/")
        try:
            paths = sorted((root / folder).iterdir())
        except OSError:
            paths = []
        found += [(path, kind) for path in paths if fnmatch(path.name, pattern)]
    return found


def members(root: Path, kinds: Collection[Archives]) -> Members:
    """What the zips below `root` hold; of two files that go to one place, the later counts.

    Reads only the zips' directories. Raises `DataError` for a damaged or hostile one.
    """
    plain: dict[str, Member] = {}
    lifted: dict[str, Member] = {}
    for path, kind in find(root, kinds):
        with _opened(path) as archive:
            for info in archive.infolist():
                if info.is_dir() or any(part in _JUNK for part in info.filename.split("/")):
                    continue
                place, up = _place(path, info, kind)
                # VLMEvalKit moves these over what lies there, after everything is unpacked.
                (lifted if up else plain)[place] = Member(path, info.filename, info.file_size)
    return plain | lifted


def _place(path: Path, info: zipfile.ZipInfo, kind: Archives) -> tuple[str, bool]:
    if stat.S_ISLNK(info.external_attr >> 16) or not is_safe(info.filename):
        raise DataError(
            f"{path}: '{info.filename}' in it leads out of it, so nothing of it was unpacked",
            "delete it and fetch it again",
        )
    inner = PurePosixPath(info.filename)
    if kind.flat:
        return str(PurePosixPath(kind.folder) / inner.name), False
    up = bool(kind.lifted) and inner.parts[0] == kind.lifted and len(inner.parts) > 3
    if up:
        inner = PurePosixPath(*inner.parts[1:])
    return str(PurePosixPath(kind.folder) / inner), up


def unpack(wanted: Members, into: Path, benchmark: str, say: Say) -> None:
    """Write `wanted` below `into`. What lies there whole from an earlier try is kept.

    Raises `DataError` for a damaged zip, `DiskError` for a full disk.
    """
    total = sum(member.bytes for member in wanted.values())
    left = {place: m for place, m in wanted.items() if not _whole(into / place, m)}
    _check_room(sum(member.bytes for member in left.values()), into)
    done = total - sum(member.bytes for member in left.values())
    by_archive: dict[Path, list[tuple[str, Member]]] = {}
    for place, member in left.items():
        by_archive.setdefault(member.archive, []).append((place, member))
    for path, contents in by_archive.items():
        with _opened(path) as archive:
            for place, member in contents:
                for size in _write(archive, member, into / place):
                    done += size
                    say(Step(benchmark, "unpacking", done, total))


def _whole(path: Path, member: Member) -> bool:
    return path.is_file() and path.stat().st_size == member.bytes


def _write(archive: zipfile.ZipFile, member: Member, path: Path) -> Iterator[int]:
    """Write one member under another name, then give it its own; yields bytes written."""
    draft = path.with_name(f"{path.name}.draft")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        target = draft.open("wb")
    with archive.open(member.name) as source, target:
        while chunk := source.read(_CHUNK):
            with disk_errors(path):
                target.write(chunk)
            yield len(chunk)
        with disk_errors(path):
            target.flush()
    with disk_errors(path):
        draft.replace(path)


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    # What zipfile raises: RuntimeError for an encrypted one, the last for an unknown compression.
    except (
        OSError, EOFError, zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError,
        ValueError,
    ) as error:  # fmt: skip
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"{path}: the zip is damaged or cannot be read: {reason}",
            "delete it and fetch it again",
        ) from error


def _check_room(needed: int, into: Path) -> None:
    free = shutil.disk_usage(into).free
    if needed > free:
        raise DataError(
            f"{into}: {written(needed)} to unpack, and {written(free)} free on that disk",
            "free some space, or name another place with $EVALSUITE_CACHE",
        )

"""Zip files of videos: listing and unpacking. Unpacking can be interrupted at any time."""

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

from rich.filesize import decimal

from evalsuite.benchmarks.data.errors import DataError
from evalsuite.benchmarks.data.progress import OnStep, Step
from evalsuite.benchmarks.video_layouts import Archives
from evalsuite.system.files import disk_errors

_CHUNK = 1 << 20
_JUNK = ("__MACOSX", ".DS_Store")


@dataclass(frozen=True, slots=True)
class Member:
    """One file in a zip file."""

    archive: Path
    name: str
    bytes: int


Members = Mapping[str, Member]
"""By target path, relative to the dataset's directory."""


def find(root: Path, kinds: Collection[Archives]) -> list[tuple[Path, Archives]]:
    """The zip files below `root`, in the order in which VLMEvalKit unpacks them."""
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
    """The files in the zip files below `root`; of two with the same target, the later one.

    Reads only the directories of the zip files. Raises `DataError` if one is damaged or contains
    a path that leads out of it.
    """
    plain: dict[str, Member] = {}
    lifted: dict[str, Member] = {}
    for path, kind in find(root, kinds):
        with _opened(path) as archive:
            for info in archive.infolist():
                if info.is_dir() or any(part in _JUNK for part in info.filename.split("/")):
                    continue
                place, up = _place(path, info, kind)
                # VLMEvalKit moves these last, and they overwrite existing files.
                (lifted if up else plain)[place] = Member(path, info.filename, info.file_size)
    return plain | lifted


def _place(path: Path, info: zipfile.ZipInfo, kind: Archives) -> tuple[str, bool]:
    if stat.S_ISLNK(info.external_attr >> 16) or not _is_safe(info.filename):
        raise DataError(
            f"{path}: its member '{info.filename}' leads out of the archive; nothing was unpacked",
            "delete it and fetch it again",
        )
    inner = PurePosixPath(info.filename)
    if kind.flat:
        return str(PurePosixPath(kind.folder) / inner.name), False
    up = bool(kind.lifted) and inner.parts[0] == kind.lifted and len(inner.parts) > 3
    if up:
        inner = PurePosixPath(*inner.parts[1:])
    return str(PurePosixPath(kind.folder) / inner), up


def _is_safe(name: str) -> bool:
    """Whether `name` is a relative path that stays below its directory."""
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts


def unpack(wanted: Members, into: Path, benchmark: str, on_step: OnStep) -> None:
    """Write `wanted` below `into`. Files that an earlier attempt completed are kept.

    Raises `DataError` for a damaged zip file, `DiskError` for a full disk.
    """
    total = sum(member.bytes for member in wanted.values())
    left = {
        place: member
        for place, member in wanted.items()
        if not ((path := into / place).is_file() and path.stat().st_size == member.bytes)
    }
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
                    on_step(Step(benchmark, "unpacking", done, total))


def _write(archive: zipfile.ZipFile, member: Member, path: Path) -> Iterator[int]:
    """Write one member to a temporary file, then rename it; yields the bytes of each chunk."""
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
    # The errors of zipfile: RuntimeError means encrypted, NotImplementedError a compression method.
    except (
        OSError, EOFError, zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError,
        ValueError,
    ) as error:  # fmt: skip
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"{path}: the zip file is damaged or unreadable: {reason}",
            "delete it and fetch it again",
        ) from error


def _check_room(needed: int, into: Path) -> None:
    free = shutil.disk_usage(into).free
    if needed > free:
        raise DataError(
            f"{into}: {decimal(needed)} to unpack, but only {decimal(free)} free on this disk",
            "free some space, or choose another directory with $EVALSUITE_CACHE",
        )

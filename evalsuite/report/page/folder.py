"""The folder of a page: its ownership, and the replacement of an earlier page.

The data of each page has a folder of its own. When it is complete, the HTML files are replaced one
by one, and the data of the earlier page is removed last: an interruption leaves the earlier page
intact. Only files with our names are removed, and only in folders that have our marker.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from evalsuite.errors import UsageError
from evalsuite.report.page.skeleton import ASSETS
from evalsuite.system.files import disk_errors, read_json, to_json_text, write_atomically
from evalsuite.system.locks import LockHeld, exclusive

MARKER = "evalsuite-page.json"
"""File that marks a folder as a page of ours."""
SCHEMA = 1
INDEX = "index.html"
_STAMP = re.compile(r"[0-9a-f]{16}")
_PAGE = re.compile(r"(benchmarks|samples)/[A-Za-z0-9._-]+\.html")
_DATA = re.compile(
    "|".join([*map(re.escape, ASSETS), r"[A-Za-z0-9._-]+/(index|\d{4,}|search-\d{4,})\.js"])
)
_MEDIA = re.compile(r"[0-9a-f]{2}/([0-9a-f]{32}\.webp|\.[0-9a-f]{16})")


@dataclass(frozen=True, slots=True)
class Folder:
    """A page being written."""

    path: Path
    stamp: str
    """Random name of the data folder."""
    pages: tuple[str, ...]
    """HTML files of an earlier page, except the index."""

    @property
    def data(self) -> Path:
        """Folder of the scripts, the style and the data."""
        return self.path / "data" / self.stamp

    @property
    def media(self) -> Path:
        """Folder of the thumbnails, which are named by content and shared by pages."""
        return self.path / "media"

    @contextmanager
    def drafted(self) -> Iterator[None]:
        """Write data within; an error or interruption removes all of it."""
        try:
            yield
        except BaseException:
            with contextlib.suppress(OSError):
                _remove(self.data, _DATA, keep=())
            raise

    def write(self, name: str, text: str) -> None:
        """Write a data file; it is not used before `publish`."""
        path = self.data / name
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")

    def publish(self, pages: Mapping[str, str], media: Collection[str]) -> None:
        """Write `pages`, one of which is the index; remove files that only an earlier page needs.

        An interruption leaves old and new pages, each with its data; the next call removes the
        rest.
        `media` names the thumbnails that are shown, as ``ab/abcdef….webp``.
        """
        others = [name for name in pages if name != INDEX]
        _mark(self.path, [*self.pages, *others])
        for name in (*others, INDEX):
            write_atomically(self.path / name, pages[name])
        _sweep(self, others, media)
        _mark(self.path, others)

    def bytes(self) -> int:
        """Size of all files in the folder."""
        return sum(path.stat().st_size for path in self.path.rglob("*") if path.is_file())


@contextmanager
def opened(path: Path) -> Iterator[Folder]:
    """Lock the folder `path` to write a page there.

    Raises `UsageError` if the folder is not a page of ours or another process writes there.
    """
    pages = claim(path)
    with disk_errors(path):
        path.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(exclusive(path, wait=False))
        except LockHeld:
            raise UsageError(
                f"{path}: another process is writing it; wait for it, or choose another -o"
            ) from None
        _mark(path, pages)
        yield Folder(path, secrets.token_hex(8), pages)


def claim(path: Path) -> tuple[str, ...]:
    """Return the HTML files of an earlier page in `path`; raises `UsageError` as `opened`."""
    if not path.exists():
        return ()
    if not path.is_dir():
        raise UsageError(f"{path}: is a file, and a page is a folder; choose another with -o")
    if not (path / MARKER).exists():
        if any(path.iterdir()):
            raise UsageError(
                f"{path}: is not empty and has no {MARKER}, so it is not a page; nothing was "
                "changed; choose another folder with -o"
            )
        return ()
    marker = read_json(path / MARKER, "remove the folder, or choose another with -o")
    try:
        schema, pages = int(marker["schema"]), [str(page) for page in marker["pages"]]
    except (ValueError, TypeError, KeyError):
        raise UsageError(
            f"{path / MARKER}: is damaged; remove the folder, or choose another with -o"
        ) from None
    if schema > SCHEMA:
        raise UsageError(f"{path}: written by a newer evalsuite; choose another folder with -o")
    # Names that we do not write are ignored, even if the marker has them.
    return tuple(page for page in pages if _PAGE.fullmatch(page))


def _mark(path: Path, pages: Collection[str]) -> None:
    plain = {"schema": SCHEMA, "what": "a folder that 'evalsuite page' writes and replaces",
             "pages": sorted(set(pages))}  # fmt: skip
    write_atomically(path / MARKER, to_json_text(plain))


def _sweep(folder: Folder, pages: Collection[str], media: Collection[str]) -> None:
    """Remove files of earlier and of interrupted pages."""
    with disk_errors(folder.path):
        for name in set(folder.pages) - set(pages):
            (folder.path / name).unlink(missing_ok=True)
        for old in (folder.path / "data").iterdir():
            if _STAMP.fullmatch(old.name) and old.name != folder.stamp:
                _remove(old, _DATA, keep=())
        _remove(folder.media, _MEDIA, keep=media)


def _remove(root: Path, ours: re.Pattern[str], keep: Collection[str]) -> None:
    """Remove files with our names below `root`, then the empty directories."""
    for directory, _, files in os.walk(root, topdown=False):
        for name in files:
            path = Path(directory, name)
            relative = path.relative_to(root).as_posix()
            if ours.fullmatch(relative) and relative not in keep:
                path.unlink()
        with contextlib.suppress(OSError):  # it has other files
            Path(directory).rmdir()

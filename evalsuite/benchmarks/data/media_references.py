"""The media files that a dataset's tables name; see `evalsuite.benchmarks.video_layouts`."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from evalsuite.benchmarks.data.errors import DataError
from evalsuite.benchmarks.video_layouts import LAYOUTS


def rows(table: Path, delimiter: str = "\t") -> Iterator[dict[str, str]]:
    """The rows of a TSV, unconverted. Raises `DataError`."""
    csv.field_size_limit(sys.maxsize)
    try:
        with table.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            for row in csv.DictReader(file, delimiter=delimiter, restval=""):
                row.pop(None, None)  # more cells than columns
                yield row
    except (OSError, csv.Error) as error:
        raise DataError(
            f"{table}: cannot be read: {error}", "repair it or fetch it again"
        ) from error


def videos(dataset: str, tables: Iterable[Path]) -> list[str]:
    """Videos, or directories of frames, that the rows name, relative to the dataset's directory."""
    video = LAYOUTS[dataset].video
    found: dict[str, None] = {}
    for table in tables:
        try:
            found |= dict.fromkeys(str(PurePosixPath(video(row))) for row in rows(table))
        except KeyError as error:
            raise DataError(
                f"{table}: no column {error}", "repair it, or delete it and fetch it again"
            ) from error
    return list(found)


def subtitles(tables: Iterable[Path]) -> list[str]:
    """Subtitle files that the rows name; not all of them need to exist."""
    named = (row.get("subtitle_path", "") for table in tables for row in rows(table))
    return list(dict.fromkeys(str(PurePosixPath(name)) for name in named if name))


def is_safe(name: str) -> bool:
    """Whether `name` is a relative path that stays below its directory."""
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts


def present(root: Path, names: Iterable[str]) -> set[str]:
    """The `names` that exist below `root`. Each directory is listed once."""
    listed: dict[str, set[str]] = {}
    found = set()
    for name in names:
        folder, _, last = name.rpartition("/")
        if folder not in listed:
            try:
                listed[folder] = {path.name for path in (root / folder).iterdir()}
            except OSError:
                listed[folder] = set()
        # A listed entry can be a link without a target.
        if last in listed[folder] and (root / name).exists():
            found.add(name)
    return found

"""A digest of the data that a score was made with."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from evalsuite.benchmarks.benchmark import Benchmark
from evalsuite.benchmarks.data.errors import DataError
from evalsuite.benchmarks.data.inspect_tree import present, rows, subtitles_of, videos_of
from evalsuite.benchmarks.media_references import MediaReferenceError, local_path
from evalsuite.benchmarks.video_layouts import LAYOUTS
from evalsuite.errors import UsageError
from evalsuite.system.hashing import file_digest

HASHED_BYTES = 1 << 30
"""If the media files exceed this total, only their names and sizes are hashed."""
_LONGEST_NAME = 1024
"""A longer cell is not a file name but an image in base64."""


def data_digest(benchmark: Benchmark) -> str:
    """SHA-256, in hex, of the benchmark's tables and the media files that they name.

    If the media files exceed `HASHED_BYTES` in total, their names and sizes are hashed instead of
    their content, which would take hours; the content of a video is then hashed when its frames
    are decoded, and is part of every prompt's digest. The data's directory and other files in it
    have no effect. Raises `UsageError` if a file cannot be read.
    """
    root = Path(benchmark.data or "")
    try:
        tables, media, base = _parts(benchmark, root)
    except DataError as error:
        raise UsageError(f"{error.message}; {error.remedy}") from error
    if len(tables) == 1 and not media:
        return file_digest(tables[0])
    digest = hashlib.sha256()
    for path in tables:
        _add(digest, base, path, file_digest(path))
    sizes = {path: path.stat().st_size for path in _files(media)}
    by_content = sum(sizes.values()) <= HASHED_BYTES
    for path, size in sizes.items():
        _add(digest, base, path, file_digest(path) if by_content else f"{size} bytes")
    return digest.hexdigest()


def _add(digest: Any, base: Path, path: Path, what: str) -> None:
    digest.update(os.fsencode(os.path.relpath(path, base)) + f"\0{what}\n".encode())


def _parts(benchmark: Benchmark, root: Path) -> tuple[Sequence[Path], Sequence[Path], Path]:
    """The tables, the media files that they name, and the directory of those names."""
    if root.is_file():
        # A published table contains its images; it names no files.
        published = benchmark.published is not None and benchmark.modality == "image"
        return [root], [] if published else _named_by(root), root.parent
    if benchmark.dataset in LAYOUTS:
        names = (f"{table}.tsv" for table in LAYOUTS[benchmark.dataset].tables)
        tables = [root / name for name in names if (root / name).exists()]
        named = [
            *videos_of(benchmark.dataset, tables),
            *subtitles_of(tables),
        ]
        there = present(root, named)
        return tables, [root / name for name in sorted(there)], root
    everything = sorted(p for p in root.rglob("*") if p.is_file() and p.suffix.lower() in _COUNTED)
    return [], everything, root


_COUNTED = {
    *(".tsv", ".json", ".jsonl", ".csv", ".parquet", ".srt", ".vtt"),
    *(".mp4", ".avi", ".mkv", ".mov", ".webm", ".gif", ".jpg", ".jpeg", ".png"),
}
"""The files that count in a directory whose layout is unknown."""


def _files(media: Iterable[Path]) -> Iterator[Path]:
    """`media`, with each directory of frames replaced by its files."""
    for path in media:
        if path.is_dir():
            yield from sorted(entry for entry in path.iterdir() if entry.is_file())
        else:
            yield path


def _named_by(table: Path) -> list[Path]:
    names = {name for cell in _cells(table) for name in _names(cell)}
    found = set()
    for name in names:
        with contextlib.suppress(MediaReferenceError):
            found.add(local_path(name, table.parent))
    return sorted(filter(_exists, found))


def _exists(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # not a file name: too long, or with a NUL
        return False


_NAMING = ("video", "image_path", "image", "subtitle_path")


def _cells(table: Path) -> Iterator[Any]:
    for row in _json_rows(table) if table.suffix.lower() == ".jsonl" else _text_rows(table):
        yield from (row[column] for column in _NAMING if column in row)


def _json_rows(table: Path) -> Iterator[Mapping[str, Any]]:
    with table.open(encoding="utf-8-sig", errors="replace") as file:
        for line in file:
            with contextlib.suppress(ValueError, RecursionError):  # reported with the rows
                if isinstance(row := json.loads(line), dict):
                    yield row


def _text_rows(table: Path) -> Iterator[Mapping[str, Any]]:
    delimiter = "," if table.suffix.lower() == ".csv" else "\t"
    for quoted in (True, False):  # see vlmevalkit.table_structure
        yield from rows(table, delimiter, quoted=quoted)


def _names(cell: Any) -> list[str]:
    """The file names in a cell: one, or a list, which can have the form of a Python list."""
    if isinstance(cell, str) and cell.startswith("["):
        try:
            cell = ast.literal_eval(cell)
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            return []
    listed = cell if isinstance(cell, list) else [cell]
    return [name for name in listed if isinstance(name, str) and 0 < len(name) <= _LONGEST_NAME]

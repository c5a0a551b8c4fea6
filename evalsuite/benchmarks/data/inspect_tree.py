"""The files of a video dataset in a directory: prepared data, or the files of its repository.

Only tables are written, to a temporary directory. See `evalsuite.benchmarks.video_layouts`.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from evalsuite.benchmarks.data import archives
from evalsuite.benchmarks.data import make_tables as tables
from evalsuite.benchmarks.data.archives import Members
from evalsuite.benchmarks.data.errors import DataError
from evalsuite.benchmarks.video_layouts import LAYOUTS, TREES
from evalsuite.system.text import one_line


def rows(table: Path, delimiter: str = "\t", *, quoted: bool = True) -> Iterator[dict[str, str]]:
    """The rows of a TSV, unconverted; quotes are text unless `quoted`. Raises `DataError`."""
    csv.field_size_limit(sys.maxsize)
    try:
        with table.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            found = csv.DictReader(
                file,
                delimiter=delimiter,
                restval="",
                quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
            )
            for row in found:
                row.pop(None, None)  # more cells than columns
                yield row
    except (OSError, csv.Error) as error:
        raise DataError(
            f"{table}: cannot be read: {error}", "repair it or fetch it again"
        ) from error


def videos_of(dataset: str, tables: Iterable[Path]) -> list[str]:
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


def subtitles_of(tables: Iterable[Path]) -> list[str]:
    """Subtitle files that the rows name; not all of them need to exist."""
    named = (row.get("subtitle_path", "") for table in tables for row in rows(table))
    return list(dict.fromkeys(str(PurePosixPath(name)) for name in named if name))


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


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeContents:
    """The files of a dataset that exist, and those that are missing."""

    root: Path
    tables: Mapping[str, Path]
    """By name; in `root`, or made in the temporary directory."""
    videos: Sequence[str]
    """Videos that the tables name, relative to the dataset's directory."""
    subtitles: Sequence[str]
    members: Members
    """Files that exist only in archives."""
    lacking: Sequence[str]
    """Videos that exist neither as files nor in archives."""

    @property
    def ready(self) -> bool:
        """Whether the data can be used without preparation."""
        return not self.members and all(p.parent == self.root for p in self.tables.values())


def has_dataset(dataset: str, root: Path) -> bool:
    """Whether a table of the dataset, or a source of one, exists below `root`."""
    known = (
        *(f"{table}.tsv" for table in LAYOUTS[dataset].tables),
        *(source for sources in TREES[dataset].sources.values() for source in sources),
    )
    return any((root / name).exists() for name in known)


def inspect_tree(dataset: str, root: Path, scratch: Path) -> TreeContents:
    """Inspect `root`; missing tables are made in `scratch`. Raises `DataError`."""
    found = {table: _table(table, root, scratch) for table in LAYOUTS[dataset].tables}
    videos = videos_of(dataset, found.values())
    subtitles = subtitles_of(found.values())
    there = present(root, [*videos, *subtitles])
    packed: Members = {}
    if any(video not in there for video in videos) or (
        subtitles and not any(name in there for name in subtitles)
    ):
        in_zips = archives.members(root, TREES[dataset].archives)
        packed = _needed(in_zips, [v for v in (*videos, *subtitles) if v not in there])
    folders = {str(Path(place).parent) for place in packed}
    lacking = [v for v in videos if v not in there and v not in packed and v not in folders]
    return TreeContents(
        root=root, tables=found, videos=videos, subtitles=subtitles, members=packed, lacking=lacking
    )  # fmt: skip


def _needed(in_zips: Members, names: Sequence[str]) -> Members:
    """The members among `names`, or directly in a directory of frames among `names`."""
    wanted = set(names)
    return {
        place: member
        for place, member in in_zips.items()
        if place in wanted or place.rpartition("/")[0] in wanted
    }


def _table(table: str, root: Path, scratch: Path) -> Path:
    path = root / f"{table}.tsv"
    if path.exists():
        return path
    made = scratch / path.name
    try:
        tables.write_table(table, root, made)
    except FileNotFoundError as error:
        raise DataError(
            f"{root}: has neither {path.name} nor its source {_below(root, error.filename)}",
            "fetch the repository again, or add the file",
        ) from error
    except ModuleNotFoundError as error:
        raise DataError(
            f"{root}: making {path.name} needs {error.name}", "pip install 'evalsuite[run]'"
        ) from error
    # The errors of invalid JSON and parquet files; Arrow's errors are ValueErrors.
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = one_line(error, with_type=True)
        raise DataError(
            f"{root}: {path.name} cannot be made from the repository's files ({reason})",
            "fetch the repository again, or add VLMEvalKit's own table",
        ) from error
    return made


def _below(root: Path, name: object) -> str:
    path = Path(str(name))
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)

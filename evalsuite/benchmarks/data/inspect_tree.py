"""How a video dataset lies below a directory, as prepared data or as its repository's own tree.

Nothing is written but tables, and those only to a scratch directory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evalsuite.benchmarks.data import archives, media_references
from evalsuite.benchmarks.data import make_tables as tables
from evalsuite.benchmarks.data.archives import Members
from evalsuite.benchmarks.data.errors import DataError
from evalsuite.benchmarks.data.upstream_trees import TREES
from evalsuite.benchmarks.video_layouts import LAYOUTS
from evalsuite.system.text import one_line


@dataclass(frozen=True, slots=True, kw_only=True)
class Lying:
    """What is there of a dataset, and what is not."""

    root: Path
    tables: Mapping[str, Path]
    """Each in `root`, or made in the scratch directory."""
    videos: Sequence[str]
    """Those the tables name, relative to the dataset's directory."""
    subtitles: Sequence[str]
    members: Members
    """What is only in archives."""
    lacking: Sequence[str]
    """Videos that are neither there nor in archives."""

    @property
    def ready(self) -> bool:
        """Whether it can be used as it lies."""
        return not self.members and all(p.parent == self.root for p in self.tables.values())


def looks_like(dataset: str, root: Path) -> bool:
    """Whether any of the dataset's tables, or of what they are made of, is below `root`."""
    known = (
        *(f"{table}.tsv" for table in LAYOUTS[dataset].tables),
        *(source for sources in TREES[dataset].sources.values() for source in sources),
    )
    return any((root / name).exists() for name in known)


def examine(dataset: str, root: Path, scratch: Path) -> Lying:
    """Look below `root`; tables that are not there are made in `scratch`. Raises `DataError`."""
    found = {table: _table(table, root, scratch) for table in LAYOUTS[dataset].tables}
    videos = media_references.videos(dataset, found.values())
    subtitles = media_references.subtitles(found.values())
    there = media_references.present(root, [*videos, *subtitles])
    packed: Members = {}
    if any(video not in there for video in videos) or (
        subtitles and not any(name in there for name in subtitles)
    ):
        in_zips = archives.members(root, TREES[dataset].archives)
        packed = _needed(in_zips, [v for v in (*videos, *subtitles) if v not in there])
    folders = {str(Path(place).parent) for place in packed}
    lacking = [v for v in videos if v not in there and v not in packed and v not in folders]
    return Lying(
        root=root, tables=found, videos=videos, subtitles=subtitles, members=packed, lacking=lacking
    )  # fmt: skip


def _needed(in_zips: Members, names: Sequence[str]) -> Members:
    """Those members that are one of `names` or, for folders of frames, right in one."""
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
            f"{root}: has neither {path.name} nor {_below(root, error.filename)}, "
            "which it is made of",
            "fetch the repository again, or put the file there",
        ) from error
    except ModuleNotFoundError as error:
        raise DataError(
            f"{root}: making {path.name} needs {error.name}", "pip install 'evalsuite[run]'"
        ) from error
    # What unreadable or foreign JSON and parquet raise; Arrow's errors are ValueErrors.
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = one_line(error, with_type=True)
        raise DataError(
            f"{root}: {path.name} cannot be made from the repository's files ({reason})",
            "fetch the repository again, or put VLMEvalKit's own table there",
        ) from error
    return made


def _below(root: Path, name: object) -> str:
    path = Path(str(name))
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)

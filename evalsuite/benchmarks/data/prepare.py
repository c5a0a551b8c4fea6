"""A directory ready for use, made beside the repository's own tree without touching that.

It holds the tables, links to the media folders of the tree, and what was unpacked from zips.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from evalsuite.benchmarks.data import archives
from evalsuite.benchmarks.data.inspect_tree import Lying
from evalsuite.benchmarks.data.progress import Say
from evalsuite.benchmarks.data.upstream_trees import TREES
from evalsuite.benchmarks.video_layouts import LAYOUTS
from evalsuite.system.files import disk_errors
from evalsuite.system.hashing import cache_directory
from evalsuite.system.locks import exclusive


def prepared_root() -> Path:
    """Where prepared directories lie."""
    return cache_directory() / "data"


def prepared_path(dataset: str, root: Path) -> Path:
    """Where the tree at `root` is prepared, as it is now: a changed table or zip is another key."""
    tree = TREES[dataset]
    files = [root / f"{table}.tsv" for table in LAYOUTS[dataset].tables]
    files += [root / source for sources in tree.sources.values() for source in sources]
    files += [path for path, _ in archives.find(root, tree.archives)]
    stamps = [str(root.resolve())]
    for path in files:
        try:
            stat = path.stat()
        except OSError:
            continue
        stamps.append(f"{path.relative_to(root)} {stat.st_size} {stat.st_mtime_ns}")
    key = hashlib.sha256(json.dumps(stamps).encode()).hexdigest()[:16]
    return prepared_root() / f"{dataset}-{key}"


def prepare(lying: Lying, target: Path, benchmark: str, say: Say) -> None:
    """Make `target` of what `examine` found. Raises `DataError` or `DiskError`.

    `target` appears at once and whole; what a stop leaves is taken up again by the next try.
    """
    with exclusive(target.parent / f".{target.name}.lock"):
        if target.is_dir():  # another process was faster
            return
        draft = target.parent / f".{target.name}.draft"
        with disk_errors(draft):
            draft.mkdir(parents=True, exist_ok=True)
            for table, path in lying.tables.items():
                shutil.copyfile(path, draft / f"{table}.tsv")
        archives.unpack(lying.members, draft, benchmark, say)
        link(lying, draft)
        with disk_errors(target):
            draft.rename(target)


def link(lying: Lying, into: Path) -> None:
    """Link the media below the tree's root into `into`, whole folders where that can be."""
    with disk_errors(into):
        for name in _tops([*lying.videos, *lying.subtitles]):
            if (lying.root / name).exists():
                _link(lying.root / name, into / name)


def _tops(names: Iterable[str]) -> list[str]:
    """The topmost folders (or files) of `names`."""
    return sorted({name.partition("/")[0] for name in names} - {"..", ".", ""})


def _link(source: Path, place: Path) -> None:
    """Link `source` at `place`; where both are folders, what is in it one by one."""
    if not place.exists():
        place.unlink(missing_ok=True)  # a link that leads nowhere
        place.symlink_to(source.absolute(), target_is_directory=source.is_dir())
    elif place.is_dir() and not place.is_symlink() and source.is_dir():
        for entry in os.scandir(source):
            _link(Path(entry.path), place / entry.name)

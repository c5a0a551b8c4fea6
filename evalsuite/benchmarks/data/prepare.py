"""Prepared directories: made from a repository's files without changing those.

They contain the tables, links to media directories, and unpacked zip files.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from evalsuite.benchmarks.data import archives
from evalsuite.benchmarks.data.inspect_tree import TreeContents, inspect_tree
from evalsuite.benchmarks.data.progress import OnStep
from evalsuite.benchmarks.video_layouts import LAYOUTS, TREES
from evalsuite.system.files import disk_errors
from evalsuite.system.hashing import cache_directory
from evalsuite.system.locks import exclusive
from evalsuite.system.scratch import scratch_directory


def prepared_root() -> Path:
    """The parent of all prepared directories."""
    return cache_directory() / "data"


def prepared_path(dataset: str, root: Path) -> Path:
    """The prepared directory of the files below `root`; changed tables or zips give another one."""
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


@contextmanager
def inspected(dataset: str, root: Path) -> Iterator[TreeContents]:
    """Inspect the prepared directory of `root` if it is complete, else `root`.

    Tables that were made for this are deleted at the end. Raises `DataError`.
    """
    prepared = prepared_path(dataset, root)
    with scratch_directory() as scratch:
        if not prepared.is_dir():
            yield inspect_tree(dataset, root, scratch)
            return
        contents = inspect_tree(dataset, prepared, scratch)
        if contents.lacking:
            # Videos may have been added to the repository's files since.
            link(replace(contents, root=root), prepared)
            contents = inspect_tree(dataset, prepared, scratch)
        yield contents


def prepare(contents: TreeContents, target: Path, benchmark: str, on_step: OnStep) -> None:
    """Make `target` from what `inspect_tree` found. Raises `DataError` or `DiskError`.

    `target` appears only when it is complete. An interrupted attempt is continued by the next one.
    """
    with exclusive(target.parent / f".{target.name}.lock"):
        if target.is_dir():  # made by another process meanwhile
            return
        draft = target.parent / f".{target.name}.draft"
        with disk_errors(draft):
            draft.mkdir(parents=True, exist_ok=True)
            for table, path in contents.tables.items():
                shutil.copyfile(path, draft / f"{table}.tsv")
        archives.unpack(contents.members, draft, benchmark, on_step)
        link(contents, draft)
        with disk_errors(target):
            draft.rename(target)


def link(contents: TreeContents, into: Path) -> None:
    """Link the media files below the root into `into`, whole directories where possible."""
    tops = {name.partition("/")[0] for name in (*contents.videos, *contents.subtitles)}
    with disk_errors(into):
        for name in sorted(tops - {"..", ".", ""}):
            if (contents.root / name).exists():
                _link(contents.root / name, into / name)


def _link(source: Path, place: Path) -> None:
    """Link `source` at `place`; if both are directories, link their entries."""
    if not place.exists():
        place.unlink(missing_ok=True)  # a link without a target
        place.symlink_to(source.absolute(), target_is_directory=source.is_dir())
    elif place.is_dir() and not place.is_symlink() and source.is_dir():
        for entry in os.scandir(source):
            _link(Path(entry.path), place / entry.name)

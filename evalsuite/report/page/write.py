"""Runs as a folder of pages that opens from disk, without a server or a network."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from evalsuite.errors import check_known
from evalsuite.report.model import significance
from evalsuite.report.model.join_samples import Row
from evalsuite.report.page import pictures
from evalsuite.report.page.data import Picture, media_of, scripts, shown
from evalsuite.report.page.folder import INDEX, Folder, claim, opened
from evalsuite.report.page.pages import benchmark, browser, overview
from evalsuite.report.page.skeleton import Style, assets
from evalsuite.report.page.subject import Group, Subject, groups, rows_of
from evalsuite.runs.records import FoundRun
from evalsuite.runs.storage import read_samples
from evalsuite.system.text import counted


@dataclass(frozen=True, slots=True)
class Written:
    """A page that was written."""

    index: Path
    bytes: int
    samples: int
    missing: int
    """Images that could not be shown."""


Steps = Callable[[str, int], Callable[[], None]]
"""Starts a number of steps of a benchmark; returns what to call after each."""


def write(found: Sequence[FoundRun], output: Path, images: str, steps: Steps) -> Written:
    """Write `found` as a page into `output`, replacing the page that is there.

    Raises `UsageError` for a folder that is not a page of ours, `DiskError`.
    """
    check_known("--images", images, pictures.KINDS)
    claim(output)  # before minutes of work
    with opened(output) as folder:
        with folder.drafted():
            draft = _Draft(folder, Style(folder.stamp), images, steps)
            for name, text in assets():
                folder.write(name, text)
            decided = [draft.add(group) for group in groups(found)]
            notes = _notes(draft.missing, images)
            draft.pages[INDEX] = overview(draft.style, decided, notes)
        folder.publish(draft.pages, pictures.names(draft.pictures.values()))
    return Written(output / INDEX, folder.bytes(), draft.samples, draft.missing)


@dataclass(slots=True)
class _Draft:
    """A page as far as it is written."""

    folder: Folder
    style: Style
    images: str
    steps: Steps
    pages: dict[str, str] = field(default_factory=dict)
    """HTML by file name."""
    pictures: dict[str, Picture] = field(default_factory=dict)
    samples: int = 0

    @property
    def missing(self) -> int:
        """How many images cannot be shown."""
        return sum(not picture.source for picture in self.pictures.values())

    def add(self, group: Group) -> Group:
        """Write the benchmarks of `group`; returns it with the contests of its table."""
        pairs = significance.rivals(group.table)
        leads: dict[tuple[int, int, str], Any] = {}
        for subject in group.subjects:
            # The tests and the pages share one reading; samples of one benchmark are in memory.
            read = cache(read_samples)
            if len(group.runs) > 1:
                leads |= significance.leads(pairs, group.runs, subject.name, read)
            self._write(*rows_of(subject, read))
        if len(group.runs) == 1:
            return group
        return dataclasses.replace(group, table=significance.decided(group.table, pairs, leads))

    def _write(self, subject: Subject, rows: Sequence[Row]) -> None:
        """Write data, images and pages of one benchmark."""
        paths = [path for path in _media(subject, rows) if path not in self.pictures]
        advance = self.steps(subject.name, len(paths) if self.images == "thumbnails" else 0)
        self.pictures |= pictures.prepare(paths, self.images, self.folder.path, advance)
        self.pages[f"benchmarks/{subject.slug}.html"] = benchmark(self.style, subject, rows)
        if not rows:
            return
        labels = [part.row.label for part in subject.browsed]
        for name, text in scripts(
            rows, labels, self.pictures, stem=subject.slug, video=subject.video
        ):
            self.folder.write(f"{name}.js", text)
        self.pages[f"samples/{subject.slug}.html"] = browser(self.style, subject)
        self.samples += len(rows)


def _media(subject: Subject, rows: Sequence[Row]) -> list[str]:
    return list(
        dict.fromkeys(path for row in rows for path in shown(media_of(row), video=subject.video))
    )


def _notes(missing: int, images: str) -> list[str]:
    lines = []
    if missing:
        are = "are" if missing > 1 else "is"
        lines.append(
            f"{counted(missing, 'image')} {are} not shown: the files were removed (for example "
            "from the cache) or cannot be read."
        )
    if images == "reference":
        lines.append("Images are not in this folder; they are read from their original location.")
    return lines

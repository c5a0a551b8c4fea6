"""`evalsuite page`: runs as a folder that opens from disk, without a server or a network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from evalsuite.benchmarks.data.sizes import GB, written
from evalsuite.report.format import counted, visible
from evalsuite.report.model.join_samples import Row
from evalsuite.report.page import pictures
from evalsuite.report.page.benchmark import benchmark
from evalsuite.report.page.browser import browser
from evalsuite.report.page.data import Picture, scripts, shown
from evalsuite.report.page.folder import INDEX, Folder, claim, opened
from evalsuite.report.page.overview import overview
from evalsuite.report.page.skeleton import Style, assets, new_style
from evalsuite.report.page.subject import Subject, groups, rows_of
from evalsuite.report.writers.terminal import can_draw
from evalsuite.runs.records import FoundRun

LARGE_BYTES = GB // 2
"""A page larger than that is said to be large."""


@dataclass(frozen=True, slots=True)
class Written:
    """What came of it."""

    index: Path
    bytes: int
    samples: int
    missing: int
    """Images that could not be shown."""


class Steps(Protocol):
    """What hears how far it is."""

    def begin(self, what: str, total: int) -> None:
        """`total` steps of `what` follow."""

    def advance(self) -> None:
        """One of them is done."""


def write(found: Sequence[FoundRun], output: Path, images: str, steps: Steps) -> Written:
    """Write `found` as a page into `output`, in place of the page that is there.

    Raises `UsageError` for a folder that is not ours, `DiskError`.
    """
    pictures.check(images)
    claim(output)  # before minutes of work
    parted = groups(found)
    with opened(output) as folder:
        pages: dict[str, str] = {}
        seen: dict[str, Picture] = {}
        samples = 0
        with folder.drafted():
            style = new_style(folder.stamp)
            for name, text in assets():
                folder.write(name, text)
            for group in parted:
                for subject in group.subjects:
                    samples += _subject(subject, style, folder, images, steps, pages, seen)
            missing = sum(not picture.source for picture in seen.values())
            pages[INDEX] = overview(style, parted, _notes(missing, images))
        folder.publish(pages, pictures.names(seen.values()))
    return Written(output / INDEX, folder.bytes(), samples, missing)


def _subject(
    subject: Subject,
    style: Style,
    folder: Folder,
    images: str,
    steps: Steps,
    pages: dict[str, str],
    seen: dict[str, Picture],
) -> int:
    """Write one benchmark's data, and its pages into `pages`; returns how many samples it has."""
    subject, rows = rows_of(subject)
    paths = [path for path in _media(subject, rows) if path not in seen]
    steps.begin(subject.name, len(paths) if images == "thumbnails" else 0)
    seen |= pictures.prepare(paths, images, folder.path, steps.advance)
    if rows:
        labels = [part.label for part in subject.browsed]
        for script in scripts(rows, labels, seen, stem=subject.slug, video=subject.video):
            folder.write(f"{script.name}.js", script.text)
    pages[f"benchmarks/{subject.slug}.html"] = benchmark(style, subject, rows)
    if rows:
        pages[f"samples/{subject.slug}.html"] = browser(style, subject)
    return len(rows)


def _media(subject: Subject, rows: Sequence[Row]) -> list[str]:
    return list(
        dict.fromkeys(
            path
            for row in rows
            for media in [next((s.media for s in row if s is not None and s.media), ())]
            for path in shown(media, video=subject.video)
        )
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


def show(
    found: Sequence[FoundRun], output: Path, images: str, console: Console | None = None
) -> None:
    """Write the page, with a bar on standard error, and say where and how large it is."""
    console = console or Console(stderr=True)
    with _steps(console) as steps:
        made = write(found, output, images, steps)
    if made.missing:
        console.print(
            Text(f"note: {counted(made.missing, 'image')} gone or unreadable: the page says so"),
            soft_wrap=True,
        )
    if made.bytes > LARGE_BYTES:
        line = "note: that is large; --images reference or none makes it smaller"
        console.print(Text(line, style="yellow"), soft_wrap=True)
    print(f"{made.index}: {made.samples} samples, {written(made.bytes)}")


class _Bar:
    """A bar on a terminal."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task = bar.add_task("", total=0, visible=False)

    def begin(self, what: str, total: int) -> None:
        """Show the next bar."""
        shown = visible(what).replace("[", r"\[")
        self._bar.reset(self._task, total=total, description=shown, visible=total > 0)

    def advance(self) -> None:
        """Move it."""
        self._bar.advance(self._task)


class _Quiet:
    """Nothing, where nobody watches."""

    def begin(self, what: str, total: int) -> None:
        """Say nothing."""

    def advance(self) -> None:
        """Say nothing."""


@contextmanager
def _steps(console: Console) -> Iterator[Steps]:
    if not can_draw(console):
        yield _Quiet()
        return
    columns = (TextColumn("images of {task.description}"), BarColumn(24), MofNCompleteColumn(),
               TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=console, transient=True, redirect_stdout=False) as bar:
        yield _Bar(bar)

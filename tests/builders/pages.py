"""Runs for the tests of the page: hostile ones, and many samples."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from evalsuite.report.page.write import Written, write
from evalsuite.runs.records import FoundRun, SampleScore
from tests.builders.stored_runs import sample, stored

HOSTILE = {
    "script": "<script>window.owned = 'script'</script>",
    "style": "</style><style>body { display: none }</style>",
    "end": "</script><script>window.owned = 'end'</script>",
    "image": "<img src=x onerror=\"window.owned = 'image'\">",
    "link": "<a href=\"javascript:window.owned='link'\">here</a>",
    "quotes": "');window.owned='quotes';('\\');window.owned='quotes'//",
    "lines": "one\u2028two\u2029three\nfour\r\nfive\ttabbed",
    "half": "half \ud800 of one, and \udc00 of another",
    "proto": '{"__proto__": {"owned": true}}',
    "turned": "abc \u202eedoc laicos\u202c def",
    "control": "\x1b[2J\x00\x07 cleared",
    "template": "${window.owned='template'} {{7*7}}",
    "comment": "<!-- <script>",
    "entity": "&lt;b&gt; &amp; &#x3c;",
}
"""Texts that must do nothing but be shown."""


class Watched:
    """Steps that remember; may stop the work at one of them."""

    def __init__(self, stop: int = -1) -> None:
        self.begun: list[tuple[str, int]] = []
        self.advanced = 0
        self.stop = stop

    def __call__(self, what: str, total: int) -> Callable[[], None]:
        self.begun.append((what, total))
        return self.advance

    def advance(self) -> None:
        if self.advanced == self.stop:
            raise KeyboardInterrupt
        self.advanced += 1


def written(found: list[FoundRun], page: Path, images: str = "thumbnails") -> Written:
    return write(found, page, images, Watched())


def picture(path: Path, colour: str = "red", size: tuple[int, int] = (40, 30)) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return str(path)


def hostile(directory: Path) -> list[FoundRun]:
    """Two runs whose every text attacks; the second runs' answers differ in worth."""

    def rows(shift: int) -> list[SampleScore]:
        return [
            sample(
                index,
                float((index + shift) % 2),
                id=f"{index} {text}",
                prediction=text,
                target=f"target {text}",
                question=f"question {text}",
                category=text if index % 3 else "plain",
                error=None,
            )
            for index, text in enumerate(HOSTILE.values())
        ]

    breakdown = {"breakdown": dict.fromkeys([*HOSTILE.values(), "plain"], 50.0)}
    more: dict[str, Any] = {"command": HOSTILE["script"], "scores": {"Bench": breakdown}}
    name = "<b>bold</b>"
    first = stored(directory, "first", {"Bench": rows(0)}, **more)
    second = stored(directory, "second", {"Bench": rows(1)}, **more)
    renamed = dataclasses.replace(second.run.checkpoint, name=name + HOSTILE["image"])
    return [first, FoundRun(second.path, dataclasses.replace(second.run, checkpoint=renamed))]


WORDS = ("a", "person", "holds", "the", "red", "sign", "next", "to", "window", "while", "two",
         "dogs", "cross", "street", "behind", "bicycle", "under", "bridge", "at")  # fmt: skip
CATEGORIES = ("counting", "colour", "position", "reading", "action", "direction", "size", "time")


def large(directory: Path, count: int) -> list[FoundRun]:
    """Two runs of `count` samples, each with some 200 characters of question and two answers."""

    def rows(run: int) -> list[SampleScore]:
        return [
            sample(
                index,
                float((index * 7 + run * 3) % 10 > 2),
                question=" ".join(WORDS[(index * 31 + step * 7) % len(WORDS)] for step in range(36))
                + f"? number {index}",
                prediction=f"answer {(index * 13 + run) % 1000} of {WORDS[index % len(WORDS)]}",
                target=f"answer {(index * 13) % 1000}",
                category=CATEGORIES[index % len(CATEGORIES)],
                parsed=index % 50 != run,
                ended="error" if index % 500 == run else "stop",
                error="out of memory" if index % 500 == run else None,
            )
            for index in range(count)
        ]

    return [stored(directory, name, {"Large": rows(run)})
            for run, name in enumerate(("first", "second"))]  # fmt: skip


def changed(found: FoundRun, **settings: Any) -> FoundRun:
    """`found` with other settings."""
    known: Mapping[str, Any] = {**found.run.settings, **settings}
    return FoundRun(found.path, dataclasses.replace(found.run, settings=known))

"""Layouts of VLMEvalKit's video datasets: their tables, and the path of each row's video.

Locating data and reading it use the same rules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Layout:
    """The files of one dataset, relative to its directory."""

    tables: tuple[str, ...]
    """The tables, without ``.tsv``: one for each part of the dataset."""
    video: Callable[[Row], str]
    """The path of a row's video."""


def _in(folder: str) -> Callable[[Row], str]:
    return lambda row: f"{folder}/{row['video']}.mp4"


def _under_prefix(row: Row) -> str:
    # A prefix has the form ``./MLVU/video/1_plotQA``.
    path = PurePosixPath(str(row["prefix"])) / f"{row['video']}{row.get('suffix', '')}"
    return str(path)


LAYOUTS: Mapping[str, Layout] = {
    "Video-MME": Layout(("Video-MME",), _in("video")),
    "WorldSense": Layout(("WorldSense",), _in("videos")),
    "MVBench": Layout(("MVBench",), _under_prefix),
    "MVBench_MP4": Layout(("MVBench_MP4",), _under_prefix),
    "MLVU": Layout(("MLVU_MCQ", "MLVU_OpenEnded"), _under_prefix),
    "TempCompass": Layout(
        ("TempCompass_MCQ", "TempCompass_Captioning", "TempCompass_YorN"), _under_prefix
    ),
}
"""By VLMEvalKit's dataset key. The parts of MLVU and TempCompass have VLMEvalKit's order."""

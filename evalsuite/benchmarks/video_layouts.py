"""Where the videos of VLMEvalKit's datasets lie below their directory, and in which tables.

Pure: who locates data and who reads it go by the same rules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Layout:
    """How one dataset lies on disk."""

    tables: tuple[str, ...]
    """The tables, without ``.tsv``: one a part of the dataset."""
    video: Callable[[Row], str]
    """A row's video, relative to the directory."""


def _in(folder: str) -> Callable[[Row], str]:
    return lambda row: f"{folder}/{row['video']}.mp4"


def _under_prefix(row: Row) -> str:
    # Prefixes are written like ``./MLVU/video/1_plotQA``.
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
"""By VLMEvalKit's dataset key. The parts of MLVU and TempCompass stand in VLMEvalKit's order."""

"""Select video frames with VLMEvalKit's formulas.

As in VLMEvalKit, a frame's number is computed from the average rate even if the rate varies, and
rotation metadata are applied. Time stamps are those of the file.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image as PILImage

from evalsuite.benchmarks.benchmark import FrameRule
from evalsuite.system.hashing import file_digest
from evalsuite.system.images import open_image
from evalsuite.vlmevalkit import workarounds
from evalsuite.vlmevalkit.video_files import FrameSource, open_video_file

Medium = Literal["video", "gif", "frame"]
"""MVBench's terms: a video file, an animation, a folder of images."""


@dataclass(frozen=True, slots=True)
class ClipSpec:
    """Which frames of a video to use."""

    video: Path
    rule: FrameRule
    medium: Medium = "video"
    segment_middles: bool = False
    """If a number of frames is requested: use the middles of segments, as MVBench does."""
    bounds: tuple[float, float] | None = None
    """Start and end of the clip in seconds; an open end is infinite."""

    @property
    def key(self) -> str:
        """Identify it among the clips of the same video."""
        bounds = "" if self.bounds is None else "-{!r}-{!r}".format(*self.bounds)
        return f"{self.medium}-{self.rule}{'-middles' * self.segment_middles}{bounds}"


class _GifFile(FrameSource):
    """An animation, treated as 25 frames per second (``mvbench.py:239``)."""

    per_second = 25.0

    def __init__(self, path: Path) -> None:
        import imageio

        # Named, because imageio would otherwise try all its plugins.
        self._reader: Any = imageio.get_reader(path, "GIF-PIL")
        self.last = len(self._reader) - 1

    def frame(self, number: int) -> PILImage.Image:
        return PILImage.fromarray(np.asarray(self._reader.get_data(number))[..., :3])


class _ImageFolder(FrameSource):
    """A folder of JPEG files from ``00001.jpg``, three per second (``mvbench.py:253``)."""

    first = 1
    per_second = 3.0

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.last = len(list(folder.iterdir()))

    def path(self, number: int) -> Path:
        """Return the path of one image."""
        path = self._folder / f"{number:05}.jpg"
        if not path.is_file():
            raise ValueError(f"it has no file {path.name}")
        return path

    def frame(self, number: int) -> PILImage.Image:
        image: PILImage.Image = open_image(self.path(number))
        if image.mode not in ("RGB", "L"):
            image = image.convert("RGB")
        # A new image, so that only pixels are copied.
        return PILImage.fromarray(np.asarray(image))


def open_video(spec: ClipSpec, threads: int = 0) -> FrameSource:
    """Open the video of `spec`; raises any exception, depending on the decoder.

    The number of threads (0: one per core) does not change the pixels of an intact file.
    """
    match spec.medium:
        case "frame":
            return _ImageFolder(spec.video)
        case "gif":
            return _GifFile(spec.video)
        case _:
            return open_video_file(spec.video, threads)


def content_digest(spec: ClipSpec) -> str:
    """Return the SHA-256 of a video's content, in hex; raises as `open_video` does."""
    _check(spec)
    if spec.medium != "frame":
        return file_digest(spec.video)
    folder = _ImageFolder(spec.video)
    digest = hashlib.sha256(str(folder.last).encode())
    for number in selected_frames(folder, spec):
        digest.update(file_digest(folder.path(number)).encode())
    return digest.hexdigest()


def _check(spec: ClipSpec) -> None:
    """Raise `ValueError` for errors that decoders report unclearly."""
    folder = spec.medium == "frame"
    if not spec.video.exists():
        raise ValueError("no such folder" if folder else "no such file")
    if spec.video.is_dir() != folder:
        raise ValueError("it is not a folder" if folder else "it is a folder, not a video")
    if spec.video.is_file() and not spec.video.stat().st_size:
        raise ValueError("it is empty")


def selected_frames(source: FrameSource, spec: ClipSpec) -> list[int]:
    """Return the frame numbers that the rule of `spec` selects."""
    if source.last < source.first:
        raise ValueError("it contains no frames")
    start, end = spec.bounds or (0.0, math.inf)
    if not start < end:  # also true of nan
        raise ValueError(f"its clip from {start:g} to {end:g} s is empty")
    first = max(source.first, round(start * source.per_second))
    stop = round(min(end, _NO_END_SECONDS) * source.per_second)
    if spec.segment_middles and spec.rule.count is not None:
        numbers = segment_middles(first, min(stop, source.last), spec.rule.count)
    else:
        n_frames = min(stop, source.last + 1) - first
        numbers = [
            first + number for number in evenly_spaced(n_frames, source.per_second, spec.rule)
        ]
    if not (source.first <= min(numbers) and max(numbers) <= source.last):
        length = (source.last - source.first + 1) / source.per_second
        raise ValueError(
            f"its clip from {start:g} to {end:g} s exceeds its length of {length:.1f} s"
        )
    return numbers


_NO_END_SECONDS = 1e6
"""Longer than any video; replaces an infinite end."""


def evenly_spaced(n_frames: int, per_second: float, rule: FrameRule) -> list[int]:
    """Return evenly spaced frames, as most classes do (``videomme.py:170-178``)."""
    if rule.per_second is None:
        assert rule.count is not None
        step = n_frames / (rule.count + 1)
        return [int(i * step) for i in range(1, rule.count + 1)]
    step = per_second / rule.per_second
    count = int(n_frames / per_second * rule.per_second)
    return workarounds.at_least_one_frame([int(i * step) for i in range(count)])


def segment_middles(first: int, last: int, count: int) -> list[int]:
    """Return the middles of `count` segments as in MVBench (``mvbench.py:218``, ``:533``)."""
    size = (last - first) / count
    return [int(first + size / 2 + round(size * number)) for number in range(count)]


def frame_times(
    source: FrameSource, spec: ClipSpec, numbers: list[int]
) -> tuple[list[float], float]:
    """Return when frames are shown, in seconds from the clip's start, and the clip's length."""
    *shown, final = source.times([*numbers, source.last])
    start, end = 0.0, final + 1 / source.per_second
    if spec.bounds is not None:
        start, end = max(start, spec.bounds[0]), min(end, spec.bounds[1])
    # Bounds are rounded to frames, so the first frame may precede the start slightly.
    return [round(max(0.0, time - start), 3) for time in shown], round(max(0.0, end - start), 3)

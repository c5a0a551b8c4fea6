"""Which frames of a video are shown, and how they are read: VLMEvalKit's formulas and decoders.

Read by decord, as VLMEvalKit does, which means: a frame's place is its number at the average rate,
also where the rate varies; rotation noted in the file is applied. Times are the file's own.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from PIL import Image as Picture

from evalsuite.benchmarks.catalogue import FrameRule
from evalsuite.system.hashing import file_digest
from evalsuite.vlmevalkit import workarounds

Medium = Literal["video", "gif", "frame"]
"""MVBench's words: a video, an animation, a folder of stills."""


@dataclass(frozen=True, slots=True)
class Cut:
    """What is asked for of one video."""

    video: Path
    rule: FrameRule
    medium: Medium = "video"
    middles: bool = False
    """Whether a count of frames are the middles of as many segments: MVBench's way."""
    bounds: tuple[float, float] | None = None
    """The clip's start and end, in seconds; an open end is infinite."""

    @property
    def key(self) -> str:
        """Tell it from other cuts of the same video."""
        bounds = "" if self.bounds is None else "-{!r}-{!r}".format(*self.bounds)
        return f"{self.medium}-{self.rule}{'-middles' * self.middles}{bounds}"


class Reel(Protocol):
    """A video to pick frames from; they are numbered from `first` to `last`."""

    first: int
    last: int
    per_second: float

    def frame(self, number: int) -> Picture.Image:
        """Read one frame."""
        ...

    def times(self, numbers: list[int]) -> list[float]:
        """When frames are shown, in seconds from the first one on."""
        ...


class _Video:
    """A file that decord reads."""

    first = 0

    def __init__(self, path: Path, threads: int) -> None:
        import decord

        try:
            self._reader = decord.VideoReader(str(path), num_threads=threads)
        except Exception as error:  # decord's own, whose text is made of its source's line numbers
            silent = "cannot find video stream" in str(error)
            raise ValueError(
                "it holds no pictures, only sound or nothing"
                if silent
                else "it is no video, or its end is cut off"
            ) from error
        self.last = len(self._reader) - 1
        self.per_second = float(self._reader.get_avg_fps())
        if self.last < 0 or not 0 < self.per_second < math.inf:
            raise ValueError("it holds no frames")
        workarounds.a_video_has_its_end(len(self._reader), _declared(path))

    def frame(self, number: int) -> Picture.Image:
        try:
            pixels = self._reader[number].asnumpy()
        except Exception as error:  # as above; which frame it trips over is chance
            raise ValueError("not all of its frames can be decoded: it is damaged") from error
        return Picture.fromarray(workarounds.rows_are_not_channels(pixels))

    def times(self, numbers: list[int]) -> list[float]:
        stamps = self._reader.get_frame_timestamp([0, *numbers])[:, 0].astype(float)
        times: list[float] = (stamps[1:] - stamps[0]).tolist()
        if not all(math.isfinite(time) and time >= 0 for time in times) or times != sorted(times):
            # Some old containers do not say.
            return [number / self.per_second for number in numbers]
        return times


def _declared(path: Path) -> int:
    """How many frames the file says it has; 0 where that is not said exactly."""
    if path.suffix.lower() not in (".mp4", ".mov", ".m4v"):
        return 0
    import cv2

    capture = cv2.VideoCapture(str(path))
    try:
        return int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
    finally:
        capture.release()


class _Gif:
    """An animation: taken for one of 25 frames a second (``mvbench.py:239``)."""

    first = 0
    per_second = 25.0

    def __init__(self, path: Path) -> None:
        import imageio

        self._reader: Any = imageio.get_reader(path)
        self.last = len(self._reader) - 1

    def frame(self, number: int) -> Picture.Image:
        return Picture.fromarray(np.asarray(self._reader.get_data(number))[..., :3])

    def times(self, numbers: list[int]) -> list[float]:
        return [number / self.per_second for number in numbers]


class _Stills:
    """A folder of JPEG files, ``00001.jpg`` first: three a second (``mvbench.py:253``)."""

    first = 1
    per_second = 3.0

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.last = len(list(folder.iterdir()))

    def path(self, number: int) -> Path:
        """Where one of them lies."""
        path = self._folder / f"{number:05}.jpg"
        if not path.is_file():
            raise ValueError(f"it has no file {path.name}")
        return path

    def frame(self, number: int) -> Picture.Image:
        picture: Picture.Image = Picture.open(self.path(number))
        if picture.mode not in ("RGB", "L"):
            picture = picture.convert("RGB")
        # Anew, so that nothing but pixels goes into the copy.
        return Picture.fromarray(np.asarray(picture))

    def times(self, numbers: list[int]) -> list[float]:
        return [(number - self.first) / self.per_second for number in numbers]


def open_reel(cut: Cut, threads: int = 0) -> Reel:
    """Open the video of `cut`; what is wrong with it raises anything, decoders being what they are.

    The number of threads, 0 for as many as there are cores, changes no pixel of a whole file.
    """
    match cut.medium:
        case "frame":
            return _Stills(cut.video)
        case "gif":
            return _Gif(cut.video)
        case _:
            return _Video(cut.video, threads)


def content(cut: Cut) -> str:
    """Identify the content of a cut's video by a SHA-256, in hex; raises as `open_reel` does."""
    _check(cut)
    if cut.medium != "frame":
        return file_digest(cut.video)
    stills = _Stills(cut.video)
    digest = hashlib.sha256(str(stills.last).encode())
    for number in picked(stills, cut):
        digest.update(file_digest(stills.path(number)).encode())
    return digest.hexdigest()


def _check(cut: Cut) -> None:
    """Say what decoders say less well."""
    folder = cut.medium == "frame"
    if not cut.video.exists():
        raise ValueError("no such folder" if folder else "no such file")
    if cut.video.is_dir() != folder:
        raise ValueError("it is no folder" if folder else "it is a folder, not a video")
    if cut.video.is_file() and not cut.video.stat().st_size:
        raise ValueError("it is empty")


def picked(reel: Reel, cut: Cut) -> list[int]:
    """Which frames the cut's rule picks."""
    if reel.last < reel.first:
        raise ValueError("it holds no frames")
    start, end = cut.bounds or (0.0, math.inf)
    if not start < end:  # also true of nan
        raise ValueError(f"its clip from {start:g} to {end:g} s is none")
    first = max(reel.first, round(start * reel.per_second))
    beyond = round(min(end, _FOREVER) * reel.per_second)
    if cut.middles and cut.rule.count is not None:
        numbers = middles(first, min(beyond, reel.last), cut.rule.count)
    else:
        n_frames = min(beyond, reel.last + 1) - first
        numbers = [first + number for number in steps(n_frames, reel.per_second, cut.rule)]
    if not (reel.first <= min(numbers) and max(numbers) <= reel.last):
        length = (reel.last - reel.first + 1) / reel.per_second
        raise ValueError(f"its clip from {start:g} to {end:g} s is not within its {length:.1f} s")
    return numbers


_FOREVER = 1e6
"""An end, in seconds, that no video reaches."""


def steps(n_frames: int, per_second: float, rule: FrameRule) -> list[int]:
    """Evenly from the first on, or in between: as most of its classes (``videomme.py:170-178``)."""
    if rule.per_second is None:
        assert rule.count is not None
        step = n_frames / (rule.count + 1)
        return [int(i * step) for i in range(1, rule.count + 1)]
    step = per_second / rule.per_second
    count = int(n_frames / per_second * rule.per_second)
    return workarounds.at_least_one_frame([int(i * step) for i in range(count)])


def middles(first: int, last: int, count: int) -> list[int]:
    """The middles of `count` segments, as MVBench's classes (``mvbench.py:218``, ``:533``)."""
    size = (last - first) / count
    return [int(first + size / 2 + round(size * number)) for number in range(count)]


def times(reel: Reel, cut: Cut, numbers: list[int]) -> tuple[list[float], float]:
    """When frames are shown, in seconds from the clip's start, and how long the clip is."""
    *shown, final = reel.times([*numbers, reel.last])
    start, end = 0.0, final + 1 / reel.per_second
    if cut.bounds is not None:
        start, end = max(start, cut.bounds[0]), min(end, cut.bounds[1])
    # Bounds are rounded to whole frames: the first may lie just before the start.
    return [round(max(0.0, time - start), 3) for time in shown], round(max(0.0, end - start), 3)

"""Read frames of video files by number.

decord reads the files that it reads correctly, as in VLMEvalKit. It has no AV1 decoder, shows the
frames that an edit list hides, and returns other frames than requested from files without an index
(MPEG transport and program streams, AVI with B-frames). PyAV reads these; where both read a file,
their pixels are equal.
"""

from __future__ import annotations

import abc
import bisect
import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PILImage

from evalsuite.vlmevalkit import workarounds

MAX_FRAME_PIXELS = 8192 * 8192
"""Videos with larger frames are rejected: a decoder holds some tens of frames in memory."""
_INDEXED = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")
_OTHER_FORMATS = (
    "asf", "av1", "avi", "dv", "flv", "gif", "h264", "hevc", "ivf", "m4v", "mjpeg", "mpeg",
    "mpegts", "mpegvideo", "mxf", "nut", "obu", "ogg", "rm",
)  # fmt: skip
"""Containers that hold one video. Playlists are not among them: they name other files."""
_DECORD_CODECS = ("h264", "hevc", "mpeg4", "vp8", "vp9", "prores", "mjpeg")
"""Codecs of which decord returns the requested frame from `_INDEXED` containers."""
_DAMAGED = "some frames cannot be decoded; the file is damaged"


class FrameSource(abc.ABC):
    """A video whose frames are numbered from `first` to `last`."""

    first = 0
    last: int
    per_second: float

    @abc.abstractmethod
    def frame(self, number: int) -> PILImage.Image:
        """Read one frame."""

    def times(self, numbers: list[int]) -> list[float]:
        """Return when frames are shown, in seconds from the first frame."""
        return [(number - self.first) / self.per_second for number in numbers]


def open_video_file(path: Path, threads: int) -> FrameSource:
    """Open a video file; raises `ValueError` with the reason if it cannot be decoded.

    `threads` is the number of decoding threads (0: one per core).
    """
    container, stream = _open(path)
    with container:
        context = stream.codec_context
        _check_size(context.width, context.height)
        entries = list(stream.index_entries)
        starts = [entry.timestamp for entry in entries]
        plain = not any(entry.is_discard for entry in entries) and starts == sorted(set(starts))
        indexed = container.format.name in _INDEXED
        is_mp4 = container.format.name == _INDEXED[0]
        by_decord = indexed and plain and stream.codec.canonical_name in _DECORD_CODECS
    if by_decord:
        source = _DecordVideo(path, threads, len(entries) if is_mp4 else 0)
        if source.start >= 0:
            return source
    return _AvVideo(path, threads, len(entries) if is_mp4 else 0, seekable=indexed)


def _open(path: Path) -> tuple[Any, Any]:
    """Open the container with PyAV; returns it and its video stream."""
    import av

    av.logging.set_level(None)
    formats = ",".join([*_INDEXED, *_OTHER_FORMATS])
    try:
        container: Any = av.open(
            f"file:{path.absolute()}",
            options={"format_whitelist": formats, "protocol_whitelist": "file"},
        )
    except (av.FFmpegError, OSError, ValueError) as error:
        raise ValueError("it is not a video, or it is truncated") from error
    stream = container.streams.best("video")
    if stream is None or stream.disposition & av.stream.Disposition.attached_pic:
        container.close()
        raise ValueError("it contains no video stream")
    if stream.codec_context is None:
        container.close()
        raise ValueError("its video codec has no decoder here; convert it to H.264")
    return container, stream


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_FRAME_PIXELS:
        raise ValueError(f"frames of {width}x{height} pixels: larger than {MAX_FRAME_PIXELS:,}")


class _DecordVideo(FrameSource):
    """A video file, read by decord."""

    def __init__(self, path: Path, threads: int, declared: int) -> None:
        import decord

        try:
            self._reader = decord.VideoReader(str(path.absolute()), num_threads=threads)
        except Exception as error:  # decord's message contains only line numbers of its source
            raise ValueError("it is not a video, or it is truncated") from error
        self.last = len(self._reader) - 1
        self.per_second = float(self._reader.get_avg_fps())
        if self.last < 0 or not 0 < self.per_second < math.inf:
            raise ValueError("it contains no frames")
        self.start = float(self._reader.get_frame_timestamp([0])[0, 0])
        """When the first frame is shown; negative or not a number if it is hidden."""
        workarounds.check_video_is_complete(len(self._reader), declared)

    def frame(self, number: int) -> PILImage.Image:
        try:
            pixels = self._reader[number].asnumpy()
        except Exception as error:  # as above; the failing frame is random
            raise ValueError(_DAMAGED) from error
        return PILImage.fromarray(workarounds.restore_frame_shape(pixels))

    def times(self, numbers: list[int]) -> list[float]:
        stamps = self._reader.get_frame_timestamp([0, *numbers])[:, 0].astype(float)
        times: list[float] = (stamps[1:] - stamps[0]).tolist()
        if not all(math.isfinite(time) and time >= 0 for time in times) or times != sorted(times):
            # Some old containers have no time stamps.
            return super().times(numbers)
        return times


class _AvVideo(FrameSource):
    """A video file, read by PyAV. Frames are numbered in the order in which they are shown."""

    def __init__(self, path: Path, threads: int, declared: int, *, seekable: bool) -> None:
        self._path, self._threads = path, threads
        container, stream = _open(path)
        with container:
            rate = stream.average_rate or stream.guessed_rate
            self._time_base: Fraction = stream.time_base
            stamps, keys, found = _scan(container, stream)
        self.last = len(stamps) - 1
        if self.last < 0 or not rate or not rate > 0:
            raise ValueError("it contains no frames")
        self.per_second = float(rate)
        workarounds.check_video_is_complete(found, declared)
        ordered = sorted(stamp for stamp in stamps if stamp is not None)
        self._stamps = ordered if len(set(ordered)) == len(stamps) else None
        """When each frame is shown, in units of the time base; None if some have no time."""
        self._keys = sorted(keys) if seekable and self._stamps is not None else []
        self._close: Any = None
        self._frames: Iterator[Any] = iter(())
        self._next = self.last + 1
        """Number of the frame that the decoder returns next."""
        self._current: tuple[int, PILImage.Image] | None = None

    def frame(self, number: int) -> PILImage.Image:
        import av

        if self._current is None or self._current[0] != number:
            try:
                self._current = (number, self._decode(number))
            except (av.FFmpegError, StopIteration) as error:
                raise ValueError(_DAMAGED) from error
        return self._current[1]

    def times(self, numbers: list[int]) -> list[float]:
        if self._stamps is None:
            return super().times(numbers)
        return [float((self._stamps[n] - self._stamps[0]) * self._time_base) for n in numbers]

    def _decode(self, number: int) -> PILImage.Image:
        key = self._key_before(number)
        if number < self._next or (key is not None and key > self._next):
            self._restart(key)
        while True:
            frame = next(self._frames)
            if self._stamps is not None and self._keys:
                self._next = bisect.bisect_left(self._stamps, frame.pts)
            self._next += 1
            if self._next > number:
                break
        if self._next != number + 1 and key:
            # The seek ended behind the frame.
            self._keys = []
            return self._decode(number)
        if frame.is_corrupt:
            raise StopIteration
        _check_size(frame.width, frame.height)
        pixels = np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90)
        return PILImage.fromarray(np.ascontiguousarray(pixels))

    def _key_before(self, number: int) -> int | None:
        """Return the number of the key frame from which to decode; None without seeking."""
        if not self._keys:
            return None
        assert self._stamps is not None
        at = bisect.bisect_right(self._keys, self._stamps[number]) - 1
        return bisect.bisect_left(self._stamps, self._keys[at]) if at > 0 else 0

    def _restart(self, key: int | None) -> None:
        """Decode from frame `key`, or from the first."""
        if self._close is not None:
            self._close()
        container, stream = _open(self._path)
        self._close = container.close
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = self._threads
        if key:
            assert self._stamps is not None
            container.seek(self._stamps[key], stream=stream)
        self._frames = container.decode(stream)
        self._next = key or 0


def _scan(container: Any, stream: Any) -> tuple[list[int | None], list[int], int]:
    """Return the times of the shown frames and of the key frames, and the number of packets.

    Packets before the first key frame cannot be decoded.
    """
    import av

    stamps: list[int | None] = []
    keys: list[int] = []
    found = 0
    begun = False
    try:
        for packet in container.demux(stream):
            if not packet.size:
                continue
            found += 1
            begun |= packet.is_keyframe
            if packet.is_keyframe and packet.pts is not None:
                keys.append(packet.pts)
            if begun and not packet.is_discard:
                stamps.append(packet.pts)
    except av.FFmpegError as error:
        if not stamps:
            raise ValueError(_DAMAGED) from error
    return stamps, keys, found

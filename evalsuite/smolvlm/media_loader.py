"""Gather questions into windows and get their media ready, ahead of the device.

A window is what the engine works on at a time: enough questions to make batches of similar length,
and each image or video they share only once. The next window is prepared while the device is busy
with the current one.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from evalsuite.sample import Frames, Media
from evalsuite.smolvlm.image_decoder import Decoder, MediaError
from evalsuite.smolvlm.image_processing import Grid, Tiled, Tiler, join
from evalsuite.smolvlm.prefetch import Ahead
from evalsuite.smolvlm.requests import Question

LINGER = 0.05
"""Seconds a window waits for more questions while the device has nothing to do."""
RAW_BYTES = 64 * 2**20
"""A thread cuts its images into tiles once they hold this many bytes."""
PART = 16
"""Media a thread takes at a time, so that images of one size can be cut together."""

MediaKey = tuple[str, bool]
"""A medium's digest, and whether its images are split."""


@dataclass(frozen=True, slots=True)
class Window:
    """Questions, and their media made ready."""

    questions: list[Question]
    grids: Mapping[MediaKey, tuple[Grid, ...]]
    """How each medium of these questions is cut."""
    failed: Mapping[MediaKey, str]
    """Which cannot be had, and why."""
    tiles: Mapping[MediaKey, Tiled]
    """Those in `grids` that the window before did not have."""
    seconds: Mapping[str, float]
    """Spent on these by the threads that decode (``read``) and cut (``tiles``), summed."""


@dataclass(frozen=True, slots=True)
class Cut:
    """What came of some media, and the seconds it took."""

    media: Mapping[MediaKey, Tiled]
    failed: Mapping[MediaKey, str]
    decode_seconds: float
    tile_seconds: float


class MediaReader:
    """Threads that each own a decoder: paths in, tiles out."""

    def __init__(self, tiler: Tiler, decoders: int, timeout: float) -> None:
        self.tiler = tiler
        self._decoders = [Decoder(timeout, whitens=tiler.whitens) for _ in range(decoders)]
        self._free: queue.SimpleQueue[Decoder] = queue.SimpleQueue()
        for decoder in self._decoders:
            self._free.put(decoder)
        self._pool = ThreadPoolExecutor(decoders, thread_name_prefix="media")

    def read(self, media: Mapping[MediaKey, Media]) -> Iterator[Cut]:
        """Cut each medium into tiles, or find out why it cannot be had."""
        items = list(media.items())
        size = max(1, min(PART, -(-len(items) // len(self._decoders))))
        parts = [items[i : i + size] for i in range(0, len(items), size)]
        return self._pool.map(self._read_part, parts)

    def close(self) -> None:
        """End the decoders; what is being read becomes an error."""
        for decoder in self._decoders:
            decoder.close()
        self._pool.shutdown(cancel_futures=True)

    def _read_part(self, items: Sequence[tuple[MediaKey, Media]]) -> Cut:
        started = time.perf_counter()
        decoder = self._free.get()
        failed: dict[MediaKey, str] = {}
        tiled: dict[MediaKey, list[Tiled]] = {key: [] for key, _ in items}
        raw: list[tuple[MediaKey, np.ndarray[Any, Any]]] = []
        tile_seconds = 0.0
        try:
            for key, medium in items:
                for path in medium.paths if isinstance(medium, Frames) else (medium.path,):
                    try:
                        raw.append((key, decoder.read(path)))
                    except MediaError as error:
                        failed[key] = str(error)
                        break
                    if sum(image.nbytes for _, image in raw) > RAW_BYTES:
                        tile_seconds += self._tile(raw, tiled, failed)
            tile_seconds += self._tile(raw, tiled, failed)
        finally:
            self._free.put(decoder)
        good = {key: join(parts) for key, parts in tiled.items() if key not in failed}
        seconds = time.perf_counter() - started
        return Cut(good, failed, seconds - tile_seconds, tile_seconds)

    def _tile(
        self,
        raw: list[tuple[MediaKey, np.ndarray[Any, Any]]],
        tiled: Mapping[MediaKey, list[Tiled]],
        failed: dict[MediaKey, str],
    ) -> float:
        """Move `raw` images over to `tiled`, or to `failed`; the seconds it took."""
        started = time.perf_counter()
        for split in (True, False):
            some = [(key, image) for key, image in raw if key[1] == split]
            try:
                cut = self.tiler.tile([image for _, image in some], split)
            except Exception:  # noqa: BLE001 - a processor raises what it likes over odd images
                for item in some:
                    self._tile_alone(item, tiled, failed)
                continue
            for (key, _), tiles in zip(some, cut, strict=True):
                tiled[key].append(tiles)
        raw.clear()
        return time.perf_counter() - started

    def _tile_alone(
        self,
        item: tuple[MediaKey, np.ndarray[Any, Any]],
        tiled: Mapping[MediaKey, list[Tiled]],
        failed: dict[MediaKey, str],
    ) -> None:
        """Cut one image, so that only the one at fault fails."""
        key, image = item
        try:
            tiled[key].extend(self.tiler.tile([image], key[1]))
        except Exception as error:  # noqa: BLE001 - see above
            height, width = image.shape[:2]
            failed[key] = f"an image of {width}x{height} pixels cannot be cut: {error!r}"


class Windows:
    """The windows of a stream of questions, each prepared while the one before is in use."""

    def __init__(
        self, questions: Iterable[Question], reader: MediaReader, size: int, max_bytes: int
    ) -> None:
        self._reader = reader
        self._size = size
        self._max_bytes = max_bytes
        self._next: Question | None = None
        """Taken, but for the window after this."""
        self._questions = Ahead(questions, size).start()
        self._windows = Ahead(self._prepare(), 1)
        self._windows.start()

    def __iter__(self) -> Iterator[Window]:
        return self._windows

    def close(self) -> None:
        """Read no more questions."""
        self._windows.close()
        self._questions.close()

    def _prepare(self) -> Iterator[Window]:
        known: dict[MediaKey, tuple[Grid, ...]] = {}
        unfit: dict[MediaKey, str] = {}
        while questions := self._gather():
            wanted = {
                (medium.digest, question.prompt.split): medium
                for question in questions
                for medium in question.prompt.media
            }
            kept = () if questions[0].alone else wanted
            known = {key: known[key] for key in kept if key in known}
            unfit = {key: unfit[key] for key in kept if key in unfit}
            tiles: dict[MediaKey, Tiled] = {}
            seconds = {"read": 0.0, "tiles": 0.0}
            fresh = {k: m for k, m in wanted.items() if k not in known and k not in unfit}
            for cut in self._reader.read(fresh):
                seconds["read"] += cut.decode_seconds
                seconds["tiles"] += cut.tile_seconds
                tiles |= cut.media
                unfit |= cut.failed
            known |= {key: tiled.grids for key, tiled in tiles.items()}
            yield Window(questions, known, unfit, tiles, seconds)

    def _gather(self) -> list[Question]:
        """Take as many questions as fit a window, fewer if no more come; none at the end.

        One to be asked alone has a window of its own.
        """
        questions: list[Question] = []
        seen: set[str] = set()
        size = 0
        while len(questions) < self._size and size < self._max_bytes:
            try:
                question = self._take(LINGER if questions else None)
            except queue.Empty:
                # The sender may be waiting for answers before it asks more.
                if self._windows.starved:
                    break
                continue
            except StopIteration:
                break
            if question.alone:
                if not questions:
                    return [question]
                self._next = question
                break
            questions.append(question)
            for medium in question.prompt.media:
                if medium.digest not in seen:
                    seen.add(medium.digest)
                    images = len(medium.paths) if isinstance(medium, Frames) else 1
                    size += self._reader.tiler.most_bytes(images, question.prompt.split)
        return questions

    def _take(self, timeout: float | None) -> Question:
        if self._next is not None:
            question, self._next = self._next, None
            return question
        return self._questions.take(timeout)

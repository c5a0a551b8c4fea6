"""Group questions into windows and load their media while the device is busy.

A window is the engine's unit of work: enough questions for batches of similar length, with each
shared image or video loaded once. The next window is prepared while the device processes the
current one.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from evalsuite.sample import Media
from evalsuite.smolvlm.image_decoder import Decoder, MediaError
from evalsuite.smolvlm.image_processing import Grid, MediaTiles, Tiler, join
from evalsuite.smolvlm.requests import Question

WINDOW_WAIT_SECONDS = 0.05
"""Seconds a window waits for more questions while the device is idle."""
MAX_RAW_BYTES = 64 * 2**20
"""A thread cuts its decoded images into tiles once they exceed this many bytes."""
MEDIA_PER_TASK = 16
"""Media per task of a thread, so that images of equal size can be cut together."""

T = TypeVar("T")
MediaKey = tuple[str, bool]
"""A medium's digest, and whether its images are split into tiles."""


@dataclass(frozen=True, slots=True)
class Window:
    """Questions and their media."""

    questions: list[Question]
    grids: Mapping[MediaKey, tuple[Grid, ...]]
    """Tile grids of each medium of these questions."""
    failed: Mapping[MediaKey, str]
    """Reason by medium, for media that cannot be read."""
    tiles: Mapping[MediaKey, MediaTiles]
    """Tiles of the media that the previous window did not contain."""
    seconds: Mapping[str, float]
    """Seconds of the threads that decode (``read``) and cut (``tiles``), summed."""


@dataclass(frozen=True, slots=True)
class DecodedMedia:
    """Result for some media, and the time it took."""

    media: Mapping[MediaKey, MediaTiles]
    failed: Mapping[MediaKey, str]
    decode_seconds: float
    tile_seconds: float


class MediaReader:
    """Threads with one decoder each: they turn paths into tiles."""

    def __init__(self, tiler: Tiler, decoders: int, timeout: float) -> None:
        self.tiler = tiler
        self._decoders = [
            Decoder(timeout, whitens_transparency=tiler.whitens_transparency)
            for _ in range(decoders)
        ]
        self._free: queue.SimpleQueue[Decoder] = queue.SimpleQueue()
        for decoder in self._decoders:
            self._free.put(decoder)
        self._pool = ThreadPoolExecutor(decoders, thread_name_prefix="media")

    def read(self, media: Mapping[MediaKey, Media]) -> Iterator[DecodedMedia]:
        """Decode and cut each medium, or find the reason why it cannot be read."""
        items = list(media.items())
        size = max(1, min(MEDIA_PER_TASK, -(-len(items) // len(self._decoders))))
        parts = [items[i : i + size] for i in range(0, len(items), size)]
        return self._pool.map(self._read_part, parts)

    def close(self) -> None:
        """Stop the decoders; pending media fail."""
        for decoder in self._decoders:
            decoder.close()
        self._pool.shutdown(cancel_futures=True)

    def _read_part(self, items: Sequence[tuple[MediaKey, Media]]) -> DecodedMedia:
        started = time.perf_counter()
        decoder = self._free.get()
        failed: dict[MediaKey, str] = {}
        tiled: dict[MediaKey, list[MediaTiles]] = {key: [] for key, _ in items}
        raw: list[tuple[MediaKey, np.ndarray[Any, Any]]] = []
        tile_seconds = 0.0
        try:
            for key, medium in items:
                for path in medium.paths:
                    try:
                        raw.append((key, decoder.read(path)))
                    except MediaError as error:
                        failed[key] = str(error)
                        break
                    if sum(image.nbytes for _, image in raw) > MAX_RAW_BYTES:
                        tile_seconds += self._tile(raw, tiled, failed)
            tile_seconds += self._tile(raw, tiled, failed)
        finally:
            self._free.put(decoder)
        good = {key: join(parts) for key, parts in tiled.items() if key not in failed}
        seconds = time.perf_counter() - started
        return DecodedMedia(good, failed, seconds - tile_seconds, tile_seconds)

    def _tile(
        self,
        raw: list[tuple[MediaKey, np.ndarray[Any, Any]]],
        tiled: Mapping[MediaKey, list[MediaTiles]],
        failed: dict[MediaKey, str],
    ) -> float:
        """Cut `raw` images and move them to `tiled` or `failed`; return the seconds."""
        started = time.perf_counter()
        groups = [[item for item in raw if item[0][1] == split] for split in (True, False)]
        for items in filter(None, groups):
            (key, image), *others = items
            try:
                tiles = self.tiler.tile([image for _, image in items], split=key[1])
            except Exception as error:  # noqa: BLE001 - processors raise anything for unusual images
                if others:  # one bad image must not fail the others
                    groups += [[item] for item in items]
                else:
                    height, width = image.shape[:2]
                    failed[key] = f"an image of {width}x{height} pixels cannot be cut: {error!r}"
                continue
            for (key, _), image_tiles in zip(items, tiles, strict=True):
                tiled[key].append(image_tiles)
        raw.clear()
        return time.perf_counter() - started


class WindowLoader:
    """Iterator over the windows of a stream of questions; prepares one window in advance."""

    def __init__(
        self, questions: Iterable[Question], reader: MediaReader, size: int, max_bytes: int
    ) -> None:
        self._reader = reader
        self._size = size
        self._max_bytes = max_bytes
        self._next: Question | None = None
        """A question already taken from the stream that belongs to the next window."""
        self._questions = Prefetcher(questions, size).start()
        self._windows = Prefetcher(self._prepare(), 1)
        self._windows.start()

    def __iter__(self) -> Iterator[Window]:
        return self._windows

    def close(self) -> None:
        """Stop reading questions."""
        self._windows.close()
        self._questions.close()

    def _prepare(self) -> Iterator[Window]:
        known: dict[MediaKey, tuple[Grid, ...]] = {}
        failed: dict[MediaKey, str] = {}
        while questions := self._gather():
            wanted = {
                (medium.digest, question.prompt.split): medium
                for question in questions
                for medium in question.prompt.media
            }
            kept = () if questions[0].unbatched else wanted
            known = {key: known[key] for key in kept if key in known}
            failed = {key: failed[key] for key in kept if key in failed}
            tiles: dict[MediaKey, MediaTiles] = {}
            seconds = {"read": 0.0, "tiles": 0.0}
            new = {k: m for k, m in wanted.items() if k not in known and k not in failed}
            for decoded in self._reader.read(new):
                seconds["read"] += decoded.decode_seconds
                seconds["tiles"] += decoded.tile_seconds
                tiles |= decoded.media
                failed |= decoded.failed
            known |= {key: tiled.grids for key, tiled in tiles.items()}
            yield Window(questions, known, failed, tiles, seconds)

    def _gather(self) -> list[Question]:
        """Take questions until the window is full or no more arrive; empty at the end.

        An unbatched question gets a window of its own.
        """
        questions: list[Question] = []
        seen: set[str] = set()
        size = 0
        while len(questions) < self._size and size < self._max_bytes:
            try:
                question = self._next_question(WINDOW_WAIT_SECONDS if questions else None)
            except queue.Empty:
                # The caller may need answers before it sends more questions.
                if self._windows.empty:
                    break
                continue
            except StopIteration:
                break
            if question.unbatched:
                if not questions:
                    return [question]
                self._next = question
                break
            questions.append(question)
            for medium in question.prompt.media:
                if medium.digest not in seen:
                    seen.add(medium.digest)
                    images = len(medium.paths)
                    size += self._reader.tiler.max_bytes(images, question.prompt.split)
        return questions

    def _next_question(self, timeout: float | None) -> Question:
        if self._next is not None:
            question, self._next = self._next, None
            return question
        return self._questions.get(timeout)


@dataclass(frozen=True, slots=True)
class _End:
    """End of the items; `error` is the iterator's exception."""

    error: BaseException


class Prefetcher(Generic[T]):
    """Iterator over items that a thread produces, up to `depth` items in advance.

    The thread is a daemon, so an iterable that blocks forever does not keep the process alive.
    """

    def __init__(self, items: Iterable[T], depth: int) -> None:
        self._items = items
        self._queue: queue.Queue[T | _End] = queue.Queue(depth)
        self._closed = threading.Event()
        self._error: BaseException | None = None

    def start(self) -> Prefetcher[T]:
        """Start the thread."""
        threading.Thread(target=self._run, daemon=True).start()
        return self

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        return self.get()

    def get(self, timeout: float | None = None) -> T:
        """Return the next item; wait at most `timeout` seconds.

        Raises `StopIteration`, `queue.Empty` after the timeout, or the iterable's exception.
        """
        if self._error is None:
            item = self._queue.get(timeout=timeout)
            if not isinstance(item, _End):
                return item
            self._error = item.error
        raise self._error

    @property
    def empty(self) -> bool:
        """True if a consumer would have to wait."""
        return self._queue.empty()

    def close(self) -> None:
        """Stop after the item in progress."""
        self._closed.set()

    def _run(self) -> None:
        try:
            for item in self._items:
                self._put(item)
                if self._closed.is_set():
                    return
            raise StopIteration
        except BaseException as error:  # noqa: BLE001 - raised again in the reader's thread
            self._put(_End(error))

    def _put(self, item: T | _End) -> None:
        while not self._closed.is_set():
            with contextlib.suppress(queue.Full):
                self._queue.put(item, timeout=0.1)
                return

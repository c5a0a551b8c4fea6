"""Run an iterator ahead of its reader, in a thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class _End:
    """Nothing more comes; `error` is what the iterator raised, if it did."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class Ahead(Generic[T]):
    """The items of an iterable, produced by a thread up to `depth` items before they are read.

    The thread is a daemon: an iterable that blocks for good does not keep the process alive.
    """

    def __init__(self, items: Iterable[T], depth: int) -> None:
        self._items = items
        self._queue: queue.Queue[T | _End] = queue.Queue(depth)
        self._closed = threading.Event()
        self._ended: _End | None = None

    def start(self) -> Ahead[T]:
        """Start producing."""
        threading.Thread(target=self._run, daemon=True).start()
        return self

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        return self.take()

    def take(self, timeout: float | None = None) -> T:
        """Wait for the next item, at most `timeout` seconds.

        Raises `StopIteration`, `queue.Empty` when the time is over, or what the iterable raised.
        """
        if self._ended is None:
            item = self._queue.get(timeout=timeout)
            if not isinstance(item, _End):
                return item
            self._ended = item
        raise self._ended.error or StopIteration

    @property
    def starved(self) -> bool:
        """Whether a reader would have to wait."""
        return self._queue.empty()

    def close(self) -> None:
        """Stop producing as soon as the iterable yields again."""
        self._closed.set()

    def _run(self) -> None:
        error = None
        try:
            for item in self._items:
                if not self._put(item):
                    return
        except BaseException as raised:  # noqa: BLE001 - raised again in the reader's thread
            error = raised
        self._put(_End(error))

    def _put(self, item: T | _End) -> bool:
        while not self._closed.is_set():
            try:
                self._queue.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

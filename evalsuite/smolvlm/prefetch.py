"""Run an iterator in a thread, ahead of its consumer."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class _End:
    """End of the items; `error` is the iterator's exception, if any."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class Prefetcher(Generic[T]):
    """Iterator over items that a thread produces, up to `depth` items in advance.

    The thread is a daemon, so an iterable that blocks forever does not keep the process alive.
    """

    def __init__(self, items: Iterable[T], depth: int) -> None:
        self._items = items
        self._queue: queue.Queue[T | _End] = queue.Queue(depth)
        self._closed = threading.Event()
        self._ended: _End | None = None

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
        if self._ended is None:
            item = self._queue.get(timeout=timeout)
            if not isinstance(item, _End):
                return item
            self._ended = item
        raise self._ended.error or StopIteration

    @property
    def empty(self) -> bool:
        """True if a consumer would have to wait."""
        return self._queue.empty()

    def close(self) -> None:
        """Stop after the item in progress."""
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

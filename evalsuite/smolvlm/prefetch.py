"""Run an iterator in a thread, ahead of its consumer."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


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

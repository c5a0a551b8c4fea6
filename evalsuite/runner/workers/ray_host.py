"""A worker process on a machine of a Ray cluster, inside its actor."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Sequence

from evalsuite.runner.workers.ray_node_check import missing_files
from evalsuite.runner.workers.worker import Message, Worker, WorkerRemoved, WorkerSettings
from evalsuite.smolvlm.requests import Question
from evalsuite.system.process import ChildDied
from evalsuite.system.text import one_line


class WorkerHost:
    """A worker process and its messages."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._messages: queue.SimpleQueue[Message | ChildDied] = queue.SimpleQueue()
        self._worker = Worker(settings)
        threading.Thread(target=self._listen, daemon=True).start()

    def ask(self, questions: list[Question], media: Sequence[str]) -> None:
        """Queue `questions`, whose `media` this machine must see."""
        if missing := missing_files(media):
            self._messages.put(
                WorkerRemoved(f"does not see {missing[0]}; it is not on a shared file system")
            )
            return
        with contextlib.suppress(ChildDied):  # the listener reports it
            self._worker.ask(questions)

    def receive(self) -> Message | ChildDied:
        """The next message, or how the worker died; blocks."""
        return self._messages.get()

    def _listen(self) -> None:
        try:
            while True:
                self._messages.put(self._worker.receive())
        except ChildDied as death:
            self._messages.put(death)
        except Exception as error:  # noqa: BLE001 - every error must be reported
            self._messages.put(unusable(error))


def unusable(error: BaseException) -> ChildDied:
    """How a worker ended that cannot be used because of `error`."""
    return ChildDied(f"could not be used: {one_line(error, with_type=True)}")

"""A device with its worker and the questions the worker has received."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from evalsuite.runner.workers.worker import Message, Worker, WorkerSettings
from evalsuite.smolvlm.requests import Answer, Question, QuestionId
from evalsuite.system.process import ChildDied

StartWorker = Callable[[WorkerSettings], Worker]


@dataclass(frozen=True, slots=True)
class WorkerMessage:
    """What a worker sent, or the error that ended it."""

    worker: Worker
    payload: Message | ChildDied | BaseException


@dataclass(slots=True, eq=False)
class Chunk:
    """Questions that one worker answers: all that a run asks about some images or videos."""

    run: int
    questions: dict[QuestionId, Question]
    """Those without an answer."""
    deaths: int = 0
    """Workers that died on it. After the first it is sent alone, after the second one question at
    a time."""


@dataclass(slots=True, eq=False)
class WorkerSlot:
    """A device and its worker. A thread posts the worker's messages."""

    device: str
    post: Callable[[WorkerMessage], None]
    start_worker: StartWorker
    run: int = 0
    """The run whose checkpoint the worker has loaded or is loading."""
    worker: Worker | None = None
    assigned: bool = False
    """Whether the worker has a machine."""
    ready: bool = False
    """Whether the checkpoint is loaded."""
    chunks: list[Chunk] = field(default_factory=list)
    """Sent and not completely answered."""
    failed_starts: int = 0
    """Consecutive deaths before a checkpoint was loaded."""
    busy_since: float = 0.0
    """When the worker last finished a batch, or could have begun its first: monotonic seconds."""

    @property
    def unanswered(self) -> int:
        """Number of questions without an answer."""
        return sum(len(chunk.questions) for chunk in self.chunks)

    @property
    def exclusive(self) -> bool:
        """Whether it has a chunk that must be alone."""
        return any(chunk.deaths for chunk in self.chunks)

    def start(self, run: int, settings: WorkerSettings) -> None:
        """Start a worker for `run` on this device."""
        self.run, self.ready = run, False
        engine = dataclasses.replace(settings.engine, device=self.device)
        self.worker = self.start_worker(dataclasses.replace(settings, engine=engine))
        self.assigned = self.worker.assigned
        threading.Thread(target=self._listen, args=(self.worker,), daemon=True).start()

    def stop(self) -> list[Chunk]:
        """End the worker at once; returns its unanswered chunks."""
        if self.worker is not None:
            self.worker.kill()
        chunks, self.chunks = self.chunks, []
        self.worker, self.assigned, self.ready = None, False, False
        return chunks

    def send(self, chunk: Chunk) -> None:
        """Send the questions of `chunk` to the worker."""
        if not self.chunks:
            self.busy_since = time.monotonic()
        self.chunks.append(chunk)
        questions = list(chunk.questions.values())
        self._ask(questions if chunk.deaths < 2 else questions[:1])

    def record(self, answers: tuple[Answer, ...]) -> None:
        """Remove answered questions; ask the next one of a chunk that is sent one by one."""
        for answer in answers:
            chunk = next(chunk for chunk in self.chunks if answer.id in chunk.questions)
            del chunk.questions[answer.id]
            if not chunk.questions:
                self.chunks.remove(chunk)
            elif chunk.deaths >= 2:
                self._ask([next(iter(chunk.questions.values()))])
        self.busy_since = time.monotonic()

    def _ask(self, questions: list[Question]) -> None:
        assert self.worker is not None
        # The listener reports a death, and the questions are then sent to another worker.
        with contextlib.suppress(ChildDied):
            self.worker.ask(questions)

    def _listen(self, worker: Worker) -> None:
        try:
            while True:
                self.post(WorkerMessage(worker, worker.receive()))
        except BaseException as error:  # noqa: BLE001 - every error must reach the main thread
            self.post(WorkerMessage(worker, error))

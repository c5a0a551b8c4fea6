"""A place for a worker: who works there, and what it was given."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from evalsuite.runner.workers.worker import Message, Worker, WorkerSettings
from evalsuite.smolvlm.requests import Answer, Question
from evalsuite.system.process import ChildDied

Hire = Callable[[WorkerSettings], Worker]


@dataclass(frozen=True, slots=True)
class Said:
    """What a worker said, or how it died."""

    worker: Worker
    message: Message | ChildDied | BaseException


@dataclass(slots=True, eq=False)
class Chunk:
    """Questions about whole media, answered by one worker."""

    run: int
    questions: dict[str, Question]
    """Those without an answer, by id."""
    deaths: int = 0
    """How many workers died on it: after the first it is given alone, after the second one
    question at a time."""


@dataclass(slots=True, eq=False)
class Seat:
    """A device, and the worker that has it. A thread posts what the worker says."""

    device: str
    post: Callable[[Said], None]
    hire: Hire
    run: int = 0
    """The run whose checkpoint the worker has loaded, or is loading."""
    worker: Worker | None = None
    placed: bool = False
    """Whether the worker is on a machine, and not waiting for one."""
    ready: bool = False
    """Whether the checkpoint is loaded."""
    held: list[Chunk] = field(default_factory=list)
    failed_starts: int = 0
    """Deaths in a row before a checkpoint was loaded."""
    busy_since: float = 0.0
    """When the worker last finished a batch, or could have begun its first: monotonic seconds."""

    @property
    def owed(self) -> int:
        """How many questions have no answer yet."""
        return sum(len(chunk.questions) for chunk in self.held)

    @property
    def careful(self) -> bool:
        """Whether it holds a chunk that nothing else may be held with."""
        return any(chunk.deaths for chunk in self.held)

    def employ(self, run: int, settings: WorkerSettings) -> None:
        """Start a worker for `run` on this device."""
        self.run, self.ready = run, False
        self.worker = self.hire(dataclasses.replace(settings, device=self.device))
        self.placed = self.worker.placed
        threading.Thread(target=self._listen, args=(self.worker,), daemon=True).start()

    def dismiss(self) -> list[Chunk]:
        """End the worker at once; returns what it held."""
        if self.worker is not None:
            self.worker.kill()
        held, self.held = self.held, []
        self.worker, self.placed, self.ready = None, False, False
        return held

    def give(self, chunk: Chunk) -> None:
        """Have the questions of `chunk` answered."""
        if not self.held:
            self.busy_since = time.monotonic()
        self.held.append(chunk)
        questions = list(chunk.questions.values())
        self._ask(questions if chunk.deaths < 2 else questions[:1])

    def took(self, answers: tuple[Answer, ...]) -> None:
        """Strike off what has been answered."""
        for answer in answers:
            chunk = next(chunk for chunk in self.held if answer.id in chunk.questions)
            del chunk.questions[answer.id]
            if not chunk.questions:
                self.held.remove(chunk)
            elif chunk.deaths >= 2:
                self._ask([next(iter(chunk.questions.values()))])
        self.busy_since = time.monotonic()

    def _ask(self, questions: list[Question]) -> None:
        assert self.worker is not None
        # A death is reported by the listener, and what was held is asked again.
        with contextlib.suppress(ChildDied):
            self.worker.ask(questions)

    def _listen(self, worker: Worker) -> None:
        try:
            while True:
                self.post(Said(worker, worker.receive()))
        except BaseException as error:  # noqa: BLE001 - also a defect must reach the main thread
            self.post(Said(worker, error))

"""A worker: one checkpoint on one device, in a process of its own.

Questions go in, answers come out as batches finish. That is all an executor needs to know.
"""

from __future__ import annotations

import os
import queue
import threading
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalsuite.smolvlm.requests import Answer, Question
from evalsuite.system.process import Child, ChildDied, serve, write_to
from evalsuite.system.text import one_line


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """What a worker needs to load its checkpoint."""

    directory: Path
    base: Path | None
    """What to merge `directory` into, if that is an adapter."""
    processor: Path | None
    device: str
    dtype: str
    batch_size: int | None
    longest_edge: int | None
    log: Path
    """Gets what the worker's libraries print."""
    workers_per_device: int = 1
    """How many workers have this device, this one included."""
    threads: int | None = None
    """On the CPU; None leaves that to torch."""


class Displaced(ChildDied):
    """The worker lost its place: that says nothing against what it was asked."""


class NoPlace(Displaced):
    """No machine had room for the worker for as long as it may wait."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A machine has room for the worker, which now loads its checkpoint."""

    where: str
    log: Path


@dataclass(frozen=True, slots=True)
class Ready:
    """The checkpoint is loaded; what it runs on, for the record."""

    environment: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Unfit:
    """The checkpoint could not be loaded."""

    reason: str


@dataclass(frozen=True, slots=True)
class Answered:
    """A batch of answers, and the most memory the worker has used so far."""

    answers: tuple[Answer, ...]
    peak_memory_bytes: int | None
    host_memory_bytes: int | None = None


Message = Placed | Ready | Unfit | Answered
"""What a worker says."""

_ENVIRONMENT = {
    # torch's threads otherwise wait by spinning, and on a busy CPU take the cores from the very
    # threads they wait for: many times slower. Where the user says otherwise, that holds.
    "OMP_WAIT_POLICY": "PASSIVE",
    "TOKENIZERS_PARALLELISM": "false",
}


class Worker:
    """The parent's end of a worker process."""

    placed = True
    """Whether it is on a machine, and not waiting for one."""

    def __init__(self, settings: WorkerSettings) -> None:
        self.where = settings.device
        """For people to read."""
        self.log = settings.log
        environment = _ENVIRONMENT | dict(os.environ)
        if settings.threads is not None:
            environment["OMP_NUM_THREADS"] = str(settings.threads)
        self._child = Child("evalsuite.runner.workers.worker", environment)
        self._child.send(settings)

    def ask(self, questions: Sequence[Question]) -> None:
        """Queue `questions`; raises `ChildDied`."""
        self._child.send(list(questions))

    def receive(self) -> Message:
        """The next message; blocks, and raises `ChildDied`."""
        message: Message = self._child.receive()
        return message

    def kill(self) -> None:
        """End the worker at once; what it was answering is lost."""
        self._child.kill()


def main() -> None:
    """The worker process."""
    connection = serve()
    settings: WorkerSettings = connection.recv()
    write_to(settings.log)
    incoming: queue.SimpleQueue[Question | None] = queue.SimpleQueue()

    # Read ahead from the start, so that the sender never waits for the model to load.
    def read() -> None:
        while True:
            try:
                questions = connection.recv()
            except (EOFError, OSError):
                incoming.put(None)
                return
            for question in questions:
                incoming.put(question)

    threading.Thread(target=read, daemon=True).start()

    from evalsuite.smolvlm.engine import Engine

    try:
        engine = Engine(
            settings.directory,
            device=settings.device,
            dtype=settings.dtype,
            batch_size=settings.batch_size,
            base=settings.base,
            processor=settings.processor,
            longest_edge=settings.longest_edge,
            workers_per_device=settings.workers_per_device,
        )
    except Exception as error:  # noqa: BLE001 - libraries raise what they like over bad files
        traceback.print_exc()
        connection.send(Unfit(one_line(error, with_type=True)))
        return
    connection.send(Ready(_environment(engine.device, engine.stats.generation)))

    def questions() -> Iterator[Question]:
        while (question := incoming.get()) is not None:
            yield question

    with engine:
        for answers in engine.answer(questions()):
            stats = engine.stats
            connection.send(
                Answered(tuple(answers), stats.peak_memory_bytes, stats.host_memory_bytes)
            )


def _environment(device: Any, generation: str) -> dict[str, Any]:
    import torch

    on_cuda = str(device).startswith("cuda")
    return {
        "generation": generation,
        "device": torch.cuda.get_device_name(device) if on_cuda else "cpu",
    }


if __name__ == "__main__":
    # By its own name, or what is sent back would be a class of `__main__`.
    from evalsuite.runner.workers import worker

    worker.main()

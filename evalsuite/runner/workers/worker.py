"""A worker: one checkpoint on one device, in its own process.

It receives questions and sends answers as batches finish.
"""

from __future__ import annotations

import queue
import textwrap
import threading
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalsuite.errors import UsageError
from evalsuite.smolvlm.requests import Answer, EngineSettings, Question, raised
from evalsuite.system import variables
from evalsuite.system.hashing import FileIdentity, has_changed
from evalsuite.system.process import Child, ChildDied, serve, write_to


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """What a worker process needs to start."""

    directory: Path
    files: tuple[FileIdentity, ...] = ()
    """The files that the checkpoint's digest covers."""
    engine: EngineSettings
    log: Path
    """File for the output of the worker's libraries."""
    threads: int | None = None
    """CPU threads; None: torch decides."""


class WorkerRemoved(ChildDied):
    """The worker lost its machine. Its questions did not cause that."""


class NoFreeDevice(WorkerRemoved):
    """No machine had a free device within the waiting time."""


@dataclass(frozen=True, slots=True)
class Assigned:
    """The worker has a machine and now loads its checkpoint."""

    machine: str
    log: Path


@dataclass(frozen=True, slots=True)
class Ready:
    """The checkpoint is loaded."""

    environment: dict[str, Any]
    """Device and versions, for run.json."""


@dataclass(frozen=True, slots=True)
class LoadFailed:
    """The checkpoint could not be loaded."""

    reason: str


@dataclass(frozen=True, slots=True)
class BatchDone:
    """The answers of a finished batch, and the worker's peak memory so far."""

    answers: tuple[Answer, ...]
    peak_memory_bytes: int | None = None
    """Of the device."""
    host_memory_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Crashed:
    """The engine raised an error and cannot be used any more; the worker ends."""

    reason: str


Message = Assigned | Ready | LoadFailed | BatchDone | Crashed

_ENVIRONMENT = {
    # By default torch's threads spin while they wait. On a busy CPU that takes the cores from the
    # threads they wait for and is many times slower. A value set by the user is kept.
    "OMP_WAIT_POLICY": "PASSIVE",
    "TOKENIZERS_PARALLELISM": "false",
}


class Worker:
    """The parent's end of a worker process."""

    assigned = True
    """Whether it has a machine. A worker of a Ray cluster may wait for one."""

    def __init__(self, settings: WorkerSettings) -> None:
        self.location = settings.engine.device
        """Device or machine, for messages."""
        self.log = settings.log
        environment = _ENVIRONMENT | variables.for_predicting()
        if settings.threads is not None:
            environment["OMP_NUM_THREADS"] = str(settings.threads)
        self._child = Child("evalsuite.runner.workers.worker", inherited=environment)
        self._child.send(settings)

    def ask(self, questions: Sequence[Question]) -> None:
        """Queue `questions`; raises `ChildDied`."""
        self._child.send(list(questions))

    def receive(self) -> Message:
        """The next message; blocks, and raises `ChildDied`."""
        message: Message = self._child.receive()
        return message

    def kill(self) -> None:
        """End the worker at once. Unfinished questions are lost."""
        self._child.kill()


def main() -> None:
    """The worker process."""
    connection = serve()
    settings: WorkerSettings = connection.recv()
    write_to(settings.log)
    incoming: queue.SimpleQueue[Question | None] = queue.SimpleQueue()

    # Read questions while the model loads, so that the sender never waits.
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

    try:
        _check_unchanged(settings.files)
        from evalsuite.smolvlm.engine import Engine

        engine = Engine(settings.directory, settings.engine)
        _check_unchanged(settings.files)  # what was loaded is what was digested
    except UsageError as error:
        connection.send(LoadFailed(str(error)))
        return
    except Exception as error:  # noqa: BLE001 - libraries raise any type for damaged files
        traceback.print_exc()
        # All of a short message: the first line of some says little.
        text = textwrap.shorten(f"{type(error).__name__}: {error}", 400, placeholder=" ...")
        connection.send(LoadFailed(text))
        return
    connection.send(Ready(_environment(engine.device, engine.stats.generation)))

    def questions() -> Iterator[Question]:
        while (question := incoming.get()) is not None:
            yield question

    try:
        with engine:
            for answers in engine.answer(questions()):
                stats = engine.stats
                connection.send(
                    BatchDone(tuple(answers), stats.peak_memory_bytes, stats.host_memory_bytes)
                )
    except Exception as error:  # noqa: BLE001 - the reason for the parent
        traceback.print_exc()
        connection.send(Crashed(raised(error)))


def _check_unchanged(files: Sequence[FileIdentity]) -> None:
    """Raise `UsageError` if a file is not the one whose digest names the run."""
    if changed := next(filter(has_changed, files), None):
        raise UsageError(
            f"{changed.path} changed after the checkpoint was identified, so its answers would be "
            "filed under another digest; rerun when no other process writes it"
        )


def _environment(device: Any, generation: str) -> dict[str, Any]:
    import torch

    on_cuda = str(device).startswith("cuda")
    return {
        "variables": variables.recorded(),
        "generation": generation,
        "device": torch.cuda.get_device_name(device) if on_cuda else "cpu",
    }


if __name__ == "__main__":
    # Imported by name: messages must not be classes of `__main__`.
    from evalsuite.runner.workers import worker

    worker.main()

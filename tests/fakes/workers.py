"""Workers that are used by several runs: loading torch and a checkpoint takes seconds."""

from __future__ import annotations

import dataclasses
import os
import queue
import threading
from collections.abc import Sequence
from pathlib import Path

from evalsuite.runner.workers.worker import BatchDone, Message, Worker, WorkerSettings
from evalsuite.smolvlm.requests import Question
from evalsuite.system.process import ChildDied


class Kept:
    """Real workers. One that was stopped while idle is lent again for the same settings."""

    def __init__(self, most: int = 2) -> None:
        self._most = most
        self._idle: list[Real] = []

    def start_worker(self, settings: WorkerSettings) -> Worker:
        """A worker as `settings` say, but that it may log to where it was first told to."""
        terms = (dataclasses.replace(settings, log=Path()), environment())
        known = next((real for real in self._idle if real.terms == terms and real.alive), None)
        if known is None:
            known = Real(terms, Worker(settings))
        else:
            self._idle.remove(known)
        return Lent(known, self)

    def take_back(self, real: Real) -> None:
        """Keep it for the next, unless it has something to do."""
        if real.owes or not real.alive:
            real.worker.kill()
            return
        self._idle.append(real)
        if len(self._idle) > self._most:
            self._idle.pop(0).worker.kill()

    def close(self) -> None:
        """End the idle workers."""
        while self._idle:
            self._idle.pop().worker.kill()


def environment() -> dict[str, str]:
    """What a process started now would get, but for the name of the test."""
    return {name: text for name, text in os.environ.items() if name != "PYTEST_CURRENT_TEST"}


class Real:
    """A worker process, and a thread that passes its messages to the current borrower."""

    def __init__(self, terms: tuple[WorkerSettings, dict[str, str]], worker: Worker) -> None:
        self.terms = terms
        self.worker = worker
        self.owes = 0
        """Questions it has not answered."""
        self.alive = True
        self._first: Message | None = None
        """Its first message, which later borrowers receive too."""
        self._inbox: queue.SimpleQueue[Message | Exception] = queue.SimpleQueue()
        self._lock = threading.Lock()
        threading.Thread(target=self._listen, daemon=True).start()

    def lend(self) -> queue.SimpleQueue[Message | Exception]:
        """What it says from now on."""
        with self._lock:
            self._inbox = queue.SimpleQueue()
            if self._first is not None:
                self._inbox.put(self._first)
            return self._inbox

    def ask(self, questions: Sequence[Question]) -> None:
        """As of `Worker`."""
        with self._lock:
            self.owes += len(questions)
        self.worker.ask(questions)

    def _listen(self) -> None:
        try:
            while True:
                said = self.worker.receive()
                with self._lock:
                    self._first = self._first or said
                    if isinstance(said, BatchDone):
                        self.owes -= len(said.answers)
                    self._inbox.put(said)
        except Exception as error:  # noqa: BLE001 - the borrower must know
            with self._lock:
                self.alive = False
                self._inbox.put(error)


class Lent(Worker):
    """A worker as one run has it."""

    def __init__(self, real: Real, kept: Kept) -> None:
        self.location, self.log = real.worker.location, real.worker.log
        self._real = real
        self._kept = kept
        self._inbox = real.lend()
        self._stopped = False

    def ask(self, questions: Sequence[Question]) -> None:
        self._real.ask(questions)

    def receive(self) -> Message:
        said = self._inbox.get()
        if isinstance(said, Exception):
            raise said
        return said

    def kill(self) -> None:
        if not self._stopped:
            self._stopped = True
            self._kept.take_back(self._real)
            self._inbox.put(ChildDied("was stopped"))

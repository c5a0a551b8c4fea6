"""A worker on this machine, started again when it dies, and the questions it still owes."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from evalsuite.errors import IncompleteError
from evalsuite.process import ChildDied
from evalsuite.runner.work import Answered, Ready, Unfit, Worker, WorkerSettings
from evalsuite.smolvlm.questions import Answer, Question

STARTS = 3
"""A worker that dies so often before its checkpoint is loaded is not started again."""
DEATHS = 2
"""After so many deaths with no answer in between, questions are asked one at a time."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a worker said, or how it died."""

    worker: Worker
    message: Ready | Unfit | Answered | ChildDied | BaseException


class LocalWorker:
    """One device's worker. A thread posts what it says; `hear` is called with that, in turn."""

    def __init__(
        self,
        settings: WorkerSettings,
        post: Callable[[Said], None],
        note: Callable[[str], None],
        hire: Callable[[WorkerSettings], Worker] = Worker,
    ) -> None:
        self._settings = settings
        self._hire = hire
        self._post = post
        self._note = note
        self._owed: dict[str, Question] = {}
        self._deaths = 0
        self._failed_starts = 0
        self._one_at_a_time = False
        self._worker = self._start()

    @property
    def owed(self) -> int:
        """How many questions have no answer yet."""
        return len(self._owed)

    def ask(self, questions: Sequence[Question]) -> None:
        """Have `questions` answered."""
        idle = not self._owed
        self._owed.update((question.id, question) for question in questions)
        if self._one_at_a_time:
            if idle:
                self._send_next()
        else:
            self._send(questions)

    def hear(self, said: Said) -> Sequence[Answer] | Ready | Unfit:
        """Take in what was said: answers, or that a checkpoint is loaded or cannot be.

        A worker that died is replaced and asked again. A question on which it dies alone is an
        answer with ``ended`` ``error``. Raises `IncompleteError` if it never gets to work.
        """
        if said.worker is not self._worker:
            return ()  # the last words of one that was replaced
        match said.message:
            case Answered(answers):
                return self._took(answers)
            case Ready():
                self._failed_starts = 0
                return said.message
            case Unfit():
                return said.message
            case ChildDied():
                return self._replaced(said.message)
            case defect:
                raise defect

    def close(self) -> None:
        """End the worker at once."""
        self._worker.kill()

    def _start(self) -> Worker:
        self._failed_starts += 1
        worker = self._hire(self._settings)
        threading.Thread(target=self._listen, args=(worker,), daemon=True).start()
        return worker

    def _listen(self, worker: Worker) -> None:
        try:
            while True:
                self._post(Said(worker, worker.receive()))
        except BaseException as error:  # noqa: BLE001 - also a defect must reach the main thread
            self._post(Said(worker, error))

    def _took(self, answers: Sequence[Answer]) -> Sequence[Answer]:
        self._deaths = 0
        for answer in answers:
            del self._owed[answer.id]
        if self._one_at_a_time:
            self._send_next()
        return answers

    def _replaced(self, death: ChildDied) -> Sequence[Answer]:
        if self._failed_starts >= STARTS:
            raise IncompleteError(
                f"the worker on {self._settings.device} {death}, {STARTS} times in a row; "
                f"{self._settings.log} has its last words. Every answer so far is kept"
            )
        self._deaths += 1
        self._worker.kill()
        self._worker = self._start()
        culprits: list[Answer] = []
        if self._one_at_a_time and self._owed:
            culprit = next(iter(self._owed))
            del self._owed[culprit]
            culprits.append(Answer(culprit, "", 0, "error", f"the worker {death} on this sample"))
            self._note(f"the worker {death} on one sample, which is left out; starting another")
            self._deaths, self._one_at_a_time = 0, False
            self._send(list(self._owed.values()))
        elif self._deaths >= DEATHS:
            self._note(f"the worker {death} again; asking one question at a time")
            self._one_at_a_time = True
            self._send_next()
        else:
            self._note(f"the worker {death}; starting another")
            self._send(list(self._owed.values()))
        return culprits

    def _send_next(self) -> None:
        if self._owed:
            self._send([next(iter(self._owed.values()))])
        else:
            self._one_at_a_time = False

    def _send(self, questions: Sequence[Question]) -> None:
        # A death is reported by the listener, and what is owed is asked again.
        with contextlib.suppress(ChildDied):
            self._worker.ask(questions)

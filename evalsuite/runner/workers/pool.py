"""All workers, and the queue of questions they share.

A worker gets another chunk when it has little left to answer. A worker without questions for its
checkpoint loads the checkpoint of the run with the most questions left. When a worker dies, its
questions return to the queue and another worker is started.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from evalsuite.errors import EvalsuiteError, IncompleteError, UsageError
from evalsuite.runner.workers.worker import (
    Assigned,
    BatchDone,
    Crashed,
    LoadFailed,
    Message,
    NoFreeDevice,
    Ready,
    Worker,
    WorkerRemoved,
    WorkerSettings,
)
from evalsuite.smolvlm.requests import RAISED, Answer, Question, QuestionId
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
    ready: bool = False
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


MAX_FAILED_STARTS = 3
"""A worker that dies this often in a row before its checkpoint is loaded is not restarted."""
MIN_QUESTIONS_TO_LOAD = 256
"""A checkpoint is loaded by another worker if each of its workers has at least this many questions
left."""
MIN_QUEUE = 1536
"""Questions a worker may have received: three windows of the engine (one answered, one prepared,
one read), or twelve batches if those are larger."""
MAX_ALIKE = 32
"""If this many first questions of a run all fail with the same exception, the run ends."""
_KEPT = "Every answer so far is kept"


class Pool:
    """The workers and their questions. Only one thread uses it; other threads only post."""

    def __init__(
        self,
        settings: Sequence[WorkerSettings],
        devices: Sequence[str],
        *,
        coming: Callable[[int], int],
        post: Callable[[WorkerMessage], None],
        note: Callable[[str], None],
        loaded: Callable[[int, Ready], None],
        answered: Callable[[int, float, BatchDone], None],
        failed: Callable[[int, EvalsuiteError], None],
        start_worker: StartWorker = Worker,
        min_queue: int = MIN_QUEUE,
    ) -> None:
        """Start one worker for each of `devices`; `settings` has one entry for each run.

        A worker gets more questions while it has fewer than `min_queue`. `coming` returns how many
        more questions a run may ask. `post` delivers a worker's messages to `handle`, which calls
        `loaded` when a worker has loaded the checkpoint of a run, `answered` for answers with the
        time when work on them began (monotonic seconds), and `failed` if a run cannot go on.
        """
        self._settings = settings
        self._max_queued = max(min_queue, 12 * (settings[0].engine.batch_size or 0))
        self._coming = coming
        self._note = note
        self._loaded, self._answered, self._failed = loaded, answered, failed
        self._shortage_noted = False
        """Whether a note said that some workers have no machine."""
        self._waiting: list[deque[Chunk]] = [deque() for _ in settings]
        self._was_ready = [False for _ in settings]
        self._alike: list[tuple[str, int] | None] = [("", 0) for _ in settings]
        """The exception of the first questions of each run, and how many have it; None as soon as
        a question was answered or failed for another reason."""
        self._slots = [WorkerSlot(device, post, start_worker) for device in devices]
        # Different checkpoints in parallel: each is loaded by fewer workers.
        for i, slot in enumerate(self._slots):
            self._start(slot, i % len(settings))

    def ask(self, run: int, questions: Sequence[Question]) -> None:
        """Append `questions` to the queue. They cover whole images or videos."""
        self._waiting[run].append(Chunk(run, {question.id: question for question in questions}))

    def unanswered(self, run: int) -> int:
        """Number of questions of `run` without an answer."""
        return self._queued(run) + sum(s.unanswered for s in self._slots if s.run == run)

    def workers(self, run: int) -> int:
        """Number of workers with the checkpoint of `run` that have a machine."""
        return sum(slot.assigned and slot.run == run for slot in self._slots)

    def distribute(self) -> None:
        """Send questions to workers with room; idle workers may change checkpoints."""
        for slot in self._slots:
            if not slot.chunks and not self._left(slot.run):
                self._change_run(slot)
            elif slot.worker is None:
                self._start(slot, slot.run)
        # Always to the worker with the fewest questions, so that all finish together.
        while any(self._send_to(s) for s in sorted(self._slots, key=lambda slot: slot.unanswered)):
            pass

    def handle(self, message: WorkerMessage) -> None:
        """Process a worker's message or its death.

        The questions of a dead worker are retried. A question on which a worker died alone,
        after two workers died on its chunk, gets an answer with ``ended`` ``error``. Raises
        `IncompleteError` if no worker is left, or none has a machine.
        """
        slot = next((slot for slot in self._slots if slot.worker is message.worker), None)
        if slot is None:
            return  # a worker that was stopped
        match message.payload:
            case BatchDone() as batch:
                since = slot.busy_since
                slot.record(batch.answers)
                self._answered(slot.run, since, batch)
                self._count_alike(slot.run, [answer.error for answer in batch.answers])
            case Assigned():
                slot.assigned, self._shortage_noted = True, False
            case Ready() as ready:
                slot.ready, slot.failed_starts = True, 0
                self._was_ready[slot.run] = True
                self._loaded(slot.run, ready)
            case LoadFailed(reason):
                self._fail_run(slot.run, UsageError(f"cannot be loaded: {reason}"))
            case WorkerRemoved() as removal:
                self._on_removal(slot, removal)
            case Crashed(reason):
                # Two workers count like many questions.
                if not self._count_alike(slot.run, [reason] * (MAX_ALIKE // 2)):
                    self._on_death(slot, ChildDied(reason))
            case ChildDied() as death:
                self._on_death(slot, death)
            case defect:
                raise defect

    def close(self) -> None:
        """End all workers at once."""
        for slot in self._slots:
            slot.stop()

    def _queued(self, run: int) -> int:
        return sum(len(chunk.questions) for chunk in self._waiting[run])

    def _left(self, run: int) -> int:
        return self._queued(run) + self._coming(run)

    def _start(self, slot: WorkerSlot, run: int) -> None:
        slot.start(run, self._settings[run])

    def _change_run(self, slot: WorkerSlot) -> None:
        """Assign `slot` to the run with the most questions left for each of its workers."""
        share = {
            run: self._left(run) / max(1, self.workers(run))
            for run in range(len(self._settings))
            if self._left(run)
        }
        run = max(share, key=lambda run: (not self.workers(run), share[run]), default=slot.run)
        if share and (not self.workers(run) or share[run] >= MIN_QUESTIONS_TO_LOAD):
            slot.stop()
            self._start(slot, run)

    def _send_to(self, slot: WorkerSlot) -> bool:
        waiting = self._waiting[slot.run]
        if not slot.ready or not waiting or slot.exclusive:
            return False
        chunk = waiting[0]
        if slot.chunks:
            full = slot.unanswered + len(chunk.questions) > self._max_queued
            if chunk.deaths or full or slot.unanswered >= self._fair_share(slot.run):
                return False
        slot.send(waiting.popleft())
        return True

    def _fair_share(self, run: int) -> float:
        """Questions for each worker of `run`: none has more while others are idle."""
        return (self.unanswered(run) + self._coming(run)) / self.workers(run)

    def _on_removal(self, slot: WorkerSlot, removal: WorkerRemoved) -> None:
        """Put the chunks of `slot` back; it is started again on any free device."""
        assert slot.worker is not None
        location, chunks = slot.worker.location, slot.stop()
        for chunk in reversed(chunks):
            self._waiting[chunk.run].appendleft(chunk)
        if not isinstance(removal, NoFreeDevice):
            retried = "; its questions are retried" if chunks else ""
            self._note(f"the worker on {location} {removal}{retried}")
            return
        assigned = sum(other.assigned for other in self._slots)
        if not assigned:
            raise IncompleteError(f"{removal}. {_KEPT}")
        if not self._shortage_noted:
            self._shortage_noted = True
            total = len(self._slots)
            self._note(f"{removal}; {assigned} of {total} workers continue, the others wait")

    def _on_death(self, slot: WorkerSlot, death: ChildDied) -> None:
        assert slot.worker is not None
        who, log = f"the worker on {slot.worker.location} {death}", slot.worker.log
        was_ready, since, chunks = slot.ready, slot.busy_since, slot.stop()
        if not was_ready:
            slot.failed_starts += 1
            if slot.failed_starts >= MAX_FAILED_STARTS:
                self._give_up(slot, f"{who}, {MAX_FAILED_STARTS} times in a row; see {log}")
                return
        fatal = [id_ for chunk in reversed(chunks) if (id_ := self._put_back(chunk)) is not None]
        answers = tuple(
            Answer(id_, "", 0, "error", f"{who} on this sample; it is the third worker to do so")
            for id_ in fatal
        )
        if answers:
            self._note(f"{who} on one sample, which is marked as failed; starting another worker")
        elif any(chunk.deaths >= 2 for chunk in chunks):
            self._note(f"{who} again; retrying its questions one at a time")
        else:
            self._note(f"{who}; starting another worker")
        if answers:
            self._answered(slot.run, since, BatchDone(answers))

    def _count_alike(self, run: int, reasons: Sequence[str | None]) -> bool:
        """End a run whose first questions all fail with the same exception; whether it does."""
        for reason in reasons:
            if (alike := self._alike[run]) is None:
                return False
            known = reason is not None and reason.startswith(RAISED) and alike[0] in ("", reason)
            self._alike[run] = (str(reason), alike[1] + 1) if known else None
        if (alike := self._alike[run]) is None or alike[1] < MAX_ALIKE:
            return False
        self._alike[run] = None
        why = f"its first questions all fail: the model {alike[0]}; see {self._settings[run].log}"
        self._fail_run(run, IncompleteError(f"{why}. {_KEPT}"))
        return True

    def _put_back(self, chunk: Chunk) -> QuestionId | None:
        """Return `chunk` to the queue, without the question on which a worker died alone."""
        fatal = next(iter(chunk.questions)) if chunk.deaths >= 2 else None
        if fatal is not None:
            del chunk.questions[fatal]
        chunk.deaths = 1 if fatal is not None else chunk.deaths + 1
        if chunk.questions:
            self._waiting[chunk.run].appendleft(chunk)
        return fatal

    def _give_up(self, slot: WorkerSlot, why: str) -> None:
        """Give up the checkpoint if no worker could load it, otherwise the device."""
        if not self._was_ready[slot.run]:
            slot.failed_starts = 0
            self._fail_run(slot.run, IncompleteError(f"{why}. {_KEPT}"))
            return
        self._slots.remove(slot)
        if not self._slots:
            raise IncompleteError(f"{why}. {_KEPT}")
        self._note(f"{why}; continuing without this device")

    def _fail_run(self, run: int, error: EvalsuiteError) -> None:
        self._waiting[run].clear()
        for slot in self._slots:
            if slot.run == run:
                slot.stop()
        self._failed(run, error)

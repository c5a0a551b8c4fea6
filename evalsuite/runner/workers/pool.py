"""All workers, and the one queue of questions they take from.

Nobody owns a fixed share: a worker is given a chunk when it has little left to do, and one that
finds no more for its checkpoint loads that of the run with the most left to ask. A worker that dies
puts back what it held, and is followed by another.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from evalsuite.errors import EvalsuiteError, IncompleteError, UsageError
from evalsuite.runner.workers.slot import Chunk, Hire, Said, Seat
from evalsuite.runner.workers.worker import (
    Answered,
    Displaced,
    NoPlace,
    Placed,
    Ready,
    Unfit,
    Worker,
    WorkerSettings,
)
from evalsuite.smolvlm.requests import Answer, Question
from evalsuite.system.process import ChildDied

STARTS = 3
"""A worker that dies so often before its checkpoint is loaded is not started again."""
WORTH_LOADING = 256
"""Questions left for each of a checkpoint's workers that are worth another's loading it too."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A worker is ready; what it runs on, for the record."""

    run: int
    ready: Ready


@dataclass(frozen=True, slots=True)
class Heard:
    """Answers for a run."""

    run: int
    answers: Sequence[Answer]
    since: float
    """When work on them began: monotonic seconds."""
    peak_memory_bytes: int | None = None
    host_memory_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Lost:
    """A run can not be worked on: its checkpoint cannot be loaded."""

    run: int
    error: EvalsuiteError


class Pool:
    """Workers, and what they are to answer. Used by one thread; others only post."""

    def __init__(
        self,
        settings: Sequence[WorkerSettings],
        devices: Sequence[str],
        *,
        hand: int,
        coming: Callable[[int], int],
        post: Callable[[Said], None],
        note: Callable[[str], None],
        hire: Hire = Worker,
    ) -> None:
        """One worker for each of `devices`; `settings` are those of each run.

        A worker is given more while it has fewer than `hand` questions. `coming` tells how many
        more of a run may yet be asked, `post` brings what workers say back to `hear`.
        """
        self._settings = settings
        self._hand = hand
        self._coming = coming
        self._note = note
        self._short_of_room = False
        """Whether it was said that not every worker has a place."""
        self._waiting: list[deque[Chunk]] = [deque() for _ in settings]
        self._was_ready = [False for _ in settings]
        self._seats = [Seat(device, post, hire) for device in devices]
        for i, seat in enumerate(self._seats):  # checkpoints in parallel: each is loaded less often
            self._employ(seat, i % len(settings))

    def ask(self, run: int, questions: Sequence[Question]) -> None:
        """Put `questions`, which are about whole media, at the end of the queue."""
        self._waiting[run].append(Chunk(run, {question.id: question for question in questions}))

    def owed(self, run: int) -> int:
        """How many of the questions asked of `run` have no answer yet."""
        return self._queued(run) + sum(s.owed for s in self._seats if s.run == run)

    def workers(self, run: int) -> int:
        """How many have the checkpoint of `run`; not those still without a machine."""
        return sum(seat.placed and seat.run == run for seat in self._seats)

    def deal(self) -> None:
        """Give workers what they have room for; those with nothing to do may change checkpoints."""
        for seat in self._seats:
            if not seat.held and not self._left(seat.run):
                self._move(seat)
            elif seat.worker is None:
                self._employ(seat, seat.run)
        # Always to who has least, so that they come to the end together.
        while any(self._deal_to(s) for s in sorted(self._seats, key=lambda seat: seat.owed)):
            pass

    def hear(self, said: Said) -> list[Loaded | Heard | Lost]:
        """Take in what a worker said, or that it died.

        What a dead worker held is asked again, and a question on which one died alone, after two
        died on it in company, is an answer with ``ended`` ``error``.
        Raises `IncompleteError` if no worker is left, or none has a place.
        """
        seat = next((seat for seat in self._seats if seat.worker is said.worker), None)
        if seat is None:
            return []  # the last words of one that was dismissed
        match said.message:
            case Answered(answers, peak_memory_bytes, host_memory_bytes):
                since = seat.busy_since
                seat.took(answers)
                return [Heard(seat.run, answers, since, peak_memory_bytes, host_memory_bytes)]
            case Placed():
                seat.placed, self._short_of_room = True, False
                return []
            case Ready():
                seat.ready, seat.failed_starts = True, 0
                self._was_ready[seat.run] = True
                return [Loaded(seat.run, said.message)]
            case Unfit(reason):
                return [self._lose(seat.run, UsageError(f"cannot be loaded: {reason}"))]
            case Displaced():
                self._displace(seat, said.message)
                return []
            case ChildDied():
                return self._bury(seat, said.message)
            case defect:
                raise defect

    def close(self) -> None:
        """End all workers at once."""
        for seat in self._seats:
            seat.dismiss()

    def _queued(self, run: int) -> int:
        return sum(len(chunk.questions) for chunk in self._waiting[run])

    def _left(self, run: int) -> int:
        """Questions of `run` that no worker has."""
        return self._queued(run) + self._coming(run)

    def _employ(self, seat: Seat, run: int) -> None:
        seat.employ(run, self._settings[run])

    def _move(self, seat: Seat) -> None:
        """Have `seat` work on the run with the most left for each of its workers."""
        share = {
            run: self._left(run) / max(1, self.workers(run))
            for run in range(len(self._settings))
            if self._left(run)
        }
        run = max(share, key=lambda run: (not self.workers(run), share[run]), default=seat.run)
        if share and (not self.workers(run) or share[run] >= WORTH_LOADING):
            seat.dismiss()
            self._employ(seat, run)

    def _deal_to(self, seat: Seat) -> bool:
        """Give `seat` a chunk, if there is one and it has room for it."""
        waiting = self._waiting[seat.run]
        if not seat.ready or not waiting or seat.careful:
            return False
        chunk = waiting[0]
        if seat.held:
            full = seat.owed + len(chunk.questions) > self._hand
            if chunk.deaths or full or seat.owed >= self._fair_share(seat.run):
                return False
        seat.give(waiting.popleft())
        return True

    def _fair_share(self, run: int) -> float:
        """So many questions are for each of its workers: none holds more while others wait."""
        return (self.owed(run) + self._coming(run)) / self.workers(run)

    def _displace(self, seat: Seat, why: Displaced) -> None:
        """Put back what `seat` held; it is employed again, wherever there is room."""
        assert seat.worker is not None
        where, held = seat.worker.where, seat.dismiss()
        for chunk in reversed(held):
            self._waiting[chunk.run].appendleft(chunk)
        if not isinstance(why, NoPlace):
            again = "; what it held is asked again" if held else ""
            self._note(f"the worker on {where} {why}{again}")
            return
        placed = sum(other.placed for other in self._seats)
        if not placed:
            raise IncompleteError(f"{why}. Every answer so far is kept")
        if not self._short_of_room:
            self._short_of_room = True
            self._note(f"{why}; {placed} of {len(self._seats)} workers go on, others still wait")

    def _bury(self, seat: Seat, death: ChildDied) -> list[Loaded | Heard | Lost]:
        assert seat.worker is not None
        who, log = f"the worker on {seat.worker.where} {death}", seat.worker.log
        was_ready, since, held = seat.ready, seat.busy_since, seat.dismiss()
        if not was_ready:
            seat.failed_starts += 1
            if seat.failed_starts >= STARTS:
                return self._give_up(
                    seat, f"{who}, {STARTS} times in a row; {log} has its last words"
                )
        culprits = [self._put_back(chunk) for chunk in reversed(held)]
        answers = [
            Answer(culprit, "", 0, "error", f"{who} on this sample, the third to do so")
            for culprit in culprits
            if culprit is not None
        ]
        self._note(
            f"{who} on one sample, which is left out; starting another"
            if answers
            else f"{who} again; asking one question at a time"
            if any(chunk.deaths >= 2 for chunk in held)
            else f"{who}; starting another"
        )
        return [Heard(seat.run, answers, since)] if answers else []

    def _put_back(self, chunk: Chunk) -> str | None:
        """Have another worker take `chunk`, but for the question that killed one alone."""
        culprit = next(iter(chunk.questions)) if chunk.deaths >= 2 else None
        if culprit is not None:
            del chunk.questions[culprit]
        chunk.deaths = 1 if culprit is not None else chunk.deaths + 1
        if chunk.questions:
            self._waiting[chunk.run].appendleft(chunk)
        return culprit

    def _give_up(self, seat: Seat, why: str) -> list[Loaded | Heard | Lost]:
        """Do without the checkpoint that nobody could load, or without the device."""
        if not self._was_ready[seat.run]:
            seat.failed_starts = 0
            return [self._lose(seat.run, IncompleteError(f"{why}. Every answer so far is kept"))]
        self._seats.remove(seat)
        if not self._seats:
            raise IncompleteError(f"{why}. Every answer so far is kept")
        self._note(f"{why}; going on without it")
        return []

    def _lose(self, run: int, error: EvalsuiteError) -> Lost:
        self._waiting[run].clear()
        for seat in self._seats:
            if seat.run == run:
                seat.dismiss()
        return Lost(run, error)

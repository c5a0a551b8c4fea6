"""Who is given what, and what becomes of it when a worker dies."""

import dataclasses
import queue
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from evalsuite.errors import IncompleteError, UsageError
from evalsuite.runner.workers.pool import (
    MAX_FAILED_STARTS,
    MIN_QUESTIONS_TO_LOAD,
    Pool,
    RunAnswers,
    RunFailed,
    RunLoaded,
)
from evalsuite.runner.workers.slot import WorkerMessage
from evalsuite.runner.workers.worker import (
    Assigned,
    BatchDone,
    LoadFailed,
    Message,
    NoFreeDevice,
    Ready,
    Worker,
    WorkerRemoved,
    WorkerSettings,
)
from evalsuite.smolvlm.prompts import Prompt
from evalsuite.smolvlm.requests import Answer, Question, QuestionId
from evalsuite.smolvlm.settings import EngineSettings
from evalsuite.system.process import ChildDied

SETTINGS = WorkerSettings(
    directory=Path("checkpoint"), engine=EngineSettings(), log=Path("worker.log")
)


class Fake(Worker):
    """Answers a question at a time; dies on poison, with all it was given. Starts as told."""

    def __init__(self, settings: WorkerSettings, poison: Sequence[str], start: object) -> None:
        self.settings = settings
        self.location, self.log = settings.engine.device, settings.log
        self._poison = poison
        self._said: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._said.put(start)
        self.asked: list[list[str]] = []
        self.when: list[int] = []
        self.killed = False

    def ask(self, questions: Sequence[Question]) -> None:
        self.asked.append([question.id for question in questions])
        self.when.append(time.monotonic_ns())
        # As the engine does: all of a window dies with the one that kills.
        if any(question.id in self._poison for question in questions):
            self._said.put(None)
            return
        for question in questions:
            answer = Answer(question.id, f"answer to {question.id}", 1, "stop")
            self._said.put(BatchDone((answer,), 7))

    def receive(self) -> Ready | LoadFailed | BatchDone:
        said = self._said.get()
        if isinstance(said, Ready | LoadFailed | BatchDone):
            return said
        raise ChildDied("was killed (out of memory?)")

    def kill(self) -> None:
        self.killed = True


class Team:
    """A pool of fakes, and what it says; one event is taken in at a time."""

    def __init__(
        self,
        workers: int = 1,
        runs: int = 1,
        *,
        poison: Sequence[str] = "",
        hand: int = 8,
        start: Callable[[WorkerSettings], object] = lambda _: Ready({}),
        hire: Callable[[WorkerSettings], Fake] | None = None,
    ) -> None:
        self.hired: list[Fake] = []
        self.notes: list[str] = []
        self.answers: dict[tuple[int, QuestionId], Answer] = {}
        self.others: list[RunLoaded | RunFailed] = []
        self.coming = [0] * runs
        self._posted: queue.SimpleQueue[WorkerMessage] = queue.SimpleQueue()

        def employ(settings: WorkerSettings) -> Worker:
            fake = hire(settings) if hire else Fake(settings, poison, start(settings))
            self.hired.append(fake)
            return fake

        self.pool = Pool(
            [dataclasses.replace(SETTINGS, directory=Path(f"run {i}")) for i in range(runs)],
            [f"cuda:{i}" for i in range(workers)],
            min_queue=hand,
            coming=lambda run: self.coming[run],
            post=self._posted.put,
            note=self.notes.append,
            start_worker=employ,
        )

    def ask(self, ids: Sequence[str], run: int = 0) -> None:
        self.pool.ask(run, [Question(id_, Prompt("?", (), split=True), 4) for id_ in ids])

    def step(self) -> None:
        """Deal, and take in one thing that was said."""
        self.pool.distribute()
        for heard in self.pool.handle(self._posted.get(timeout=10)):
            if isinstance(heard, RunAnswers):
                for answer in heard.batch.answers:
                    assert (heard.run, answer.id) not in self.answers, "answered twice"
                    self.answers[heard.run, answer.id] = answer
            else:
                self.others.append(heard)

    def get_ready(self) -> None:
        for _ in range(len(self.hired)):
            self.step()

    def finish(self, runs: int = 1) -> None:
        while any(self.pool.unanswered(run) for run in range(runs)):
            self.step()


def test_without_poison_nobody_dies() -> None:
    team = Team()
    team.ask("abc")
    team.ask("def")
    team.finish()
    assert {id_: a.text for (_, id_), a in team.answers.items()} == {
        i: f"answer to {i}" for i in "abcdef"
    }
    assert team.notes == []
    assert len(team.hired) == 1


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("poison", ["a", "d", "f", "be", "abcdef"])
def test_each_poison_costs_itself_alone(poison: str, workers: int) -> None:
    team = Team(workers, poison=poison)
    team.ask("abc")
    team.ask("def")
    team.finish()
    assert sorted(id_ for _, id_ in team.answers) == list("abcdef")
    for (_, id_), answer in team.answers.items():
        assert (answer.ended == "error") == (id_ in poison)
        if id_ in poison:
            assert answer.error is not None
            assert "was killed (out of memory?) on this sample" in answer.error
            asked = [
                turn for fake in team.hired for turn in zip(fake.when, fake.asked, strict=True)
            ]
            held = [ids for _, ids in sorted(asked) if id_ in ids]
            assert len(held) >= 3, "three workers died on it"
            assert held[-1] == [id_], "the last one with nothing else in hand"
    assert len([note for note in team.notes if "one sample" in note]) == len(poison)
    assert len(team.hired) <= workers + 3 * len(poison)


def test_what_a_dead_worker_held_goes_to_another() -> None:
    team = Team(2, poison="c")
    team.get_ready()
    for chunk in ("ab", "cd", "ef", "gh"):
        team.ask(chunk)
    team.finish()
    assert {id_ for (_, id_), a in team.answers.items() if a.ended == "stop"} == set("abdefgh")
    asked = [id_ for fake in team.hired for ids in fake.asked for id_ in ids]
    for id_ in "abefgh":
        assert asked.count(id_) <= 3, "only what was held with the poison is asked again"


def test_nobody_hoards() -> None:
    team = Team(2)
    team.get_ready()
    for number in range(20):
        team.ask([f"{number} {i}" for i in range(2)])
    team.pool.distribute()
    assert [[len(ids) for ids in fake.asked] for fake in team.hired] == [[2] * 4, [2] * 4]
    while team.pool.unanswered(0):
        team.step()
        assert max(slot.unanswered for slot in team.pool._slots) <= 8
    assert len(team.answers) == 40


def test_the_last_chunks_are_shared_out() -> None:
    """The first to be ready leaves half to the other, whose checkpoint is still loading."""
    team = Team(2, hand=100)
    for number in range(4):
        team.ask([f"{number} {i}" for i in range(2)])
    team.step()
    team.pool.distribute()
    assert sorted(sum(map(len, fake.asked)) for fake in team.hired) == [0, 4]


def test_checkpoints_are_spread_and_the_last_is_taken_by_who_is_first_done() -> None:
    team = Team(2, runs=3)
    for run in range(3):
        team.ask("abcd", run)
    team.finish(3)
    assert len(team.answers) == 12
    loaded = [fake.settings.directory.name for fake in team.hired]
    assert loaded[:2] == ["run 0", "run 1"]
    assert loaded.count("run 2") == 1
    assert len(loaded) == 3, "no checkpoint is loaded for what another worker will soon have done"
    assert team.hired[2].settings.engine.device in ("cuda:0", "cuda:1")


def test_a_checkpoint_with_much_left_gets_another_worker() -> None:
    team = Team(2, runs=2)
    team.get_ready()
    team.coming = [0, 2 * MIN_QUESTIONS_TO_LOAD]
    team.pool.distribute()
    assert [fake.settings.directory.name for fake in team.hired] == ["run 0", "run 1", "run 1"]
    assert team.hired[0].killed
    assert team.hired[2].settings.engine.device == "cuda:0"


def test_a_checkpoint_that_cannot_be_loaded_is_lost_alone() -> None:
    def start(settings: WorkerSettings) -> object:
        return LoadFailed("no such tensor") if settings.directory.name == "run 0" else Ready({})

    team = Team(2, runs=2, start=start)
    team.ask("ab", 0)
    team.ask("cd", 1)
    team.finish(2)
    (lost,) = [other for other in team.others if isinstance(other, RunFailed)]
    assert lost.run == 0
    assert isinstance(lost.error, UsageError)
    assert "cannot be loaded: no such tensor" in str(lost.error)
    assert set(team.answers) == {(1, "c"), (1, "d")}


def test_a_checkpoint_that_kills_while_it_is_loaded_is_given_up() -> None:
    team = Team(start=lambda _: None)
    for _ in range(MAX_FAILED_STARTS):
        team.ask("a")
        team.step()
    (lost,) = team.others
    assert isinstance(lost, RunFailed)
    assert isinstance(lost.error, IncompleteError)
    assert "3 times in a row; see worker.log" in str(lost.error)


def test_a_device_on_which_nothing_starts_is_done_without() -> None:
    team = Team(2, start=lambda s: Ready({}) if s.engine.device == "cuda:1" else None)
    team.ask("abcd")
    team.coming = [1]  # not yet the end
    while not any("without this device" in note for note in team.notes):
        team.step()
    team.coming = [0]
    team.ask("ef")
    team.finish()
    assert sorted(id_ for _, id_ in team.answers) == list("abcdef")


def test_a_defect_in_the_listener_is_raised() -> None:
    team = Team()
    with pytest.raises(AttributeError, match="surprise"):
        team.pool.handle(WorkerMessage(team.hired[0], AttributeError("surprise")))


class Guest(Fake):
    """A fake that is on no machine until it says so; it answers nothing of itself."""

    assigned = False

    def __init__(self, settings: WorkerSettings) -> None:
        super().__init__(settings, "", None)
        self.said: queue.SimpleQueue[object] = queue.SimpleQueue()

    def ask(self, questions: Sequence[Question]) -> None:
        self.asked.append([question.id for question in questions])

    def receive(self) -> Message:
        said = self.said.get()
        if isinstance(said, Exception):
            raise said
        assert isinstance(said, Assigned | Ready | BatchDone)
        return said


class Inn(Team):
    """A pool of guests, which do what they are told."""

    def __init__(self, workers: int) -> None:
        super().__init__(workers, hire=Guest)

    def tell(self, guest: int, *said: object) -> None:
        for message in said:
            self.guests[guest].said.put(message)
            self.step()

    @property
    def guests(self) -> list[Guest]:
        return [fake for fake in self.hired if isinstance(fake, Guest)]


PLACED = Assigned("node-a", Path("worker-node-a.log"))


def test_who_has_no_place_is_given_nothing_and_keeps_nobody() -> None:
    inn = Inn(2)
    assert inn.pool.workers(0) == 0
    inn.tell(0, PLACED, Ready({}))
    assert inn.pool.workers(0) == 1
    for chunk in ("ab", "cd", "ef"):
        inn.ask(chunk)
    inn.pool.distribute()
    assert inn.guests[0].asked == [["a", "b"], ["c", "d"], ["e", "f"]], "nobody else can"
    assert inn.guests[1].asked == []


def test_a_lost_place_is_no_word_against_what_was_asked() -> None:
    inn = Inn(1)
    inn.ask("ab")
    for number in range(2 * MAX_FAILED_STARTS):
        inn.tell(number, PLACED, Ready({}))
        inn.pool.distribute()
        assert inn.guests[number].asked == [["a", "b"]], "in company still"
        inn.tell(number, WorkerRemoved("left the cluster with its machine"))
        inn.pool.distribute()
    assert inn.answers == {}
    assert inn.pool.unanswered(0) == 2
    assert set(inn.notes) == {
        "the worker on cuda:0 left the cluster with its machine; its questions are retried"
    }


def test_waiting_for_room_is_said_once_and_goes_on() -> None:
    inn = Inn(3)
    inn.ask("ab")
    inn.coming = [1]
    inn.tell(0, PLACED, Ready({}))
    full = NoFreeDevice("no GPU of the Ray cluster was free for 300 seconds")
    inn.tell(1, full)
    inn.tell(2, full)
    assert inn.notes == [f"{full}; 1 of 3 workers continue, the others wait"]
    inn.pool.distribute()
    assert len(inn.hired) == 5, "both are looked for again"
    inn.tell(3, PLACED)
    inn.tell(4, full)
    assert inn.notes[1:] == [f"{full}; 2 of 3 workers continue, the others wait"], "news"


def test_no_room_for_anybody_ends_the_run() -> None:
    inn = Inn(2)
    inn.ask("ab")
    with pytest.raises(IncompleteError, match=r"was free for 9 seconds\. Every answer so far is"):
        inn.tell(1, NoFreeDevice("no GPU of the Ray cluster was free for 9 seconds"))

"""How questions are distributed, and what happens when a worker dies."""

import dataclasses
import queue
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from evalsuite.errors import EvalsuiteError, IncompleteError, UsageError
from evalsuite.runner.workers.pool import (
    MAX_ALIKE,
    MAX_FAILED_STARTS,
    MIN_QUESTIONS_TO_LOAD,
    Pool,
    WorkerMessage,
)
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
from evalsuite.sample import Ended
from evalsuite.smolvlm.prompts import Prompt
from evalsuite.smolvlm.requests import Answer, EngineSettings, Question, QuestionId
from evalsuite.system.process import ChildDied

SETTINGS = WorkerSettings(
    directory=Path("checkpoint"), engine=EngineSettings(), log=Path("worker.log")
)


class Fake(Worker):
    """Answers one question at a time, and dies on `fatal` ones with all it was sent."""

    def __init__(self, settings: WorkerSettings, fatal: Sequence[str], start: object) -> None:
        self.settings = settings
        self.location, self.log = settings.engine.device, settings.log
        self._poison = fatal
        self._messages: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._messages.put(start)
        self.asked: list[list[str]] = []
        self.when: list[int] = []
        self.killed = False

    def ask(self, questions: Sequence[Question]) -> None:
        self.asked.append([question.id for question in questions])
        self.when.append(time.monotonic_ns())
        # As in the engine, all questions of a window are lost.
        if any(question.id in self._poison for question in questions):
            self._messages.put(None)
            return
        for question in questions:
            answer = Answer(question.id, f"answer to {question.id}", 1, "stop")
            self._messages.put(BatchDone((answer,), 7))

    def receive(self) -> Message:
        said = self._messages.get()
        if isinstance(said, Ready | LoadFailed | BatchDone | Crashed):
            return said
        raise ChildDied("was killed (out of memory?)")

    def kill(self) -> None:
        self.killed = True


class PoolDriver:
    """A pool of fakes that handles one message at a time."""

    def __init__(
        self,
        workers: int = 1,
        runs: int = 1,
        *,
        fatal: Sequence[str] = "",
        min_queue: int = 8,
        start: Callable[[WorkerSettings], object] = lambda _: Ready({}),
        make: Callable[[WorkerSettings], Fake] | None = None,
    ) -> None:
        self.workers: list[Fake] = []
        self.notes: list[str] = []
        self.answers: dict[tuple[int, QuestionId], Answer] = {}
        self.loaded: list[int] = []
        self.failed: list[tuple[int, EvalsuiteError]] = []
        self.coming = [0] * runs
        self._posted: queue.SimpleQueue[WorkerMessage] = queue.SimpleQueue()

        def start_worker(settings: WorkerSettings) -> Worker:
            fake = make(settings) if make else Fake(settings, fatal, start(settings))
            self.workers.append(fake)
            return fake

        self.pool = Pool(
            [dataclasses.replace(SETTINGS, directory=Path(f"run {i}")) for i in range(runs)],
            [f"cuda:{i}" for i in range(workers)],
            min_queue=min_queue,
            coming=lambda run: self.coming[run],
            post=self._posted.put,
            note=self.notes.append,
            loaded=lambda run, _: self.loaded.append(run),
            answered=self._answered,
            failed=lambda run, error: self.failed.append((run, error)),
            start_worker=start_worker,
        )

    def ask(self, ids: Sequence[str], run: int = 0) -> None:
        self.pool.ask(run, [Question(id_, Prompt("?", (), split=True), 4) for id_ in ids])

    def step(self) -> None:
        """Distribute questions, and handle one message."""
        self.pool.distribute()
        self.pool.handle(self._posted.get(timeout=10))

    def _answered(self, run: int, since: float, batch: BatchDone) -> None:
        for answer in batch.answers:
            assert (run, answer.id) not in self.answers, "answered twice"
            self.answers[run, answer.id] = answer

    def get_ready(self) -> None:
        for _ in range(len(self.workers)):
            self.step()

    def finish(self, runs: int = 1) -> None:
        while any(self.pool.unanswered(run) for run in range(runs)):
            self.step()


def test_all_questions_are_answered() -> None:
    driver = PoolDriver()
    driver.ask("abc")
    driver.ask("def")
    driver.finish()
    assert {id_: a.text for (_, id_), a in driver.answers.items()} == {
        i: f"answer to {i}" for i in "abcdef"
    }
    assert driver.notes == []
    assert len(driver.workers) == 1


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("fatal", ["a", "d", "f", "be", "abcdef"])
def test_each_fatal_question_fails_alone(fatal: str, workers: int) -> None:
    driver = PoolDriver(workers, fatal=fatal)
    driver.ask("abc")
    driver.ask("def")
    driver.finish()
    assert sorted(id_ for _, id_ in driver.answers) == list("abcdef")
    for (_, id_), answer in driver.answers.items():
        assert (answer.ended == "error") == (id_ in fatal)
        if id_ in fatal:
            assert answer.error is not None
            assert "was killed (out of memory?) on this sample" in answer.error
            asked = [
                turn for fake in driver.workers for turn in zip(fake.when, fake.asked, strict=True)
            ]
            sent = [ids for _, ids in sorted(asked) if id_ in ids]
            assert len(sent) >= 3, "three workers died on it"
            assert sent[-1] == [id_], "the last time alone"
    assert len([note for note in driver.notes if "one sample" in note]) == len(fatal)
    assert len(driver.workers) <= workers + 3 * len(fatal)


def test_the_questions_of_a_dead_worker_are_retried() -> None:
    driver = PoolDriver(2, fatal="c")
    driver.get_ready()
    for chunk in ("ab", "cd", "ef", "gh"):
        driver.ask(chunk)
    driver.finish()
    assert {id_ for (_, id_), a in driver.answers.items() if a.ended == "stop"} == set("abdefgh")
    asked = [id_ for fake in driver.workers for ids in fake.asked for id_ in ids]
    for id_ in "abefgh":
        assert asked.count(id_) <= 3, "only questions sent together with it are retried"


def test_a_worker_receives_only_a_full_queue() -> None:
    driver = PoolDriver(2)
    driver.get_ready()
    for number in range(20):
        driver.ask([f"{number} {i}" for i in range(2)])
    driver.pool.distribute()
    assert [[len(ids) for ids in fake.asked] for fake in driver.workers] == [[2] * 4, [2] * 4]
    while driver.pool.unanswered(0):
        driver.step()
        assert max(slot.unanswered for slot in driver.pool._slots) <= 8
    assert len(driver.answers) == 40


def test_the_last_chunks_are_shared() -> None:
    """The first worker leaves half for the other, which is still loading."""
    driver = PoolDriver(2, min_queue=100)
    for number in range(4):
        driver.ask([f"{number} {i}" for i in range(2)])
    driver.step()
    driver.pool.distribute()
    assert sorted(sum(map(len, fake.asked)) for fake in driver.workers) == [0, 4]


def test_the_first_free_worker_loads_the_last_checkpoint() -> None:
    driver = PoolDriver(2, runs=3)
    for run in range(3):
        driver.ask("abcd", run)
    driver.finish(3)
    assert len(driver.answers) == 12
    loaded = [fake.settings.directory.name for fake in driver.workers]
    assert loaded[:2] == ["run 0", "run 1"]
    assert loaded.count("run 2") == 1
    assert len(loaded) == 3, "another worker will soon finish the rest"
    assert driver.workers[2].settings.engine.device in ("cuda:0", "cuda:1")


def test_a_checkpoint_with_many_questions_gets_another_worker() -> None:
    driver = PoolDriver(2, runs=2)
    driver.get_ready()
    driver.coming = [0, 2 * MIN_QUESTIONS_TO_LOAD]
    driver.pool.distribute()
    assert [fake.settings.directory.name for fake in driver.workers] == ["run 0", "run 1", "run 1"]
    assert driver.workers[0].killed
    assert driver.workers[2].settings.engine.device == "cuda:0"


def test_a_checkpoint_that_cannot_be_loaded_fails_alone() -> None:
    def start(settings: WorkerSettings) -> object:
        return LoadFailed("no such tensor") if settings.directory.name == "run 0" else Ready({})

    driver = PoolDriver(2, runs=2, start=start)
    driver.ask("ab", 0)
    driver.ask("cd", 1)
    driver.finish(2)
    ((lost, error),) = driver.failed
    assert lost == 0
    assert isinstance(error, UsageError)
    assert "cannot be loaded: no such tensor" in str(error)
    assert set(driver.answers) == {(1, "c"), (1, "d")}


def test_a_checkpoint_that_kills_its_workers_fails() -> None:
    driver = PoolDriver(start=lambda _: None)
    for _ in range(MAX_FAILED_STARTS):
        driver.ask("a")
        driver.step()
    ((_, error),) = driver.failed
    assert isinstance(error, IncompleteError)
    assert "3 times in a row; see worker.log" in str(error)


def crashes(*reasons: str) -> Callable[[WorkerSettings], Fake]:
    """Workers of which each crashes on its first questions, for the next of `reasons`."""
    left = list(reasons)

    class Crashing(Fake):
        def ask(self, questions: Sequence[Question]) -> None:
            if left:
                self._messages.put(Crashed(left.pop(0)))
            else:
                super().ask(questions)

    return lambda settings: Crashing(settings, "", Ready({}))


def test_a_run_whose_first_workers_crash_alike_ends() -> None:
    driver = PoolDriver(make=crashes(*["raised ValueError: 7 is not in list (a.py line 3)"] * 9))
    driver.ask("abcd")
    driver.finish()
    assert len(driver.workers) == 2
    assert driver.loaded == [0, 0]
    ((_, error),) = driver.failed
    assert isinstance(error, IncompleteError)
    assert "raised ValueError: 7 is not in list (a.py line 3); see worker.log" in str(error)


def test_crashes_for_several_reasons_are_retried() -> None:
    driver = PoolDriver(make=crashes("raised A", "raised B"))
    driver.ask("ab")
    driver.finish()
    assert all(answer.ended == "stop" for answer in driver.answers.values())
    assert len(driver.workers) == 3
    assert "the worker on cuda:0 raised A; starting another worker" in driver.notes


def failing(reasons: Callable[[str], str | None]) -> Callable[[WorkerSettings], Fake]:
    """Workers whose questions fail for the reason that `reasons` gives for their id."""

    class Failing(Fake):
        def ask(self, questions: Sequence[Question]) -> None:
            for question in questions:
                why = reasons(str(question.id))
                ended: Ended = "stop" if why is None else "error"
                self._messages.put(BatchDone((Answer(question.id, "", 0, ended, why),)))

    return lambda settings: Failing(settings, "", Ready({}))


@pytest.mark.parametrize(
    ("reasons", "ends"),
    [
        (lambda _: "raised TypeError: x", True),
        (lambda _: "no such file", False),
        (lambda _: "the model's output is not a number", False),
        (lambda id_: None if id_ == "3" else "raised TypeError: x", False),
        (lambda id_: f"raised TypeError: {id_}", False),
    ],
)
def test_a_run_whose_first_questions_fail_alike_ends(
    reasons: Callable[[str], str | None], ends: bool
) -> None:
    driver = PoolDriver(make=failing(reasons), min_queue=100)
    driver.ask([str(i) for i in range(50)])
    driver.finish()
    assert len(driver.answers) == (MAX_ALIKE if ends else 50)
    assert len(driver.workers) == 1
    assert bool(driver.failed) == ends


def test_a_device_on_which_no_worker_starts_is_dropped() -> None:
    driver = PoolDriver(2, start=lambda s: Ready({}) if s.engine.device == "cuda:1" else None)
    driver.ask("abcd")
    driver.coming = [1]  # not yet the end
    while not any("without this device" in note for note in driver.notes):
        driver.step()
    driver.coming = [0]
    driver.ask("ef")
    driver.finish()
    assert sorted(id_ for _, id_ in driver.answers) == list("abcdef")


def test_an_error_in_the_listener_is_raised() -> None:
    driver = PoolDriver()
    with pytest.raises(AttributeError, match="surprise"):
        driver.pool.handle(WorkerMessage(driver.workers[0], AttributeError("surprise")))


class RemoteFake(Fake):
    """A fake without a machine; the test sends its messages."""

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


class RemoteDriver(PoolDriver):
    """A pool of workers on other machines."""

    def __init__(self, workers: int) -> None:
        super().__init__(workers, make=RemoteFake)

    def tell(self, number: int, *said: object) -> None:
        for message in said:
            self.remote[number].said.put(message)
            self.step()

    @property
    def remote(self) -> list[RemoteFake]:
        return [fake for fake in self.workers if isinstance(fake, RemoteFake)]


PLACED = Assigned("node-a", Path("worker-node-a.log"))


def test_a_worker_without_a_machine_receives_nothing() -> None:
    remote_driver = RemoteDriver(2)
    assert remote_driver.pool.workers(0) == 0
    remote_driver.tell(0, PLACED, Ready({}))
    assert remote_driver.pool.workers(0) == 1
    for chunk in ("ab", "cd", "ef"):
        remote_driver.ask(chunk)
    remote_driver.pool.distribute()
    assert remote_driver.remote[0].asked == [["a", "b"], ["c", "d"], ["e", "f"]], (
        "no other worker can"
    )
    assert remote_driver.remote[1].asked == []


def test_a_removed_worker_does_not_count_as_a_death() -> None:
    remote_driver = RemoteDriver(1)
    remote_driver.ask("ab")
    for number in range(2 * MAX_FAILED_STARTS):
        remote_driver.tell(number, PLACED, Ready({}))
        remote_driver.pool.distribute()
        assert remote_driver.remote[number].asked == [["a", "b"]], "not alone"
        remote_driver.tell(number, WorkerRemoved("left the cluster with its machine"))
        remote_driver.pool.distribute()
    assert remote_driver.answers == {}
    assert remote_driver.pool.unanswered(0) == 2
    assert set(remote_driver.notes) == {
        "the worker on cuda:0 left the cluster with its machine; its questions are retried"
    }


def test_missing_devices_are_noted_once() -> None:
    remote_driver = RemoteDriver(3)
    remote_driver.ask("ab")
    remote_driver.coming = [1]
    remote_driver.tell(0, PLACED, Ready({}))
    full = NoFreeDevice("no GPU of the Ray cluster was free for 300 seconds")
    remote_driver.tell(1, full)
    remote_driver.tell(2, full)
    assert remote_driver.notes == [f"{full}; 1 of 3 workers continue, the others wait"]
    remote_driver.pool.distribute()
    assert len(remote_driver.workers) == 5, "both are started again"
    remote_driver.tell(3, PLACED)
    remote_driver.tell(4, full)
    assert remote_driver.notes[1:] == [f"{full}; 2 of 3 workers continue, the others wait"], "news"


def test_a_run_without_any_device_ends() -> None:
    remote_driver = RemoteDriver(2)
    remote_driver.ask("ab")
    with pytest.raises(IncompleteError, match=r"was free for 9 seconds\. Every answer so far is"):
        remote_driver.tell(1, NoFreeDevice("no GPU of the Ray cluster was free for 9 seconds"))
